"""Saved cards: left at Stripe's page by their owner, one of them the default, charged only where autopay is on.

Cards never touch us: what is kept is Stripe's name of the card and what is printed on receipts. A card belongs to one
account and mode; with another key it is not charged, and shows again when that key comes back.
"""

import contextlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from base import clock, trail
from base.business import Business, load_business
from base.calendar import local_date
from base.crypto import Vault
from base.database import transaction
from base.tables import subscriber
from billing.collect.account import current_account, learn_account
from billing.collect.cases import ask_for_charges, open_collections
from billing.collect.declines import Meaning
from billing.collect.shown import shown
from billing.collect.tables import attempt, autopay, card, collection, gateway_customer
from billing.gateway import customers
from billing.gateway.words import Gone, SavedCard, Spent
from billing.refused import need
from billing.settle import lock_subscribers

OWNERS_TURN = (Meaning.NEVER.value, Meaning.CUSTOMER.value)


@dataclass(frozen=True, slots=True)
class Chargeable:
    """A card and the customer at Stripe it belongs to."""

    card: Row[Any]
    customer: str


def customer_of(vault: Vault, subscriber_id: int) -> str:
    """The subscriber at Stripe (cus_…), made there when there is none yet. Raises GatewayError; opens transactions."""
    account = learn_account(vault)
    with transaction() as tx:
        business = load_business(tx, vault)
        who = tx.execute(select(subscriber).where(subscriber.c.id == subscriber_id)).one()
        values = {
            "subscriber_id": subscriber_id,
            "account": account.account,
            "live": account.live,
            "token": secrets.token_urlsafe(18),
            "created_at": clock.now(),
        }
        tx.execute(upsert(gateway_customer).values(values).on_conflict_do_nothing())
        row = tx.execute(
            select(gateway_customer).where(
                gateway_customer.c.subscriber_id == subscriber_id,
                gateway_customer.c.account == account.account,
                gateway_customer.c.live == account.live,
            )
        ).one()
    if row.customer_id is not None:
        return str(row.customer_id)
    try:
        made = customers.create(business, key=row.token, number=who.number, name=who.name, email=who.email)
    except Spent:  # a second customer would only be empty
        with transaction() as tx:
            fresh = update(gateway_customer).where(gateway_customer.c.id == row.id)
            tx.execute(fresh.values(token=secrets.token_urlsafe(18)))
        raise
    with transaction() as tx:
        tx.execute(update(gateway_customer).where(gateway_customer.c.id == row.id).values(customer_id=made))
    return made


def refresh(vault: Vault, customer_id: str) -> list[int]:
    """Make our cards of a customer what Stripe has: new ones, new dates, removed ones; returns those that are new.

    Raises GatewayError. Nothing for a customer of another account, or of nobody here.
    """
    with transaction() as tx:
        business = load_business(tx, vault)
        account = current_account(tx, business)
        owner = tx.execute(select(gateway_customer).where(gateway_customer.c.customer_id == customer_id)).one_or_none()
    if owner is None or account is None or (owner.account, owner.live) != (account.account, account.live):
        return []
    try:
        found = customers.list_cards(business, customer_id)
    except Gone:
        found = []
    with transaction() as tx:
        lock_subscribers(tx, [owner.subscriber_id])
        return _keep(tx, load_business(tx, vault), owner, found, clock.now())


def lose_customer(vault: Vault, customer_id: str) -> str:
    """A customer was deleted at Stripe: their cards are gone, and the next one is made anew; what became of it.

    Raises GatewayError. Nothing where Stripe still knows the customer, or they are nobody here.
    """
    with transaction() as tx:
        business = load_business(tx, vault)
    try:
        customers.list_cards(business, customer_id)
    except Gone:
        pass
    else:
        return "still there"
    refresh(vault, customer_id)
    with transaction() as tx:
        mine = update(gateway_customer).where(gateway_customer.c.customer_id == customer_id)
        lost = tx.execute(mine.values(customer_id=None, token=secrets.token_urlsafe(18))).rowcount
    return "customer forgotten" if lost else "not ours"


