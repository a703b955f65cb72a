"""What is sold beside plans: add-ons and rented equipment with each period, one-off goods, deposits, and discounts."""

from datetime import date
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from base import trail
from base.business import percent
from base.calendar import Cycle, Period, period_around
from base.crypto import Vault
from base.money import Money
from billing.charges import add_charge
from billing.deed import Deed, begin, plan_of, sold_on
from billing.draft import FAR
from billing.plans import check_price
from billing.refused import need
from billing.tables import coupon, discount, product, service_product

KINDS = ("addon", "rent", "one_off", "deposit")
EACH_PERIOD = ("addon", "rent")


def add_product(
    tx: Connection, actor: str, *, name: str, kind: str, price: Money, tax_class_id: int, price_inclusive: bool = False
) -> int:
    """Add something that goes with a service: `price` per period of the service's plan (addon, rent) or once."""
    need(name.strip(), "A product needs a name.", "name")
    need(kind in KINDS, f"A product is one of {', '.join(KINDS)}.", "kind")
    check_price(price)
    need(tx.scalar(select(product.c.id).where(product.c.name == name)) is None, f"{name!r} exists already.", "name")
    product_id = tx.execute(
        insert(product)
        .values(
            name=name,
            kind=kind,
            price_minor=price.minor,
            price_inclusive=price_inclusive,
            currency=price.currency,
            tax_class_id=tax_class_id,
        )
        .returning(product.c.id)
    ).scalar_one()
    trail.record(tx, actor, "product.added", subject="product", subject_id=product_id, detail={"name": name})
    return int(product_id)


def sell_product(
    tx: Connection, vault: Vault, actor: str, service_id: int, product_id: int, *, quantity: int = 1
) -> None:
    """Give a service an add-on from today on, its first part prorated; or charge a one-off or a deposit."""
    deed = begin(tx, vault, actor, service_id)
    sold = tx.execute(select(product).where(product.c.id == product_id)).one_or_none()
    need(sold is not None, "There is no such product.", "product_id")
    assert sold is not None
    need(sold.retired_on is None or deed.today < sold.retired_on, f"{sold.name} is no longer sold.", "product_id")
    need(1 <= quantity <= 10_000, "A quantity is 1 to 10000.", "quantity")
    need(sold.currency == plan_of(tx, deed.row.plan_id).currency, f"It is priced in {sold.currency}.", "product_id")
    need(deed.row.ends_on is None or deed.today < deed.row.ends_on, "The service has ended.", "service_id")
    begins = max(deed.today, deed.row.starts_on)
    if sold.kind in EACH_PERIOD:
        row = {"service_id": service_id, "product_id": product_id, "quantity": quantity}
        tx.execute(insert(service_product).values(from_on=begins, billed_until=begins, **row))
    else:
        add_charge(
            tx,
            subscriber_id=deed.row.payer_id,
            service_id=service_id,
            kind=sold.kind,
            text=sold.name if quantity == 1 else f"{quantity} × {sold.name}",
            amount=Money(sold.price_minor * quantity, sold.currency),
            inclusive=sold.price_inclusive,
            tax_class_id=sold.tax_class_id,
            on_day=begins,
            author=actor,
        )
    deed.end("service.product_sold", {"product": sold.name, "quantity": quantity})


def take_back_product(tx: Connection, vault: Vault, actor: str, service_product_id: int) -> None:
    """End an add-on today; what was billed for the days after is given back."""
    row = tx.execute(select(service_product).where(service_product.c.id == service_product_id)).one_or_none()
    need(row is not None and row.until_on is None, "There is no such add-on on a service.", "service_product_id")
    assert row is not None
    deed = begin(tx, vault, actor, row.service_id)
    ends = max(deed.today, row.from_on)
    tx.execute(update(service_product).where(service_product.c.id == service_product_id).values(until_on=ends))
    deed.give_back_product(Period(ends, FAR), service_product_id, "An add-on has ended")
    deed.end("service.product_ended", {"service_product_id": service_product_id, "on": ends.isoformat()})


