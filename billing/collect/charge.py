"""A try of collections, many at once: what is owed this second, which card, and the calls; picked up where it was left.

Order of commits: the intent's idempotency key, then its creation; its id and the attempt, then its confirmation. So
whatever dies, the rows say what Stripe may know, and `settle` finds out what it does know. Calls of many collections
are under way at once, and what is to be committed at one moment is committed together.
"""

import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from base import clock
from base.bulk import copy_rows, update_rows
from base.business import Business, load_business
from base.crypto import Vault
from base.database import transaction
from base.money import Money
from billing.collect import cards, settle
from billing.collect.cases import conclude, owed_by_each
from billing.collect.pace import later, take_turns
from billing.collect.refusals import ask_owner, refusals_of_each, wait
from billing.collect.schedule import allowed_at
from billing.collect.tables import attempt, collection
from billing.gateway import intents
from billing.gateway.at_once import ask_all
from billing.gateway.offers import close_all_pages
from billing.gateway.words import Gone, Intent, NotSent, Spent, TooSmall, Unknown, chargeable, too_small
from billing.sweep import sweep_or_say

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
    intent_id: str = ""
    attempt_key: str = ""
    "Set, as the intent's id, once the attempt is committed: it may be confirmed."


def charge(vault: Vault, collection_id: int) -> None:
    """Try to collect what is due, once; harmless at any time and any number of times at once.

    Raises GatewayError (Unknown: the same again soon; nobody was charged) when the intent could not be made.
    """
    for error in charge_all(vault, [collection_id]).values():
        raise error


def charge_all(vault: Vault, collection_ids: Sequence[int]) -> dict[int, Exception]:
    """The same of many; returns what `charge` would have raised, by collection."""
    failed: dict[int, Exception] = {}
    with transaction() as tx:
        business = load_business(tx, vault)
        query = select(collection.c.id, collection.c.subscriber_id).where(collection.c.id == func.any(collection_ids))
        owners: dict[int, int] = dict(tx.execute(query).all())
    begun = time.monotonic()
    turns = dict(zip(owners, take_turns(business.stripe_calls_per_second, CALLS, len(owners)), strict=False))
    failed |= {each: later(business.stripe_calls_per_second) for each in owners.keys() - turns.keys()}
    busy = close_all_pages(vault, {owners[each] for each in turns})
    waiting = [each for each in turns if owners[each] not in busy]
    for each in turns.keys() - set(waiting):
        if (error := busy[owners[each]]) is not None:
            failed[each] = error
        else:
            _wait(each, timedelta(hours=1), "a payment on a gateway's page is under way")

    def tell(step: _Step) -> Intent | None:
        time.sleep(max(0.0, begun + turns[step.row.id] - time.monotonic()))
        return _tell(business, step)

    for _ in range(ROUNDS):
        changed: list[int] = []
        steps = sweep_or_say("charge", waiting, partial(_prepare, vault), failed)
        for answers in ask_all(tell, steps):
            told: dict[int, tuple[_Step, Intent | None]] = {}
            for step, answer in answers:
                if isinstance(answer, Exception):
                    _not_told(vault, business, step, answer, failed)
                else:
                    told[step.row.id] = (step, answer)
            ready = sweep_or_say("charge", list(told), partial(_commit_attempts, vault, told), failed)
            changed += told.keys() - {step.row.id for step in ready} - failed.keys()
            for confirmed in ask_all(partial(_confirm, business), ready):
                _take(vault, business, confirmed, failed)
        waiting = changed
    for each in waiting:
        _wait(each, PATIENCE, "what is owed changed while Stripe was told")
    return failed


def _prepare(vault: Vault, tx: Connection, collection_ids: list[int]) -> list[_Step]:
    """Decide under lock what is to be charged to which cards; where there is nothing to do now, the step is missing."""
    now = clock.now()
    business = load_business(tx, vault)
    rows = [row for row in settle.lock_all(tx, collection_ids) if _is_due(tx, row)]
    owed = {each: money for each, (money, _) in owed_by_each(tx, {row.id: row.currency for row in rows}).items()}
    found = cards.card_for_each(tx, business, rows)
    refused = refusals_of_each(tx, {each.card.fingerprint for each in found.values()}, now)
    changes: dict[int, dict[str, Any]] = {}
    for row in rows:
        if not owed[row.id]:
            conclude(tx, row, "ended", "settled another way", now)
        elif too_small(owed[row.id]):
            conclude(tx, row, "ended", "too little for a card; it waits for the next invoice", now)
        elif row.id not in found:
            ask_owner(tx, row, "There is no card that can be charged.")
        elif (free := allowed_at(now, refused.get(found[row.id].card.fingerprint, []), business.zone)) > now:
            wait(tx, row, free, "The card was tried as often as its network allows.")
        else:
            key, key_at = row.intent_key, row.intent_key_at
            if row.intent_id is None and (key is None or key_at < clock.real() - KEY_LIVES):
                key, key_at = secrets.token_urlsafe(18), clock.real()  # an intent of an older key charges nobody
            changes[row.id] = {"id": row.id, "intent_key": key, "intent_key_at": key_at}
    begun = {"state": "creating", "next_try_at": None, "reason": "Stripe is being called"}
    asked = {"ask_at": clock.real() + PATIENCE}
    update_rows(tx, collection, [{**each, **begun, **asked} for each in changes.values()])
    fresh = tx.execute(select(collection).where(collection.c.id == func.any(list(changes)))).all()
    return [_Step(row, found[row.id].card, found[row.id].customer, chargeable(owed[row.id])) for row in fresh]


