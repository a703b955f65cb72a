"""Payouts: what each one paid out, and the bank's line that brought it, or took it back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, Row, or_, select, update

from base import trail
from base.money import Money
from billing.clearing.tables import payout, stripe_transaction
from billing.ledger import Posting, first_open_day, post
from billing.refused import need
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

    `amount` above zero: it arrived; below: the bank sent it back. The same line twice books nothing twice. A day in a
    closed month is booked on the first open day.
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
    _book(tx, found, day, bank_line_id, back=not arrived)
    return str(found.payout_id)


def match_by_hand(
    tx: Connection, actor: str, payout_id: str, day: date, *, back: bool = False, bank_line_id: int | None = None
) -> None:
    """Say that the bank has a payout since `day`, or `back`: that it took it out again.

    Refused when that cannot be, LookupError when unknown.
    """
    row = find_payout(tx, payout_id)
    if back:
        need(row.banked_on is not None, f"{payout_id} never arrived at the bank.", "payout")
        need(row.returned_on is None, f"{payout_id} came back on {row.returned_on}.", "payout")
        need(row.state == "failed", f"Stripe says that {payout_id} is {row.state}, not that it came back.", "payout")
    else:
        need(row.banked_on is None, f"{payout_id} is at the bank since {row.banked_on}.", "payout")
        need(row.state != "canceled", f"Stripe says that {payout_id} was canceled.", "payout")
    _book(tx, row, day, bank_line_id, back=back)
    detail = {"payout": payout_id, "day": str(day), "line": bank_line_id}
    act = "payout.came_back" if back else "payout.banked"
    trail.record(tx, actor, act, subject="payout", subject_id=row.id, detail=detail)


def find_payout(tx: Connection, payout_id: str) -> Row[Any]:
    """Its row, held until the commit. LookupError when unknown."""
    row = tx.execute(select(payout).where(payout.c.payout_id == payout_id).with_for_update()).one_or_none()
    if row is None:
        raise LookupError(f"There is no payout {payout_id}.")
    return row


def payout_of_line(tx: Connection, bank_line_id: int) -> str | None:
    """The payout that a line of the bank's brought or took back."""
    named = or_(payout.c.bank_line_id == bank_line_id, payout.c.returned_line_id == bank_line_id)
    found: str | None = tx.scalar(select(payout.c.payout_id).where(named))
    return found


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


def _book(tx: Connection, row: Row[Any], day: date, bank_line_id: int | None, *, back: bool) -> None:
    amount = Money(-row.amount_minor if back else row.amount_minor, row.currency)
    source = f"payout_back:{row.payout_id}" if back else f"payout:{row.payout_id}"
    sides = [Posting("bank", None, amount), Posting("payouts", None, -amount)]
    booked_on = max(day, first_open_day(tx) or day)
    post(tx, booked_on, f"Payout {row.payout_id}" + (" sent back" if back else ""), source, sides)
    values = (
        {"returned_on": day, "returned_line_id": bank_line_id}
        if back
        else {"banked_on": day, "bank_line_id": bank_line_id}
    )
    tx.execute(update(payout).where(payout.c.id == row.id).values(**values))


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
