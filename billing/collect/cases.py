"""Which invoices are collected from a card, and when: a collection per invoice, opened where autopay is on.

Law: an invoice is in one living collection at most, and nothing here calls Stripe.
"""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, exists, func, select, text, update

from base import clock, jobs, trail
from base.bulk import copy_rows, take_ids
from base.business import Business
from base.calendar import local_date
from base.money import Money, total
from billing.collect.account import current_account
from billing.collect.schedule import MORNING
from billing.collect.shown import shown
from billing.collect.tables import autopay, card, collected, collection, gateway_customer
from billing.gateway.words import too_small
from billing.instalments.agreed import in_plan
from billing.instalments.tables import instalment_part
from billing.links import link_to
from billing.refused import need
from billing.tables import invoice, open_item


@dataclass(frozen=True, slots=True)
class Owed:
    """An open invoice that nothing collects yet."""

    invoice_id: int
    issued_on: date
    due_on: date
    open: Money


def open_collections(tx: Connection, business: Business, payer_ids: Collection[int], now: datetime) -> list[int]:
    """Have what these payers owe collected, where autopay is on and a card can be charged; the payers are locked.

    Invoices issued longer ago than `autopay_age_days` are left alone, so that a switch never collects old debts. What
    is too small for a card waits for the next invoice. Returns the collections.
    """
    account = current_account(tx, business)
    if account is None or not payer_ids:
        return []
    found = _uncollected(tx, business, list(payer_ids), now, account.account, account.live)
    groups = [(payer, part) for payer, items in found.items() for part in gather(items)]
    ids = take_ids(tx, collection, len(groups))
    copy_rows(
        tx,
        collection,
        [
            {
                "id": collection_id,
                "subscriber_id": payer,
                "currency": items[0].open.currency,
                "token": secrets.token_urlsafe(18),
                "state": "waiting",
                "next_try_at": first_try(business, items[0], now),
                "reason": f"autopay: {_WHEN[business.autopay_when]}",
                "opened_at": now,
            }
            for collection_id, (payer, items) in zip(ids, groups, strict=True)
        ],
    )
    copy_rows(
        tx,
        collected,
        [
            {"collection_id": collection_id, "invoice_id": each.invoice_id}
            for collection_id, (_, items) in zip(ids, groups, strict=True)
            for each in items
        ],
    )
    ask_for_charges(tx, ids, now)
    return ids


_PAGES = text(
    "SELECT id FROM checkout WHERE state = 'open' AND EXISTS (SELECT FROM jsonb_array_elements_text(invoice_ids) named "
    "WHERE CAST(named AS bigint) = ANY(:ids))"
)
_WHEN = {"issue": "on issue", "days": "some days after issue", "due": "on the due date"}


def gather(items: Sequence[Owed]) -> list[list[Owed]]:
    """One collection per invoice; those too small for a card go with another, or wait when there is none."""
    large = [[each] for each in items if not too_small(each.open)]
    small = [each for each in items if too_small(each.open)]
    if not small:
        return large
    if large:
        return [[*large[0], *small], *large[1:]]
    together = total((each.open for each in small), small[0].open.currency)
    return [] if too_small(together) else [small]


def first_try(business: Business, owed: Owed, now: datetime) -> datetime:
    """When an invoice is first charged: at once, some days after its issue, or on its due date, in the morning."""
    if business.autopay_when == "issue":
        return now
    day = owed.due_on if business.autopay_when == "due" else owed.issued_on + timedelta(days=business.autopay_days)
    return max(now, datetime.combine(day, MORNING, business.zone).astimezone(UTC))


def ask_for_charges(tx: Connection, collection_ids: Iterable[int], now: datetime) -> None:
    """Have the tries that are due made after the commit, each once."""
    due = select(collection.c.id, collection.c.next_try_at).where(
        collection.c.id == func.any(list(collection_ids)),
        collection.c.state == "waiting",
        collection.c.next_try_at <= now,
    )
    payloads = {f"charge:{row.id}:{row.next_try_at.isoformat()}": {"collection_id": row.id} for row in tx.execute(due)}
    jobs.enqueue_all(tx, jobs.Kind.CHARGE_CARD, payloads)


def announced_charge(tx: Connection, business: Business, invoice_id: int) -> tuple[str, date] | None:
    """Which card an invoice will be charged to and on which day, as its mail says; None where none is."""
    query = (
        select(card.c.brand, card.c.last4, collection.c.next_try_at)
        .join(collected, collected.c.collection_id == collection.c.id)
        .join(card, card.c.subscriber_id == collection.c.subscriber_id)
        .where(collected.c.invoice_id == invoice_id, collected.c.alive, collection.c.state == "waiting")
        .where(card.c.is_default, card.c.state == "usable")
    )
    row = tx.execute(query).one_or_none()
    return None if row is None else (shown(row), local_date(row.next_try_at, business.zone))


def pay_page(tx: Connection, collection_id: int) -> str:
    """Where what a collection collects can be paid otherwise, without logging in."""
    own = select(func.min(collected.c.invoice_id)).where(collected.c.collection_id == collection_id)
    invoice_id = tx.scalar(own)
    assert invoice_id is not None
    return link_to(tx, invoice_id)


