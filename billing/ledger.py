"""The ledger: double entry, append-only; a correction is a reversal. Debits are positive, credits negative.

Accounts of subscribers: 'receivable' (what they owe by open invoices), 'customer_credit' (money and credit notes that
no invoice has used yet), 'deposits' (theirs until the service ends). Ours: 'revenue', 'tax', 'bad_debt', and 'bank',
'cash', 'stripe' where money lies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, select, text

from base import clock
from base.bulk import copy_rows, take_ids
from base.money import Money, total
from base.tables import subscriber
from billing.books import LAWS
from billing.tables import entry, posting

OWED = ("receivable", "customer_credit")  # together: what a subscriber owes, or has paid in advance
PERSONAL = (*OWED, "deposits")  # accounts whose postings name the subscriber
ACCOUNTS = (*PERSONAL, "revenue", "tax", "bad_debt", "bank", "cash", "stripe")


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of an entry; `subscriber_id` goes with the accounts in PERSONAL and with no other."""

    account: str
    subscriber_id: int | None
    amount: Money


@dataclass(frozen=True, slots=True)
class Entry:
    """What is booked on `day` because of `source` ('invoice:7', 'payment:3'), which is booked once, ever."""

    day: date
    text: str
    source: str
    postings: tuple[Posting, ...]


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One entry as it touched a subscriber's account, with what they owed after it."""

    entry_id: int
    day: date
    text: str
    source: str
    amount: Money
    "Positive: they owe more."
    balance: Money


def post(tx: Connection, day: date, text: str, source: str, postings: Sequence[Posting]) -> int:
    """Book one entry; returns its id. ValueError when it does not sum to zero, IntegrityError when booked before."""
    return post_all(tx, [Entry(day, text, source, tuple(postings))])[0]


def post_all(tx: Connection, entries: Sequence[Entry]) -> list[int]:
    """Book many entries in two statements; returns their ids in the same order."""
    for each in entries:
        _check(each)
    now = clock.now()
    ids = take_ids(tx, entry, len(entries))
    copy_rows(
        tx,
        entry,
        [
            {"id": entry_id, "day": each.day, "text": each.text, "source": each.source, "created_at": now}
            for entry_id, each in zip(ids, entries, strict=True)
        ],
    )
    copy_rows(
        tx,
        posting,
        [
            {
                "entry_id": entry_id,
                "account": side.account,
                "subscriber_id": side.subscriber_id,
                "amount_minor": side.amount.minor,
                "currency": side.amount.currency,
            }
            for entry_id, each in zip(ids, entries, strict=True)
            for side in each.postings
            if side.amount
        ],
    )
    return ids


def _check(each: Entry) -> None:
    """Refuse before the database does, with a sentence that names the entry."""
    if not any(side.amount for side in each.postings):
        raise ValueError(f"entry {each.source} moves no money")
    for side in each.postings:
        if side.account not in ACCOUNTS:
            raise ValueError(f"entry {each.source}: there is no account {side.account!r}")
        if (side.account in PERSONAL) != (side.subscriber_id is not None):
            raise ValueError(f"entry {each.source}: exactly the postings of {', '.join(PERSONAL)} name a subscriber")
    for currency in {side.amount.currency for side in each.postings}:
        rest = total((side.amount for side in each.postings if side.amount.currency == currency), currency)
        if rest:
            raise ValueError(f"entry {each.source} does not sum to zero: {rest.minor} {currency} are left")


def receivable(tx: Connection, subscriber_id: int) -> Money:
    """What a subscriber owes by the ledger; negative: what they have paid in advance. LookupError when unknown."""
    row = tx.execute(
        select(subscriber.c.currency, func.coalesce(func.sum(posting.c.amount_minor), 0).label("minor"))
        .outerjoin(posting, (posting.c.subscriber_id == subscriber.c.id) & posting.c.account.in_(OWED))
        .where(subscriber.c.id == subscriber_id)
        .group_by(subscriber.c.currency)
    ).one_or_none()
    if row is None:
        raise LookupError(f"there is no subscriber {subscriber_id}")
    return Money(int(row.minor), row.currency)


def statement(tx: Connection, subscriber_id: int) -> list[StatementLine]:
    """A subscriber's account, oldest first: the balance is a function of the entries in order of (day, id)."""
    query = (
        select(
            entry.c.id,
            entry.c.day,
            entry.c.text,
            entry.c.source,
            posting.c.currency,
            func.sum(posting.c.amount_minor).label("minor"),
        )
        .join(entry, entry.c.id == posting.c.entry_id)
        .where(posting.c.account.in_(OWED), posting.c.subscriber_id == subscriber_id)
        .group_by(entry.c.id, posting.c.currency)
        .having(func.sum(posting.c.amount_minor) != 0)  # credit that an invoice used moves nothing for the subscriber
        .order_by(entry.c.day, entry.c.id)
    )
    lines: list[StatementLine] = []
    for row in tx.execute(query):
        amount = Money(int(row.minor), row.currency)
        balance = lines[-1].balance + amount if lines else amount
        lines.append(StatementLine(row.id, row.day, row.text, row.source, amount, balance))
    return lines


def check_books(tx: Connection) -> list[str]:
    """A sentence (amounts in minor units) for each row that breaks a law of billing.books; none when all is right."""
    return [sentence.format(**row._mapping) for sentence, query in LAWS for row in tx.execute(text(query))]
