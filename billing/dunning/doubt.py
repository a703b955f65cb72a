"""Whether Stripe is heard from, and who may have paid there without our knowing. Read from rows, so it ends by itself.

While it is in doubt no late fee is charged, and who opened a payment page lately is not walled in: nobody is to be
cut off for money that a missing webhook keeps from us.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Connection, exists, func, select, union_all

from base import clock
from base.tables import inbox
from billing.collect.tables import checkout, collection

LOOK_BACK = timedelta(hours=24)  # a Session lives that long; a failure that nobody repeated is forgotten then
WEBHOOK_LATE = timedelta(minutes=10)  # Stripe tells within seconds; a page paid that long ago was told, or never is
MOST = timedelta(hours=26)  # from opening a payment page on it is waited for so long at most


def trouble(tx: Connection) -> str:
    """What is wrong with Stripe, in a sentence for staff; '' when nothing is known to be."""
    since = clock.real() - LOOK_BACK
    last = tx.execute(
        select(checkout.c.state)
        .where(checkout.c.real_at > since, checkout.c.state != "created")
        .order_by(checkout.c.real_at.desc(), checkout.c.id.desc())
        .limit(1)
    ).one_or_none()
    if last is not None and last.state in ("unknown", "failed"):
        return "Stripe could not be reached when a payment page was last asked for."
    told = exists().where(inbox.c.source == "stripe", inbox.c.received_at >= checkout.c.real_at)
    silent = select(checkout.c.id).where(
        checkout.c.state == "paid", checkout.c.real_at > since, checkout.c.real_at < clock.real() - WEBHOOK_LATE, ~told
    )
    if tx.scalar(select(silent.exists())):
        return "A payment page was paid, and Stripe's webhook has not told us: it may be missing or wrongly set up."
    return ""


def doubts(tx: Connection, subscriber_ids: Collection[int], now: datetime) -> dict[int, datetime]:
    """Until when (business time, UTC) each of these may have paid without our knowing; who cannot have is missing.

    Money that is under way or whose outcome is unknown is waited for as long as its row says; an open page, or a bank
    that asks its customer, only while Stripe is silent.
    """
    held = _held(tx, subscriber_ids, now)
    return {
        key: max(held.get(key, until), until) for key, until in {**held, **_silent(tx, subscriber_ids, now)}.items()
    }


def _held(tx: Connection, subscriber_ids: Collection[int], now: datetime) -> dict[int, datetime]:
    ids = list(subscriber_ids)
    charges = (
        select(collection.c.subscriber_id, collection.c.held_until)
        .where(collection.c.subscriber_id == func.any(ids), collection.c.held_until > now)
        .where(collection.c.state.in_(("charging", "pending", "unknown")))
    )
    pages = select(checkout.c.subscriber_id, checkout.c.held_until).where(
        checkout.c.subscriber_id == func.any(ids), checkout.c.held_until > now, checkout.c.state == "pending"
    )
    found: dict[int, datetime] = {}
    for row in tx.execute(union_all(charges, pages)):
        found[row.subscriber_id] = max(row.held_until, found.get(row.subscriber_id, row.held_until))
    return found


def _silent(tx: Connection, subscriber_ids: Collection[int], now: datetime) -> dict[int, datetime]:
    """Those who may have paid on a page of which a silent Stripe has not told."""
    real = clock.real()
    query = (
        select(checkout.c.subscriber_id, func.max(checkout.c.real_at).label("opened"))
        .where(
            checkout.c.subscriber_id == func.any(list(subscriber_ids)),
            checkout.c.state.in_(["created", "open", "unknown"]),
            checkout.c.real_at > real - MOST,
        )
        .group_by(checkout.c.subscriber_id)
    )
    found = tx.execute(query).all()
    if not found or not trouble(tx):
        return {}
    return {row.subscriber_id: now + (row.opened + MOST - real) for row in found}
