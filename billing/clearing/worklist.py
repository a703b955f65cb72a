"""The worklist of money: what a person has to look at, found anew each time, with who does and what they noted.

A thing is on it as long as its cause lasts, and gone when that is gone, whoever did it. Somebody who says that it is
done takes it off the list although its cause lasts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from base import clock
from base.business import Business
from base.calendar import add_months, local_date
from base.money import Money
from base.tables import subscriber
from billing.bank.tables import bank_line
from billing.clearing.suspense import in_suspense
from billing.clearing.till_tables import work_item
from billing.collect.tables import attempt, autopay, card, collection
from billing.collect.worklist import WORDS, cases
from billing.money_back.tables import gone_back
from billing.refused import need
from billing.tables import payment


@dataclass(frozen=True, slots=True)
class Found:
    """Something that a person has to look at."""

    subject_id: int
    who: str
    "Account number and name; '' where it is nobody's yet."
    amount: Money | None
    what: str
    "In a few words: what it is, and the next step."
    due: date | None = None
    "When the next step is taken by itself."


@dataclass(frozen=True, slots=True)
class Item:
    """It, with what staff said."""

    kind: str
    found: Found
    owner: str
    note: str
    next_on: date | None

    @property
    def name(self) -> str:
        """How staff name it: failing:7."""
        return f"{self.kind}:{self.found.subject_id}"


def worklist(tx: Connection, business: Business, *, owner: str = "", by: date | None = None) -> list[Item]:
    """All that is to be looked at, what has a next date first; `owner`: theirs only; `by`: due by that day only."""
    today = local_date(clock.now(), business.zone)
    said = {(row.kind, row.subject_id): row for row in tx.execute(select(work_item))}
    items = []
    for kind, find in SOURCES.items():
        for found in find(tx, today):
            row: Row[Any] | None = said.get((kind, found.subject_id))
            if row is None:
                items.append(Item(kind, found, "", "", None))
            elif row.done_at is None:
                items.append(Item(kind, found, row.owner, row.note, row.next_on))
    items = [each for each in items if not owner or each.owner == owner]
    if by is not None:
        items = [each for each in items if each.next_on is None or each.next_on <= by]
    return sorted(items, key=lambda each: (each.next_on or date.max, list(SOURCES).index(each.kind)))


def take(tx: Connection, business: Business, actor: str, name: str) -> None:
    """Say that one looks after it. Refused when it is not on the list."""
    _say(tx, business, actor, name, owner=actor)


def note(tx: Connection, business: Business, actor: str, name: str, words: str, next_on: date | None = None) -> None:
    """Note something, and when it is looked at next. Refused when it is not on the list."""
    _say(tx, business, actor, name, note=words, **({} if next_on is None else {"next_on": next_on}))


def done(tx: Connection, business: Business, actor: str, name: str, words: str = "") -> None:
    """Take it off the list although its cause lasts. Refused when it is not on the list."""
    _say(tx, business, actor, name, done_at=clock.now(), **({"note": words} if words else {}))


def _say(tx: Connection, business: Business, actor: str, name: str, **values: Any) -> None:
    kind, _, number = name.partition(":")
    known = kind in SOURCES and number.isdecimal()
    need(known, f"{name!r} is not a name such as failing:7; there are {', '.join(SOURCES)}.", "name")
    today = local_date(clock.now(), business.zone)
    there = any(each.subject_id == int(number) for each in SOURCES[kind](tx, today))
    need(there, f"{name} is not on the list: its cause is gone.", "name")
    values |= {"author": actor, "changed_at": clock.now()}
    row = insert(work_item).values(kind=kind, subject_id=int(number), **values)
    tx.execute(row.on_conflict_do_update(index_elements=["kind", "subject_id"], set_=values))


def _failing(tx: Connection, today: date) -> Iterable[Found]:
    """Collections that a card refused, by their next step."""
    refused = set(tx.scalars(select(attempt.c.collection_id).where(attempt.c.state == "declined")))
    for each in cases(tx):
        if each.state in ("customer", "stopped") or (each.state == "waiting" and each.id in refused):
            words = f"{WORDS.get(each.state, 'given up')}. {each.reason}".strip()
            next_try = None if each.next_try_at is None else each.next_try_at.date()
            yield Found(each.id, f"{each.account} {each.name}", each.owed, words, next_try)


def _unknown(tx: Connection, today: date) -> Iterable[Found]:
    query = (
        select(collection, subscriber.c.number, subscriber.c.name)
        .join(subscriber, subscriber.c.id == collection.c.subscriber_id)
        .where(collection.c.state == "unknown")
        .order_by(collection.c.id)
    )
    for row in tx.execute(query):
        amount = None if row.amount_minor is None else Money(row.amount_minor, row.currency)
        yield Found(row.id, f"{row.number} {row.name}", amount, f"Stripe was asked {row.asked} times: {row.reason}")


def _bank(tx: Connection, today: date) -> Iterable[Found]:
    """Lines of the bank's statement that nobody has matched."""
    query = select(bank_line).where(bank_line.c.state == "queued").order_by(bank_line.c.day, bank_line.c.id)
    for row in tx.execute(query):
        yield Found(row.id, "", Money(row.amount_minor, row.currency), f"{row.counterparty}: {row.why}")


