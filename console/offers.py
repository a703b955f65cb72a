"""`tollkeeper plan` and `tax`: what is sold, for how much, and how it is taxed."""

from typing import TYPE_CHECKING, Any

import click

from console.desk import ACTOR, desk_of_console, find_plan, find_subscriber, find_tax_class, whole
from console.profiles import plan_profile

if TYPE_CHECKING:
    from base.calendar import Unit

CYCLES: "dict[str, tuple[Unit, int]]" = {
    "hour": ("hour", 1),
    "day": ("day", 1),
    "week": ("week", 1),
    "month": ("month", 1),
    "quarter": ("month", 3),
    "half-year": ("month", 6),
    "year": ("month", 12),
}


def _cycle(text: str) -> "tuple[Unit, int]":
    """A cycle by its name, such as quarter, or as a number of days (30) or of hours (3h)."""
    if text in CYCLES:
        return CYCLES[text]
    return ("hour", whole(text[:-1])) if text.endswith("h") else ("day", whole(text))


@click.group()
def plan() -> None:
    """What can be bought."""


plan.add_command(plan_profile)


@plan.command("list")
def plan_list() -> None:
    """List plans with price, cycle, tax class and how many services have them."""
    from sqlalchemy import func, select

    from base import offers
    from base.money import Money
    from base.tables import service as services

    with desk_of_console() as desk:
        used = select(func.count()).where(services.c.plan_id == offers.plan.c.id).scalar_subquery()
        query = select(offers.plan, offers.tax_class.c.name.label("tax"), used.label("used")).join(offers.tax_class)
        for row in desk.tx.execute(query.order_by(offers.plan.c.id)):
            price = desk.shown(Money(row.price_minor, row.currency))
            every = row.cycle_unit if row.cycle_length == 1 else f"{row.cycle_length} {row.cycle_unit}s"
            how = "in arrears" if row.in_arrears else "from the balance" if row.prepaid else "in advance"
            over = f", retired on {row.retired_on}" if row.retired_on else ""
            taxed = "with" if row.price_inclusive else "plus"
            click.echo(f"{row.id}\t{row.name}\t{price} every {every} {how}, {taxed} {row.tax}\t{row.used} in use{over}")


@plan.command("add")
@click.argument("name")
@click.argument("price")
@click.option(
    "--every",
    default="month",
    help="hour, day, week, month, quarter, half-year, year, a number of days, or hours as 3h.",
)
@click.option("--down", "down", type=int, required=True, help="Mbit/s; 0: not limited.")
@click.option("--up", "up", type=int, required=True, help="Mbit/s; 0: not limited.")
@click.option("--tax", default="0", help="Percent of the one tax that it bears (0).")
@click.option("--tax-class", default=None, help="Name of a tax class instead; `tax list` shows them.")
@click.option("--inclusive", is_flag=True, help="The price has tax in it.")
@click.option("--in-arrears", is_flag=True, help="Billed when a period is over.")
@click.option("--first", default="prorate", help="First period: prorate, prorate_next or full (prorate).")
@click.option("--no-proration", is_flag=True, help="Parts of a period cost the whole or nothing.")
@click.option("--setup-fee", default=None, help="Charged once with the first bill.")
@click.option("--minimum-months", type=int, default=0, help="Term that is agreed (0).")
@click.option("--early-end-fee", default=None, help="For leaving before that.")
@click.option("--prepaid", is_flag=True, help="Each period is paid from the balance; without balance it is over.")
@click.option("--until-midnight", is_flag=True, help="A prepaid period ends at midnight, not at the time it began.")
@click.option("--pool", default=None, help="Address pool that the NASes know.")
@click.option("--currency", default=None, help="Of its prices; default: yours.")
def plan_add(name: str, price: str, every: str, down: int, up: int, **more: Any) -> None:
    """Add something that can be bought."""
    from base.calendar import Cycle
    from billing.plans import add_plan

    with desk_of_console() as desk:
        currency = more["currency"] and more["currency"].upper()
        fees = {key: more[key] and desk.money(more[key], currency) for key in ("setup_fee", "early_end_fee")}
        plan_id = add_plan(
            desk.tx,
            ACTOR,
            name=name,
            price=desk.money(price, currency),
            cycle=Cycle(*_cycle(every)),
            tax_percent=more["tax"],
            tax_class_id=find_tax_class(desk, more["tax_class"]),
            price_inclusive=more["inclusive"],
            in_arrears=more["in_arrears"],
            first_period=more["first"],
            prorated=not more["no_proration"],
            minimum_months=more["minimum_months"],
            rate_down=down * 1_000_000,
            rate_up=up * 1_000_000,
            pool=more["pool"],
            prepaid=more["prepaid"],
            ends_at_midnight=more["until_midnight"],
            **fees,
        )
    click.echo(f"Plan {plan_id} is added: {name}.")


