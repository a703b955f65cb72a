"""What Stripe says became of a charge, and what follows from it: money recorded, another try, or a person asked.

The truth is the PaymentIntent as Stripe has it now, read for whatever reason: the answer to a confirmation, an event,
or because an answer did not come. Taking the same truth twice changes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import distinct_on

from base import clock
from base.bulk import update_rows
from base.business import Business, load_business
from base.calendar import local_date
from base.crypto import Vault
from base.database import transaction
from billing.apply import refresh_payers
from billing.collect.cases import conclude, conclude_all, owed_by, owed_by_each
from billing.collect.refusals import refused, wait
from billing.collect.tables import attempt, collection
from billing.gateway import intents
from billing.gateway.at_once import ask_all
from billing.gateway.words import Decline, Gone, Intent
from billing.payments import Incoming, record_payment, record_payments
from billing.settle import lock_subscribers
from billing.sweep import sweep_or_say
from billing.tables import payment

ASK_AFTER = (5, 30, 300, 3600)  # seconds until an unknown outcome is asked about again; then every hour
SETTLED_AFTER = timedelta(minutes=1)  # real time after which a charge that Stripe knows nothing of was never made
ANSWERED_WITHIN = timedelta(minutes=2)  # real time in which a confirmation is answered, or given up as unknown
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
    told = hear_all(vault, [intent_id])[intent_id]
    if isinstance(told, Exception):
        raise told
    return told


def hear_all(vault: Vault, intent_ids: Collection[str], *, patient: bool = False) -> dict[str, str | Exception]:
    """The same for many; what went wrong stands in the place of the state.

    One whose money is recorded is not asked about: nothing that an event tells of it can change that. `patient`: nor
    is one that was confirmed a moment ago, because its answer is about to come; the sweep asks should it never come.
    """
    query = select(collection.c.intent_id, collection.c.id, collection.c.state)
    with transaction() as tx:
        business = load_business(tx, vault)
        rows = tx.execute(query.where(collection.c.intent_id == func.any(list(intent_ids)))).all()
        tried = _newest(tx, [row.id for row in rows if row.state == "charging"]) if patient else {}
    told: dict[str, str | Exception] = dict.fromkeys(intent_ids, "not ours")
    told |= {row.intent_id: row.state for row in rows}
    asked = []
    for row in rows:
        fresh = row.id in tried and tried[row.id].real_at > clock.real() - ANSWERED_WITHIN
        if row.state != "paid" and not fresh:
            asked.append(row.intent_id)
    for answers in ask_all(partial(intents.read, business), asked):
        found = []
        for intent_id, answer in answers:
            if isinstance(answer, Exception):
                told[intent_id] = "not ours" if isinstance(answer, Gone) else answer
            else:
                found.append(answer)
        told |= take_all(vault, found)
    return told


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
        tried = _newest(tx, [row.id]).get(row.id)
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


def take_all(vault: Vault, found: Sequence[Intent]) -> dict[str, str | Exception]:
    """The same of many intents, by their ids: those that succeeded in one transaction.

    What went wrong stands in the place of the state.
    """
    paid = {each.id: each for each in found if each.status == "succeeded"}
    told: dict[str, str | Exception] = dict.fromkeys(paid, "paid")
    names: dict[int, str] = {}
    if paid:
        query = select(collection.c.id, collection.c.intent_id).where(collection.c.intent_id == func.any(list(paid)))
        with transaction() as tx:
            names = dict(tx.execute(query).all())

    def act(tx: Connection, ids: list[int]) -> list[int]:
        _paid_all(tx, vault, {each: paid[names[each]] for each in ids})
        return ids

    failed: dict[int, Exception] = {}
    if names:
        sweep_or_say("settle", list(names), act, failed)
    told |= {names[each]: error for each, error in failed.items()}
    for each in found:
        if each.id not in paid:
            try:
                told[each.id] = take(vault, each)
            except Exception as error:
                told[each.id] = error
    return told


def note_unknown(collection_id: int, because: str) -> None:
    """Nobody knows whether the card was charged: Stripe is asked until it is known."""
    with transaction() as tx:
        row = _lock(tx, collection_id)
        if row.state not in ("charging", "unknown"):
            return
        _mark(tx, _newest(tx, [row.id]).get(row.id), "unknown", because)
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
            _mark(tx, _newest(tx, [row.id]).get(row.id), "not_sent", because)
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


def _paid_all(tx: Connection, vault: Vault, found: Mapping[int, Intent]) -> None:
    """These collections' intents succeeded: their money is recorded together, as far as each has a payer of its own."""
    now = clock.now()
    business = load_business(tx, vault)
    rows = lock_all(tx, list(found))
    tried = _newest(tx, list(found))
    owed = owed_by_each(tx, {row.id: row.currency for row in rows})
    names = [each.id for each in found.values()]
    before = set(tx.scalars(select(payment.c.gateway_id).where(payment.c.gateway_id == func.any(names))))
    fresh = {row.subscriber_id: row for row in rows if found[row.id].id not in before}
    if fresh:
        conclude_all(tx, [row.id for row in fresh.values() if row.state != "paid"], "paid", "", now)
        today = local_date(now, business.zone)
        incoming = [
            Incoming(payer, found[row.id].amount, "card", today, found[row.id].id, owed[row.id][1])
            for payer, row in fresh.items()
        ]
        ids = record_payments(tx, vault, business, incoming, author="stripe", now=now)
        ends = {"state": "succeeded", "note": "", "ended_at": clock.real()}
        marks = [
            {"id": tried[row.id].id, "payment_id": payment_id, "charge_id": found[row.id].charge, **ends}
            for payment_id, row in zip(ids, fresh.values(), strict=True)
            if row.id in tried
        ]
        update_rows(tx, attempt, marks)
    done = {row.id for row in fresh.values()}
    for row in rows:
        recorded = row.state == "paid" and found[row.id].id in before
        if row.id not in done and not (recorded and row.id in tried and tried[row.id].state == "succeeded"):
            _paid(tx, vault, business, row, tried.get(row.id), found[row.id], now)


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


def _newest(tx: Connection, collection_ids: Sequence[int]) -> dict[int, Row[Any]]:
    """The last attempt of each collection that has any."""
    query = (
        select(attempt)
        .where(attempt.c.collection_id == func.any(list(collection_ids)))
        .order_by(attempt.c.collection_id, attempt.c.id.desc())
        .ext(distinct_on(attempt.c.collection_id))
    )
    return {row.collection_id: row for row in tx.execute(query)}


def _lock(tx: Connection, collection_id: int) -> Row[Any]:
    """The collection with its subscriber's money held still."""
    (row,) = lock_all(tx, [collection_id])
    return row


def lock_all(tx: Connection, collection_ids: Sequence[int]) -> Sequence[Row[Any]]:
    """The same of many, in order of their ids."""
    own = collection.c.id == func.any(list(collection_ids))
    lock_subscribers(tx, list(tx.scalars(select(collection.c.subscriber_id).where(own))))
    return tx.execute(select(collection).where(own).order_by(collection.c.id).with_for_update()).all()
