"""Plans: what can be bought, what it costs from which day on, and when it is no longer sold."""

from datetime import date

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from base import clock, trail
from base.business import percent
from base.calendar import Cycle
from base.money import Money
from base.offers import plan, plan_price, tax_class
from billing.refused import need
from billing.taxes import Rate, add_tax_class

MONTHLY = Cycle("month", 1)
LONGEST = {"hour": 720, "day": 3660, "week": 520, "month": 120}
HIGHEST = 10**12  # minor units: a price above it is a slip of the hand
FIRST_PERIODS = ("prorate", "prorate_next", "full")


def add_plan(
    tx: Connection,
    actor: str,
    *,
    name: str,
    price: Money,
    cycle: Cycle = MONTHLY,
    tax_percent: str = "0",
    tax_class_id: int | None = None,
    price_inclusive: bool = False,
    in_arrears: bool = False,
    setup_fee: Money | None = None,
    minimum_months: int = 0,
    early_end_fee: Money | None = None,
    prorated: bool = True,
    first_period: str = "prorate",
    rate_down: int,
    rate_up: int,
    pool: str | None = None,
    prepaid: bool = False,
    ends_at_midnight: bool = False,
) -> int:
    """Add something that can be bought: `price` per cycle, rates in bit/s (0 = not limited). Returns its id.

    Without a tax class it bears the one tax of `tax_percent`. `first_period` says what is billed from the first day to
    the next billing day: prorate (that part), prorate_next (and the whole period after it), full (a whole period).
    Periods of a `prepaid` plan begin when the balance pays for them and end at that time of day or, with
    `ends_at_midnight`, at midnight.
    """
    need(name.strip(), "A plan needs a name.", "name")
    check_price(price)
    need(cycle.unit in LONGEST and 1 <= cycle.length <= LONGEST[cycle.unit], _CYCLES, "cycle")
    need(rate_down >= 0 and rate_up >= 0, "A rate is not negative.", "rate_down")
    need(first_period in FIRST_PERIODS, f"first_period is one of {', '.join(FIRST_PERIODS)}.", "first_period")
    need(prepaid or cycle.unit != "hour", "Hours are sold prepaid only: a bill has days.", "cycle")
    need(not (prepaid and in_arrears), "A prepaid plan is paid in advance.", "prepaid")
    need(cycle.unit != "hour" or not ends_at_midnight, "Hours do not end at midnight.", "ends_at_midnight")
    need(prepaid or not ends_at_midnight, "Only the periods of a prepaid plan have a time of day.", "ends_at_midnight")
    need(not (prepaid and (minimum_months or early_end_fee)), _NO_TERM, "minimum_months")
    need(0 <= minimum_months <= 120, "A minimum term is 0 to 120 months.", "minimum_months")
    for fee in (setup_fee, early_end_fee):
        if fee is not None:
            check_price(fee)
            need(fee.currency == price.currency, "A plan has one currency.", "price")
    taken = tx.scalar(select(plan.c.id).where(plan.c.name == name))
    need(taken is None, f"There is a plan called {name!r} already.", "name")
    plan_id = tx.execute(
        insert(plan)
        .values(
            name=name,
            price_minor=price.minor,
            price_inclusive=price_inclusive,
            currency=price.currency,
            cycle_unit=cycle.unit,
            cycle_length=cycle.length,
            in_arrears=in_arrears,
            tax_class_id=tax_class_id or class_of_percent(tx, actor, tax_percent),
            setup_fee_minor=0 if setup_fee is None else setup_fee.minor,
            minimum_months=minimum_months,
            early_end_fee_minor=0 if early_end_fee is None else early_end_fee.minor,
            proration="daily" if prorated else "none",
            first_period=first_period,
            rate_down=rate_down,
            rate_up=rate_up,
            pool=pool,
            prepaid=prepaid,
            ends_at_midnight=ends_at_midnight,
            created_at=clock.now(),
        )
        .returning(plan.c.id)
    ).scalar_one()
    trail.record(tx, actor, "plan.added", subject="plan", subject_id=plan_id, detail={"name": name})
    return int(plan_id)


_NO_TERM = "A prepaid plan has no minimum term: it ends when nobody pays for the next period."
_CYCLES = "A cycle is 1 to 120 months, 1 to 520 weeks, 1 to 3660 days, or 1 to 720 hours."


def class_of_percent(tx: Connection, actor: str, typed: str) -> int:
    """The tax class that is one tax of this percentage, made when it is asked for the first time."""
    rate = f"{percent(typed).normalize():f}"
    name = f"{rate} %"
    found = tx.scalar(select(tax_class.c.id).where(tax_class.c.name == name))
    if found is None:
        found = add_tax_class(tx, actor, name, [Rate("VAT", rate, "Z" if rate == "0" else "S")])
    return int(found)


def change_price(tx: Connection, actor: str, plan_id: int, price: Money, valid_from: date, *, today: date) -> None:
    """Every period that begins on `valid_from` or later costs `price`; what was billed stays as it is.

    Raises Refused for a day in the past, and for another currency than the plan's.
    """
    row = tx.execute(select(plan.c.name, plan.c.currency).where(plan.c.id == plan_id)).one_or_none()
    need(row is not None, "There is no such plan.", "plan_id")
    assert row is not None
    check_price(price)
    need(price.currency == row.currency, f"The plan is priced in {row.currency}.", "price")
    need(valid_from >= today, "A price changes from today on or later; the past stays as it was.", "valid_from")
    values = {"plan_id": plan_id, "valid_from": valid_from, "price_minor": price.minor}
    statement = upsert(plan_price).values(values)
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["plan_id", "valid_from"], set_={"price_minor": statement.excluded.price_minor}
        )
    )
    detail = {"name": row.name, "price_minor": price.minor, "valid_from": valid_from.isoformat()}
    trail.record(tx, actor, "plan.price_changed", subject="plan", subject_id=plan_id, detail=detail)


def retire(tx: Connection, actor: str, plan_id: int, today: date) -> None:
    """Sell a plan no longer; who has it keeps it. A plan is never deleted: invoices and services name it."""
    found = tx.execute(update(plan).where(plan.c.id == plan_id).values(retired_on=today))
    need(found.rowcount, "There is no such plan.", "plan_id")
    trail.record(tx, actor, "plan.retired", subject="plan", subject_id=plan_id)


def check_price(price: Money) -> None:
    """Refuse what no price can be."""
    need(price.minor >= 0, "A price is not negative.", "price")
    need(price.minor <= HIGHEST, "A price of more than a million millions is a slip of the hand.", "price")
