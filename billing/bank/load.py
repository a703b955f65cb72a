"""The book that bank lines are compared with, read from the database."""

from collections.abc import Collection

from sqlalchemy import Connection, func, select

from base.money import Money
from base.tables import subscriber
from billing.bank.book import Book, Owed, Paid, Payer
from billing.bank.references import digits_in
from billing.bank.tables import bank_line, payer_account
from billing.tables import invoice, open_item, series


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