def _is_due(tx: Connection, row: Row[Any]) -> bool:
    if row.state == "charging":  # whoever tried it died
        settle.ask_again(tx, row, clock.real())
    if row.state == "waiting":
        return row.next_try_at is not None and row.next_try_at <= clock.now()
    return bool(row.state == "creating")


def _tell(business: Business, step: _Step) -> Intent | None:
    """Have Stripe know the intent with the right amount; None: it does already."""
    row = step.row
    if row.intent_id is None:
        return intents.create(
            business,
            key=row.intent_key,
            reference=row.token,
            customer=step.customer,
            amount=step.amount,
            description=f"{business.company_name}: {step.amount.currency} {row.id}",
        )
    if row.amount_minor != step.amount.minor:
        return intents.set_amount(business, row.intent_id, step.amount)
    return None


def _not_told(vault: Vault, business: Business, step: _Step, error: Exception, failed: dict[int, Exception]) -> None:
    """Stripe did not take the intent, or did not say so."""
    collection_id = step.row.id
    if isinstance(error, TooSmall):
        _end_small(collection_id, str(error))
    elif isinstance(error, Gone):
        _lost(vault, business, collection_id, step, str(error))
    elif isinstance(error, NotSent):
        _wait(collection_id, PATIENCE, str(error))
    else:
        if isinstance(error, Spent):
            _renew_key(collection_id)
        failed[collection_id] = error


def _commit_attempts(
    vault: Vault, told: Mapping[int, tuple[_Step, Intent | None]], tx: Connection, collection_ids: list[int]
) -> list[_Step]:
    """Keep the intents' ids, and with them the attempts, where what Stripe was told is what is owed this second."""
    now = clock.now()
    known = {each: intent for each in collection_ids if (intent := told[each][1]) is not None}
    rows = settle.lock_all(tx, collection_ids)
    update_rows(
        tx,
        collection,
        [{"id": each, "intent_id": found.id, "amount_minor": found.amount.minor} for each, found in known.items()],
    )
    owed = owed_by_each(tx, {row.id: row.currency for row in rows})
    ready: list[_Step] = []
    for row in rows:
        step = told[row.id][0]
        amount = known[row.id].amount if row.id in known else Money(row.amount_minor, row.currency)
        money, _ = owed[row.id]
        if row.state == "creating" and money and chargeable(money).minor == amount.minor:
            intent_id = known[row.id].id if row.id in known else row.intent_id
            ready.append(_Step(row, step.card, step.customer, amount, intent_id, secrets.token_urlsafe(18)))
    copy_rows(
        tx,
        attempt,
        [
            {
                "collection_id": step.row.id,
                "card_id": step.card.id,
                "amount_minor": step.amount.minor,
                "currency": step.row.currency,
                "key": step.attempt_key,
                "at": now,
                "real_at": clock.real(),
            }
            for step in ready
        ],
    )
    held = now + settle.holds_for(load_business(tx, vault), delayed=False)
    asked = {"ask_at": clock.real() + settle.ANSWERED_WITHIN, "asked": 0}
    ids = [step.row.id for step in ready]
    tx.execute(
        update(collection).where(collection.c.id == func.any(ids)).values(state="charging", held_until=held, **asked)
    )
    return ready


def _confirm(business: Business, step: _Step) -> Intent:
    """Ask Stripe for the money."""
    return intents.confirm(business, step.intent_id, key=step.attempt_key, method=step.card.method_id)


def _take(
    vault: Vault,
    business: Business,
    confirmed: Collection[tuple[_Step, Intent | Exception]],
    failed: dict[int, Exception],
) -> None:
    """Record what came of confirmations."""
    found: list[Intent] = []
    for step, answer in confirmed:
        if isinstance(answer, Intent):
            found.append(answer)
        elif isinstance(answer, Gone):
            settle.note_not_sent(step.row.id, str(answer))
            _lost(vault, business, step.row.id, step, str(answer))
        elif isinstance(answer, (Unknown, NotSent)):
            # Also an intent that cannot be confirmed any more: what became of it says Stripe.
            settle.note_unknown(step.row.id, str(answer))
        else:
            failed[step.row.id] = answer
    told = settle.take_all(vault, found)
    failed |= {
        step.row.id: outcome
        for step, answer in confirmed
        if isinstance(answer, Intent) and isinstance(outcome := told[answer.id], Exception)
    }


def _renew_key(collection_id: int) -> None:
    """Make the intent under another key next time: one that may have been made before is not confirmed by anybody."""
    with transaction() as tx:
        own = (collection.c.id == collection_id, collection.c.intent_id.is_(None))
        tx.execute(update(collection).where(*own).values(intent_key=None))


def _wait(collection_id: int, span: timedelta, because: str) -> None:
    with transaction() as tx:
        (row,) = settle.lock_all(tx, [collection_id])
        if row.state in ("waiting", "creating"):
            wait(tx, row, clock.now() + span, because)


def _end_small(collection_id: int, because: str) -> None:
    with transaction() as tx:
        (row,) = settle.lock_all(tx, [collection_id])
        if row.state == "creating":
            conclude(tx, row, "ended", f"too little for a card; it waits for the next invoice ({because})", clock.now())


def _lost(vault: Vault, business: Business, collection_id: int, step: _Step, because: str) -> None:
    """The card or its customer is not there any more at Stripe."""
    cards.forget(vault, business, step.card.id, because)
    _wait(collection_id, timedelta(0), f"{because} Another card is looked for.")
