"""Many rows in one statement: keys handed out beforehand and COPY for new ones, unnested arrays for changes."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, cast, func, text, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB


def take_ids(tx: Connection, table: Table, count: int) -> list[int]:
    """The next `count` keys of a table with an identity, in ascending order; a rollback leaves a gap.

    The transaction has its own id before it has a key: who waits for all transactions up to one knows all keys.
    """
    if not count:
        return []
    query = text(
        "SELECT nextval(pg_get_serial_sequence(:name, 'id')) FROM generate_series(1, :count) "
        "WHERE pg_current_xact_id() IS NOT NULL"
    )
    return list(tx.scalars(query, {"name": table.name, "count": count}))


def copy_rows(tx: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows in one statement, all with the keys of the first; values that are absent get their defaults."""
    if not rows:
        return
    names = list(rows[0])
    as_json = [isinstance(table.c[name].type, JSONB) for name in names]
    columns = ", ".join(f'"{name}"' for name in names)
    connection = tx.connection.driver_connection
    assert connection is not None
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(_values(row, names, as_json))


def update_rows(tx: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Change rows in one statement; the first name of a row is the table's key, the others are set."""
    if not rows:
        return
    key, *names = list(rows[0])
    arrays = [cast([row[name] for row in rows], ARRAY(table.c[name].type)) for name in (key, *names)]
    given = func.unnest(*arrays).table_valued(key, *names).render_derived()
    tx.execute(update(table).where(table.c[key] == given.c[key]).values({name: given.c[name] for name in names}))


def learn_sizes(tx: Connection, tables: Collection[Table], grown: int) -> None:
    """Have PostgreSQL look at tables again of which it knows fewer rows than have just been added to each.

    A foreign key into a table that was nearly empty when a connection first looked is checked by reading all of it,
    and stays so for that connection however large the table grows, until somebody says ANALYZE.
    """
    known: dict[str, float] = dict(
        tx.execute(
            text("SELECT relname, reltuples FROM pg_class WHERE oid = ANY(CAST(:names AS regclass[]))"),
            {"names": [table.name for table in tables]},
        ).all()
    )
    for table in tables:
        if known.get(table.name, 0) < grown:
            tx.execute(text(f"ANALYZE {table.name}"))


def _values(row: Mapping[str, Any], names: Iterable[str], as_json: Iterable[bool]) -> list[Any]:
    return [
        json.dumps(row[name]) if is_json and row[name] is not None else row[name]
        for name, is_json in zip(names, as_json, strict=True)
    ]
