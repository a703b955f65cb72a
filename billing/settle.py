"""Money received meets invoices: what is open, what is not yet applied, and the allocations between the two.

Law: an allocation is written only under the lock of its subscriber's row, so nothing is applied twice.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, ScalarSelect, func, insert, select

from base.money import Money
from base.tables import subscriber
from billing.allocation import OpenInvoice, allocate
from billing.tables import allocation, invoice, payment


@dataclass(frozen=True, slots=True)
class Credit:
    """What of one payment has not been applied to an invoice yet."""

    payment_id: int
    left: Money


def lock_subscribers(tx: Connection, subscriber_ids: Collection[int]) -> list[int]:
    """Hold these subscribers' money still until the commit; returns those that exist, in order of their ids."""
    query = (
        select(subscriber.c.id)
        .where(subscriber.c.id == func.any(list(subscriber_ids)))
        .order_by(subscriber.c.id)
        .with_for_update(key_share=True)
    )
    return list(tx.scalars(query))


def applied_to_invoice() -> ScalarSelect[int]:
    """How much has been paid of an `invoice` row, in minor units, as a correlated subquery."""
    return (
        select(func.coalesce(func.sum(allocation.c.amount_minor), 0).cast(allocation.c.amount_minor.type))
        .where(allocation.c.invoice_id == invoice.c.id)
        .scalar_subquery()
    )


def is_open() -> ColumnElement[bool]:
    """Whether something of an `invoice` row is still to be paid."""
    return invoice.c.total_minor > applied_to_invoice()


def open_invoices(tx: Connection, subscriber_id: int) -> list[OpenInvoice]:
    """What a subscriber still has to pay, the invoice due first at the front."""
    return open_by_subscriber(tx, [subscriber_id]).get(subscriber_id, [])


def open_by_subscriber(tx: Connection, subscriber_ids: Collection[int]) -> dict[int, list[OpenInvoice]]:
    """The open invoices of each subscriber that has any, the one due first at the front."""
    query = (
        select(
            invoice.c.id,
            invoice.c.subscriber_id,
            invoice.c.number,
            invoice.c.due_on,
            invoice.c.total_minor,
            invoice.c.currency,
            applied_to_invoice().label("paid_minor"),
        )
        .where(invoice.c.subscriber_id == func.any(list(subscriber_ids)), is_open())
        .order_by(invoice.c.due_on, invoice.c.id)
    )
    found: dict[int, list[OpenInvoice]] = {}
    for row in tx.execute(query):
        total = Money(row.total_minor, row.currency)
        left = total - Money(row.paid_minor, row.currency)
        found.setdefault(row.subscriber_id, []).append(OpenInvoice(row.id, row.number, row.due_on, total, left))
    return found


def credits_by_subscriber(tx: Connection, subscriber_ids: Collection[int]) -> dict[int, list[Credit]]:
    """Payments of which something is not applied yet, oldest first, of each subscriber that has any."""
    applied = (
        select(func.coalesce(func.sum(allocation.c.amount_minor), 0).cast(allocation.c.amount_minor.type))
        .where(allocation.c.payment_id == payment.c.id)
        .scalar_subquery()
    )
    query = (
        select(
            payment.c.id, payment.c.subscriber_id, payment.c.currency, (payment.c.amount_minor - applied).label("left")
        )
        .where(payment.c.subscriber_id == func.any(list(subscriber_ids)), payment.c.amount_minor > applied)
        .order_by(payment.c.id)
    )
    found: dict[int, list[Credit]] = {}
    for row in tx.execute(query):
        found.setdefault(row.subscriber_id, []).append(Credit(row.id, Money(row.left, row.currency)))
    return found


def apply_credits(tx: Connection, subscriber_ids: Sequence[int], now: datetime, prefer: Collection[int] = ()) -> None:
    """Apply all money not yet applied to what is open, invoices of `prefer` first; the subscribers are locked."""
    credits = credits_by_subscriber(tx, subscriber_ids)
    rows = []
    for subscriber_id, invoices in open_by_subscriber(tx, list(credits)).items():
        remaining = {each.id: each for each in invoices}
        for credit in credits[subscriber_id]:
            for invoice_id, part in allocate(credit.left, remaining.values(), prefer):
                each = remaining[invoice_id]
                remaining[invoice_id] = replace(each, open=each.open - part)
                rows.append(
                    {
                        "payment_id": credit.payment_id,
                        "invoice_id": invoice_id,
                        "amount_minor": part.minor,
                        "created_at": now,
                    }
                )
    if rows:
        tx.execute(insert(allocation), rows)
