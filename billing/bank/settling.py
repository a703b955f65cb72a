"""What becomes of a bank line: money of somebody, recorded in the same transaction, or a place in the queue.

Law: a line is money once. Its row is locked, its state and its payments change together, and money comes in through
billing.payments.record_payment alone. Whoever settles lines holds a book of all who pay, and looks at a payer's debts
anew under their lock before money goes.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from base.business import Business, load_business
from base.calendar import local_date
from base.crypto import Vault
from base.database import transaction
from base.money import Money
from base.tables import subscriber
from billing.bank.book import Book, Owed, Paid, Payer
from billing.bank.intake import LOCK
from billing.bank.match import Match, Part, Unsure, as_unsure, match
from billing.bank.references import digits_in
from billing.bank.statement import Line
from billing.bank.tables import bank_line, payer_account
from billing.ledger import first_open_day
from billing.payments import record_payment
from billing.refused import Refused
from billing.settle import lock_subscribers, open_by_subscriber
from billing.tables import invoice, open_item, series

AUTHOR = "bank"
AT_ONCE = 25
"Lines in a transaction: receipts have numbers without gaps, so whoever else is paid waits for its end."


def new_lines(tx: Connection) -> list[int]:
    """The lines that nobody has looked at, the oldest first."""
    return list(tx.scalars(select(bank_line.c.id).where(bank_line.c.state == "new").order_by(bank_line.c.id)))


def load_book(tx: Connection, currency: str, line_ids: Collection[int]) -> Book:
    """Everybody who pays in `currency`, and what these lines may name beside what is open."""
    book = Book(currency)
    owed: dict[int, list[Owed]] = {}
    query = (
        select(open_item, invoice.c.number)
        .join(invoice, invoice.c.id == open_item.c.invoice_id)
        .where(open_item.c.currency == currency)
        .order_by(open_item.c.due_on, open_item.c.invoice_id)
    )
    for row in tx.execute(query):
        each = Owed(row.invoice_id, row.number, row.due_on, Money(row.open_minor, currency))
        owed.setdefault(row.subscriber_id, []).append(each)
    people = select(subscriber.c.id, subscriber.c.number, subscriber.c.name).where(subscriber.c.currency == currency)
    for row in tx.execute(people.order_by(subscriber.c.id)):
        book.put(Payer(row.id, row.number, row.name, tuple(owed.get(row.id, ()))))
    columns = (bank_line.c.text, bank_line.c.end_to_end, bank_line.c.iban)
    lines = tx.execute(select(*columns).where(bank_line.c.id == func.any(list(line_ids)))).all()
    book.put_paid(_paid(tx, currency, {each for row in lines for each in digits_in(f"{row.text} | {row.end_to_end}")}))
    ibans = sorted({row.iban for row in lines if row.iban})
    for row in tx.execute(select(payer_account).where(payer_account.c.iban == func.any(ibans))):
        book.accounts.setdefault(row.iban, {})[row.subscriber_id] = row.times
    return book


def settle_all(vault: Vault, now: datetime, tell: Callable[[int, int], None] = lambda done, of: None) -> Counter[str]:
    """Settle all new lines in transactions of their own, a few lines each; how many came to each state.

    Killed in the middle, the next call goes on. `tell` hears how many of how many lines are done.
    """
    done: Counter[str] = Counter()
    with transaction() as tx:
        ids = new_lines(tx)
        book = load_book(tx, load_business(tx, vault).currency, ids) if ids else None
    at = 0
    while book is not None and at < len(ids):
        with transaction() as tx:
            states = settle_lines(tx, vault, load_business(tx, vault), book, ids[at : at + AT_ONCE], now)
        done.update(states)
        at += len(states)
        tell(at, len(ids))
    return done


def settle_lines(
    tx: Connection, vault: Vault, business: Business, book: Book, line_ids: Sequence[int], now: datetime
) -> list[str]:
    """Settle lines in this order; the caller commits. Returns the states of those that were looked at, at least one.

    The payers are locked before the first receipt takes its number, all in one order, as everywhere; a line that turns
    out to be of somebody else meanwhile, and all after it, are left for the next call.
    """
    tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    query = select(bank_line).where(bank_line.c.id == func.any(list(line_ids))).with_for_update()
    rows = {row.id: row for row in tx.execute(query)}
    foreseen = {each: _look(rows[each], book) for each in line_ids if rows[each].state == "new"}
    held = {payer for found in foreseen.values() for payer in _payers(found)}
    lock_subscribers(tx, held)
    _refresh(tx, book, held)
    states: list[str] = []
    for line_id in line_ids:
        row = rows[line_id]
        if row.state == "new":
            found = _look(row, book)
            if states and not held.issuperset(_payers(found)):
                break
            states.append(_settle(tx, vault, business, book, row, found, now))
        else:
            states.append(row.state)
    return states


def _payers(found: Match | Unsure) -> set[int]:
    return {part.subscriber_id for part in found.parts} if isinstance(found, Match) else set()


def pay(
    tx: Connection, vault: Vault, business: Business, row: Row[Any], parts: Sequence[Part], author: str, now: datetime
) -> tuple[list[int], str]:
    """Record the parts of a locked line as payments: (their ids, what is to be said about their day).

    Raises Refused as record_payment does. The caller changes the line in the same transaction.
    """
    lock_subscribers(tx, {part.subscriber_id for part in parts})
    today = local_date(now, business.zone)
    first_open = first_open_day(tx)
    day, remark = min(row.day, today), ""
    if first_open is not None and day < first_open:
        day, remark = today, f"The books are closed for {row.day:%Y-%m}: received on {today}."
    ids = []
    for part in parts:
        recorded = record_payment(
            tx, vault, business,
            subscriber_id=part.subscriber_id, amount=part.amount, method="transfer", author=author,
            invoice_ids=part.invoice_ids, note=note_of(row), now=now, received_on=day,
        )  # fmt: skip
        ids.append(recorded.payment_id)
        if row.iban:
            _learn(tx, row, part.subscriber_id)
    return ids, remark


def decide(tx: Connection, line_id: int, state: str, author: str, now: datetime, **values: Any) -> None:
    """Write what became of a line that the caller has locked."""
    changes = {"state": state, "author": author, "decided_at": now, **values}
    tx.execute(update(bank_line).where(bank_line.c.id == line_id).values(**changes))


def as_line(row: Row[Any]) -> Line:
    """A row as the value that is matched."""
    return Line(
        at=row.at_line,
        day=row.day,
        amount=Money(row.amount_minor, row.currency),
        name=row.counterparty,
        iban=row.iban,
        text=row.text,
        bank_reference=row.bank_reference,
        end_to_end=row.end_to_end,
        returned=row.returned,
    )


def note_of(row: Row[Any]) -> str:
    """What the payment says about itself: its line, who sent it and their words."""
    return " · ".join(part for part in (f"Bank line {row.id}", row.counterparty, row.text[:140]) if part)


def _look(row: Row[Any], book: Book) -> Match | Unsure:
    if row.currency != book.currency:
        return Unsure((), f"It is in {row.currency}.")
    found = match(as_line(row), book)
    return as_unsure(found, row.doubt) if row.doubt else found


def _settle(
    tx: Connection, vault: Vault, business: Business, book: Book, row: Row[Any], found: Match | Unsure, now: datetime
) -> str:
    if isinstance(found, Match):
        try:
            with tx.begin_nested():
                ids, remark = pay(tx, vault, business, row, found.parts, AUTHOR, now)
        except Refused as refused:
            found = as_unsure(found, str(refused))
        else:
            confidence, why = round(100 * found.confidence), f"{found.why} {remark}".strip()
            decide(tx, row.id, "matched", AUTHOR, now, why=why, confidence=confidence, payment_ids=ids)
            for part in found.parts:
                book.learn(row.iban, part.subscriber_id)
            _refresh(tx, book, {part.subscriber_id for part in found.parts})
            return "matched"
    candidates = [asdict(each) for each in found.candidates]
    decide(tx, row.id, "queued", AUTHOR, now, why=found.why, candidates=candidates)
    return "queued"


def _refresh(tx: Connection, book: Book, subscriber_ids: Collection[int]) -> None:
    """Have the book as the database is."""
    open_now = open_by_subscriber(tx, subscriber_ids)
    for each in subscriber_ids:
        known = book.payers[each]
        invoices = (one for one in open_now.get(each, []) if one.open.currency == book.currency)
        owed = tuple(Owed(one.id, one.number, one.due_on, one.open) for one in invoices)
        if owed != known.owed:
            book.put(Payer(known.id, known.number, known.name, owed))


def _learn(tx: Connection, row: Row[Any], subscriber_id: int) -> None:
    values = {"iban": row.iban, "subscriber_id": subscriber_id, "times": 1, "last_on": row.day}
    again = {"times": payer_account.c.times + 1, "last_on": func.greatest(payer_account.c.last_on, row.day)}
    tx.execute(
        insert(payer_account).values(values).on_conflict_do_update(index_elements=["iban", "subscriber_id"], set_=again)
    )


def _paid(tx: Connection, currency: str, sequences: Collection[int]) -> list[Paid]:
    """Invoices that are paid and bear one of these numbers."""
    names = [each for each in tx.scalars(select(series.c.name)) if each.partition(":")[0] == "invoice"]
    query = (
        select(invoice.c.id, invoice.c.number, invoice.c.subscriber_id, invoice.c.total_minor)
        .outerjoin(open_item, open_item.c.invoice_id == invoice.c.id)
        .where(
            invoice.c.series == func.any(names),
            invoice.c.sequence == func.any(sorted(sequences)),
            invoice.c.currency == currency,
            open_item.c.invoice_id.is_(None),
        )
    )
    return [Paid(row.id, row.number, row.subscriber_id, Money(row.total_minor, currency)) for row in tx.execute(query)]
