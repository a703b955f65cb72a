"""The chain of seals: digests over ledger and documents, each over the one before it, made after the commit.

A seal covers every row of one kind whose id lies in (from_id, to_id], with its postings or lines; the PDFs that were
given out are covered by their SHA-256. Ids are handed out before their transaction commits, so that a range is sealed
only when nobody can still bring a row into it: the newest id is noted, and after it the id of the noting transaction
itself; when all transactions below that one have ended, every row up to that id is there or never will be. What turns
up in a sealed range afterwards came behind the back of the books. No lock is held against writers.

Who can write the database can also rewrite the whole chain; its last digest, kept elsewhere, shows even that.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from base.database import transaction
from billing.book_tables import seal, seal_mark
from billing.books import UNBROKEN_NUMBERS
from billing.canonical import FORMAT, KINDS, canonical_rows, name_of

BATCH = 2000  # rows to a seal
ROUNDS = 25  # of a batch of each kind; the rest waits for the next minute
LOCK = 0x546F6C6C  # advisory: one seals at a time
FIRST = "0" * 64  # what stands for the digest before the first
_SHORT = 16  # bytes that name a row; the seal's own digest is over whole ones

_REACHED = select(seal.c.kind, func.max(seal.c.to_id).label("to_id")).group_by(seal.c.kind)


@dataclass(frozen=True, slots=True)
class Proof:
    """What the chain says of the books as they are."""

    seals: int
    rows: int
    head: str
    "The last digest."
    waiting: int
    "Rows that are not sealed yet."
    wrong: tuple[str, ...]
    "Sentences; the first names the first row that differs. None when all is as it was sealed."


def seal_due(_now: datetime) -> list[int]:
    """Seal what can be sealed, a batch of each kind to a transaction; returns the seals' numbers."""
    made: list[int] = []
    for _ in range(ROUNDS):
        with transaction() as tx:
            found = seal_next(tx)
        made += found
        if not found:
            with transaction() as tx:
                if not note_newest(tx):
                    break
    return made


def note_newest(tx: Connection) -> bool:
    """Note up to which ids to seal next, where there are new ones and nobody is waited for; False: nothing is new."""
    newest = {kind: _newest_id(tx, kind) for kind in KINDS}
    noted, ended = _marks(tx)
    fresh = [
        {"kind": kind, "to_id": to_id}
        for kind, to_id in newest.items()
        if to_id > noted.get(kind, 0) and (kind in ended or kind not in noted)
    ]
    if fresh:
        # The transaction takes its id only here, after all that it has read.
        statement = upsert(seal_mark).values(xid=text("pg_current_xact_id()::text::bigint"))
        values = {"to_id": statement.excluded.to_id, "xid": statement.excluded.xid}
        tx.execute(statement.on_conflict_do_update(index_elements=["kind"], set_=values), fresh)
    return bool(fresh)


def seal_next(tx: Connection, batch: int = BATCH) -> list[int]:
    """Make at most one seal of each kind; returns their numbers, none when nothing can be sealed now."""
    if not tx.scalar(select(func.pg_try_advisory_xact_lock(LOCK))):
        return []
    _, ended = _marks(tx)
    last = tx.execute(select(seal.c.id, seal.c.digest).order_by(seal.c.id.desc()).limit(1)).one_or_none()
    number, digest = (0, FIRST) if last is None else (last.id, last.digest)
    reached = {row.kind: row.to_id for row in tx.execute(_REACHED)}
    made = []
    for kind, end in ended.items():
        from_id, to_id = reached.get(kind, 0), end
        rows = list(canonical_rows(tx, kind, from_id, to_id, FORMAT, limit=batch)) if to_id > from_id else []
        if not rows:
            continue
        if len(rows) == batch:
            to_id = rows[-1][0]
        number += 1
        digest = _digest(digest, FORMAT, kind, from_id, to_id, rows)
        values = {"id": number, "format": FORMAT, "kind": kind, "from_id": from_id, "to_id": to_id}
        named = b"".join(row_id.to_bytes(8) + _short(row) for row_id, row in rows)
        tx.execute(insert(seal).values(**values, row_count=len(rows), digest=digest, rows=named))
        made.append(number)
    return made


