"""The inbox: webhooks stored as they came and answered at once; understood later, as often as it takes, once."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from base import jobs
from base.tables import inbox


def receive(tx: Connection, source: str, event_id: str, kind: str, body: dict[str, Any], received_at: datetime) -> bool:
    """Store an event whose signature was checked, with a job that will understand it; False when it came before."""
    row_id = tx.scalar(
        insert(inbox)
        .values(source=source, event_id=event_id, kind=kind, body=body, received_at=received_at)
        .on_conflict_do_nothing(index_elements=["source", "event_id"])
        .returning(inbox.c.id)
    )
    if row_id is None:
        return False
    jobs.enqueue(tx, jobs.Kind.STRIPE_EVENT, {"inbox_id": row_id}, key=f"inbox:{row_id}")
    return True
