"""The inbox: webhooks stored as they came and answered at once; understood later, as often as it takes, once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, text, update

from base import jobs
from base.database import notify
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


# Row and job in one statement: while it is answered, Stripe's next webhooks wait.
_STORE = text(
    "WITH given AS (SELECT * FROM unnest(CAST(:names AS text[]), CAST(:kinds AS text[]), CAST(:bodies AS text[]), "
    "CAST(:instants AS timestamptz[])) AS given (event_id, kind, body, received_at)), "
    "stored AS (INSERT INTO inbox (source, event_id, kind, body, received_at, polled_at) "
    "SELECT :source, event_id, kind, CAST(body AS jsonb), received_at, CASE WHEN :polled THEN received_at END "
    "FROM given ON CONFLICT (source, event_id) DO NOTHING RETURNING id), "
    "queued AS (INSERT INTO job (kind, lane, payload, key) SELECT :job, :lane, "
    "jsonb_build_object('format', 1, 'inbox_id', id), 'inbox:' || id FROM stored ON CONFLICT (key) DO NOTHING) "
    "SELECT (SELECT count(*) FROM stored) AS stored, ARRAY(SELECT event_id FROM inbox WHERE source = :source "
    "AND event_id = ANY(:names) AND polled_at IS NOT NULL AND told_at IS NULL AND NOT :polled) AS asked_for"
)  # the last looks at what was there before: a statement does not see what it inserts


def receive_all(tx: Connection, source: str, events: Sequence[Arrived], *, polled: bool = False) -> int:
    """The same of many in one statement; returns how many had not come before."""
    name, lane = jobs.Kind.STRIPE_EVENT.value
    values = {
        "source": source,
        "names": [each.event_id for each in events],
        "kinds": [each.kind for each in events],
        "bodies": [each.body for each in events],
        "instants": [each.received_at for each in events],
        "polled": polled,
        "job": name,
        "lane": lane.value,
    }
    row = tx.execute(_STORE, values).one()
    if row.asked_for:
        own = (inbox.c.source == source, inbox.c.event_id == func.any(row.asked_for))
        tx.execute(update(inbox).where(*own).values(told_at=events[0].received_at))
    notify(tx, jobs.CHANNEL)
    return int(row.stored)


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
