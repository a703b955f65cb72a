"""Bills that wait for a person: with `bill_run_hold`, those that are severely odd are kept out of the run.

A released bill goes out with the next run, whatever is odd about it; a hold ends when the bill is issued, when nothing
is due any more, or when nothing severe is left of it.
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert

from base import jobs, trail
from base.business import Business
from base.money import total
from base.tables import subscriber
from billing.anomalies import Severity
from billing.bill_facts import judge_drafts
from billing.issue import draft_for_subscribers
from billing.refused import need
from billing.run_tables import bill_hold
from billing.settle import lock_subscribers


def begin_holding(tx: Connection, business: Business, due: Collection[int]) -> bool:
    """Whether this run has to do with holds; those of subscribers to whom nothing is due are ended."""
    if tx.scalar(select(exists().select_from(bill_hold))):
        tx.execute(delete(bill_hold).where(bill_hold.c.subscriber_id != func.all(list(due))))
        return True
    return business.bill_run_hold == "anomalies"


def hold_back(
    tx: Connection, business: Business, subscriber_ids: Sequence[int], today: date
) -> tuple[list[int], dict[int, list[str]]]:
    """(whose bills go out, what newly holds back those of others), decided under the lock that issuing takes."""
    ids = lock_subscribers(tx, subscriber_ids)
    if business.bill_run_hold != "anomalies":
        return ids, {}
    drafts = draft_for_subscribers(tx, business, ids, today, keep=False)
    free = released(tx, ids)
    odd: dict[int, list[str]] = {}
    for each in judge_drafts(tx, business, drafts):
        if each.severity is Severity.SEVERE and each.subscriber_id not in free:
            odd.setdefault(each.subscriber_id, []).append(each.sentence)
    fresh = {}
    for subscriber_id, sentences in odd.items():
        theirs = [draft for draft in drafts if draft.payer.id == subscriber_id]
        amount = total((draft.total for draft in theirs), theirs[0].payer.currency)
        shown = {"total_minor": amount.minor, "currency": amount.currency, "sentences": sentences}
        statement = insert(bill_hold).values(subscriber_id=subscriber_id, held_on=today, **shown)
        known = tx.scalar(select(bill_hold.c.held_on).where(bill_hold.c.subscriber_id == subscriber_id))
        tx.execute(statement.on_conflict_do_update(index_elements=["subscriber_id"], set_=shown))
        if known is None:
            fresh[subscriber_id] = sentences
            detail = {"sentences": sentences}
            trail.record(tx, "system", "bill.held", subject="subscriber", subject_id=subscriber_id, detail=detail)
    return [each for each in ids if each not in odd], fresh


def end_holds(tx: Connection, subscriber_ids: Collection[int]) -> None:
    """Their bills are issued."""
    tx.execute(delete(bill_hold).where(bill_hold.c.subscriber_id == func.any(list(subscriber_ids))))


def released(tx: Connection, subscriber_ids: Collection[int]) -> set[int]:
    """Those of the subscribers whose bill somebody has released."""
    theirs = bill_hold.c.subscriber_id == func.any(list(subscriber_ids)), bill_hold.c.released_at.is_not(None)
    return set(tx.scalars(select(bill_hold.c.subscriber_id).where(*theirs)))


def release(tx: Connection, actor: str, subscriber_id: int, now: datetime) -> None:
    """Let the bill of a subscriber go out with the next run, which is asked for; Refused when none is held."""
    waiting = bill_hold.c.subscriber_id == subscriber_id, bill_hold.c.released_at.is_(None)
    done = tx.execute(update(bill_hold).where(*waiting).values(released_by=actor, released_at=now)).rowcount
    need(done, "No bill of this subscriber is held back.", "subscriber_id")
    trail.record(tx, actor, "bill.released", subject="subscriber", subject_id=subscriber_id)
    jobs.enqueue(tx, jobs.Kind.TICK, {}, key=f"tick:bill_released:{subscriber_id}:{now.isoformat()}")


def list_held(tx: Connection) -> list[Row[Any]]:
    """Bills that wait, the longest first: with number and name of the account, sentences, and who released them."""
    query = select(bill_hold, subscriber.c.number, subscriber.c.name).join(
        subscriber, subscriber.c.id == bill_hold.c.subscriber_id
    )
    return list(tx.execute(query.order_by(bill_hold.c.held_on, bill_hold.c.subscriber_id)))
