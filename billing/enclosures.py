"""The PDFs that go with messages: which document belongs to which message, on paper as by mail."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, select

from base.calendar import Period
from billing.outbox import root_key
from billing.tables import message


@dataclass(frozen=True, slots=True)
class Enclosure:
    """A document as billing.documents keeps it."""

    kind: str
    subject_id: int


@dataclass(frozen=True, slots=True)
class StatementAsked:
    """What a message of kind 'statement' is about; its key says it."""

    subscriber_id: int
    period: Period
    made_on: date


def enclosure_of(tx: Connection, row: Row[Any]) -> Enclosure | None:
    """The document of a row of `message`; None when it has none. A statement is kept under its first message's id."""
    cause, _, rest = root_key(row.key).partition(":")
    if row.kind == "invoice" and row.invoice_id is not None:
        return Enclosure("invoice", row.invoice_id)
    if row.kind in ("receipt", "credit_note") and cause == row.kind and rest.isdigit():
        return Enclosure(row.kind, int(rest))
    if row.kind == "statement":
        first = tx.scalar(select(message.c.id).where(message.c.key == root_key(row.key)))
        return None if first is None else Enclosure("statement", first)
    return None


def statement_key(asked: StatementAsked, at: str) -> str:
    """The key of a message that brings a statement; `at` tells two requests of a day apart."""
    period = asked.period
    return f"statement:{asked.subscriber_id}:{period.start}:{period.end}:{asked.made_on}:{at}"


def statement_asked(key: str) -> StatementAsked:
    """What `statement_key` wrote. ValueError for another key."""
    kind, subscriber_id, start, end, made_on, _ = root_key(key).split(":")
    if kind != "statement":
        raise ValueError(f"{key!r} is no statement")
    period = Period(date.fromisoformat(start), date.fromisoformat(end))
    return StatementAsked(int(subscriber_id), period, date.fromisoformat(made_on))


def cause_of(tx: Connection, kind: str, subject_id: int) -> str:
    """The key of the message that waits for a document."""
    if kind == "statement":
        return str(tx.scalar(select(message.c.key).where(message.c.id == subject_id)))
    return f"{kind}:{subject_id}"
