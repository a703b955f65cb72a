"""Gapless numbers: a counter row, locked to the end of the transaction that uses the number."""

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from billing.tables import series


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
