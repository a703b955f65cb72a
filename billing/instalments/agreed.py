"""Which invoices are in a plan, and what of them may still wait: read by whoever uses money, duns or collects."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from sqlalchemy import ColumnElement, Connection, func, select

from base.money import Money
from billing.allocation import Agreed
from billing.instalments.rules import Part, later_than
from billing.instalments.tables import instalment_invoice, instalment_part, instalment_plan
from billing.tables import invoice, open_item


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan with what is open of its invoices now."""

    id: int
    subscriber_id: int
    made_on: date
    grace_days: int
    state: str
    parts: tuple[Part, ...]
    invoice_ids: frozenset[int]
    numbers: tuple[str, ...]
    "Of its invoices."
    open: Money
    author: str


def in_plan() -> ColumnElement[bool]:
    """Whether the invoice of an `open_item` row is in an active plan, as a correlated subquery."""
    return (
        select(instalment_invoice.c.invoice_id)
        .where(instalment_invoice.c.invoice_id == open_item.c.invoice_id, instalment_invoice.c.alive)
        .exists()
    )


def agreed_by(tx: Connection, subscriber_ids: Collection[int], day: date) -> dict[int, Agreed]:
    """What is agreed with each of these who has a plan, as of `day`."""
    return {
        payer: Agreed(plan.invoice_ids, later_than(plan.parts, day, plan.open.currency))
        for payer, plan in active_plans(tx, subscriber_ids).items()
    }


def active_plans(tx: Connection, subscriber_ids: Collection[int]) -> dict[int, Plan]:
    """The plan of each of these subscribers who has one that is active."""
    own = instalment_plan.c.subscriber_id == func.any(list(subscriber_ids))
    return {each.subscriber_id: each for each in load_plans(tx, own, instalment_plan.c.state == "active")}


def load_plans(tx: Connection, *which: ColumnElement[bool]) -> list[Plan]:
    """Plans, the newest first."""
    rows = tx.execute(select(instalment_plan).where(*which).order_by(instalment_plan.c.id.desc())).all()
    if not rows:
        return []
    ids = [row.id for row in rows]
    parts: dict[int, list[tuple[date, int]]] = {}
    for part in tx.execute(
        select(instalment_part)
        .where(instalment_part.c.plan_id == func.any(ids))
        .order_by(instalment_part.c.plan_id, instalment_part.c.number)
    ):
        parts.setdefault(part.plan_id, []).append((part.due_on, part.amount_minor))
    query = (
        select(instalment_invoice.c.plan_id, invoice.c.id, invoice.c.number, open_item.c.open_minor)
        .join(invoice, invoice.c.id == instalment_invoice.c.invoice_id)
        .outerjoin(open_item, open_item.c.invoice_id == invoice.c.id)
        .where(instalment_invoice.c.plan_id == func.any(ids))
        .order_by(invoice.c.id)
    )
    invoices: dict[int, list[tuple[int, str, int]]] = {}
    for each in tx.execute(query):
        invoices.setdefault(each.plan_id, []).append((each.id, each.number, each.open_minor or 0))
    return [
        Plan(
            id=row.id,
            subscriber_id=row.subscriber_id,
            made_on=row.made_on,
            grace_days=row.grace_days,
            state=row.state,
            parts=tuple(Part(day, Money(minor, row.currency)) for day, minor in parts.get(row.id, ())),
            invoice_ids=frozenset(invoice_id for invoice_id, _, _ in invoices.get(row.id, ())),
            numbers=tuple(number for _, number, _ in invoices.get(row.id, ())),
            open=Money(sum(minor for _, _, minor in invoices.get(row.id, ())), row.currency),
            author=row.author,
        )
        for row in rows
    ]
