"""Cheques under way: when one counts, what it would pay, and how it is booked while nobody knows whether it is good."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from base.business import Business
from base.money import Money
from base.tables import subscriber
from billing.allocation import OpenInvoice, allocate
from billing.cheques.tables import cheque
from billing.ledger import Posting
from billing.tables import payment

ASSET, LIABILITY = "cheques", "cheque_credit"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A cheque that does not count yet."""

    payment_id: int
    receipt: str
    amount: Money
    counts_on: date
    invoice_ids: tuple[int, ...] = ()
    "It is meant for."


@dataclass(frozen=True, slots=True)
class Cover:
    """What of an open invoice cheques under way would pay."""

    amount: Money
    until: date
    "The day on which the last of them counts."


def counts_on(business: Business, method: str, received_on: date, today: date) -> date | None:
    """The day on which a payment counts; None: at once."""
    day = received_on + timedelta(days=business.cheque_days)
    return day if method == "cheque" and day > today else None


def note_waiting(tx: Connection, cheques: Sequence[tuple[int, int, date, Collection[int]]]) -> None:
    """Note new cheques, as (payment, subscriber, counts on, invoices it is meant for); the subscribers are locked."""
    rows = [
        {"payment_id": payment_id, "subscriber_id": payer, "counts_on": day, "invoice_ids": sorted(set(ids))}
        for payment_id, payer, day, ids in cheques
    ]
    if rows:
        tx.execute(insert(cheque), rows)


def sides(subscriber_id: int, amount: Money) -> tuple[Posting, ...]:
    """A cheque comes in and does not count yet; of the negative amount: it bounces."""
    return Posting(ASSET, None, amount), Posting(LIABILITY, subscriber_id, -amount)


def is_waiting(tx: Connection, payment_id: int) -> bool:
    """Whether a payment is a cheque that does not count yet."""
    own = (cheque.c.payment_id == payment_id, cheque.c.state == "waiting")
    return bool(tx.scalar(select(select(cheque.c.payment_id).where(*own).exists())))


def bounce(tx: Connection, payment_id: int, day: date) -> bool:
    """Note that a cheque bounced before it counted; False when the payment is none that waits."""
    own = (cheque.c.payment_id == payment_id, cheque.c.state == "waiting")
    return bool(tx.execute(update(cheque).where(*own).values(state="bounced", decided_on=day)).rowcount)


def waiting_of(tx: Connection, subscriber_ids: Collection[int]) -> dict[int, list[Waiting]]:
    """The cheques under way of each subscriber who has any, the first to count at the front."""
    query = (
        select(cheque, payment.c.receipt_number, payment.c.amount_minor, payment.c.currency)
        .join(payment, payment.c.id == cheque.c.payment_id)
        .where(cheque.c.subscriber_id == func.any(list(subscriber_ids)), cheque.c.state == "waiting")
        .order_by(cheque.c.counts_on, cheque.c.payment_id)
    )
    found: dict[int, list[Waiting]] = {}
    for row in tx.execute(query):
        amount = Money(row.amount_minor, row.currency)
        each = Waiting(row.payment_id, row.receipt_number, amount, row.counts_on, tuple(row.invoice_ids))
        found.setdefault(row.subscriber_id, []).append(each)
    return found


def list_waiting(tx: Connection) -> list[Row[Any]]:
    """All cheques under way, the first to count at the front: receipt_number, number, name, amount_minor, currency,
    received_on, counts_on."""
    query = (
        select(payment.c.receipt_number, subscriber.c.number, subscriber.c.name, payment.c.amount_minor)
        .add_columns(payment.c.currency, payment.c.received_on, cheque.c.counts_on)
        .join(payment, payment.c.id == cheque.c.payment_id)
        .join(subscriber, subscriber.c.id == cheque.c.subscriber_id)
        .where(cheque.c.state == "waiting")
        .order_by(cheque.c.counts_on, cheque.c.payment_id)
    )
    return list(tx.execute(query))


def covers(cheques: Iterable[Waiting], open: Iterable[OpenInvoice]) -> Mapping[int, Cover]:
    """What these cheques of a subscriber would pay of their open invoices, by invoice. Pure."""
    left = {each.id: each for each in open}
    found: dict[int, Cover] = {}
    for each in cheques:
        for invoice_id, part in allocate(each.amount, left.values(), each.invoice_ids):
            left[invoice_id] = replace(left[invoice_id], open=left[invoice_id].open - part)
            before = found.get(invoice_id, Cover(Money(0, part.currency), each.counts_on))
            found[invoice_id] = Cover(before.amount + part, max(before.until, each.counts_on))
    return found
