"""What Stripe says became of a charge, and what follows from it: money recorded, another try, or a person asked.

The truth is the PaymentIntent as Stripe has it now, read for whatever reason: the answer to a confirmation, an event,
or because an answer did not come. Taking the same truth twice changes nothing.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from base import clock
from base.business import Business, load_business
from base.crypto import Vault
from base.database import transaction
from billing.apply import refresh_payers
from billing.collect.cases import conclude, owed_by
from billing.collect.refusals import refused, wait
from billing.collect.tables import attempt, collection
from billing.gateway import intents
from billing.gateway.words import Decline, Gone, Intent
from billing.payments import record_payment
from billing.settle import lock_subscribers

ASK_AFTER = (5, 30, 300, 3600)  # seconds until an unknown outcome is asked about again; then every hour
SETTLED_AFTER = timedelta(minutes=1)  # real time after which a charge that Stripe knows nothing of was never made
PENDING_EVERY = timedelta(hours=1)  # a payment under way is asked about, should its event be lost


def holds_for(business: Business, *, delayed: bool) -> timedelta:
    """How long dunning waits for money that is under way or unknown, at most."""
    return timedelta(days=business.debit_pending_days if delayed else business.card_pending_days)


def find_out(vault: Vault, collection_id: int) -> None:
    """Ask Stripe what became of a collection's charge; nothing when there is none. Raises GatewayError."""
    with transaction() as tx:
        business = load_business(tx, vault)
        row = tx.execute(select(collection).where(collection.c.id == collection_id)).one()
    if row.intent_id is not None:
        take(vault, intents.read(business, row.intent_id))


def hear(vault: Vault, intent_id: str) -> str:
    """An event told of an intent: read it and take what it says; returns the collection's state, or 'not ours'."""
    with transaction() as tx:
        business = load_business(tx, vault)
        known = tx.scalar(select(collection.c.id).where(collection.c.intent_id == intent_id))
    if known is None:
        return "not ours"
    try:
        return take(vault, intents.read(business, intent_id))
    except Gone:
        return "not ours"


def end(vault: Vault, collection_id: int) -> None:
    """Close a collection whose invoices were settled another way, and its intent, unless money is under way."""
    with transaction() as tx:
        business = load_business(tx, vault)
        row = _lock(tx, collection_id)
        if row.state in ("paid", "ended") or owed_by(tx, row.id, row.currency)[0]:
            return
        if row.state in ("charging", "pending", "unknown", "creating"):
            return  # what becomes of it ends it, or the sweep
    if row.intent_id is not None:
        found = intents.cancel(business, row.intent_id)
        if found.status == "succeeded":
            take(vault, found)
            return
    with transaction() as tx:
        row = _lock(tx, collection_id)
        if row.state not in ("paid", "ended", "charging", "pending", "unknown"):
            conclude(tx, row, "ended", "settled another way", clock.now())


def take(vault: Vault, intent: Intent) -> str:
    """Take what Stripe says of an intent; returns the state of its collection."""
    now = clock.now()
    with transaction() as tx:
        business = load_business(tx, vault)
        known = tx.scalar(select(collection.c.id).where(collection.c.intent_id == intent.id))
        assert known is not None, "callers have looked"
        row = _lock(tx, known)
        tried = _newest(tx, row.id)
        if intent.status == "succeeded":
            _paid(tx, vault, business, row, tried, intent, now)
        elif intent.status == "pending":
            _under_way(tx, business, row, tried, intent, now)
        elif row.state in ("paid", "ended"):
            pass
        elif intent.status == "canceled":
            _mark(tx, tried, "not_sent", "the payment was cancelled at Stripe")
            conclude(tx, row, "ended", "the payment was cancelled at Stripe", now)
        elif tried is not None and tried.state in ("sent", "unknown", "pending"):
            _refused_or_nothing(tx, business, row, tried, intent, now)
            # dunning waits no longer for money that does not come
            refresh_payers(tx, vault, [row.subscriber_id], now, because=f"collection:{row.id}")
        state: str = tx.execute(select(collection.c.state).where(collection.c.id == row.id)).scalar_one()
        return state


def note_unknown(collection_id: int, because: str) -> None:
    """Nobody knows whether the card was charged: Stripe is asked until it is known."""
    with transaction() as tx:
        row = _lock(tx, collection_id)
        if row.state not in ("charging", "unknown"):
            return
        _mark(tx, _newest(tx, row.id), "unknown", because)
        span = ASK_AFTER[min(row.asked, len(ASK_AFTER) - 1)]
        values = {"state": "unknown", "reason": because, "asked": row.asked + 1}
        tx.execute(
            update(collection)
            .where(collection.c.id == row.id)
            .values(**values, ask_at=clock.real() + timedelta(seconds=span))
        )


