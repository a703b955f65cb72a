"""Add-ons and rented equipment that services had in the old system, billed from where it stopped."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Row, func, select

from base import tables
from base.bulk import copy_rows
from billing.extras import EACH_PERIOD
from billing.importers.cells import parse_amount
from billing.importers.reader import Raw
from billing.importers.rows import PRODUCTS, Product, check_product
from billing.importers.work import Work
from billing.recurring import schedule
from billing.tables import product, service_product

COLUMNS = PRODUCTS


@dataclass(frozen=True, slots=True)
class New:
    """An add-on that is to be written."""

    row: Product
    service_id: int
    product_id: int
    price_minor: int | None
    from_on: date
    billed_until: date


def check(work: Work, raws: Sequence[Raw]) -> list[New]:
    """The new ones among the rows."""
    rows: list[Product] = work.check(raws, check_product)
    products = work.cache.setdefault("products", {each.name: each for each in work.tx.execute(select(product))})
    query = select(tables.service, tables.subscriber.c.currency)
    query = query.join(tables.subscriber, tables.subscriber.c.id == tables.service.c.payer_id)
    of_file: Iterable[Row[Any]] = work.tx.execute(
        query.where(tables.service.c.login == func.any([row.login for row in rows]))
    )
    services = {each.login: each for each in of_file}
    has = select(service_product.c.service_id, service_product.c.product_id).where(
        service_product.c.service_id == func.any([each.id for each in services.values()])
    )
    known = {tuple(each) for each in work.tx.execute(has)}
    new = []
    for row in rows:
        line, sold = services.get(row.login), products.get(row.product)
        if not work.once((row.login, row.product), row.line, "product", f"{row.product!r} of {row.login!r}"):
            continue
        if line is None:
            work.fault(row.line, "login", f"There is no service with the login {row.login!r}.")
        elif sold is None:
            there_are = ", ".join(sorted(products)) or "none yet; `tollkeeper product add` makes one"
            work.fault(row.line, "product", f"There is no product {row.product!r}; there are: {there_are}.")
        elif (line.id, sold.id) in known:
            work.known += 1
        elif (each := _new(work, row, line, sold)) is not None:
            new.append(each)
    return new


def begin(work: Work) -> None:
    """Nothing is to be held."""


def write(work: Work, rows: Sequence[New]) -> None:
    """Add them, and when their services are billed next."""
    fresh = [
        {
            "service_id": each.service_id, "product_id": each.product_id, "quantity": each.row.quantity,
            "price_minor": each.price_minor, "from_on": each.from_on, "until_on": each.row.until_on,
            "billed_until": each.billed_until,
        }
        for each in rows
    ]  # fmt: skip
    deeds = [
        {
            "at": work.now, "actor": work.actor, "act": "service.product_imported", "subject": "service",
            "subject_id": each.service_id, "detail": {"product": each.row.product, "line": each.row.line},
        }
        for each in rows
    ]  # fmt: skip
    copy_rows(work.tx, service_product, fresh)
    copy_rows(work.tx, tables.trail, deeds)
    schedule(work.tx, sorted({each.service_id for each in rows}))


def finish(work: Work) -> None:
    """Nothing is left to be done."""


def show(each: New) -> str:
    """One row in words."""
    return f"{each.row.login} · {each.row.quantity} × {each.row.product} · billed by us from {each.billed_until} on"


def _new(work: Work, row: Product, line: Row[Any], sold: Row[Any]) -> New | None:
    from_on = row.from_on or line.starts_on
    billed_until = row.paid_until or max(line.billed_until, from_on)
    wrong = None
    if sold.kind not in EACH_PERIOD:
        wrong = ("product", f"{sold.name} is charged once: there is nothing to go on with.")
    elif sold.currency != line.currency:
        wrong = ("product", f"{sold.name} is priced in {sold.currency}, who pays for it pays in {line.currency}.")
    elif from_on < line.starts_on:
        wrong = ("from_on", f"The service begins on {line.starts_on}.")
    elif billed_until < from_on:
        wrong = ("paid_until", f"It is billed until {billed_until}, but begins on {from_on}.")
    elif row.until_on is not None and row.until_on < billed_until:
        wrong = ("until_on", f"It ends on {row.until_on}, and is billed until {billed_until}.")
    price = None
    if wrong is None and row.price:
        try:
            price = parse_amount(row.price, work.decimal, sold.currency)
        except ValueError as error:
            wrong = ("price", str(error))
        else:
            if price.minor < 0:
                wrong = ("price", "A price is not negative.")
    if wrong is not None:
        work.fault(row.line, *wrong)
        return None
    work.count(f"{{}} × {sold.name}.")
    return New(row, line.id, sold.id, None if price is None else price.minor, from_on, billed_until)
