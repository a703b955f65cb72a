"""The ledger refuses what does not balance, and check_books finds what got past every guard."""

from datetime import date

import pytest
from sqlalchemy import Connection, insert, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from base.business import load_business
from base.database import transaction
from base.money import Money
from billing.books import LAWS
from billing.invoices import issue_due
from billing.ledger import Posting, check_books, post, statement
from billing.payments import record_payment
from billing.tables import entry, posting
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


@pytest.mark.parametrize(
    ("postings", "message"),
    [
        ([Posting("bank", None, eur(5)), Posting("revenue", None, eur(-4))], "1 EUR are left"),
        ([Posting("bank", None, eur(5)), Posting("revenue", None, Money(-5, "USD"))], "does not sum to zero"),
        ([Posting("bank", None, eur(5)), Posting("purse", None, eur(-5))], "no account 'purse'"),
        ([Posting("bank", None, eur(5)), Posting("receivable", None, eur(-5))], "name a subscriber"),
        ([Posting("bank", 1, eur(5)), Posting("receivable", 1, eur(-5))], "name a subscriber"),
        ([Posting("bank", None, eur(0)), Posting("revenue", None, eur(0))], "moves no money"),
        ([], "moves no money"),
    ],
)
def test_an_entry_that_does_not_fit_is_refused_with_a_sentence(provider: Provider, postings, message: str):
    with transaction() as tx, pytest.raises(ValueError, match=message):
        post(tx, MARCH, "Odd", "odd:1", postings)


def test_a_source_is_booked_once(provider: Provider):
    sides = [Posting("bank", None, eur(5)), Posting("cash", None, eur(-5))]
    with transaction() as tx:
        post(tx, MARCH, "To the bank", "deposit:1", sides)
    with pytest.raises(IntegrityError), transaction() as tx:
        post(tx, MARCH, "To the bank", "deposit:1", sides)


def test_the_database_itself_refuses_what_does_not_balance(provider: Provider):
    tx = provider.engine.connect()
    entry_id = tx.scalar(
        insert(entry).values(day=MARCH, text="Odd", source="odd:1", created_at=noon(MARCH)).returning(entry.c.id)
    )
    tx.execute(insert(posting).values(entry_id=entry_id, account="bank", amount_minor=5, currency="EUR"))
    with pytest.raises(DBAPIError, match="do not sum to zero"):
        tx.commit()
    tx.close()


def test_the_statement_runs_by_day_and_not_by_when_it_was_booked(provider: Provider):
    anna = provider.subscriber()
    with transaction() as tx:
        for number, (day, minor) in enumerate([(3, 500), (1, 200), (2, -100)], start=1):
            sides = [Posting("receivable", anna, eur(minor)), Posting("revenue", None, eur(-minor))]
            post(tx, date(2026, 3, day), f"Number {number}", f"test:{number}", sides)
        assert [(line.day.day, line.amount.minor, line.balance.minor) for line in statement(tx, anna)] == [
            (1, 200, 200),
            (2, -100, 100),
            (3, 500, 600),
        ]


DAMAGE = {
    "does not sum to zero": "UPDATE posting SET amount_minor = amount_minor + 1 WHERE account = 'revenue'",
    "exactly receivables name a subscriber": "UPDATE posting SET subscriber_id = 1 WHERE account = 'tax'",
    "Subscriber 00001 owes 3599 by the ledger, but 3600": "UPDATE invoice SET total_minor = 3600 WHERE id = 1",
    "Invoice INV-000001 of 3599 has payments of 4000 applied": "UPDATE allocation SET amount_minor = 4000",
    "Payment R-000001 of 3599 is applied to invoices for 4000": "UPDATE allocation SET amount_minor = 4000",
    "wrongly: 3599 of another subscriber": "UPDATE allocation SET invoice_id = 3",
    "wrongly: 0 of": "UPDATE allocation SET amount_minor = 0",
    "INV-000002 does not add up": "UPDATE invoice_line SET net_minor = net_minor - 1 WHERE invoice_id = 2",
    "INV-000003 does not add up": "UPDATE invoice SET taxes = '[]' WHERE id = 3",
    "invoice:2 of 3599 on 2026-04-01 is not booked as it stands: the ledger says None": (
        "DELETE FROM posting WHERE entry_id IN (SELECT id FROM entry WHERE source = 'invoice:2')"
    ),
    "payment:1 of -3599 on 2026-04-02 is not booked": "UPDATE entry SET day = '2026-04-01' WHERE source = 'payment:1'",
    "Card payment pi_1 is recorded 2 times": (
        "ALTER TABLE payment DROP CONSTRAINT uq_payment_gateway_id; "
        "INSERT INTO payment (subscriber_id, receipt_number, method, gateway_id, amount_minor, currency, received_on, "
        "author, created_at) SELECT subscriber_id, 'R-2', method, gateway_id, amount_minor, currency, received_on, "
        "author, created_at FROM payment"
    ),
    "Series invoice has given 4 numbers, but 3 documents": "UPDATE series SET last_number = 4 WHERE name = 'invoice'",
    "Series receipt has given 0 numbers, but 1 documents": "DELETE FROM series WHERE name = 'receipt'",
}


def test_each_law_of_the_books_finds_what_breaks_it(provider: Provider):
    provider.travel(noon(MARCH))
    anna, bert = provider.subscriber(), provider.subscriber("Bert")
    home = provider.plan()
    provider.service(anna, home, MARCH)
    for month in (3, 4):
        issue_due(noon(date(2026, month, 1)))
    provider.service(bert, home, date(2026, 4, 1))
    issue_due(noon(date(2026, 4, 1)))
    with transaction() as tx:
        record_payment(
            tx,
            provider.vault,
            load_business(tx, provider.vault),
            subscriber_id=anna,
            amount=eur(3599),
            method="card",
            gateway_id="pi_1",
            author="system",
            now=noon(date(2026, 4, 2)),
        )
    with transaction() as tx:
        assert check_books(tx) == []
    broken = set()
    for sentence, damage in DAMAGE.items():
        with transaction() as tx:
            _without_guards(tx)
            tx.execute(text(damage))
            found = check_books(tx)
            assert any(sentence in each for each in found), (sentence, found)
            broken |= {begin for begin, _ in LAWS if any(each.startswith(begin.partition("{")[0]) for each in found)}
            tx.rollback()
    assert broken == {begin for begin, _ in LAWS}


def _without_guards(tx: Connection) -> None:
    for table in ("invoice", "invoice_line", "entry", "posting"):
        tx.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