def add_discount(
    tx: Connection,
    vault: Vault,
    actor: str,
    service_id: int,
    *,
    text: str,
    percent_off: str | None = None,
    amount_off: Money | None = None,
    cycles: int | None = None,
    coupon_id: int | None = None,
) -> None:
    """Make a service cheaper from its next period that is not billed yet, for so many periods or for good (None)."""
    deed = begin(tx, vault, actor, service_id)
    need(text.strip(), "A discount needs a text: it is what the invoice says.", "text")
    need(
        (percent_off is None) != (amount_off is None), "A discount is either a percentage or an amount.", "percent_off"
    )
    if percent_off is not None:
        need(percent(percent_off) > 0, "A discount is more than nothing.", "percent_off")
    if amount_off is not None:
        need(amount_off.minor > 0, "A discount is more than nothing.", "amount_off")
        currency = plan_of(tx, deed.row.plan_id).currency
        need(amount_off.currency == currency, f"The plan is priced in {currency}.", "amount_off")
    need(cycles is None or cycles >= 1, "A discount holds for 1 period or more.", "cycles")
    begins = max(deed.row.billed_until, deed.row.starts_on)
    tx.execute(
        insert(discount).values(
            service_id=service_id,
            text=text,
            percent=percent_off,
            amount_minor=None if amount_off is None else amount_off.minor,
            from_on=begins,
            until_on=None if cycles is None else _after(deed, begins, cycles),
            coupon_id=coupon_id,
            author=actor,
        )
    )
    deed.end("service.discounted", {"text": text, "from": begins.isoformat(), "cycles": cycles})


def add_coupon(
    tx: Connection,
    actor: str,
    *,
    code: str,
    text: str,
    currency: str,
    percent_off: str | None = None,
    amount_off: Money | None = None,
    cycles: int | None = None,
    valid_until: date | None = None,
    most_uses: int | None = None,
) -> int:
    """Add a code that makes a service cheaper; `valid_until` is the first day on which it is no longer taken."""
    need(code.strip() == code and code, "A coupon needs a code without blanks around it.", "code")
    need((percent_off is None) != (amount_off is None), "A coupon is either a percentage or an amount.", "percent_off")
    if percent_off is not None:
        percent(percent_off)
    taken = tx.scalar(select(coupon.c.id).where(func.lower(coupon.c.code) == code.lower()))
    need(taken is None, f"There is a coupon {code!r} already.", "code")
    values: dict[str, Any] = {"code": code, "text": text, "currency": currency, "percent": percent_off}
    values |= {"amount_minor": None if amount_off is None else amount_off.minor, "cycles": cycles}
    values |= {"valid_until": valid_until, "most_uses": most_uses}
    coupon_id = tx.execute(insert(coupon).values(values).returning(coupon.c.id)).scalar_one()
    trail.record(tx, actor, "coupon.added", subject="coupon", subject_id=coupon_id, detail={"code": code})
    return int(coupon_id)


def redeem_coupon(tx: Connection, vault: Vault, actor: str, service_id: int, code: str) -> None:
    """Turn a coupon into a discount of a service, once per service; the answer to a wrong code says nothing else."""
    query = select(coupon).where(func.lower(coupon.c.code) == code.strip().lower()).with_for_update()
    deed = begin(tx, vault, actor, service_id)
    row = tx.execute(query).one_or_none()
    uses = select(func.count()).where(discount.c.coupon_id == (row.id if row else 0))
    valid = row is not None and (row.valid_until is None or deed.today < row.valid_until)
    if row is not None and row.most_uses is not None:
        valid = valid and (tx.scalar(uses) or 0) < row.most_uses
    need(valid, "This code is not valid (any more).", "code")
    assert row is not None
    used = tx.scalar(uses.where(discount.c.service_id == service_id))
    need(not used, "This code is in use for this service already.", "code")
    add_discount(
        tx, vault, actor, service_id,
        text=row.text, percent_off=row.percent, cycles=row.cycles, coupon_id=row.id,
        amount_off=None if row.amount_minor is None else Money(row.amount_minor, row.currency),
    )  # fmt: skip


def _after(deed: Deed, begins: date, cycles: int) -> date:
    """The end of the `cycles`-th period that is not billed yet; a part of one counts."""
    bought = plan_of(deed.tx, sold_on(deed, begins).plan_id)
    anchor, cycle = sold_on(deed, begins).anchor_on, Cycle(bought.cycle_unit, bought.cycle_length)
    end = begins
    for _ in range(cycles):
        end = period_around(anchor, cycle, end).end
    return end
