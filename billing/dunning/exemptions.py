"""Subscribers who are not dunned for a while, with an end and a reason."""

from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects.postgresql import insert

from base import trail
from base.business import Business
from base.calendar import local_date
from base.crypto import Vault
from base.tables import subscriber
from billing.apply import refresh_payers
from billing.dunning.agenda import forget
from billing.dunning.tables import exemption
from billing.refused import need
from billing.settle import lock_subscribers

LONGEST = timedelta(days=366)


def exempt(
    tx: Connection,
    vault: Vault,
    business: Business,
    actor: str,
    subscriber_id: int,
    until_on: date,
    reason: str,
    now: datetime,
) -> None:
    """From today until `until_on` (the first day on which it is over) debt takes nothing away and no step comes.

    What debt had taken is given back at once; the debt stays.
    """
    today = local_date(now, business.zone)
    need(reason.strip(), "Why? Somebody will ask.", "reason")
    need(until_on > today, "An exemption ends on a day to come.", "until_on")
    need(until_on <= today + LONGEST, "An exemption lasts a year at most; it can be renewed.", "until_on")
    need(lock_subscribers(tx, [subscriber_id]), "There is no such subscriber.", "subscriber_id")
    values = {"until_on": until_on, "reason": reason.strip(), "author": actor}
    tx.execute(
        insert(exemption)
        .values(subscriber_id=subscriber_id, from_on=today, created_at=now, **values)
        .on_conflict_do_update(index_elements=["subscriber_id", "from_on"], set_=values)
    )
    detail = {"until": str(until_on), "reason": reason.strip()}
    forget(tx, [subscriber_id])
    trail.record(tx, actor, "dunning.exempted", subject="subscriber", subject_id=subscriber_id, detail=detail)
    refresh_payers(tx, vault, {subscriber_id}, now, actor)


def end_exemption(
    tx: Connection, vault: Vault, business: Business, actor: str, subscriber_id: int, now: datetime
) -> None:
    """Dun a subscriber again from today on; Refused when they were not exempt."""
    today = local_date(now, business.zone)
    lock_subscribers(tx, [subscriber_id])
    running = (exemption.c.subscriber_id == subscriber_id, exemption.c.until_on > today)
    ended = tx.execute(update(exemption).where(*running).values(until_on=today)).rowcount
    need(ended, "This subscriber is not exempt from dunning.", "subscriber_id")
    forget(tx, [subscriber_id])
    trail.record(tx, actor, "dunning.exemption_ended", subject="subscriber", subject_id=subscriber_id)
    refresh_payers(tx, vault, {subscriber_id}, now, actor)


def list_exemptions(tx: Connection, today: date) -> list[Row[Any]]:
    """Who is exempt now: subscriber's number and name, until when, why, by whom."""
    query = (
        select(subscriber.c.number, subscriber.c.name, exemption.c.until_on, exemption.c.reason, exemption.c.author)
        .join(subscriber, subscriber.c.id == exemption.c.subscriber_id)
        .where(exemption.c.until_on > today)
        .order_by(exemption.c.until_on, subscriber.c.number)
    )
    return list(tx.execute(query))
