"""A line as the database has it: as the value that is matched, as a payment's note, and what became of it."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, update

from base.money import Money
from billing.bank.statement import Line
from billing.bank.tables import bank_line

AUTHOR = "bank"
"Of what is decided by itself."


def decide(tx: Connection, line_id: int, state: str, author: str, now: datetime, **values: Any) -> None:
    """Write what became of a line that the caller has locked."""
    changes = {"state": state, "author": author, "decided_at": now, **values}
    tx.execute(update(bank_line).where(bank_line.c.id == line_id).values(**changes))


def as_line(row: Row[Any]) -> Line:
    """A row as the value that is matched."""
    return Line(
        at=row.at_line,
        day=row.day,
        amount=Money(row.amount_minor, row.currency),
        name=row.counterparty,
        iban=row.iban,
        text=row.text,
        bank_reference=row.bank_reference,
        end_to_end=row.end_to_end,
        returned=row.returned,
    )


def note_of(row: Row[Any]) -> str:
    """What the payment says about itself: its line, who sent it and their words."""
    return " · ".join(part for part in (f"Bank line {row.id}", row.counterparty, row.text[:140]) if part)