def note_not_sent(collection_id: int, because: str) -> None:
    """The card cannot have been charged."""
    with transaction() as tx:
        row = _lock(tx, collection_id)
        if row.state == "charging":
            _mark(tx, _newest(tx, row.id), "not_sent", because)
            wait(tx, row, clock.now(), because)


def ask_again(tx: Connection, row: Row[Any], at: datetime) -> None:
    """Have Stripe asked about a collection from `at` (real time) on."""
    tx.execute(update(collection).where(collection.c.id == row.id).values(ask_at=at))


def _paid(
    tx: Connection,
    vault: Vault,
    business: Business,
    row: Row[Any],
    tried: Row[Any] | None,
    intent: Intent,
    now: datetime,
) -> None:
    _, invoice_ids = owed_by(tx, row.id, row.currency)
    if row.state != "paid":
        conclude(tx, row, "paid", "", now)
    recorded = record_payment(
        tx,
        vault,
        business,
        subscriber_id=row.subscriber_id,
        amount=intent.amount,
        method="card",
        author="stripe",
        gateway_id=intent.id,
        invoice_ids=invoice_ids,
        now=now,
    )
    if tried is not None:
        values = {"payment_id": recorded.payment_id, "charge_id": intent.charge}
        tx.execute(update(attempt).where(attempt.c.id == tried.id).values(**values))
        _mark(tx, tried, "succeeded", "")


def _under_way(
    tx: Connection, business: Business, row: Row[Any], tried: Row[Any] | None, intent: Intent, now: datetime
) -> None:
    if row.state in ("paid", "ended"):
        return
    _mark(tx, tried, "pending", "")
    begun = now if tried is None else tried.at
    values = {
        "state": "pending",
        "reason": "the money is under way",
        "held_until": begun + holds_for(business, delayed=intent.delayed),
        "ask_at": clock.real() + PENDING_EVERY,
    }
    tx.execute(update(collection).where(collection.c.id == row.id).values(**values))


def _refused_or_nothing(
    tx: Connection,
    business: Business,
    row: Row[Any],
    tried: Row[Any],
    intent: Intent,
    now: datetime,
) -> None:
    """The intent waits: the card was refused, or the confirmation never arrived."""
    if intent.status == "action":
        refusal: Decline | None = Decline("authentication_required")
    elif intent.decline is not None and not _is_older(tx, row, tried, intent):
        refusal = intent.decline
    else:
        refusal = None
    if refusal is None:
        if tried.real_at > clock.real() - SETTLED_AFTER and tried.state != "pending":
            ask_again(tx, row, clock.real() + timedelta(seconds=ASK_AFTER[min(row.asked, len(ASK_AFTER) - 1)]))
            tx.execute(update(collection).where(collection.c.id == row.id).values(asked=row.asked + 1))
            return
        _mark(tx, tried, "not_sent", "Stripe knows nothing of it")
        wait(tx, row, now, "the last try never reached Stripe")
        return
    refused(tx, business, row, tried, refusal, intent.charge, now)


def _is_older(tx: Connection, row: Row[Any], tried: Row[Any], intent: Intent) -> bool:
    """Whether the refusal that Stripe shows is one of an earlier try."""
    query = select(attempt.c.charge_id).where(attempt.c.collection_id == row.id, attempt.c.id < tried.id)
    return intent.charge in set(tx.scalars(query))


def _mark(tx: Connection, tried: Row[Any] | None, state: str, note: str) -> None:
    """What became of an attempt; one that succeeded stays so."""
    if tried is not None:
        values = {"state": state, "note": note, "ended_at": clock.real()}
        tx.execute(update(attempt).where(attempt.c.id == tried.id, attempt.c.state != "succeeded").values(**values))


def _newest(tx: Connection, collection_id: int) -> Row[Any] | None:
    query = select(attempt).where(attempt.c.collection_id == collection_id).order_by(attempt.c.id.desc()).limit(1)
    return tx.execute(query).one_or_none()


def _lock(tx: Connection, collection_id: int) -> Row[Any]:
    """The collection with its subscriber's money held still."""
    subscriber_id = tx.execute(select(collection.c.subscriber_id).where(collection.c.id == collection_id)).scalar_one()
    lock_subscribers(tx, [subscriber_id])
    return tx.execute(select(collection).where(collection.c.id == collection_id).with_for_update()).one()
