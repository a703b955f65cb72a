"""A cheque counts: by itself when its days are over, or because staff say that the bank has paid it."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from base import trail
from base.business import Business, load_business
from base.calendar import local_date
from base.crypto import Vault, open_vault
from base.database import transaction
from base.money import Money
from base.settings import settings
from billing.apply import refresh_access
from billing.cheques.tables import cheque
from billing.cheques.waiting import ASSET, LIABILITY
from billing.dunning.agenda import forget
from billing.ledger import Entry, Posting, post_all
from billing.payments import Incoming, tell, use
from billing.refused import need
from billing.settle import lock_subscribers
from billing.sweep import sweep
from billing.tables import payment

CHUNK = 50  # subscribers to a transaction


def clear_cheque(tx: Connection, vault: Vault, business: Business, actor: str, payment_id: int, now: datetime) -> None:
    """Have a cheque count now: it settles what is open, and access follows. Refused when it is none that waits."""
    query = select(payment.c.subscriber_id, payment.c.receipt_number).where(payment.c.id == payment_id)
    paid = tx.execute(query).one_or_none()
    need(paid is not None, "There is no such payment.", "payment_id")
    assert paid is not None
    lock_subscribers(tx, [paid.subscriber_id])
    rows = _rows(tx, cheque.c.payment_id == payment_id)
    need(rows, f"{paid.receipt_number} is no cheque that still has to count.", "payment_id")
    _count(tx, vault, business, rows, actor, now)


def count_due(now: datetime) -> list[int]:
    """Have the cheques count whose days are over by now; returns their payments."""
    vault = open_vault(settings().secret_keys)
    with transaction() as tx:
        payers = due_payers(tx, local_date(now, load_business(tx, vault).zone))
    return sweep("count cheques", payers, lambda tx, ids: count_for(tx, vault, ids, now), size=CHUNK)


def due_payers(tx: Connection, today: date) -> list[int]:
    """Subscribers with a cheque whose days are over."""
    due = (cheque.c.state == "waiting", cheque.c.counts_on <= today)
    return sorted(set(tx.scalars(select(cheque.c.subscriber_id).where(*due))))


def count_for(tx: Connection, vault: Vault, payer_ids: Sequence[int], now: datetime) -> list[int]:
    """Have the cheques of these subscribers count whose days are over; returns their payments."""
    lock_subscribers(tx, payer_ids)
    business = load_business(tx, vault)
    theirs = cheque.c.subscriber_id == func.any(list(payer_ids))
    rows = _rows(tx, theirs, cheque.c.counts_on <= local_date(now, business.zone))
    _count(tx, vault, business, rows, "system", now)
    return [row.id for row in rows]


def _rows(tx: Connection, *which: Any) -> Sequence[Row[Any]]:
    """Payments by cheques that wait, with their `invoice_ids`; read under the subscribers' locks."""
    query = select(payment, cheque.c.invoice_ids).join(cheque, cheque.c.payment_id == payment.c.id)
    return tx.execute(query.where(cheque.c.state == "waiting", *which).order_by(payment.c.id)).all()


def _count(
    tx: Connection, vault: Vault, business: Business, rows: Sequence[Row[Any]], actor: str, now: datetime
) -> None:
    if not rows:
        return
    today = local_date(now, business.zone)
    ids = [row.id for row in rows]
    decided = {"state": "cleared", "decided_on": today}
    tx.execute(update(cheque).where(cheque.c.payment_id == func.any(ids)).values(**decided))
    post_all(tx, [_entry(row, today) for row in rows])
    counted = [
        (row.id, row.receipt_number, Incoming(
            row.subscriber_id, Money(row.amount_minor, row.currency), row.method, row.received_on, None,
            tuple(row.invoice_ids),
        ))
        for row in rows
    ]  # fmt: skip
    forget(tx, {row.subscriber_id for row in rows})
    for row in rows:
        detail = {"payment_id": row.id, "receipt": row.receipt_number}
        trail.record(tx, actor, "cheque.cleared", subject="subscriber", subject_id=row.subscriber_id, detail=detail)
    touched = use(tx, vault, business, counted, author=actor, now=now)
    tell(tx, business, counted, {}, again=True)
    refresh_access(tx, vault, list(touched), now, because=touched, renewed=True)


def _entry(row: Row[Any], day: date) -> Entry:
    amount = Money(row.amount_minor, row.currency)
    postings = (
        Posting("bank", None, amount),
        Posting(ASSET, None, -amount),
        Posting(LIABILITY, row.subscriber_id, amount),
        Posting("customer_credit", row.subscriber_id, -amount),
    )
    return Entry(day, f"Cheque {row.receipt_number}", f"cheque_cleared:{row.id}", postings)
