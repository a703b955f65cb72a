"""Jobs are rows written in the business transaction; the broker only carries their ids.

Law: a job may run twice and has its effect once. Times here are real, never the sandbox's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from base.database import notify
from base.tables import job

CHANNEL = "tollkeeper_jobs"
MAX_TRIES = 12


class Lane(Enum):
    """Which jobs go first: money in and access, then charges, mail, documents (rendered in their own process)."""

    URGENT = "urgent"
    CHARGES = "charges"
    MAIL = "mail"
    DOCUMENTS = "documents"


class Kind(Enum):
    """Every kind of job, with its lane."""

    STRIPE_EVENT = ("stripe_event", Lane.URGENT)
    REVIEW_ACCESS = ("review_access", Lane.URGENT)
    TICK = ("tick", Lane.CHARGES)
    SEND_MESSAGE = ("send_message", Lane.MAIL)
    RENDER_DOCUMENT = ("render_document", Lane.DOCUMENTS)

    @property
    def lane(self) -> Lane:
        """The lane that jobs of this kind run in."""
        return self.value[1]


KINDS = {kind.value[0]: kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class Job:
    """One claimed job."""

    id: int
    kind: Kind
    payload: dict[str, Any]
    tries: int


def enqueue(tx: Connection, kind: Kind, payload: dict[str, Any], *, key: str | None = None) -> None:
    """Have work done after this transaction's commit; the same `key` is taken once, ever."""
    name, lane = kind.value
    tx.execute(
        insert(job)
        .values(kind=name, lane=lane.value, payload={"format": 1, **payload}, key=key)
        .on_conflict_do_nothing(index_elements=["key"])
    )
    notify(tx, CHANNEL)


def claim(tx: Connection, lanes: Sequence[Lane], limit: int, lease: timedelta) -> list[Job]:
    """Take up to `limit` due jobs, urgent lane first; one whose lease ran out (its worker died) is due again."""
    due = or_(job.c.state == "ready", and_(job.c.state == "sent", job.c.lease_until < func.clock_timestamp()))
    names = [lane.value for lane in lanes]
    chosen = (
        select(job.c.id)
        .where(due, job.c.lane.in_(names), job.c.run_after <= func.clock_timestamp())
        .order_by(func.array_position(names, job.c.lane), job.c.run_after, job.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = tx.execute(
        update(job)
        .where(job.c.id.in_(chosen.scalar_subquery()))
        .values(state="sent", tries=job.c.tries + 1, lease_until=func.clock_timestamp() + lease)
        .returning(job.c.id, job.c.kind, job.c.payload, job.c.tries)
    ).all()
    return [Job(row.id, KINDS[row.kind], row.payload, row.tries) for row in sorted(rows)]


def load(tx: Connection, job_id: int) -> Job | None:
    """The job under a row lock if it is still to be done; None when it is done, or another worker holds it."""
    row = tx.execute(
        select(job.c.id, job.c.kind, job.c.payload, job.c.tries)
        .where(job.c.id == job_id, job.c.state == "sent")
        .with_for_update(skip_locked=True)
    ).one_or_none()
    return None if row is None else Job(row.id, KINDS[row.kind], row.payload, row.tries)


def finish(tx: Connection, job_id: int) -> None:
    """Mark done, in the transaction that holds the effect."""
    tx.execute(
        update(job).where(job.c.id == job_id).values(state="done", done_at=func.clock_timestamp(), last_error="")
    )


def fail(tx: Connection, job_id: int, error: str, tries: int) -> None:
    """Try again after 1, 2, 4 … seconds (an hour at most); after MAX_TRIES the job waits for a person."""
    delay = timedelta(seconds=min(3600, 2 ** (tries - 1)))
    state = "dead" if tries >= MAX_TRIES else "ready"
    tx.execute(
        update(job)
        .where(job.c.id == job_id)
        .values(state=state, run_after=func.clock_timestamp() + delay, last_error=error[:2000])
    )


def renew(tx: Connection, job_ids: Sequence[int], lease: timedelta) -> None:
    """Say that these jobs are still being worked on."""
    tx.execute(
        update(job)
        .where(job.c.id.in_(job_ids), job.c.state == "sent")
        .values(lease_until=func.clock_timestamp() + lease)
    )
