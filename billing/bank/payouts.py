"""Lines of the bank's statement that are payouts of Stripe's, found by themselves or named by a person."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, exists, or_, select, text

from base.i18n import decimal_text
from base.money import Money
from billing.bank.intake import LOCK, is_stripes
from billing.bank.lines import AUTHOR, decide
from billing.bank.tables import bank_line
from billing.clearing.payouts import find_payout, match_by_hand, match_payout, payout_of_line
from billing.clearing.tables import payout
from billing.refused import Refused, need


def match_payout_lines(tx: Connection, now: datetime) -> int:
    """Match the lines of Stripe's that wait with its payouts, and with those that came back; returns how many fit."""
    tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    awaited = select(payout.c.amount_minor).where(payout.c.banked_on.is_(None), payout.c.state != "canceled")
    failed = payout.c.banked_on.is_not(None) & payout.c.returned_on.is_(None) & (payout.c.state == "failed")
    back = select(-payout.c.amount_minor).where(failed)
    query = (
        select(bank_line)
        .where(
            or_(
                (bank_line.c.state == "payout") & bank_line.c.amount_minor.in_(awaited),
                (bank_line.c.state == "outgoing") & bank_line.c.amount_minor.in_(back),
            ),
            ~exists().where(payout.c.bank_line_id == bank_line.c.id),
        )
        .order_by(bank_line.c.day, bank_line.c.id)
        .with_for_update()
    )
    count = 0
    for row in tx.execute(query).all():
        if is_stripes(row.counterparty, row.text):
            said = " ".join((row.counterparty, row.text, row.bank_reference, row.end_to_end))
            amount = Money(row.amount_minor, row.currency)
            found = match_payout(tx, day=row.day, amount=amount, text=said, bank_line_id=row.id)
            if found is not None:
                _say(tx, row, found, AUTHOR, now)
                count += 1
    return count


def name_line(tx: Connection, actor: str, payout_id: str, line_id: int, now: datetime) -> None:
    """Say that a line brought this payout, or took it back where money left. Refused; LookupError when unknown."""
    row = tx.execute(select(bank_line).where(bank_line.c.id == line_id).with_for_update()).one_or_none()
    if row is None:
        raise Refused(f"There is no bank line {line_id}.", "line")
    back = row.amount_minor < 0
    need(row.state in ("queued", "ignored", "payout", "outgoing"), f"Line {line_id} is {row.state}.", "line")
    taken = payout_of_line(tx, line_id)
    need(taken is None, f"Line {line_id} is {taken} already.", "line")
    need(row.left_minor is None, f"Line {line_id} is payments in part.", "line")
    wanted, said = find_payout(tx, payout_id), Money(abs(row.amount_minor), row.currency)
    amount = Money(wanted.amount_minor, wanted.currency)
    need(
        said == amount, f"The line is {decimal_text(said)} {said.currency}, the payout {decimal_text(amount)}.", "line"
    )
    match_by_hand(tx, actor, payout_id, row.day, back=back, bank_line_id=line_id)
    _say(tx, row, payout_id, actor, now)


def _say(tx: Connection, row: Row[Any], payout_id: str, author: str, now: datetime) -> None:
    what = "came back" if row.amount_minor < 0 else "arrived"
    decide(tx, row.id, "payout", author, now, why=f"Stripe's payout {payout_id} {what}.")
