"""Money that came in after the move, from a bank's statement: each movement once, however often its file is read."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, select

from base import tables
from base.i18n import decimal_text
from billing.importers.reader import Raw
from billing.importers.rows import PAYMENTS, Payment, check_payment
from billing.importers.work import Work
from billing.ledger import first_open_day
from billing.payments import Incoming, record_payments
from billing.settle import lock_subscribers
from billing.tables import invoice, payment

COLUMNS = PAYMENTS


@dataclass(frozen=True, slots=True)
class New:
    """A payment that is to be recorded."""

    row: Payment
    payer: Row[Any]
    invoice_id: int | None
    key: str


def check(work: Work, raws: Sequence[Raw]) -> list[New]:
    """The new ones among the rows."""
    if "open" not in work.cache:
        work.cache["open"] = first_open_day(work.tx)
    invoices = _invoices(work, [raw.cells.get("invoice", "") for raw in raws])
    payers = work.subscribers([raw.cells.get("subscriber", "") for raw in raws])
    by_id = _payers(work, invoices)

    def payer_of(subscriber: str, number: str) -> Row[Any] | None:
        if subscriber:
            return payers.get(subscriber)
        found = invoices.get(number)
        return None if found is None else by_id[found.subscriber_id]

    def check_one(cells: Any) -> Payment | None:
        payer = payer_of(cells.values.get("subscriber", ""), cells.values.get("invoice", ""))
        return check_payment(cells, payer.currency if payer else work.business.currency, work.today)

    found = []
    for row in work.check(raws, check_one):
        payer = payer_of(row.subscriber, row.invoice)
        if (each := _new(work, row, payer, invoices)) is not None:
            found.append(each)
    known = _known(work, [each.key for each in found])
    new = []
    for each in found:
        before = known.get(each.key)
        if before is None:
            work.touched.add(each.payer.id)
            work.add("received", each.row.amount)
            new.append(each)
        elif (before.subscriber_id, before.amount_minor) == (each.payer.id, each.row.amount.minor):
            work.known += 1
        else:
            sentence = f"{each.row.reference!r} is recorded already, with another payer or amount."
            work.fault(each.row.line, "reference", sentence)
    return new


def begin(work: Work) -> None:
    """Hold the money of all who paid still, in one order, before the first receipt takes its number."""
    lock_subscribers(work.tx, sorted(work.touched))


def write(work: Work, rows: Sequence[New]) -> None:
    """Record them as if a person had done it, in the order of the file: receipts, mails and access follow."""
    left = list(rows)
    while left:  # each time one of everybody's
        turn: list[New] = []
        later: list[New] = []
        paid: set[int] = set()
        for each in left:
            (later if each.payer.id in paid else turn).append(each)
            paid.add(each.payer.id)
        incoming = [
            Incoming(
                each.payer.id, each.row.amount, each.row.method, each.row.day, each.key,
                () if each.invoice_id is None else (each.invoice_id,), each.row.note,
            )
            for each in turn
        ]  # fmt: skip
        record_payments(work.tx, work.vault, work.business, incoming, author=work.actor, now=work.now)
        left = later


def finish(work: Work) -> None:
    """Nothing is left to be done."""


def show(each: New) -> str:
    """One row in words."""
    amount = f"{decimal_text(each.row.amount)} {each.row.amount.currency}"
    return " · ".join(
        part for part in (str(each.row.day), each.payer.number, each.payer.name, amount, each.row.note) if part
    )


def _new(work: Work, row: Payment, payer: Row[Any] | None, invoices: dict[str, Row[Any]]) -> New | None:
    billed = invoices.get(row.invoice)
    closed_until = work.cache["open"]
    if row.invoice and billed is None:
        work.fault(row.line, "invoice", f"There is no invoice {row.invoice!r}.")
    elif payer is None:
        work.fault(row.line, "subscriber", f"There is no subscriber with the account number {row.subscriber!r}.")
    elif billed is not None and billed.subscriber_id != payer.id:
        work.fault(row.line, "invoice", f"Invoice {row.invoice} is not one of {payer.number}, {payer.name}.")
    elif closed_until is not None and row.day < closed_until:
        sentence = f"The books are closed for {row.day:%Y-%m}: the first day that can be used is {closed_until}."
        work.fault(row.line, "date", sentence)
    elif not row.reference or work.once(row.reference, row.line, "reference", f"The reference {row.reference!r}"):
        return New(row, payer, None if billed is None else billed.id, _key(work, row, payer))
    return None


def _key(work: Work, row: Payment, payer: Row[Any]) -> str:
    """The bank's reference; else what the movement says, and the how manieth of its like it is in the file."""
    if row.reference:
        return f"import:{hashlib.sha256(row.reference.encode()).hexdigest()}"
    note = " ".join(row.note.split())
    parts = [payer.number, row.invoice, str(row.amount.minor), row.amount.currency, str(row.day), row.method, note]
    said = "\x1f".join(parts)
    alike = work.seen[("alike", said)] = work.seen.get(("alike", said), 0) + 1
    if alike == 2:
        work.count("{} movements come more than once, letter for letter; each is taken as money of its own.")
    return "import:" + hashlib.sha256("\x1f".join((said, str(alike))).encode()).hexdigest()


def _invoices(work: Work, numbers: Sequence[str]) -> dict[str, Row[Any]]:
    query = select(invoice.c.id, invoice.c.number, invoice.c.subscriber_id)
    rows: Iterable[Row[Any]] = work.tx.execute(query.where(invoice.c.number == func.any(sorted(set(numbers)))))
    return {row.number: row for row in rows}


def _payers(work: Work, invoices: dict[str, Row[Any]]) -> dict[int, Row[Any]]:
    ids = sorted({row.subscriber_id for row in invoices.values()})
    query = select(tables.subscriber).where(tables.subscriber.c.id == func.any(ids))
    return {row.id: row for row in work.tx.execute(query)}


def _known(work: Work, keys: Sequence[str]) -> dict[str, Row[Any]]:
    query = select(payment).where(payment.c.gateway_id == func.any(list(keys)))
    return {row.gateway_id: row for row in work.tx.execute(query)}
