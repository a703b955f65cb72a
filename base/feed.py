"""The change feed: what radius and coa must read again, in commit order.

A row carries the id of the transaction that wrote it, and a reader's position is such an id: every row below it has
been read. It moves up to pg_snapshot_xmin, the oldest transaction still running: whatever commits later has an id at or
above it, so no late commit is ever skipped. Rows above the position that are visible already are read at once and
remembered, so that a long transaction somewhere else delays nobody.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, insert, text

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


class Cursor:
    """One reader's place in the feed."""

    def __init__(self, position: int) -> None:
        self.position = position
        "Every transaction below it has been read."
        self._ahead: dict[int, int] = {}

    @property
    def ahead(self) -> list[int]:
        """Transactions at or above the position that have been read already."""
        return sorted(set(self._ahead.values()))

    def read(self, tx: Connection) -> list[Change]:
        """What is new since the last reading, seen in one statement's snapshot."""
        rows = tx.execute(
            text(
                "WITH h AS MATERIALIZED (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin) "
                "SELECT h.xmin, f.id, f.kind, f.subject_id, f.xid FROM h LEFT JOIN change_feed f "
                "ON f.xid >= :position ORDER BY f.xid, f.id"
            ),
            {"position": self.position},
        ).all()
        found = [row for row in rows if row.id is not None]
        changes = [Change(row.kind, row.subject_id, row.xid) for row in found if row.id not in self._ahead]
        self.position = max(self.position, rows[0].xmin)
        self._ahead = {row.id: row.xid for row in found if row.xid >= self.position}
        return changes
