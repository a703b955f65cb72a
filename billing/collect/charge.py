"""One try of a collection: what is owed this second, which card, and the call; picked up wherever it was left.

Order of commits: the intent's idempotency key, then its creation; its id, then the attempt; the attempt, then its
confirmation. So whatever dies, the rows say what Stripe may know, and `settle` finds out what it does know.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from base import clock
from base.business import Business, load_business
from base.crypto import Vault
from base.database import transaction
from base.money import Money
from billing.collect import cards, settle
from billing.collect.cases import conclude, owed_by
from billing.collect.pace import wait_for_turn
from billing.collect.refusals import ask_owner, refusals_of, wait
from billing.collect.schedule import allowed_at
from billing.collect.tables import attempt, collection
from billing.gateway import intents
from billing.gateway.offers import close_all_pages
from billing.gateway.words import Gone, NotSent, Spent, TooSmall, Unknown, chargeable, too_small
from billing.settle import lock_subscribers

KEY_LIVES = timedelta(hours=23)  # Stripe remembers an idempotency key for a day
PATIENCE = timedelta(minutes=5)  # until Stripe is called again after it refused to work
CALLS = 2  # at Stripe for a try, mostly
ROUNDS = 3  # what is owed may change while Stripe is told; then it waits


@dataclass(frozen=True, slots=True)
class _Step:
    """What is to be done at Stripe next."""

    row: Row[Any]
    card: Row[Any]
    customer: str
    amount: Money
    attempt_key: str = ""
    "Set once the attempt is committed: it may be confirmed."


def charge(vault: Vault, collection_id: int) -> None:
    """Try to collect what is due, once; harmless at any time and any number of times at once.

    Raises GatewayError (Unknown: the same again soon; nobody was charged) when the intent could not be made.
    """
    with transaction() as tx:
        business = load_business(tx, vault)
        subscriber_id = tx.scalar(select(collection.c.subscriber_id).where(collection.c.id == collection_id))
    assert subscriber_id is not None
    wait_for_turn(business.stripe_calls_per_second, CALLS)
    if close_all_pages(vault, subscriber_id):
        _wait(collection_id, timedelta(hours=1), "a payment on a gateway's page is under way")
        return
    for _ in range(ROUNDS):
        step = _prepare(vault, collection_id)
        if step is None:
            return
        try:
            _tell(business, step)
        except Spent:
            _renew_key(collection_id)
            raise
        except TooSmall as error:
            _end_small(collection_id, str(error))
            return
        except Gone as error:
            _lost(vault, business, collection_id, step, str(error))
            return
        except NotSent as error:
            _wait(collection_id, PATIENCE, str(error))
            return
        ready = _commit_attempt(vault, collection_id, step)
        if ready is not None:
            _confirm(vault, business, ready)
            return
    _wait(collection_id, PATIENCE, "what is owed changed while Stripe was told")


def _prepare(vault: Vault, collection_id: int) -> _Step | None:
    """Decide under lock what is to be charged to which card; None when there is nothing to do now."""
    now = clock.now()
    with transaction() as tx:
        business = load_business(tx, vault)
        row = _lock(tx, collection_id)
        if row is None or row.state not in ("waiting", "creating"):
            if row is not None and row.state == "charging":  # whoever tried it died
                settle.ask_again(tx, row, clock.real())
            return None
        if row.state == "waiting" and (row.next_try_at is None or row.next_try_at > now):
            return None
        owed, _ = owed_by(tx, row.id, row.currency)
        if not owed:
            conclude(tx, row, "ended", "settled another way", now)
            return None
        if too_small(owed):
            conclude(tx, row, "ended", "too little for a card; it waits for the next invoice", now)
            return None
        found = cards.card_for(tx, business, row)
        if found is None:
            ask_owner(tx, row, "There is no card that can be charged.")
            return None
        free = allowed_at(now, refusals_of(tx, found.card.fingerprint, now), business.zone)
        if free > now:
            wait(tx, row, free, "The card was tried as often as its network allows.")
            return None
        key, key_at = row.intent_key, row.intent_key_at
        if row.intent_id is None and (key is None or key_at < clock.real() - KEY_LIVES):
            key, key_at = secrets.token_urlsafe(18), clock.real()  # an intent of an older key charges nobody
        values = {"state": "creating", "intent_key": key, "intent_key_at": key_at, "next_try_at": None}
        tx.execute(
            update(collection)
            .where(collection.c.id == row.id)
            .values(**values, ask_at=clock.real() + PATIENCE, reason="Stripe is being called")
        )
        fresh = tx.execute(select(collection).where(collection.c.id == row.id)).one()
        return _Step(fresh, found.card, found.customer, chargeable(owed))


def _tell(business: Business, step: _Step) -> None:
    """Have Stripe know the intent with the right amount, and keep its id."""
    row = step.row
    if row.intent_id is None:
        made = intents.create(
            business,
            key=row.intent_key,
            reference=row.token,
            customer=step.customer,
            amount=step.amount,
            description=f"{business.company_name}: {step.amount.currency} {row.id}",
        )
        values = {"intent_id": made.id, "amount_minor": made.amount.minor}
    elif row.amount_minor != step.amount.minor:
        changed = intents.set_amount(business, row.intent_id, step.amount)
        values = {"amount_minor": changed.amount.minor}
    else:
        return
    with transaction() as tx:
        tx.execute(update(collection).where(collection.c.id == row.id).values(**values))


def _commit_attempt(vault: Vault, collection_id: int, step: _Step) -> _Step | None:
    """Commit the attempt, if what Stripe was told is what is owed this second; None when it is not."""
    now = clock.now()
    with transaction() as tx:
        row = _lock(tx, collection_id)
        assert row is not None
        if row.state != "creating":
            return None
        owed, _ = owed_by(tx, row.id, row.currency)
        if not owed or chargeable(owed).minor != row.amount_minor or row.intent_id is None:
            return None
        key = secrets.token_urlsafe(18)
        tx.execute(
            insert(attempt).values(
                collection_id=row.id,
                card_id=step.card.id,
                amount_minor=row.amount_minor,
                currency=row.currency,
                key=key,
                at=now,
                real_at=clock.real(),
            )
        )
        held = now + settle.holds_for(load_business(tx, vault), delayed=False)
        tx.execute(
            update(collection)
            .where(collection.c.id == row.id)
            .values(state="charging", held_until=held, ask_at=clock.real() + PATIENCE, asked=0)
        )
        return _Step(row, step.card, step.customer, step.amount, key)


def _confirm(vault: Vault, business: Business, step: _Step) -> None:
    """Ask Stripe for the money, and record what came of it."""
    row = step.row
    try:
        found = intents.confirm(business, row.intent_id, key=step.attempt_key, method=step.card.method_id)
    except Unknown as error:
        settle.note_unknown(row.id, str(error))
    except Gone as error:
        settle.note_not_sent(row.id, str(error))
        _lost(vault, business, row.id, step, str(error))
    except NotSent as error:
        # Also an intent that cannot be confirmed any more: what became of it says Stripe.
        settle.note_unknown(row.id, str(error))
    else:
        settle.take(vault, found)


def _lock(tx: Connection, collection_id: int) -> Row[Any] | None:
    """The collection with its subscriber's money held still; None when it has ended."""
    subscriber_id = tx.scalar(select(collection.c.subscriber_id).where(collection.c.id == collection_id))
    lock_subscribers(tx, [subscriber_id] if subscriber_id is not None else [])
    query = select(collection).where(collection.c.id == collection_id).with_for_update()
    return tx.execute(query).one_or_none()


def _renew_key(collection_id: int) -> None:
    """Make the intent under another key next time: one that may have been made before is not confirmed by anybody."""
    with transaction() as tx:
        own = (collection.c.id == collection_id, collection.c.intent_id.is_(None))
        tx.execute(update(collection).where(*own).values(intent_key=None))


def _wait(collection_id: int, span: timedelta, because: str) -> None:
    with transaction() as tx:
        row = _lock(tx, collection_id)
        if row is not None and row.state in ("waiting", "creating"):
            wait(tx, row, clock.now() + span, because)


def _end_small(collection_id: int, because: str) -> None:
    with transaction() as tx:
        row = _lock(tx, collection_id)
        if row is not None and row.state == "creating":
            conclude(tx, row, "ended", f"too little for a card; it waits for the next invoice ({because})", clock.now())


def _lost(vault: Vault, business: Business, collection_id: int, step: _Step, because: str) -> None:
    """The card or its customer is not there any more at Stripe."""
    cards.forget(vault, business, step.card.id, because)
    _wait(collection_id, timedelta(0), f"{because} Another card is looked for.")