def _disputes(tx: Connection, today: date) -> Iterable[Found]:
    """Disputes that are not decided."""
    return _gone_back(tx, "dispute", ("inquiry", "open"))


def _refunds(tx: Connection, today: date) -> Iterable[Found]:
    """Refunds of which nobody knows yet whether Stripe made them."""
    return _gone_back(tx, "refund", ("unknown",))


def _gone_back(tx: Connection, kind: str, states: Sequence[str]) -> Iterable[Found]:
    query = (
        select(gone_back, subscriber.c.number, subscriber.c.name)
        .join(subscriber, subscriber.c.id == gone_back.c.subscriber_id)
        .where(gone_back.c.kind == kind, gone_back.c.state.in_(states))
        .order_by(gone_back.c.id)
    )
    for row in tx.execute(query):
        amount = Money(row.amount_minor, row.currency)
        yield Found(row.id, f"{row.number} {row.name}", amount, f"{row.state}: {row.reason}")


def _expiring(tx: Connection, today: date) -> Iterable[Found]:
    """Cards that are charged without asking, and end this month or the next, or have ended."""
    last = add_months(today.replace(day=1), 1)
    query = (
        select(card, subscriber.c.number, subscriber.c.name)
        .join(subscriber, subscriber.c.id == card.c.subscriber_id)
        .join(autopay, autopay.c.subscriber_id == card.c.subscriber_id)
        .where(
            card.c.is_default,
            card.c.state == "usable",
            or_(card.c.exp_year < last.year, and_(card.c.exp_year == last.year, card.c.exp_month <= last.month)),
        )
        .order_by(card.c.exp_year, card.c.exp_month, card.c.id)
    )
    for row in tx.execute(query):
        words = f"{row.brand} …{row.last4} until {row.exp_month:02d}/{row.exp_year}"
        yield Found(row.id, f"{row.number} {row.name}", None, words)


def _suspense(tx: Connection, today: date) -> Iterable[Found]:
    for row in in_suspense(tx):
        yield Found(row.id, "", Money(row.amount_minor, row.currency), f"{row.txn_id} {row.description}")


SOURCES: dict[str, Callable[[Connection, date], Iterable[Found]]] = {
    "unknown": _unknown,
    "refund": _refunds,
    "dispute": _disputes,
    "failing": _failing,
    "bank": _bank,
    "suspense": _suspense,
    "card": _expiring,
}
"Kind -> what finds its things; what may cost most comes first."


@dataclass(frozen=True, slots=True)
class Today:
    """A day's collection."""

    came_in: tuple[tuple[str, Money, int], ...]
    "(method, sum, payments), by method and currency."
    to_be_tried: tuple[tuple[Money, int], ...]
    "What autopay tries by the day's end, by currency."
    failed: tuple[tuple[Money, int], ...]
    "What cards refused on the day, by currency."


def todays_collection(tx: Connection, day: date, begins: datetime, ends: datetime) -> Today:
    """What came in on a day, what autopay will try until its end, what failed; the day is [begins, ends)."""
    amount, times = func.sum(payment.c.amount_minor), func.count()
    received = (
        select(payment.c.method, payment.c.currency, amount, times)
        .where(payment.c.received_on == day, payment.c.method != "opening")
        .group_by(payment.c.method, payment.c.currency)
        .order_by(payment.c.method, payment.c.currency)
    )
    refused = (
        select(attempt.c.currency, func.sum(attempt.c.amount_minor), times)
        .where(attempt.c.state == "declined", attempt.c.at >= begins, attempt.c.at < ends)
        .group_by(attempt.c.currency)
        .order_by(attempt.c.currency)
    )
    tried: dict[str, list[int]] = {}
    for each in cases(tx):
        if each.state == "waiting" and each.next_try_at is not None and each.next_try_at < ends:
            tried.setdefault(each.owed.currency, []).append(each.owed.minor)
    return Today(
        tuple((method, Money(int(minor), code), count) for method, code, minor, count in tx.execute(received)),
        tuple((Money(sum(found), code), len(found)) for code, found in sorted(tried.items())),
        tuple((Money(int(minor), code), count) for code, minor, count in tx.execute(refused)),
    )