def remove_card(vault: Vault, actor: str, subscriber_id: int, card_id: int) -> None:
    """Take a card away, at Stripe too. Refused with a sentence; raises GatewayError when Stripe cannot be told."""
    with transaction() as tx:
        business = load_business(tx, vault)
        row = _own(tx, subscriber_id, card_id)
    with contextlib.suppress(Gone):
        customers.detach(business, row.method_id)
    with transaction() as tx:
        lock_subscribers(tx, [subscriber_id])
        _remove(tx, row.id)
        detail = {"card": shown(row)}
        trail.record(tx, actor, "card.removed", subject="subscriber", subject_id=subscriber_id, detail=detail)


def choose_default(tx: Connection, business: Business, actor: str, subscriber_id: int, card_id: int) -> None:
    """Have this card charged from now on; what waits for its owner is tried at once. Refused with a sentence."""
    lock_subscribers(tx, [subscriber_id])
    row = _own(tx, subscriber_id, card_id)
    need(row.state == "usable", "This card cannot be charged.", "card_id")
    _make_default(tx, subscriber_id, card_id)
    detail = {"card": shown(row)}
    trail.record(tx, actor, "card.default", subject="subscriber", subject_id=subscriber_id, detail=detail)
    _try_again(tx, business, subscriber_id, clock.now())


def set_autopay(tx: Connection, business: Business, actor: str, subscriber_id: int, on: bool) -> None:
    """Pay invoices by card from now on without asking, or no longer; open invoices are collected too.

    Refused with a sentence when there is no card. Switching off ends no charge that is under way.
    """
    lock_subscribers(tx, [subscriber_id])
    now = clock.now()
    if on:
        need(cards_of(tx, business, subscriber_id), "There is no card yet that can be charged.", "autopay")
        values = {"subscriber_id": subscriber_id, "author": actor, "since": now}
        tx.execute(upsert(autopay).values(values).on_conflict_do_nothing())
        open_collections(tx, business, [subscriber_id], now)
    else:
        tx.execute(autopay.delete().where(autopay.c.subscriber_id == subscriber_id))
    act = "autopay.on" if on else "autopay.off"
    trail.record(tx, actor, act, subject="subscriber", subject_id=subscriber_id, detail={})


def has_autopay(tx: Connection, subscriber_id: int) -> bool:
    """Whether a subscriber pays by card without being asked."""
    return tx.scalar(select(autopay.c.since).where(autopay.c.subscriber_id == subscriber_id)) is not None


def cards_of(tx: Connection, business: Business, subscriber_id: int) -> Sequence[Row[Any]]:
    """The cards of a subscriber that can be charged with the key of the settings, the default first."""
    return _cards_of_each(tx, business, [subscriber_id]).get(subscriber_id, [])


def _cards_of_each(tx: Connection, business: Business, subscriber_ids: Collection[int]) -> dict[int, list[Row[Any]]]:
    account = current_account(tx, business)
    if account is None:
        return {}
    query = (
        select(card, gateway_customer.c.customer_id.label("customer"))
        .join(gateway_customer, gateway_customer.c.id == card.c.customer_id)
        .where(
            card.c.subscriber_id == func.any(list(subscriber_ids)),
            card.c.state == "usable",
            gateway_customer.c.account == account.account,
            gateway_customer.c.live == account.live,
        )
        .order_by(card.c.is_default.desc(), card.c.id.desc())
    )
    today = local_date(clock.now(), business.zone)
    found: dict[int, list[Row[Any]]] = {}
    for row in tx.execute(query):
        if not is_expired(row.exp_year, row.exp_month, today):
            found.setdefault(row.subscriber_id, []).append(row)
    return found


