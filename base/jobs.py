"""Jobs are rows written in the business transaction; the broker only carries their ids.

Law: a job may run twice and has its effect once. Times here are real, never the sandbox's.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Text,
    and_,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

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
    ASK_PAYMENT = ("ask_payment", Lane.URGENT)
    ASK_PAGE = ("ask_page", Lane.URGENT)
    REFRESH_CARDS = ("refresh_cards", Lane.URGENT)
    REFUND = ("refund", Lane.CHARGES)
    ASK_DISPUTE = ("ask_dispute", Lane.CHARGES)
    POLL_EVENTS = ("poll_events", Lane.CHARGES)
    FETCH_BALANCE = ("fetch_balance", Lane.CHARGES)
    CHECK_GATEWAY = ("check_gateway", Lane.CHARGES)
    TICK = ("tick", Lane.CHARGES)
    CHARGE_CARD = ("charge_card", Lane.CHARGES)
    CLOSE_PAGES = ("close_pages", Lane.CHARGES)
    END_COLLECTION = ("end_collection", Lane.CHARGES)
    SEND_MESSAGE = ("send_message", Lane.MAIL)
    READ_BOUNCES = ("read_bounces", Lane.MAIL)
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


def enqueue_all(
    tx: Connection, kind: Kind, payloads: Mapping[str, dict[str, Any]], *, delay: timedelta = timedelta()
) -> None:
    """The same for many at once: payloads by their keys. `delay`: due only then, or when somebody hurries them."""
    if not payloads:
        return
    name, lane = kind.value
    rows = func.unnest(_texts(payloads), _texts(json.dumps({"format": 1, **each}) for each in payloads.values()))
    given = rows.table_valued("key", "payload").render_derived()
    due = func.clock_timestamp() + delay if delay else func.now()
    fresh = select(literal(name), literal(lane.value), cast(given.c.payload, JSONB), given.c.key, due)
    columns = ["kind", "lane", "payload", "key", "run_after"]
    tx.execute(insert(job).from_select(columns, fresh).on_conflict_do_nothing(index_elements=["key"]))
    notify(tx, CHANNEL)


def _texts(values: Iterable[str]) -> ColumnElement[Any]:
    """One parameter, however many they are."""
    return cast(list(values), ARRAY(Text))


def hurry(tx: Connection, keys: Collection[str]) -> None:
    """Have jobs that wait for later done now."""
    waiting = (job.c.key == func.any(list(keys)), job.c.state == "ready", job.c.run_after > func.clock_timestamp())
    if tx.execute(update(job).where(*waiting).values(run_after=func.clock_timestamp())).rowcount:
        notify(tx, CHANNEL)


def is_alive(tx: Connection, key: str) -> bool:
    """Whether the job with this key is still to be done."""
    return tx.scalar(select(job.c.state).where(job.c.key == key)) in ("ready", "sent")


def claim(tx: Connection, lanes: Sequence[Lane], limit: int, lease: timedelta) -> list[Job]:
    """Take up to `limit` due jobs, urgent lane first; one whose lease ran out (its worker died) is due again.

    Kinds that a newer release wrote are left to its workers.
    """
    due = or_(job.c.state == "ready", and_(job.c.state == "sent", job.c.lease_until < func.clock_timestamp()))
    claimed: list[Job] = []
    for lane in sorted(lanes, key=list(Lane).index):
        if len(claimed) < limit:  # a lane at a time, so that its index brings the oldest however many wait
            claimed += _claim(tx, limit - len(claimed), lease, job.c.lane == lane.value, job.c.kind.in_(KINDS), due)
    return claimed


def claim_fresh(tx: Connection, kind: Kind, limit: int, lease: timedelta) -> list[Job]:
    """Take up to `limit` due jobs of a kind that nobody has tried yet, to be done together with another."""
    own = (job.c.lane == kind.lane.value, job.c.kind == kind.value[0])
    return _claim(tx, limit, lease, *own, job.c.state == "ready", job.c.tries == 0)


def _claim(tx: Connection, limit: int, lease: timedelta, *where: ColumnElement[bool]) -> list[Job]:
    chosen = (
        select(job.c.id)
        .where(*where, job.c.run_after <= func.clock_timestamp())
        .order_by(job.c.run_after, job.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("chosen")  # a common table expression that locks is run once, so the limit holds under any query plan
    )
    rows = tx.execute(
        update(job)
        .where(job.c.id == chosen.c.id)
        .values(state="sent", tries=job.c.tries + 1, lease_until=func.clock_timestamp() + lease)
        .returning(job.c.id, job.c.kind, job.c.payload, job.c.tries)
    ).all()
    return [Job(row.id, KINDS[row.kind], row.payload, row.tries) for row in sorted(rows)]


def outstanding(tx: Connection, tries_by_id: Mapping[int, int]) -> set[int]:
    """Those of these claimed jobs whose claim still stands: neither ended nor claimed anew since, nor due to be."""
    rows = tx.execute(
        select(job.c.id, job.c.tries).where(
            job.c.id.in_(tries_by_id), job.c.state == "sent", job.c.lease_until >= func.clock_timestamp()
        )
    )
    return {row.id for row in rows if tries_by_id[row.id] == row.tries}


def load(tx: Connection, job_id: int) -> Job | None:
    """The job under a row lock if it is still to be done; None when it is done, dead or waits to be claimed again.

    Waits for whoever holds the row: a lock on it is held for moments only. So never call a mail server, Stripe or a
    renderer under it; besides, an open transaction that wrote or locked anything holds back the change feed.
    """
    row = tx.execute(
        select(job.c.id, job.c.kind, job.c.payload, job.c.tries)
        .where(job.c.id == job_id, job.c.state == "sent")
        .with_for_update()
    ).one_or_none()
    return None if row is None else Job(row.id, KINDS[row.kind], row.payload, row.tries)


def has_older(tx: Connection, one: Job) -> bool:
    """Whether a job of the same kind that was written earlier is being worked on."""
    older = select(job.c.id).where(
        job.c.lane == one.kind.lane.value,
        job.c.kind == one.kind.value[0],
        job.c.state == "sent",
        job.c.lease_until > func.clock_timestamp(),
        job.c.id < one.id,
    )
    return bool(tx.scalar(select(exists(older))))


def finish(tx: Connection, *job_ids: int) -> None:
    """Mark done, in the transaction that holds the effect; harmless when it is done."""
    tx.execute(
        update(job)
        .where(job.c.id == func.any(list(job_ids)), job.c.state != "done")
        .values(state="done", done_at=func.clock_timestamp(), last_error="")
    )


def fail(tx: Connection, job_id: int, error: str, tries: int) -> bool:
    """Try again after 1, 2, 4 … seconds; after MAX_TRIES the job waits for a person, and True is returned.

    `tries` is the try that failed: once the job was claimed anew, the failure of an older try changes nothing.
    """
    delay = timedelta(seconds=min(3600, 2 ** min(tries - 1, 12)))
    dead = tries >= MAX_TRIES
    failed = tx.execute(
        update(job)
        .where(job.c.id == job_id, job.c.tries == tries, job.c.state == "sent")
        .values(state="dead" if dead else "ready", run_after=func.clock_timestamp() + delay, last_error=error[:2000])
    )
    return dead and failed.rowcount > 0


def postpone(tx: Connection, tries_by_id: Mapping[int, int], delay: timedelta, because: str = "") -> None:
    """Give claimed jobs back without a failure: they are due again after `delay`, and these tries do not count."""
    given = func.unnest(cast(list(tries_by_id), ARRAY(BigInteger)), cast(list(tries_by_id.values()), ARRAY(Integer)))
    claim = given.table_valued("id", "tries").render_derived()
    tx.execute(
        update(job)
        .where(job.c.id == claim.c.id, job.c.tries == claim.c.tries, job.c.state == "sent")
        .values(
            state="ready", tries=job.c.tries - 1, run_after=func.clock_timestamp() + delay, last_error=because[:2000]
        )
    )


def renew(tx: Connection, job_ids: Collection[int], lease: timedelta) -> None:
    """Say that these jobs are still being worked on; one that is locked needs no lease, because nobody can claim it."""
    held = select(job.c.id).where(job.c.id.in_(job_ids), job.c.state == "sent").with_for_update(skip_locked=True)
    chosen = held.cte("held")
    tx.execute(update(job).where(job.c.id == chosen.c.id).values(lease_until=func.clock_timestamp() + lease))


def retry(tx: Connection, job_id: int) -> bool:
    """Start a job that gave up anew, with all its tries; False when it did not give up."""
    found = tx.execute(
        update(job)
        .where(job.c.id == job_id, job.c.state == "dead")
        .values(state="ready", tries=0, run_after=func.clock_timestamp())
    )
    notify(tx, CHANNEL)
    return found.rowcount == 1
