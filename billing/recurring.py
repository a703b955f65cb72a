"""What services are billed for again and again, loaded under lock: one query per kind of fact, however many."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, Select, func, or_, select

from base.bulk import update_rows
from base.calendar import Cycle, Period
from base.money import Money
from base.offers import plan, plan_price, service_plan, skipped_period
from base.tables import service
from billing.draft import FAR, Discount, Recurring, Terms, due_on, next_piece
from billing.tables import discount, product, service_product

Found = dict[int, list[Any]]


def load_recurring(
    tx: Connection, *, payers: Collection[int] = (), services: Collection[int] = (), lock: bool = True
) -> list[Recurring]:
    """All that recurs of the services that `payers` pay for or that are named, service by service.

    The services' rows are locked, except for who only looks.
    """
    wanted = or_(service.c.payer_id == func.any(list(payers)), service.c.id == func.any(list(services)))
    query = select(service).where(wanted).order_by(service.c.id)
    rows = tx.execute(query.with_for_update(of=service, key_share=True) if lock else query).all()
    ids = [row.id for row in rows]
    plans, prices = _plans(tx, ids)
    skipped, discounts, products = _skipped(tx, ids), _discounts(tx, ids), _products(tx, ids)
    return [
        each
        for row in rows
        for each in _recurring(
            row,
            [_terms(bought, prices) for bought in plans.get(row.id, [])],
            tuple(skipped.get(row.id, ())),
            tuple(discounts.get(row.id, ())),
            products.get(row.id, ()),
        )
    ]


def mark_billed(tx: Connection, billed: Iterable[tuple[Recurring, date]]) -> None:
    """Note of each the first day that is not billed now, and of its service when it is next to be billed."""
    moved = [(each, replace(each, billed_until=until)) for each, until in billed]
    by_service: dict[int, list[Recurring]] = {}
    for _, each in moved:
        by_service.setdefault(each.service_id, []).append(each)
    plans = [
        {"id": each.service_id, "billed_until": each.billed_until, **_next_bill(by_service[each.service_id])}
        for _, each in moved
        if each.service_product_id is None
    ]
    products = [
        {"id": each.service_product_id, "billed_until": each.billed_until}
        for old, each in moved
        if each.service_product_id is not None and each != old
    ]
    update_rows(tx, service, plans)
    update_rows(tx, service_product, products)


def schedule(tx: Connection, service_ids: Collection[int]) -> None:
    """Work out anew when these services are next to be billed, after what they are billed for has changed."""
    mark_billed(tx, [(each, each.billed_until) for each in load_recurring(tx, services=service_ids)])


def _next_bill(parts: Iterable[Recurring]) -> dict[str, Any]:
    """The day on which something is due (not counting days before it begins), and whether it is billed in advance."""
    pieces = [(each, next_piece(each, each.billed_until)) for each in parts]
    found = [(due_on(each, piece, 0), not piece.terms.in_arrears) for each, piece in pieces if piece is not None]
    day, in_advance = min(found, default=(None, True))
    return {"next_bill_on": day, "next_in_advance": in_advance}


def _by_service(tx: Connection, query: Select[Any]) -> Found:
    found: Found = {}
    for row in tx.execute(query):
        found.setdefault(row.service_id, []).append(row)
    return found


def _plans(tx: Connection, ids: Sequence[int]) -> tuple[Found, Found]:
    """(plans of each service by their first day, prices of each plan by their first day)."""
    plans = _by_service(
        tx,
        select(service_plan.c.service_id, service_plan.c.from_on, service_plan.c.anchor_on, plan)
        .add_columns(service_plan.c.price_minor.label("own_price_minor"))
        .join(plan, plan.c.id == service_plan.c.plan_id)
        .where(service_plan.c.service_id == func.any(list(ids)))
        .order_by(service_plan.c.service_id, service_plan.c.from_on),
    )
    prices: Found = {}
    wanted = {row.id for rows in plans.values() for row in rows}
    query = select(plan_price).where(plan_price.c.plan_id == func.any(list(wanted))).order_by(plan_price.c.valid_from)
    for row in tx.execute(query):
        prices.setdefault(row.plan_id, []).append(row)
    return plans, prices


def _skipped(tx: Connection, ids: Sequence[int]) -> Found:
    query = select(skipped_period).where(skipped_period.c.service_id == func.any(list(ids)))
    rows = _by_service(tx, query.order_by(skipped_period.c.start_on))
    return {key: [Period(row.start_on, row.end_on or FAR) for row in found] for key, found in rows.items()}


def _discounts(tx: Connection, ids: Sequence[int]) -> Found:
    query = (
        select(discount, plan.c.currency)
        .join(service, service.c.id == discount.c.service_id)
        .join(plan, plan.c.id == service.c.plan_id)
        .where(discount.c.service_id == func.any(list(ids)))
        .order_by(discount.c.id)
    )
    return {
        key: [
            Discount(
                text=row.text,
                from_on=row.from_on,
                until_on=row.until_on or FAR,
                percent=None if row.percent is None else Decimal(row.percent),
                amount=None if row.amount_minor is None else Money(row.amount_minor, row.currency),
            )
            for row in found
        ]
        for key, found in _by_service(tx, query).items()
    }


def _products(tx: Connection, ids: Sequence[int]) -> Found:
    price = func.coalesce(service_product.c.price_minor, product.c.price_minor).label("price")
    query = (
        select(service_product, price, product.c.name, product.c.currency, product.c.price_inclusive)
        .add_columns(product.c.tax_class_id)
        .join(product, product.c.id == service_product.c.product_id)
        .where(service_product.c.service_id == func.any(list(ids)))
        .order_by(service_product.c.id)
    )
    return _by_service(tx, query)


def _terms(bought: Row[Any], prices: Found) -> Terms:
    dated = [(bought.from_on, Money(bought.price_minor, bought.currency))]
    dated += [(each.valid_from, Money(each.price_minor, bought.currency)) for each in prices.get(bought.id, ())]
    if bought.own_price_minor is not None:
        dated = [(bought.from_on, Money(bought.own_price_minor, bought.currency))]
    return Terms(
        from_on=bought.from_on,
        text=bought.name,
        cycle=Cycle(bought.cycle_unit, bought.cycle_length),
        prices=tuple(dated),
        inclusive=bought.price_inclusive,
        tax_class_id=bought.tax_class_id,
        anchor=bought.anchor_on,
        in_arrears=bought.in_arrears,
        prorated=bought.proration == "daily",
        prepaid=bought.prepaid,
        first_period=bought.first_period,
    )


def _recurring(
    row: Row[Any],
    terms: Sequence[Terms],
    skipped: tuple[Period, ...],
    discounts: tuple[Discount, ...],
    products: Sequence[Row[Any]],
) -> list[Recurring]:
    ends_on = row.ends_on or FAR
    base = Recurring(
        service_id=row.id,
        service_product_id=None,
        login=row.login,
        quantity=1,
        starts_on=row.starts_on,
        ends_on=ends_on,
        billed_until=row.billed_until,
        terms=tuple(terms),
        skipped=skipped,
        discounts=discounts,
    )
    return [base, *(_product(base, each) for each in products)]


def _product(base: Recurring, each: Row[Any]) -> Recurring:
    """An add-on is billed in the periods of the plan that the service has."""
    price = ((each.from_on, Money(each.price, each.currency)),)
    sold = {"text": each.name, "prices": price, "inclusive": each.price_inclusive, "tax_class_id": each.tax_class_id}
    return replace(
        base,
        service_product_id=each.id,
        quantity=each.quantity,
        starts_on=each.from_on,
        ends_on=min(base.ends_on, each.until_on or FAR),
        billed_until=each.billed_until,
        terms=tuple(replace(terms, **sold) for terms in base.terms),
        discounts=(),
    )
