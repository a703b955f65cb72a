"""Gapless numbers: a counter row, locked to the end of the transaction that uses the number."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from billing.tables import series


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
