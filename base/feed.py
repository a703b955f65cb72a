"""The change feed: what radius and coa must read again, in commit order.

A row carries the id of the transaction that wrote it. A reader takes only rows below pg_snapshot_xmin, the oldest
transaction still running: whatever commits later has an id at or above it, so no late commit is ever skipped. A
position is such an id: every row below it has been read.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, text

from base.database import notify
from base.tables import change_feed

CHANNEL = "tollkeeper_feed"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to read again: kind 'policy' (subject: service) or 'nas' (subject: NAS row)."""

    kind: str
    subject_id: int
    xid: int


def publish(tx: Connection, kind: str, subject_ids: Iterable[int]) -> None:
    """Announce changes; readers see them after the commit."""
    rows = [{"kind": kind, "subject_id": subject_id} for subject_id in subject_ids]
    if rows:
        tx.execute(insert(change_feed), rows)
        notify(tx, CHANNEL)


def horizon(tx: Connection) -> int:
    """The id below which every transaction has ended: a position at which a full reading may start."""
    return int(tx.scalar(text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")) or 0)


def read(tx: Connection, position: int) -> tuple[list[Change], int]:
    """The changes from `position` on, in one statement's snapshot, and the position behind them."""
    rows = tx.execute(
        text(
            "WITH h AS MATERIALIZED (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin) "
            "SELECT h.xmin, f.kind, f.subject_id, f.xid FROM h LEFT JOIN change_feed f "
            "ON f.xid >= :position AND f.xid < h.xmin ORDER BY f.xid, f.id"
        ),
        {"position": position},
    ).all()
    changes = [Change(row.kind, row.subject_id, row.xid) for row in rows if row.kind is not None]
    return changes, max(position, rows[0].xmin)


def latest(tx: Connection, kind: str, subject_id: int) -> int | None:
    """The transaction id of the newest change of one subject."""
    query = (
        select(change_feed.c.xid)
        .where(change_feed.c.kind == kind, change_feed.c.subject_id == subject_id)
        .order_by(change_feed.c.id.desc())
        .limit(1)
    )
    return tx.scalar(query)
