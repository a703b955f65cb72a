"""Gapless numbers: a counter row, locked to the end of the transaction that uses the number."""

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from billing.tables import series


def next_number(tx: Connection, name: str) -> int:
    """The next number of series `name` (the first is 1); rolled back with the transaction, so no gap remains."""
    number = tx.scalar(
        insert(series)
        .values(name=name, last_number=1)
        .on_conflict_do_update(index_elements=["name"], set_={"last_number": series.c.last_number + 1})
        .returning(series.c.last_number)
    )
    assert number is not None
    return number