def all_cards(tx: Connection, subscriber_id: int) -> Sequence[Row[Any]]:
    """What a subscriber sees: every card that was not removed, the default first."""
    query = select(card).where(card.c.subscriber_id == subscriber_id, card.c.state != "removed")
    return tx.execute(query.order_by(card.c.is_default.desc(), card.c.id.desc())).all()


def card_for(tx: Connection, business: Business, row: Row[Any]) -> Chargeable | None:
    """The card to charge for a `collection` row: the default; where allowed one that was not refused for it yet."""
    return card_for_each(tx, business, [row]).get(row.id)


def card_for_each(tx: Connection, business: Business, rows: Sequence[Row[Any]]) -> dict[int, Chargeable]:
    """The same for many `collection` rows, by their ids; those without a card are missing."""
    usable = _cards_of_each(tx, business, {row.subscriber_id for row in rows})
    query = (
        select(attempt.c.collection_id, attempt.c.card_id, func.array_agg(attempt.c.meaning))
        .where(attempt.c.collection_id == func.any([row.id for row in rows]), attempt.c.state == "declined")
        .group_by(attempt.c.collection_id, attempt.c.card_id)
    )
    tried: dict[int, dict[int, list[str]]] = {}
    for collection_id, card_id, meanings in tx.execute(query):
        tried.setdefault(collection_id, {})[card_id] = meanings
    found: dict[int, Chargeable] = {}
    for row in rows:
        every = usable.get(row.subscriber_id, [])
        allowed = every if business.autopay_other_card == "yes" else every[:1]
        refused = tried.get(row.id, {})
        fresh = [each for each in allowed if each.id not in refused]
        again = [each for each in allowed if each.id in refused and not set(refused[each.id]) & set(OWNERS_TURN)]
        for chosen in (fresh + again)[:1]:
            found[row.id] = Chargeable(chosen, chosen.customer)
    return found


def another_card(tx: Connection, business: Business, row: Row[Any]) -> Chargeable | None:
    """A card that was not refused for this collection yet, where the provider allows that."""
    found = card_for(tx, business, row)
    if found is None:
        return None
    refused = select(attempt.c.id).where(
        attempt.c.collection_id == row.id, attempt.c.card_id == found.card.id, attempt.c.state == "declined"
    )
    return found if tx.scalar(refused.limit(1)) is None else None


def refuse(tx: Connection, card_id: int, state: str = "refused") -> None:
    """Never charge this card again by ourselves: its issuer forbids it, or its owner took a payment back."""
    tx.execute(update(card).where(card.c.id == card_id).values(state=state, is_default=False))
    owner = tx.scalar(select(card.c.subscriber_id).where(card.c.id == card_id))
    assert owner is not None
    _default_anew(tx, owner)


def forget(vault: Vault, business: Business, card_id: int, because: str) -> None:
    """A card turned out to be gone at Stripe."""
    with transaction() as tx:
        row = tx.execute(select(card).where(card.c.id == card_id)).one()
        lock_subscribers(tx, [row.subscriber_id])
        _remove(tx, card_id)
        detail = {"card": shown(row), "because": because}
        trail.record(tx, "stripe", "card.removed", subject="subscriber", subject_id=row.subscriber_id, detail=detail)


def is_expired(year: int, month: int, today: date) -> bool:
    """Whether a card's last month is over."""
    return (today.year, today.month) > (year, month)


