"""The inbox: webhooks stored as they came and answered at once; understood later, as often as it takes, once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, DateTime, Text, cast, func, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

from base import jobs
from base.tables import inbox


@dataclass(frozen=True, slots=True)
class Arrived:
    """An event that is surely the source's."""

    event_id: str
    kind: str
    body: str
    "JSON, as it came."
    received_at: datetime


def receive(
    tx: Connection, source: str, event_id: str, kind: str, body: dict[str, Any], received_at: datetime,
    *, polled: bool = False,
) -> bool:  # fmt: skip
    """Store an event that is surely the source's, with a job that will understand it; False when it came before.

    `polled`: nobody brought it, we asked for it; that a webhook brings it later is noted.
    """
    return receive_all(tx, source, [Arrived(event_id, kind, json.dumps(body), received_at)], polled=polled) == 1


def receive_all(tx: Connection, source: str, events: Sequence[Arrived], *, polled: bool = False) -> int:
    """The same of many in a few statements; returns how many had not come before."""
    names = cast([each.event_id for each in events], ARRAY(Text))
    given = func.unnest(
        names,
        cast([each.kind for each in events], ARRAY(Text)),
        cast([each.body for each in events], ARRAY(Text)),
        cast([each.received_at for each in events], ARRAY(DateTime(timezone=True))),
    )
    each = given.table_valued("event_id", "kind", "body", "received_at").render_derived()
    columns = ["source", "event_id", "kind", "body", "received_at", "polled_at"]
    polled_at = each.c.received_at if polled else literal(None, DateTime(timezone=True))
    rows = select(
        literal(source), each.c.event_id, each.c.kind, cast(each.c.body, JSONB), each.c.received_at, polled_at
    )
    stored = insert(inbox).from_select(columns, rows).on_conflict_do_nothing(index_elements=["source", "event_id"])
    fresh = list(tx.scalars(stored.returning(inbox.c.id)))
    if len(fresh) < len(events) and not polled:
        asked_for = (inbox.c.source == source, inbox.c.event_id == func.any(names), inbox.c.polled_at.is_not(None))
        before = (inbox.c.told_at.is_(None), inbox.c.id.not_in(fresh))
        tx.execute(update(inbox).where(*asked_for, *before).values(told_at=events[0].received_at))
    payloads = {f"inbox:{row_id}": {"inbox_id": row_id} for row_id in fresh}
    jobs.enqueue_all(tx, jobs.Kind.STRIPE_EVENT, payloads)
    return len(fresh)


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
