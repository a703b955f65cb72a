"""What a person has to look at, each kind found anew from the tables that it is about."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, and_, exists, func, or_, select

from base.calendar import add_months
from base.money import Money
from base.tables import subscriber
from billing.bank.tables import bank_line
from billing.clearing.payouts import EARLY, LATE
from billing.clearing.suspense import in_suspense
from billing.clearing.tables import payout
from billing.collect.tables import attempt, autopay, card, collection
from billing.collect.worklist import WORDS, cases
from billing.money_back.tables import gone_back


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
    step: str = ""
    "The next step in two words, where things of a kind differ in it."


def _failing(tx: Connection, today: date) -> Iterable[Found]:
    """Collections that a card refused, by their next step."""
    steps = {"waiting": "is tried again", "customer": "waits for its owner"}
    refused = set(tx.scalars(select(attempt.c.collection_id).where(attempt.c.state == "declined")))
    for each in cases(tx):
        if each.state in ("customer", "stopped") or (each.state == "waiting" and each.id in refused):
            words = f"{WORDS.get(each.state, 'given up')}. {each.reason}".strip()
            next_try = None if each.next_try_at is None else each.next_try_at.date()
            who = f"{each.account} {each.name}"
            yield Found(each.id, who, each.owed, words, next_try, steps.get(each.state, "given up"))


def _unknown(tx: Connection, today: date) -> Iterable[Found]:
    """Charges of which nobody knows what became of them, and money that has been under way for too long."""
    too_long = and_(collection.c.state == "pending", collection.c.held_until.is_(None))
    query = (
        select(collection, subscriber.c.number, subscriber.c.name)
        .join(subscriber, subscriber.c.id == collection.c.subscriber_id)
        .where(or_(collection.c.state == "unknown", too_long))
        .order_by(collection.c.id)
    )
    for row in tx.execute(query):
        amount = None if row.amount_minor is None else Money(row.amount_minor, row.currency)
        words = f"Stripe was asked {row.asked} times: {row.reason}"
        words = f"dunning waits no longer: {row.reason}" if row.state == "pending" else words
        yield Found(row.id, f"{row.number} {row.name}", amount, words)


def _bank(tx: Connection, today: date) -> Iterable[Found]:
    """Lines of the bank's statement that nobody has matched, also with a payout of Stripe's."""
    first = select(func.min(payout.c.arrives_on)).scalar_subquery()
    stripes = and_(
        bank_line.c.state == "payout",
        bank_line.c.day >= first,
        bank_line.c.day < today - EARLY,
        ~exists().where(payout.c.bank_line_id == bank_line.c.id),
    )
    query = select(bank_line).where(or_(bank_line.c.state == "queued", stripes))
    for row in tx.execute(query.order_by(bank_line.c.day, bank_line.c.id)):
        minor = row.amount_minor if row.left_minor is None else row.left_minor
        why = "no payout of Stripe's is known that it could be" if row.state == "payout" else row.why
        yield Found(row.id, "", Money(minor, row.currency), f"{row.counterparty}: {why}")


def _payouts(tx: Connection, today: date) -> Iterable[Found]:
    """Payouts that the bank sent back and none has followed, and those that its statement ought to show by now."""
    later = payout.alias("later")
    followed = exists().where(
        later.c.account == payout.c.account,
        later.c.currency == payout.c.currency,
        later.c.made_at > payout.c.made_at,
        later.c.state == "paid",
    )
    told = select(func.max(bank_line.c.day)).scalar_subquery()
    missing = and_(payout.c.state == "paid", payout.c.banked_on.is_(None), payout.c.arrives_on < told - LATE.days)
    failed = and_(payout.c.state == "failed", ~followed)
    for row in tx.execute(select(payout).where(or_(missing, failed)).order_by(payout.c.arrives_on, payout.c.id)):
        words = f"not in the bank's statement, expected on {row.arrives_on}"
        words = f"the bank did not take it: {row.failure}" if row.state == "failed" else words
        yield Found(row.id, row.payout_id, Money(row.amount_minor, row.currency), words)


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
    "payout": _payouts,
    "suspense": _suspense,
    "card": _expiring,
}
"Kind -> what finds its things; what may cost most comes first."