@plan.command("price")
@click.argument("plan_name", metavar="PLAN")
@click.argument("price")
@click.option("--from", "valid_from", default=None, help="First day of periods that cost it; default: today.")
def plan_price(plan_name: str, price: str, valid_from: str | None) -> None:
    """Change a price from a day on; what was billed stays as it is."""
    from billing.plans import change_price

    with desk_of_console() as desk:
        day = desk.day(valid_from)
        row = find_plan(desk, plan_name)
        change_price(desk.tx, ACTOR, row.id, desk.money(price, row.currency), day, today=desk.today)
    click.echo(f"Periods that begin on {day} or later cost {price}.")


@plan.command("while-walled")
@click.argument("plan_name", metavar="PLAN")
@click.argument("how", type=click.Choice(["bill", "stop", "days"]))
@click.option("--after", "stop_days", type=int, default=0, help="With stop: days that are billed all the same (0).")
def plan_while_walled(plan_name: str, how: str, stop_days: int) -> None:
    """Say what is billed while debt walls a service in: all, nothing new after some days, or only the days used."""
    from billing.walled import set_walled_billing

    with desk_of_console() as desk:
        set_walled_billing(desk.tx, ACTOR, find_plan(desk, plan_name).id, how, stop_days)
    click.echo(f"While walled: {how}{f' after {stop_days} days' if how == 'stop' else ''}.")


@plan.command("retire")
@click.argument("plan_name", metavar="PLAN")
def plan_retire(plan_name: str) -> None:
    """Sell a plan no longer; who has it keeps it."""
    from billing.plans import retire

    with desk_of_console() as desk:
        retire(desk.tx, ACTOR, find_plan(desk, plan_name).id, desk.today)
    click.echo("It is no longer sold.")


@click.group()
def product() -> None:
    """What goes with a service: add-ons, rented equipment, one-off goods, deposits."""


@product.command("add")
@click.argument("name")
@click.argument("price")
@click.option("--kind", default="addon", help="addon or rent (with each period), one_off or deposit (once).")
@click.option("--tax", "percent", default="0", help="Percent (0).")
@click.option("--tax-class", default=None, help="Name of a tax class instead.")
@click.option("--inclusive", is_flag=True, help="The price has tax in it.")
def product_add(name: str, price: str, kind: str, percent: str, tax_class: str | None, inclusive: bool) -> None:
    """Add something that goes with a service."""
    from billing.extras import add_product
    from billing.plans import class_of_percent

    with desk_of_console() as desk:
        class_id = find_tax_class(desk, tax_class) or class_of_percent(desk.tx, ACTOR, percent)
        add_product(
            desk.tx, ACTOR, name=name, kind=kind, price=desk.money(price), tax_class_id=class_id,
            price_inclusive=inclusive,
        )  # fmt: skip
    click.echo(f"{name} is added.")


@product.command("list")
def product_list() -> None:
    """List what goes with services."""
    from sqlalchemy import select

    from base.money import Money
    from billing.tables import product as products

    with desk_of_console() as desk:
        for row in desk.tx.execute(select(products).order_by(products.c.id)):
            click.echo(f"{row.name}\t{row.kind}\t{desk.shown(Money(row.price_minor, row.currency))}")


