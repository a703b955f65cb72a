"""Saved mappings of banks' CSV files: tried on a file, kept under a name, found by the columns of the next file."""

from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from base import trail
from billing.bank.statement import Line
from billing.bank.table import TableMapping, check_mapping, fits, from_json, read_table, to_json
from billing.bank.tables import bank_mapping
from billing.refused import need


def save_mapping(
    tx: Connection, actor: str, name: str, mapping: TableMapping, data: bytes, currency: str, now: datetime
) -> tuple[Line, ...]:
    """Try a mapping on a file and keep it, in place of one of that name; returns the file's lines to look at.

    Raises Refused when the mapping cannot work, Unreadable with every fault when the file cannot be read with it.
    """
    need(name.strip(), "A mapping has a name.", "name")
    check_mapping(mapping)
    lines = read_table(data, mapping, currency).lines
    values = {"mapping": to_json(mapping), "author": actor, "created_at": now}
    tx.execute(
        insert(bank_mapping)
        .values(name=name.strip(), **values)
        .on_conflict_do_update(index_elements=["name"], set_=values)
    )
    trail.record(tx, actor, "bank.mapping_saved", subject="bank_mapping", detail={"name": name.strip()})
    return lines


def list_mappings(tx: Connection) -> dict[str, TableMapping]:
    """All mappings by name."""
    rows = tx.execute(select(bank_mapping.c.name, bank_mapping.c.mapping).order_by(bank_mapping.c.name))
    return {row.name: from_json(row.mapping) for row in rows}


def find_mapping(tx: Connection, name: str | None, data: bytes) -> TableMapping | None:
    """The mapping of a name; without one, the only one whose columns a file has; None where there is none.

    Raises Refused when there is no such name, or several fit.
    """
    known = list_mappings(tx)
    if name is not None:
        names = ", ".join(known) or "none"
        need(name in known, f"There is no mapping {name!r}; there is {names}.", "mapping")
        return known[name]
    fitting = [each for each in known if fits(data, known[each])]
    need(len(fitting) < 2, f"Several mappings fit the file: {', '.join(fitting)}. Say which.", "mapping")
    return known[fitting[0]] if fitting else None
