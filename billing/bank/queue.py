"""What staff decide about lines that wait: whose money it is, or that it is nobody's. Each leaves a trail.

Nothing is undone here: a line that became a payment is corrected by reversing the payment, which brings it back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from base import trail
from base.business import Business
from base.crypto import Vault
from base.i18n import decimal_text
from base.money import Money, total
from billing.bank.lines import decide
from billing.bank.match import Part
from billing.bank.settling import pay
from billing.bank.tables import bank_file, bank_line
from billing.clearing.payouts import payout_of_line
from billing.refused import Refused, need
from billing.tables import invoice, payment

OPEN = ("queued", "ignored", "payout")
"A person may still say whose these are."
_left = func.coalesce(bank_line.c.left_minor, bank_line.c.amount_minor)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much money waits in a state."""

    state: str
    lines: int
    amount: Money


def sums(tx: Connection, currency: str) -> list[Waiting]:
    """How many lines are in each state, and what they come to."""
    query = (
        select(bank_line.c.state, func.count().label("lines"), func.sum(_left).label("minor"))
        .where(bank_line.c.currency == currency)
        .group_by(bank_line.c.state)
        .order_by(bank_line.c.state)
    )
    return [Waiting(row.state, row.lines, Money(int(row.minor), currency)) for row in tx.execute(query)]


def list_lines(tx: Connection, state: str = "queued", limit: int = 200) -> list[Row[Any]]:
    """The lines in a state, the oldest first; candidates with it."""
    query = select(bank_line).where(bank_line.c.state == state)
    return list(tx.execute(query.order_by(bank_line.c.day, bank_line.c.id).limit(limit)))


def load_line(tx: Connection, line_id: int) -> Row[Any]:
    """A line with the name of its file. Refused when there is none."""
    query = select(bank_line, bank_file.c.name.label("file_name")).join(bank_file)
    row = tx.execute(query.where(bank_line.c.id == line_id)).one_or_none()
    if row is None:
        raise Refused(f"There is no bank line {line_id}.", "line")
    return row


def left_of(row: Row[Any]) -> Money:
    """How much of a line is decided about: all of it, or what waits again of one that became several payments."""
    return Money(row.amount_minor if row.left_minor is None else row.left_minor, row.currency)


def receipts_of(tx: Connection, row: Row[Any]) -> list[str]:
    """The numbers of the payments that a line became."""
    query = select(payment.c.receipt_number).where(payment.c.id == func.any(list(row.payment_ids)))
    return list(tx.scalars(query.order_by(payment.c.id)))


def accept(tx: Connection, vault: Vault, business: Business, actor: str, line_id: int, now: datetime) -> list[int]:
    """Take the first candidate of a line as it was shown; returns the payments. The caller commits."""
    row = _locked(tx, line_id)
    need(row.candidates, "There is no candidate; say whose it is.", "line")
    best = row.candidates[0]
    part = Part(best["subscriber_id"], left_of(row), tuple(best["invoice_ids"]))
    return _assign(tx, vault, business, actor, row, [part], "accepted", now)


def assign(
    tx: Connection, vault: Vault, business: Business, actor: str, line_id: int, parts: Sequence[Part], now: datetime
) -> list[int]:
    """Say whose the money of a line is, all of it, in one part or several; returns the payments."""
    row = _locked(tx, line_id)
    need(parts, "Say whose it is.", "parts")
    amount = left_of(row)
    need(all(part.amount.currency == row.currency for part in parts), f"The line is in {row.currency}.", "parts")
    given = total((part.amount for part in parts), row.currency)
    what = "the line is" if row.left_minor is None else "what waits of the line is"
    sentence = f"The parts come to {decimal_text(given)}, {what} {decimal_text(amount)}."
    need(given == amount, sentence, "parts")
    payers = [part.subscriber_id for part in parts]
    need(len(set(payers)) == len(payers), "A subscriber is named twice.", "parts")
    for part in parts:
        _check_invoices(tx, part)
    return _assign(tx, vault, business, actor, row, parts, "assigned", now)


def ignore(tx: Connection, actor: str, line_id: int, reason: str, now: datetime) -> None:
    """Say that a line is no subscriber's money, and why; it can still be assigned later."""
    row = _locked(tx, line_id)
    need(reason.strip(), "Ignoring money needs a reason.", "because")
    decide(tx, line_id, "ignored", actor, now, why=reason.strip())
    detail = {"line": line_id, "reason": reason.strip(), "before": row.state}
    trail.record(tx, actor, "bank.line_ignored", subject="bank_line", subject_id=line_id, detail=detail)


def look_again(tx: Connection, actor: str) -> int:
    """Have all waiting lines matched anew, because debts or what is known have changed; returns how many."""
    waiting = (bank_line.c.state == "queued") & (bank_line.c.doubt == "")
    values: dict[str, Any] = {"state": "new", "why": "", "candidates": [], "decided_at": None, "author": ""}
    count = tx.execute(update(bank_line).where(waiting).values(**values)).rowcount
    trail.record(tx, actor, "bank.queue_again", subject="bank_line", detail={"lines": count})
    return count


def _locked(tx: Connection, line_id: int) -> Row[Any]:
    """A line that may still be decided, held until the commit."""
    row = tx.execute(select(bank_line).where(bank_line.c.id == line_id).with_for_update()).one_or_none()
    if row is None:
        raise Refused(f"There is no bank line {line_id}.", "line")
    if row.state == "matched":
        receipts = ", ".join(receipts_of(tx, row))
        raise Refused(f"Line {line_id} is {receipts} already; a wrong payment is reversed, not undone here.", "line")
    need(row.state != "outgoing", f"Line {line_id} is money that left.", "line")
    payout = payout_of_line(tx, line_id)
    need(payout is None, f"Line {line_id} is Stripe's payout {payout}.", "line")
    need(row.state in OPEN, f"Line {line_id} is being looked at; `tollkeeper bank match` does it.", "line")
    need(row.amount_minor > 0, f"Line {line_id} moves no money.", "line")
    return row


def _check_invoices(tx: Connection, part: Part) -> None:
    query = select(invoice.c.id, invoice.c.number, invoice.c.subscriber_id)
    for row in tx.execute(query.where(invoice.c.id == func.any(list(part.invoice_ids)))):
        need(row.subscriber_id == part.subscriber_id, f"{row.number} is somebody else's invoice.", "parts")


def _assign(
    tx: Connection,
    vault: Vault,
    business: Business,
    actor: str,
    row: Row[Any],
    parts: Sequence[Part],
    act: str,
    now: datetime,
) -> list[int]:
    ids, remark = pay(tx, vault, business, row, parts, actor, now)
    why = f"{act.capitalize()} by {actor}. {remark}".strip()
    decide(tx, row.id, "matched", actor, now, why=why, payment_ids=[*row.payment_ids, *ids], left_minor=None)
    detail = {"line": row.id, "payments": ids, "subscribers": [part.subscriber_id for part in parts]}
    trail.record(tx, actor, f"bank.line_{act}", subject="bank_line", subject_id=row.id, detail=detail)
    return ids
