"""The ledger: double entry, append-only; a correction is a reversal. Debits are positive, credits negative.

Which accounts there are is said in billing.accounts. What a subscriber owes is 'receivable' (open invoices) and
'customer_credit' (money and credit notes that no invoice has used yet) together. A closed month takes no entries.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, select, text

from base import clock
from base.bulk import copy_rows, take_ids
from base.calendar import add_months
from base.money import Money, total
from base.tables import subscriber
from billing.accounts import ACCOUNTS, BY_TAX_CLASS, PERSONAL
from billing.book_tables import month_close
from billing.books import LAWS
from billing.refused import need
from billing.tables import entry, posting

OWED = ("receivable", "customer_credit")  # together: what a subscriber owes, or has paid in advance


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of an entry; `subscriber_id` goes with the accounts in PERSONAL and with no other."""

    account: str
    subscriber_id: int | None
    amount: Money
    tax_class_id: int | None = None
    "Of accounts in BY_TAX_CLASS only; None there: of before it was kept."


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
    """Book one entry; returns its id. Raises as post_all does, and IntegrityError when it was booked before."""
    return post_all(tx, [Entry(day, text, source, tuple(postings))])[0]


def post_all(tx: Connection, entries: Sequence[Entry]) -> list[int]:
    """Book many entries in a few statements; returns their ids in the same order.

    Raises ValueError when one does not sum to zero or names an account that there is not, Refused when its month is
    closed.
    """
    for each in entries:
        _check(each)
    if entries:
        need_open(tx, min(each.day for each in entries))
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
                "tax_class_id": side.tax_class_id,
                "amount_minor": side.amount.minor,
                "currency": side.amount.currency,
            }
            for entry_id, each in zip(ids, entries, strict=True)
            for side in each.postings
            if side.amount
        ],
    )
    return ids


def first_open_day(tx: Connection) -> date | None:
    """The first day that takes entries; None while no month is closed."""
    last = tx.scalar(select(func.max(month_close.c.month)).where(month_close.c.reopened_at.is_(None)))
    return None if last is None else add_months(last, 1)


def need_open(tx: Connection, day: date) -> None:
    """Refuse a day in a closed month, with a sentence that names the first day that can be used."""
    first = first_open_day(tx)
    sentence = f"The books are closed for {day:%Y-%m}: the first day that can be used is {first}."
    need(first is None or day >= first, sentence, "day")


def _check(each: Entry) -> None:
    """Refuse before the database does, with a sentence that names the entry."""
    if not any(side.amount for side in each.postings):
        raise ValueError(f"entry {each.source} moves no money")
    for side in each.postings:
        if side.account not in ACCOUNTS:
            raise ValueError(f"entry {each.source}: there is no account {side.account!r}")
        if (side.account in PERSONAL) != (side.subscriber_id is not None):
            raise ValueError(f"entry {each.source}: exactly the postings of {', '.join(PERSONAL)} name a subscriber")
        if side.tax_class_id is not None and side.account not in BY_TAX_CLASS:
            raise ValueError(f"entry {each.source}: only postings of {', '.join(BY_TAX_CLASS)} name a tax class")
    for currency in {side.amount.currency for side in each.postings}:
        rest = total((side.amount for side in each.postings if side.amount.currency == currency), currency)
        if rest:
            raise ValueError(f"entry {each.source} does not sum to zero: {rest.minor} {currency} are left")


def receivable(tx: Connection, subscriber_id: int) -> Money:
    """What a subscriber owes by the ledger; negative: what they have paid in advance. LookupError when unknown."""
    found = receivables(tx, [subscriber_id])
    if subscriber_id not in found:
        raise LookupError(f"there is no subscriber {subscriber_id}")
    return found[subscriber_id]


def receivables(tx: Connection, subscriber_ids: Collection[int]) -> dict[int, Money]:
    """The same of many, by their ids; those who are unknown are missing."""
    query = (
        select(subscriber.c.id, subscriber.c.currency)
        .add_columns(func.coalesce(func.sum(posting.c.amount_minor), 0).label("minor"))
        .outerjoin(posting, (posting.c.subscriber_id == subscriber.c.id) & posting.c.account.in_(OWED))
        .where(subscriber.c.id == func.any(list(subscriber_ids)))
        .group_by(subscriber.c.id)
    )
    return {row.id: Money(int(row.minor), row.currency) for row in tx.execute(query)}


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