def end_settled(tx: Connection, invoice_ids: Collection[int]) -> None:
    """Have collections and payment pages closed after the commit, whose invoices have just been settled another way."""
    if not invoice_ids:
        return
    query = (
        select(collected.c.collection_id)
        .where(collected.c.invoice_id == func.any(list(invoice_ids)), collected.c.alive)
        .distinct()
    )
    payloads = {
        f"uncollect:{collection_id}:{secrets.token_hex(8)}": {"collection_id": collection_id}
        for collection_id in tx.scalars(query)
    }
    jobs.enqueue_all(tx, jobs.Kind.END_COLLECTION, payloads)
    pages = list(tx.scalars(_PAGES, {"ids": list(invoice_ids)}))
    if pages:
        jobs.enqueue(tx, jobs.Kind.CLOSE_PAGES, {"checkout_ids": pages}, key=f"close:{secrets.token_hex(8)}")


def try_now(tx: Connection, actor: str, collection_id: int) -> None:
    """Have a collection tried at once that waits for later or for its owner. Refused with a sentence."""
    now = clock.now()
    resting = (collection.c.id == collection_id, collection.c.state.in_(("waiting", "customer")))
    values = {"state": "waiting", "next_try_at": now, "reason": f"asked for by {actor}"}
    row = tx.execute(update(collection).where(*resting).values(**values).returning(collection)).one_or_none()
    need(row is not None, "There is no such collection that waits.", "collection_id")
    assert row is not None
    detail = {"collection_id": collection_id}
    trail.record(tx, actor, "collection.now", subject="subscriber", subject_id=row.subscriber_id, detail=detail)
    ask_for_charges(tx, [collection_id], now)


def owed_by(tx: Connection, collection_id: int, currency: str) -> tuple[Money, list[int]]:
    """What is still owed of what a collection collects, and on which invoices; of an instalment plan: what is due."""
    return owed_by_each(tx, {collection_id: currency})[collection_id]


def owed_by_each(tx: Connection, currencies: Mapping[int, str]) -> dict[int, tuple[Money, list[int]]]:
    """The same of many collections, given with their currencies."""
    ids = func.any(list(currencies))
    query = (
        select(collected.c.collection_id, open_item.c.invoice_id, open_item.c.open_minor)
        .join(collected, collected.c.invoice_id == open_item.c.invoice_id)
        .where(collected.c.collection_id == ids, collected.c.alive)
        .order_by(open_item.c.invoice_id)
    )
    later = (
        select(collection.c.id, func.sum(instalment_part.c.amount_minor))
        .join(instalment_part, instalment_part.c.plan_id == collection.c.plan_id)
        .where(collection.c.id == ids, instalment_part.c.due_on > collection.c.parts_until)
        .group_by(collection.c.id)
    )
    minor = dict.fromkeys(currencies, 0)
    invoices: dict[int, list[int]] = {each: [] for each in currencies}
    for row in tx.execute(query):
        minor[row.collection_id] += row.open_minor
        invoices[row.collection_id].append(row.invoice_id)
    for collection_id, to_come in tx.execute(later):
        minor[collection_id] = max(0, minor[collection_id] - int(to_come))
    return {each: (Money(minor[each], currency), invoices[each]) for each, currency in currencies.items()}


def conclude(tx: Connection, row: Row[Any], state: str, reason: str, now: datetime) -> None:
    """End a collection ('paid' or 'ended'): its invoices are free for another."""
    conclude_all(tx, [row.id], state, reason, now)


def conclude_all(tx: Connection, collection_ids: Collection[int], state: str, reason: str, now: datetime) -> None:
    """The same for many."""
    ids = func.any(list(collection_ids))
    values = {"state": state, "reason": reason, "next_try_at": None, "ask_at": None, "asked": 0, "held_until": None}
    tx.execute(update(collection).where(collection.c.id == ids).values(**values, ended_at=now))
    tx.execute(update(collected).where(collected.c.collection_id == ids).values(alive=False))


def leave_to_plan(tx: Connection, invoice_ids: Collection[int], now: datetime) -> None:
    """End the collections of these invoices, which are paid in parts from now on; refused while money is under way."""
    query = (
        select(collection)
        .join(collected, collected.c.collection_id == collection.c.id)
        .where(collected.c.invoice_id == func.any(list(invoice_ids)), collected.c.alive)
        .distinct()
    )
    for row in tx.execute(query).all():
        busy = row.state in ("charging", "pending", "unknown")
        need(not busy, "A card payment for it is under way: wait until it is known what becomes of it.", "invoice_id")
        conclude(tx, row, "ended", "paid in instalments", now)


def _uncollected(
    tx: Connection, business: Business, payers: list[int], now: datetime, account: str, live: bool
) -> Mapping[int, list[Owed]]:
    """What of these payers' debts nothing collects yet, of those who pay by card by themselves."""
    usable = (
        exists()
        .where(card.c.customer_id == gateway_customer.c.id, card.c.subscriber_id == open_item.c.subscriber_id)
        .where(card.c.state == "usable", gateway_customer.c.account == account, gateway_customer.c.live == live)
    )
    taken = exists().where(collected.c.invoice_id == open_item.c.invoice_id, collected.c.alive)
    youngest = now.astimezone(business.zone).date() - timedelta(days=business.autopay_age_days)
    query = (
        select(open_item, invoice.c.issued_on)
        .join(invoice, invoice.c.id == open_item.c.invoice_id)
        .join(autopay, autopay.c.subscriber_id == open_item.c.subscriber_id)
        # what its owner has got back is not charged again without asking
        .where(open_item.c.subscriber_id == func.any(payers), ~open_item.c.reopened)
        .where(invoice.c.issued_on >= youngest, usable, ~taken, ~in_plan())
        .order_by(open_item.c.due_on, open_item.c.invoice_id)
    )
    found: dict[int, list[Owed]] = {}
    for row in tx.execute(query):
        owed = Owed(row.invoice_id, row.issued_on, row.due_on, Money(row.open_minor, row.currency))
        found.setdefault(row.subscriber_id, []).append(owed)
    return found
