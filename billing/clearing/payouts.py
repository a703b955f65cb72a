"""Payouts: what each one paid out, and the bank's line that brought it, or took it back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from base import trail
from base.money import Money
from billing.clearing.tables import payout, stripe_transaction
from billing.ledger import Posting, post
from billing.tables import payment

EARLY, LATE = timedelta(days=3), timedelta(days=10)  # of the bank's day, against the arrival that Stripe foretold
stored = stripe_transaction.c


@dataclass(frozen=True, slots=True)
class Content:
    """One movement that a payout paid out."""

    txn_id: str
    type: str
    amount: Money
    fee: Money
    reference: str
    receipt: str
    "Of the payment, where it is ours and recorded; ''."
    payer: int | None


def match_payout(
    tx: Connection, *, day: date, amount: Money, text: str = "", bank_line_id: int | None = None
) -> str | None:
    """Book a line of the bank's statement that is a payout's; returns its po_…, None where there is no such payout.

    `amount` above zero: it arrived; below: the bank sent it back. The same line twice books nothing twice. Refused when
    the day's month is closed.
    """
    arrived = amount.minor > 0
    line = payout.c.bank_line_id if arrived else payout.c.returned_line_id
    if bank_line_id is not None:
        known: str | None = tx.scalar(select(payout.c.payout_id).where(line == bank_line_id))
        if known is not None:
            return known
    found = _fitting(tx, day, amount, text)
    if found is None:
        return None
    sides = [Posting("bank", None, amount), Posting("payouts", None, -amount)]
    source = f"payout:{found.payout_id}" if arrived else f"payout_back:{found.payout_id}"
    post(tx, day, f"Payout {found.payout_id}" + ("" if arrived else " sent back"), source, sides)
    values = (
        {"banked_on": day, "bank_line_id": bank_line_id}
        if arrived
        else {"returned_on": day, "returned_line_id": bank_line_id}
    )
    tx.execute(update(payout).where(payout.c.id == found.id).values(**values))
    return str(found.payout_id)


def match_by_hand(tx: Connection, actor: str, payout_id: str, day: date) -> None:
    """Say that the bank has a payout since `day`. Raises Refused when it cannot be, LookupError when unknown."""
    row = tx.execute(select(payout).where(payout.c.payout_id == payout_id).with_for_update()).one_or_none()
    if row is None:
        raise LookupError(f"there is no payout {payout_id}")
    if row.banked_on is not None:
        return
    amount = Money(row.amount_minor, row.currency)
    sides = [Posting("bank", None, amount), Posting("payouts", None, -amount)]
    post(tx, day, f"Payout {payout_id}", f"payout:{payout_id}", sides)
    tx.execute(update(payout).where(payout.c.id == row.id).values(banked_on=day))
    trail.record(tx, actor, "payout.banked", subject="payout", subject_id=row.id, detail={"payout": payout_id})


def last_payouts(tx: Connection, limit: int = 20) -> Sequence[Row[Any]]:
    """The newest payouts first: rows of `payout`."""
    return tx.execute(select(payout).order_by(payout.c.made_at.desc(), payout.c.id.desc()).limit(limit)).all()


def contents(tx: Connection, payout_id: str) -> list[Content]:
    """What a payout paid out, oldest first; not the payout's own movement."""
    query = (
        select(stripe_transaction, payment.c.receipt_number, payment.c.subscriber_id)
        .outerjoin(payment, (payment.c.gateway_id == stored.payment_ref) & (stored.payment_ref != ""))
        .where(stored.payout_id == payout_id, stored.kind != "payout")
        .order_by(stored.made_at, stored.id)
    )
    return [
        Content(
            row.txn_id,
            row.type,
            Money(row.amount_minor, row.currency),
            Money(row.fee_minor, row.currency),
            row.payment_ref or row.source_id or row.description,
            row.receipt_number or "",
            row.subscriber_id,
        )
        for row in tx.execute(query)
    ]


def _fitting(tx: Connection, day: date, amount: Money, text: str) -> Row[Any] | None:
    """The payout of this very amount: the one that the line names, else the one whose day is nearest."""
    query = select(payout).where(payout.c.amount_minor == abs(amount.minor), payout.c.currency == amount.currency)
    if amount.minor > 0:
        query = query.where(payout.c.banked_on.is_(None), payout.c.state != "canceled")
    else:
        query = query.where(payout.c.banked_on.is_not(None), payout.c.returned_on.is_(None), payout.c.state == "failed")
    rows = tx.execute(query.order_by(payout.c.id).with_for_update()).all()
    squeezed = "".join(text.split()).upper()
    for row in rows:
        if any(_says(squeezed, each) for each in row.traces):
            return row
    near = [
        row
        for row in rows
        if (row.arrives_on - EARLY <= day <= row.arrives_on + LATE) or (amount.minor < 0 and day >= row.banked_on)
    ]
    # one that failed before it arrived is not what arrived
    near.sort(key=lambda row: (row.state == "failed" and amount.minor > 0, abs((row.arrives_on - day).days), row.id))
    return near[0] if near else None


def _says(line: str, trace: str) -> bool:
    """Whether a line of the bank names this payout; short words such as STRIPE name none."""
    return len(trace) >= 10 and "".join(trace.split()).upper() in line
