"""The worklist of money: what a person has to look at, found anew each time, with who does and what they noted.

A thing is on it as long as its cause lasts, and gone when that is gone, whoever did it. Somebody who says that it is
done takes it off the list although its cause lasts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select
from sqlalchemy.dialects.postgresql import insert

from base import clock
from base.business import Business
from base.calendar import local_date
from base.money import Money
from billing.clearing.found import SOURCES, Found
from billing.clearing.till_tables import work_item
from billing.collect.tables import attempt
from billing.collect.worklist import cases
from billing.money_back.goes import NOT_GONE
from billing.money_back.tables import gone_back
from billing.refused import need
from billing.tables import payment


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


def sums(items: Iterable[Item]) -> list[tuple[str, str, str, int, int]]:
    """(kind, next step, currency, sum in minor units, how many), in the order of the kinds; '' where no money is."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for each in items:
        amount = each.found.amount
        key = (each.kind, each.found.step, "" if amount is None else amount.currency)
        found.setdefault(key, []).append(0 if amount is None else amount.minor)
    kinds = list(SOURCES)
    ordered = sorted(found.items(), key=lambda pair: (kinds.index(pair[0][0]), pair[0]))
    return [(*key, sum(minors), len(minors)) for key, minors in ordered]


def take(tx: Connection, business: Business, actor: str, name: str, owner: str = "") -> None:
    """Say that one looks after it, or that `owner` does. Refused when it is not on the list."""
    _say(tx, business, actor, name, owner=owner or actor)


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


@dataclass(frozen=True, slots=True)
class Today:
    """A day's collection."""

    came_in: tuple[tuple[str, Money, int], ...]
    "(method, sum, payments), by method and currency."
    to_be_tried: tuple[tuple[Money, int], ...]
    "What autopay tries by the day's end, by currency."
    failed: tuple[tuple[Money, int], ...]
    "What cards refused on the day, by currency."
    under_way: tuple[tuple[Money, int], ...]
    "Of which nobody knows yet what becomes of it, by currency."
    went_back: tuple[tuple[str, Money, int], ...]
    "(refund, reversal or dispute, sum, how many), begun on the day."


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
    back_sum = func.sum(gone_back.c.amount_minor)
    back = (
        select(gone_back.c.kind, gone_back.c.currency, back_sum, times)
        .where(gone_back.c.on_day == day, gone_back.c.way != "balance", gone_back.c.state.not_in(NOT_GONE))
        .group_by(gone_back.c.kind, gone_back.c.currency)
        .order_by(gone_back.c.kind, gone_back.c.currency)
    )
    tried: dict[str, list[int]] = {}
    waits: dict[str, list[int]] = {}
    for each in cases(tx):
        if each.state == "waiting" and each.next_try_at is not None and each.next_try_at < ends:
            tried.setdefault(each.owed.currency, []).append(each.owed.minor)
        elif each.state in ("creating", "charging", "pending", "unknown"):
            waits.setdefault(each.owed.currency, []).append(each.owed.minor)
    return Today(
        tuple((method, Money(int(minor), code), count) for method, code, minor, count in tx.execute(received)),
        tuple((Money(sum(found), code), len(found)) for code, found in sorted(tried.items())),
        tuple((Money(int(minor), code), count) for code, minor, count in tx.execute(refused)),
        tuple((Money(sum(found), code), len(found)) for code, found in sorted(waits.items())),
        tuple((kind, Money(int(minor), code), count) for kind, code, minor, count in tx.execute(back)),
    )
