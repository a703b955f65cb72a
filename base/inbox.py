"""The inbox: webhooks stored as they came and answered at once; understood later, as often as it takes, once."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from base import jobs
from base.tables import inbox


def receive(
    tx: Connection, source: str, event_id: str, kind: str, body: dict[str, Any], received_at: datetime,
    *, polled: bool = False,
) -> bool:  # fmt: skip
    """Store an event that is surely the source's, with a job that will understand it; False when it came before.

    `polled`: nobody brought it, we asked for it; that a webhook brings it later is noted.
    """
    polled_at = received_at if polled else None
    row_id = tx.scalar(
        insert(inbox)
        .values(source=source, event_id=event_id, kind=kind, body=body, received_at=received_at, polled_at=polled_at)
        .on_conflict_do_nothing(index_elements=["source", "event_id"])
        .returning(inbox.c.id)
    )
    if row_id is None:
        if not polled:
            asked_for = (inbox.c.source == source, inbox.c.event_id == event_id, inbox.c.polled_at.is_not(None))
            tx.execute(update(inbox).where(*asked_for, inbox.c.told_at.is_(None)).values(told_at=received_at))
        return False
    jobs.enqueue(tx, jobs.Kind.STRIPE_EVENT, {"inbox_id": row_id}, key=f"inbox:{row_id}")
    return True


def untold(tx: Connection, source: str, before: datetime) -> list[str]:
    """Events that the poll found before an instant and that no webhook has brought since; each is named once."""
    found = (inbox.c.source == source, inbox.c.polled_at < before, inbox.c.told_at.is_(None))
    rows = tx.execute(select(inbox.c.id, inbox.c.event_id).where(*found).with_for_update(skip_locked=True)).all()
    tx.execute(update(inbox).where(inbox.c.id == func.any([row.id for row in rows])).values(told_at=before))
    return [row.event_id for row in rows]


def replay(tx: Connection, source: str, event_id: str, key: str) -> bool:
    """Have an event understood anew, whatever became of it; `key` names this wish. False when it is not known."""
    own = (inbox.c.source == source, inbox.c.event_id == event_id)
    row_id = tx.scalar(update(inbox).where(*own).values(processed_at=None, outcome="").returning(inbox.c.id))
    if row_id is None:
        return False
    jobs.enqueue(tx, jobs.Kind.STRIPE_EVENT, {"inbox_id": row_id}, key=f"inbox:{row_id}:{key}")
    return True
