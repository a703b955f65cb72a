"""What follows a refused card: another card, another day, or its owner is asked; and how it is told."""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from base import clock
from base.business import Business
from base.calendar import local_date
from billing.collect import cards, mails
from billing.collect.cases import owed_by
from billing.collect.declines import Meaning, meaning_of, said_to_staff
from billing.collect.schedule import Again, Refusal, after_refusal
from billing.collect.tables import attempt, card, collection
from billing.dunning.cases import load_payers
from billing.gateway.words import Decline


def refusals_of(tx: Connection, fingerprint: str, now: datetime) -> list[Refusal]:
    """When a card number was refused in the last 30 days, whoever was charged."""
    return refusals_of_each(tx, [fingerprint], now).get(fingerprint, [])


def refusals_of_each(tx: Connection, fingerprints: Collection[str], now: datetime) -> dict[str, list[Refusal]]:
    """The same of many card numbers; those that were not refused are missing."""
    query = (
        select(card.c.fingerprint, attempt.c.at, attempt.c.meaning)
        .join(card, card.c.id == attempt.c.card_id)
        .where(card.c.fingerprint == func.any(list(fingerprints)))
        .where(attempt.c.state == "declined", attempt.c.at > now - timedelta(days=30))
        .order_by(attempt.c.at)
    )
    found: dict[str, list[Refusal]] = {}
    for row in tx.execute(query):
        found.setdefault(row.fingerprint, []).append(Refusal(row.at, row.meaning != Meaning.SOON.value))
    return found


def refused(
    tx: Connection,
    business: Business,
    row: Row[Any],
    tried: Row[Any],
    refusal: Decline,
    charge_id: str,
    now: datetime,
) -> None:
    """Record that an attempt was refused, and when what is tried next; the collection is locked."""
    meaning = meaning_of(refusal)
    values = {
        "state": "declined",
        "note": refusal.message,
        "ended_at": clock.real(),
        "charge_id": charge_id,
        "code": refusal.code,
        "decline_code": refusal.decline_code,
        "advice_code": refusal.advice_code,
        "network_code": refusal.network_code,
        "meaning": meaning.value,
    }
    tx.execute(update(attempt).where(attempt.c.id == tried.id).values(**values))
    charged = tx.execute(select(card).where(card.c.id == tried.card_id)).one()
    if meaning is Meaning.NEVER:
        cards.refuse(tx, charged.id)
    if cards.another_card(tx, business, row) is not None:
        wait(tx, row, now, f"{said_to_staff(refusal)} Another saved card is tried.")
        return
    own = (attempt.c.collection_id == row.id, attempt.c.card_id == charged.id, attempt.c.state == "declined")
    count = tx.scalar(select(func.count()).where(*own)) or 1
    history = refusals_of(tx, charged.fingerprint, now)
    follows = after_refusal(meaning, count, now, business.zone, _steps(tx, business, row, now), history)
    again_on = None
    if isinstance(follows, Again):
        wait(tx, row, follows.at, f"{said_to_staff(refusal)} Again: {follows.because}.")
        again_on = local_date(follows.at, business.zone)
    else:
        ask_owner(tx, row, f"{said_to_staff(refusal)} Given up: {follows.because}.")
    if meaning is not Meaning.SOON or again_on is None:
        mails.tell_refused(tx, business, charged, refusal, row, again_on, tried)


def wait(tx: Connection, row: Row[Any], at: datetime, because: str) -> None:
    """Have a collection tried (again) at an instant of business time."""
    values = {"state": "waiting", "next_try_at": at, "held_until": None, "ask_at": None, "asked": 0, "reason": because}
    tx.execute(update(collection).where(collection.c.id == row.id).values(**values))


def ask_owner(tx: Connection, row: Row[Any], because: str) -> None:
    """Have a collection rest until its subscriber does something: pays, or leaves another card."""
    values = {"state": "customer", "next_try_at": None, "held_until": None, "ask_at": None, "asked": 0}
    tx.execute(update(collection).where(collection.c.id == row.id).values(**values, reason=because))


def _steps(tx: Connection, business: Business, row: Row[Any], now: datetime) -> list[date]:
    """The days of dunning's steps that are still to come for what is collected."""
    _, invoice_ids = owed_by(tx, row.id, row.currency)
    payer = load_payers(tx, business, [row.subscriber_id], now).get(row.subscriber_id)
    if payer is None:
        return []
    today = local_date(now, business.zone)
    ours = [case for case in payer.cases if case.invoice_id in invoice_ids]
    planned = {case.due_on + timedelta(days=step.days) for case in ours for step in payer.policy.steps}
    named = {notice.on for case in ours for notice in case.notices.values()}
    return sorted(day for day in planned | named if day > today)