def _keep(tx: Connection, business: Business, owner: Row[Any], found: Sequence[SavedCard], now: datetime) -> list[int]:
    known = {row.method_id: row for row in tx.execute(select(card).where(card.c.customer_id == owner.id))}
    fresh: list[int] = []
    changed = False
    for each in reversed(found):
        facts = {"exp_year": each.exp_year, "exp_month": each.exp_month, "last4": each.last4, "brand": each.brand}
        old = known.get(each.id)
        if old is None:
            row_id = tx.scalar(
                insert(card)
                .values(
                    subscriber_id=owner.subscriber_id,
                    customer_id=owner.id,
                    method_id=each.id,
                    fingerprint=each.fingerprint,
                    created_at=now,
                    **facts,
                )
                .returning(card.c.id)
            )
            assert row_id is not None
            fresh.append(row_id)
        elif any(getattr(old, name) != value for name, value in facts.items()) or old.fingerprint != each.fingerprint:
            # its issuer has sent a new one: what was refused of the old one says nothing any more
            state = "usable" if old.state == "refused" else old.state
            values = {**facts, "fingerprint": each.fingerprint, "state": state}
            tx.execute(update(card).where(card.c.id == old.id).values(**values))
            changed = True
    for gone in known.keys() - {each.id for each in found}:
        _remove(tx, known[gone].id)
    if fresh and (_default_is_bad(tx, business, owner.subscriber_id) or _owner_is_asked(tx, owner.subscriber_id)):
        _make_default(tx, owner.subscriber_id, fresh[-1])
    _default_anew(tx, owner.subscriber_id)
    for row_id in fresh:
        row = tx.execute(select(card).where(card.c.id == row_id)).one()
        detail = {"card": shown(row)}
        actor = f"subscriber:{owner.subscriber_id}"
        trail.record(tx, actor, "card.added", subject="subscriber", subject_id=owner.subscriber_id, detail=detail)
    if fresh or changed:
        open_collections(tx, business, [owner.subscriber_id], now)
        _try_again(tx, business, owner.subscriber_id, now)
    return fresh


def _try_again(tx: Connection, business: Business, subscriber_id: int, now: datetime) -> None:
    """One try at once of whatever failed before: there is a new card, or a new choice."""
    if not has_autopay(tx, subscriber_id) or not cards_of(tx, business, subscriber_id):
        return
    failed = select(attempt.c.collection_id).where(attempt.c.state == "declined")
    revived = tx.scalars(
        update(collection)
        .where(
            collection.c.subscriber_id == subscriber_id,
            (collection.c.state == "customer") | ((collection.c.state == "waiting") & collection.c.id.in_(failed)),
        )
        .values(state="waiting", next_try_at=now, reason="There is another card.")
        .returning(collection.c.id)
    )
    ask_for_charges(tx, list(revived), now)


def _owner_is_asked(tx: Connection, subscriber_id: int) -> bool:
    query = select(collection.c.id).where(collection.c.subscriber_id == subscriber_id, collection.c.state == "customer")
    return tx.scalar(query.limit(1)) is not None


def _default_is_bad(tx: Connection, business: Business, subscriber_id: int) -> bool:
    row = tx.execute(select(card).where(card.c.subscriber_id == subscriber_id, card.c.is_default)).one_or_none()
    today = local_date(clock.now(), business.zone)
    return row is None or row.state != "usable" or is_expired(row.exp_year, row.exp_month, today)


def _default_anew(tx: Connection, subscriber_id: int) -> None:
    """Where there is no default, the newest card that can be charged is."""
    query = select(card.c.id, card.c.is_default).where(card.c.subscriber_id == subscriber_id, card.c.state == "usable")
    rows = tx.execute(query.order_by(card.c.id.desc())).all()
    if rows and not any(row.is_default for row in rows):
        _make_default(tx, subscriber_id, rows[0].id)


def _make_default(tx: Connection, subscriber_id: int, card_id: int) -> None:
    tx.execute(update(card).where(card.c.subscriber_id == subscriber_id, card.c.is_default).values(is_default=False))
    tx.execute(update(card).where(card.c.id == card_id).values(is_default=True))


def _remove(tx: Connection, card_id: int) -> None:
    refuse(tx, card_id, "removed")


def _own(tx: Connection, subscriber_id: int, card_id: int) -> Row[Any]:
    query = select(card).where(card.c.id == card_id, card.c.subscriber_id == subscriber_id, card.c.state != "removed")
    row = tx.execute(query).one_or_none()
    need(row is not None, "There is no such card.", "card_id")
    assert row is not None
    return row
