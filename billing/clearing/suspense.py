"""Money of other business on the same account at Stripe: given to a subscriber whose it is, or left alone."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from base import clock, trail
from base.business import Business
from base.calendar import local_date
from base.crypto import Vault
from base.money import Money
from billing.clearing.tables import stripe_transaction
from billing.ledger import Posting, first_open_day, post
from billing.payments import record_payment
from billing.refused import need
from billing.settle import lock_subscribers

stored = stripe_transaction.c
CHARGES = ("charge", "payment")


def in_suspense(tx: Connection, *, everything: bool = False) -> Sequence[Row[Any]]:
    """Movements of other business, oldest first: rows of `stripe_transaction`; `everything`: those left alone too."""
    query = select(stripe_transaction).where(stored.kind == "other").order_by(stored.made_at, stored.id)
    return tx.execute(query if everything else query.where(stored.decision == "")).all()


def assign(tx: Connection, vault: Vault, business: Business, actor: str, txn_id: str, subscriber_id: int) -> int:
    """Record a charge in suspense as a payment of a subscriber's by card; returns the payment's id.

    From then on it is ours like any other: a refund or dispute of it is the subscriber's. Raises Refused when it is no
    charge, was decided already or given back in part, LookupError when unknown.
    """
    lock_subscribers(tx, [subscriber_id])
    row = _undecided(tx, txn_id)
    need(row.type in CHARGES and row.amount_minor > 0, "Only what was paid can be a subscriber's payment.", "txn_id")
    others = select(func.count()).where(stored.payment_ref == row.payment_ref, stored.txn_id != txn_id)
    whole = not row.payment_ref or not tx.scalar(others)
    need(whole, "This payment was given back or disputed at Stripe since; leave it, and settle it there.", "txn_id")
    amount, now = Money(row.amount_minor, row.currency), clock.now()
    back = (Posting("suspense", None, amount), Posting("stripe", None, -amount))
    day = _day(tx, business, now)
    post(tx, day, f"Whose {row.payment_ref or txn_id} is", f"stripe:{txn_id}:assigned", back)
    recorded = record_payment(
        tx,
        vault,
        business,
        subscriber_id=subscriber_id,
        amount=amount,
        method="card",
        author=actor,
        gateway_id=row.payment_ref or row.source_id,
        note=row.description,
        now=now,
        received_on=day,
    )
    values = {"kind": "ours", "decision": "assigned", "decided_by": actor}
    tx.execute(update(stripe_transaction).where(stored.id == row.id).values(**values))
    return recorded.payment_id


def leave(tx: Connection, actor: str, txn_id: str, note: str) -> None:
    """Say that a movement in suspense is none of ours: it stays booked there, and is no longer listed. Refused."""
    row = _undecided(tx, txn_id)
    values = {"decision": "left", "decided_by": actor, "note": note}
    tx.execute(update(stripe_transaction).where(stored.id == row.id).values(**values))
    trail.record(tx, actor, "suspense.left", subject="stripe_transaction", subject_id=row.id, detail={"note": note})


def _undecided(tx: Connection, txn_id: str) -> Row[Any]:
    row = tx.execute(select(stripe_transaction).where(stored.txn_id == txn_id).with_for_update()).one_or_none()
    if row is None:
        raise LookupError(f"there is no movement {txn_id}")
    need(row.kind == "other" and not row.decision, f"{txn_id} is not in suspense, or was decided already.", "txn_id")
    return row


def _day(tx: Connection, business: Business, now: datetime) -> Any:
    today, first = local_date(now, business.zone), first_open_day(tx)
    return today if first is None else max(today, first)