def prove(tx: Connection, progress: Callable[[int], None] = lambda rows: None) -> Proof:
    """Compute the chain again from the rows as they are; `progress` is told of each seal how many rows it has."""
    wrong: list[str] = []
    digest, number, rows = FIRST, 0, 0
    reached = dict.fromkeys(KINDS, 0)
    for found in tx.execute(select(seal).order_by(seal.c.id).execution_options(yield_per=20)):
        number += 1
        if found.id != number:
            wrong.append(f"Seal {number} is missing.")
            number = found.id
        if found.kind not in KINDS or found.format > FORMAT:
            wrong.append(f"Seal {found.id} is of a newer release (format {found.format}): use that one to prove it.")
            continue
        if found.from_id != reached[found.kind]:
            wrong.append(f"Seal {found.id} does not begin where the one before it ended.")
        present = list(canonical_rows(tx, found.kind, found.from_id, found.to_id, found.format))
        if _digest(digest, found.format, found.kind, found.from_id, found.to_id, present) != found.digest:
            wrong.append(_culprit(tx, found, present))
        digest, reached[found.kind] = found.digest, found.to_id
        rows += found.row_count
        progress(found.row_count)
    waiting = 0
    for kind, table in KINDS.items():
        waiting += tx.scalar(select(func.count()).where(table.c.id > reached[kind])) or 0
        odd = tx.scalar(select(func.min(table.c.id)).where((table.c.id < 1) | (table.c.id > _newest_id(tx, kind))))
        if odd is not None:
            wrong.append(f"{name_of(tx, kind, odd)} has a number that was never handed out.")
    sentence, query = UNBROKEN_NUMBERS
    wrong += [sentence.format(**row._mapping) for row in tx.execute(text(query))]
    return Proof(number, rows, digest, waiting, tuple(wrong))


def sealed_rows(tx: Connection) -> int:
    """How many rows `prove` will look at."""
    return int(tx.scalar(select(func.coalesce(func.sum(seal.c.row_count), 0))) or 0)


def _marks(tx: Connection) -> tuple[dict[str, int], dict[str, int]]:
    """(what is noted, what of it can be sealed because everybody has ended who could bring a row)."""
    rows = tx.execute(select(seal_mark)).all()
    # a statement of its own, later than the rows
    snapshot = (
        "SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint FROM pg_current_snapshot() s"
    )
    oldest, unknown = tx.execute(text(snapshot)).one()
    noted = {row.kind: row.to_id for row in rows if row.kind in KINDS}
    # A mark of a transaction that this server does not know came with data restored from another: it has ended.
    return noted, {row.kind: row.to_id for row in rows if row.kind in KINDS and not oldest < row.xid < unknown}


def _newest_id(tx: Connection, kind: str) -> int:
    name = KINDS[kind].name
    query = text("SELECT pg_sequence_last_value(CAST(pg_get_serial_sequence(:name, 'id') AS regclass))")
    return int(tx.scalar(query, {"name": name}) or 0)


def _digest(before: str, version: int, kind: str, from_id: int, to_id: int, rows: list[tuple[int, bytes]]) -> str:
    """SHA-256 of the digest before, the seal's own words, and each row on a line of its own."""
    made = hashlib.sha256(f"{before} {version} {kind} {from_id} {to_id} {len(rows)}\n".encode())
    for _, row in rows:
        made.update(row + b"\n")
    return made.hexdigest()


def _short(row: bytes) -> bytes:
    return hashlib.sha256(row).digest()[:_SHORT]


def _culprit(tx: Connection, found: Row[tuple[object, ...]], present: list[tuple[int, bytes]]) -> str:
    """The first row of a seal that is not as it was."""
    size = 8 + _SHORT
    sealed = {
        int.from_bytes(found.rows[at : at + 8]): found.rows[at + 8 : at + size]
        for at in range(0, len(found.rows), size)
    }
    now = {row_id: _short(row) for row_id, row in present}
    for row_id in sorted(sealed.keys() | now.keys()):
        if row_id not in now:
            return f"{found.kind} {row_id} is gone; it was there when seal {found.id} was made."
        if row_id not in sealed:
            return f"{name_of(tx, found.kind, row_id)} was not there when seal {found.id} was made."
        if sealed[row_id] != now[row_id]:
            return f"{name_of(tx, found.kind, row_id)} is not what it was when seal {found.id} was made."
    return f"Seal {found.id} itself was changed, or one before it: its rows are as they were, its digest is not."
