"""What becomes of a bank line: money of somebody, recorded in the same transaction, or a place in the queue.

Law: a line is money once. Its row is locked, its state and its payments change together, and money comes in through
billing.payments alone. Whoever settles lines holds a book of all who pay, and looks at a payer's debts anew under their
lock before money goes.

Lines are settled many at once: each is matched with the book as the lines before it leave it, which is foreseen, and
all are recorded in a few statements. Where the database then says otherwise, nothing of it stays, and they are settled
one after the other.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select, text, update

from base.business import Business, load_business
from base.calendar import local_date
from base.crypto import Vault
from base.database import transaction
from billing.bank.accounts import learn
from billing.bank.book import Book, Owed, Payer
from billing.bank.intake import LOCK
from billing.bank.lines import AUTHOR, as_line, decide, note_of
from billing.bank.load import load_book
from billing.bank.match import Match, Part, Unsure, as_unsure, match
from billing.bank.payouts import match_payout_lines
from billing.bank.tables import bank_line
from billing.ledger import first_open_day
from billing.payments import Incoming, record_payment, record_payments
from billing.refused import Refused
from billing.settle import lock_subscribers, open_by_subscriber

AT_ONCE = 100
"Lines in a transaction: receipts have numbers without gaps, so whoever else is paid waits for its end."


def new_lines(tx: Connection) -> list[int]:
    """The lines that nobody has looked at, the oldest first."""
    return list(tx.scalars(select(bank_line.c.id).where(bank_line.c.state == "new").order_by(bank_line.c.id)))


def settle_all(vault: Vault, now: datetime, tell: Callable[[int, int], None] = lambda done, of: None) -> Counter[str]:
    """Settle all new lines in transactions of their own, some lines each; how many came to each state.

    Lines of Stripe's are matched with its payouts. Killed in the middle, the next call goes on. `tell` hears how many
    of how many lines are done.
    """
    done: Counter[str] = Counter()
    with transaction() as tx:
        match_payout_lines(tx, now)
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
    found_rows = {row.id: row for row in tx.execute(query)}
    rows = [found_rows[each] for each in line_ids]
    foreseen = [_look(row, book) for row in rows if row.state == "new"]
    held = {payer for found in foreseen for payer in _payers(found)}
    lock_subscribers(tx, held)
    _refresh(tx, book, held)
    states = _settle_at_once(tx, vault, business, book, rows, held, now)
    return states if states is not None else _settle_singly(tx, vault, business, book, rows, held, now)


class _Otherwise(Exception):
    """What was foreseen has not come true."""


def _settle_at_once(
    tx: Connection,
    vault: Vault,
    business: Business,
    book: Book,
    rows: Sequence[Row[Any]],
    held: set[int],
    now: datetime,
) -> list[str] | None:  # fmt: skip
    """Settle lines in a few statements; their states, or None where it has to be done one by one: nothing was done."""
    states: list[str] = []
    decided: list[tuple[Row[Any], Match | Unsure]] = []
    for row in rows:
        if row.state != "new":
            states.append(row.state)
            continue
        found = _look(row, book)
        if states and not held.issuperset(_payers(found)):
            break
        decided.append((row, found))
        states.append("matched" if isinstance(found, Match) else "queued")
        for part in _parts(found):
            book.pay(part.subscriber_id, part.amount, part.invoice_ids)
            book.learn(row.iban, part.subscriber_id)
    paying = [(row, part) for row, found in decided for part in _parts(found)]
    try:
        with tx.begin_nested():
            _carry_out(tx, vault, business, decided, now)
            if _refresh(tx, book, held):
                raise _Otherwise
    except (Refused, _Otherwise):
        for row, part in paying:
            book.forget(row.iban, part.subscriber_id)
        _refresh(tx, book, held)
        return None
    return states


def _carry_out(
    tx: Connection, vault: Vault, business: Business, decided: Sequence[tuple[Row[Any], Match | Unsure]], now: datetime
) -> None:
    """Record all payments of these lines in their order, and write what became of each line."""
    day_of = _days(tx, business, now)
    made: dict[int, list[int]] = {row.id: [] for row, _ in decided}
    batch: dict[int, tuple[int, Incoming]] = {}  # of each subscriber one at most

    def record() -> None:
        ids = record_payments(tx, vault, business, [each for _, each in batch.values()], author=AUTHOR, now=now)
        for payment_id, (line_id, _) in zip(ids, batch.values(), strict=True):
            made[line_id].append(payment_id)
        batch.clear()

    for row, found in decided:
        for part in _parts(found):
            if part.subscriber_id in batch:
                record()
            day, note = day_of(row)[0], note_of(row)
            incoming = Incoming(part.subscriber_id, part.amount, "transfer", day, None, part.invoice_ids, note)
            batch[part.subscriber_id] = (row.id, incoming)
    if batch:
        record()
    learn(tx, ((row.iban, part.subscriber_id, row.day) for row, found in decided for part in _parts(found)))
    changes = [
        {
            "line": row.id, "to_state": "matched", "reason": f"{found.why} {day_of(row)[1]}".strip(),
            "sure": round(100 * found.confidence), "likely": [], "paid": made[row.id],
        }
        if isinstance(found, Match)
        else {
            "line": row.id, "to_state": "queued", "reason": found.why, "sure": None,
            "likely": [asdict(each) for each in found.candidates], "paid": [],
        }
        for row, found in decided
    ]  # fmt: skip
    if changes:
        values = {
            "state": bindparam("to_state"), "why": bindparam("reason"), "confidence": bindparam("sure"),
            "candidates": bindparam("likely", type_=bank_line.c.candidates.type),
            "payment_ids": bindparam("paid", type_=bank_line.c.payment_ids.type),
        }  # fmt: skip
        changed = update(bank_line).where(bank_line.c.id == bindparam("line"))
        tx.execute(changed.values(**values, author=AUTHOR, decided_at=now), changes)


def _settle_singly(
    tx: Connection,
    vault: Vault,
    business: Business,
    book: Book,
    rows: Sequence[Row[Any]],
    held: set[int],
    now: datetime,
) -> list[str]:  # fmt: skip
    states: list[str] = []
    for row in rows:
        if row.state == "new":
            found = _look(row, book)
            if states and not held.issuperset(_payers(found)):
                break
            states.append(_settle(tx, vault, business, book, row, found, now))
        else:
            states.append(row.state)
    return states


def _parts(found: Match | Unsure) -> tuple[Part, ...]:
    return found.parts if isinstance(found, Match) else ()


def _days(tx: Connection, business: Business, now: datetime) -> Callable[[Row[Any]], tuple[date, str]]:
    """On which day the money of a line is received, and what is to be said about that."""
    today, first_open = local_date(now, business.zone), first_open_day(tx)

    def day_of(row: Row[Any]) -> tuple[date, str]:
        day = min(row.day, today)
        if first_open is not None and day < first_open:
            return today, f"The books are closed for {row.day:%Y-%m}: received on {today}."
        return day, ""

    return day_of


def _payers(found: Match | Unsure) -> set[int]:
    return {part.subscriber_id for part in _parts(found)}


def pay(
    tx: Connection, vault: Vault, business: Business, row: Row[Any], parts: Sequence[Part], author: str, now: datetime
) -> tuple[list[int], str]:
    """Record the parts of a locked line as payments: (their ids, what is to be said about their day).

    Raises Refused as record_payment does. The caller changes the line in the same transaction.
    """
    lock_subscribers(tx, {part.subscriber_id for part in parts})
    day, remark = _days(tx, business, now)(row)
    ids = []
    for part in parts:
        recorded = record_payment(
            tx, vault, business,
            subscriber_id=part.subscriber_id, amount=part.amount, method="transfer", author=author,
            invoice_ids=part.invoice_ids, note=note_of(row), now=now, received_on=day,
        )  # fmt: skip
        ids.append(recorded.payment_id)
    learn(tx, ((row.iban, part.subscriber_id, row.day) for part in parts))
    return ids, remark


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


def _refresh(tx: Connection, book: Book, subscriber_ids: Collection[int]) -> bool:
    """Have the book as the database is; whether it was otherwise."""
    open_now, changed = open_by_subscriber(tx, subscriber_ids), False
    for each in subscriber_ids:
        known = book.payers[each]
        invoices = (one for one in open_now.get(each, []) if one.open.currency == book.currency)
        owed = tuple(Owed(one.id, one.number, one.due_on, one.open) for one in invoices)
        if owed != known.owed:
            book.put(Payer(known.id, known.number, known.name, owed))
            changed = True
    return changed