@click.command()
@click.argument("code")
@click.argument("off", metavar="PERCENT%|AMOUNT")
@click.argument("text")
@click.option("--periods", type=int, default=None, help="For so many periods; default: for good.")
@click.option("--until", default=None, help="First day on which it is no longer taken.")
@click.option("--most", type=int, default=None, help="How often it is taken at most.")
def coupon(code: str, off: str, text: str, periods: int | None, until: str | None, most: int | None) -> None:
    """Add a CODE that makes a service cheaper; TEXT is what the invoice says."""
    from billing.extras import add_coupon

    with desk_of_console() as desk:
        add_coupon(
            desk.tx, ACTOR, code=code, text=text, currency=desk.business.currency, cycles=periods, most_uses=most,
            percent_off=off[:-1] if off.endswith("%") else None,
            amount_off=None if off.endswith("%") else desk.money(off),
            valid_until=None if until is None else desk.day(until),
        )  # fmt: skip
    click.echo(f"{code} is taken from now on.")


@click.group()
def tax() -> None:
    """Tax classes and their rates."""


@tax.command("list")
def tax_list() -> None:
    """List tax classes with the rates of today."""
    from sqlalchemy import select

    from base.offers import tax_class
    from billing.taxes import load_taxes

    with desk_of_console() as desk:
        names = {row.id: row.name for row in desk.tx.execute(select(tax_class).order_by(tax_class.c.id))}
        rates = load_taxes(desk.tx, names)
        for class_id, name in names.items():
            held = ", ".join(
                f"{each.name} {each.percent} % ({each.category})" for each in rates.on(class_id, desk.today)
            )
            click.echo(f"{name}\t{held}")


@tax.command("add")
@click.argument("name")
@click.argument("rates", nargs=-1, required=True, metavar="TAX=PERCENT[:CATEGORY][:compound] ...")
def tax_add(name: str, rates: tuple[str, ...]) -> None:
    """Add a tax class, such as: tax add standard VAT=20, or: tax add telecom State=6 County=1.5 Relief=2:S:compound."""
    from billing.taxes import add_tax_class

    with desk_of_console() as desk:
        add_tax_class(desk.tx, ACTOR, name, [_rate(each) for each in rates])
    click.echo(f"Tax class {name} is added.")


@tax.command("change")
@click.argument("name")
@click.argument("rates", nargs=-1, required=True, metavar="TAX=PERCENT[:CATEGORY][:compound] ...")
@click.option("--from", "valid_from", required=True, help="First day of the new rates, such as 2027-01-01.")
def tax_change(name: str, rates: tuple[str, ...], valid_from: str) -> None:
    """Change the rates of a class from a day on; the day of supply decides, and the past stays as it was."""
    from billing.taxes import change_rates

    with desk_of_console() as desk:
        class_id = find_tax_class(desk, name)
        assert class_id is not None
        made = [_rate(each) for each in rates]
        change_rates(desk.tx, ACTOR, class_id, made, desk.day(valid_from), today=desk.today)
    click.echo(f"From {valid_from} on {name} has these rates.")


@tax.command("treat")
@click.argument("number")
@click.argument("treatment", type=click.Choice(["normal", "exempt", "reverse_charge"]))
@click.option("--country", default="", help="ISO code such as DE.")
@click.option("--tax-number", default="", help="Needed for reverse charge: its format is checked, and VIES is asked.")
@click.option("--because", "reason", default="", help="Needed for exempt: what the documents say.")
def tax_treat(number: str, treatment: str, country: str, tax_number: str, reason: str) -> None:
    """Say how the subscriber with account NUMBER is taxed from the next bill on."""
    from billing.tax_numbers import ask_vies, seller_country, set_tax_treatment

    with desk_of_console() as desk:
        set_tax_treatment(
            desk.tx, ACTOR, find_subscriber(desk, number), treatment,
            tax_number=tax_number, country=country, reason=reason, today=desk.today,
            seller=seller_country(desk.business), vies=ask_vies,
        )  # fmt: skip
    click.echo(f"{number} is taxed as {treatment} from the next bill on.")


def _rate(text: str) -> Any:
    from billing.taxes import Rate

    name, _, rest = text.partition("=")
    percent, *more = rest.split(":")
    category = more[0] if more else ("Z" if percent == "0" else "S")
    return Rate(name, percent, category, "compound" in more[1:])
