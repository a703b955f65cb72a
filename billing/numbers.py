"""Gapless numbers: a counter row, locked to the end of the transaction that uses the number."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from base import trail
from billing.refused import need
from billing.tables import credit_note, invoice, series


@dataclass(frozen=True, slots=True)
class Numbered:
    """A document's number as it is printed, and its place in the series that has no gaps."""

    number: str
    series: str
    sequence: int


def next_number(tx: Connection, name: str) -> int:
    """The next number of series `name` (the first is 1); rolled back with the transaction, so no gap remains."""
    return next_numbers(tx, name, 1)[0]


def next_numbers(tx: Connection, name: str, count: int) -> range:
    """The next `count` (1 or more) numbers of series `name`, for as many documents in this transaction."""
    last = tx.scalar(
        insert(series)
        .values(name=name, last_number=count)
        .on_conflict_do_update(index_elements=["name"], set_={"last_number": series.c.last_number + count})
        .returning(series.c.last_number)
    )
    assert last is not None
    return range(last - count + 1, last + 1)


def next_documents(tx: Connection, kind: str, prefix: str, issued_on: date, count: int) -> list[Numbered]:
    """Numbers for `count` documents issued on a day: 'INV-000042', or a series a year where the prefix has {year}."""
    year = str(issued_on.year)
    name = f"{kind}:{year}" if "{year}" in prefix else kind
    shown = prefix.replace("{year}", year)
    return [Numbered(f"{shown}{number:06d}", name, number) for number in next_numbers(tx, name, count)]


def start_series(tx: Connection, actor: str, kind: str, prefix: str, number: int, today: date) -> str:
    """Have the next document of a kind ('invoice', 'credit_note') carry `number`, where the old system stopped.

    Only before the first: a series has no gaps. Returns the number as it will be printed.
    """
    need(kind in ("invoice", "credit_note"), "Only invoices and credit notes have a series to start.", "kind")
    need(1 <= number <= 10**9, "A number is 1 to 1000000000.", "number")
    name = f"{kind}:{today.year}" if "{year}" in prefix else kind
    tx.execute(insert(series).values(name=name, last_number=0).on_conflict_do_nothing(index_elements=["name"]))
    table = invoice if kind == "invoice" else credit_note
    tx.execute(select(series).where(series.c.name == name).with_for_update())
    given = tx.scalar(select(func.max(table.c.number)).where(table.c.series == name))
    need(given is None, f"{given} was given already; a series goes on without gaps.", "number")
    tx.execute(update(series).where(series.c.name == name).values(last_number=number - 1))
    trail.record(tx, actor, "series.started", subject="series", detail={"series": name, "number": number})
    return f"{prefix.replace('{year}', str(today.year))}{number:06d}"
