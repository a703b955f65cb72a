"""The ledger refuses what does not balance, and check_books finds what got past every guard."""

from datetime import date

import pytest
from psycopg.errors import UniqueViolation
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import DBAPIError

from base.business import load_business
from base.database import transaction
from base.money import Money
from billing.books import LAWS
from billing.credit_notes import credit_invoice, write_off_invoice
from billing.invoices import issue_due
from billing.ledger import Posting, check_books, post, statement
from billing.payments import record_payment
from billing.tables import entry, invoice_line, posting
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
    with pytest.raises(UniqueViolation), transaction() as tx:
        post(tx, MARCH, "To the bank", "deposit:1", sides)


def test_the_database_itself_refuses_what_does_not_balance(provider: Provider):
    tx = provider.engine.connect()
    entry_id = tx.scalar(
        insert(entry).values(day=MARCH, text="Odd", source="odd:1", created_at=noon(MARCH)).returning(entry.c.id)
    )
    with pytest.raises(DBAPIError, match="do not sum to zero"):
        tx.execute(insert(posting).values(entry_id=entry_id, account="bank", amount_minor=5, currency="EUR"))
    tx.close()


def test_what_was_booked_before_is_not_read_again_for_a_new_entry(provider: Provider):
    sides = [Posting("bank", None, eur(5)), Posting("cash", None, eur(-5))]
    read = text("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'posting'")
    with transaction() as tx:
        for number in range(20):
            post(tx, MARCH, "To the bank", f"deposit:{number}", sides)
        assert tx.scalar(read) == 0


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
    "exactly the accounts of subscribers name one": "UPDATE posting SET subscriber_id = 1 WHERE account = 'tax'",
    "Subscriber 00001: the ledger says 0 in receivable, the open items say 5": (
        "INSERT INTO open_item VALUES (1, 1, '2026-03-15', 5, 'EUR')"
    ),
    "Subscriber 00001: the ledger says -802 in customer_credit": "UPDATE open_credit SET left_minor = 2",
    "INV-000001 of 3599 has 4000 applied to it and 0 open": "UPDATE allocation SET amount_minor = 4000",
    "R-000001 of 8000 is applied to invoices for 4001": "UPDATE allocation SET amount_minor = 402 WHERE invoice_id = 2",
    "INV-000003 has 3599 of another subscriber": "UPDATE allocation SET invoice_id = 3 WHERE invoice_id = 1",
    "has 0 of another": "UPDATE allocation SET amount_minor = 0",
    "Of R-000001 more has gone back, or is disputed, than the 8000 that came in: 8001": (
        "INSERT INTO gone_back (subscriber_id, payment_id, kind, way, amount_minor, currency, state, key, reason, "
        "author, on_day, real_at, created_at) SELECT 1, 1, 'refund', 'cash', 8001, 'EUR', 'succeeded', 'k', 'r', "
        "'staff:1', '2026-04-04', now(), now()"
    ),
    "Disputes under way come to 100 EUR; 'disputed' holds 0": (
        "INSERT INTO gone_back (subscriber_id, payment_id, kind, way, amount_minor, currency, state, key, reason, "
        "author, on_day, withdrawn_on, real_at, created_at) SELECT 1, 1, 'dispute', 'card', 100, 'EUR', 'open', 'k', "
        "'r', 'stripe', '2026-04-04', '2026-04-04', now(), now()"
    ),
    "Cheques under way of subscriber 00001 come to 0 EUR; the ledger holds 5": (
        "INSERT INTO posting (entry_id, account, subscriber_id, amount_minor, currency) VALUES "
        "(2, 'cheque_credit', 1, -5, 'EUR')"
    ),
    "'cheques' holds 5 EUR more": (
        "INSERT INTO posting (entry_id, account, amount_minor, currency) VALUES (2, 'cheques', 5, 'EUR')"
    ),
    "Write-off 1 of 3598, of which 0 are taken back, is applied": "UPDATE write_off SET amount_minor = 3598",
    "INV-000003 has 3000 credited of its line 1": "UPDATE credit_note_line SET amount_minor = 3000",
    "INV-000002 does not add up": "UPDATE invoice_line SET net_minor = net_minor - 1 WHERE invoice_id = 2",
    "INV-000003 does not add up": "UPDATE invoice SET taxes = '[]' WHERE id = 3",
    "CN-000001 does not add up": "UPDATE credit_note SET net_minor = 1",
    "invoice:2 of 3599 on 2026-04-01 is not booked as it stands: the ledger says None": (
        "DELETE FROM posting WHERE entry_id IN (SELECT id FROM entry WHERE source = 'invoice:2')"
    ),
    "payment:1 of -8000 on 2026-04-02 is not booked": "UPDATE entry SET day = '2026-04-01' WHERE source = 'payment:1'",
    "is billed twice for 2026-04-01": "UPDATE invoice_line SET service_id = 2 WHERE invoice_id = 2",
    "Card payment pi_1 is recorded 2 times": (
        "ALTER TABLE payment DROP CONSTRAINT uq_payment_gateway_id; "
        "INSERT INTO payment (subscriber_id, receipt_number, method, gateway_id, amount_minor, currency, received_on, "
        "author, created_at) SELECT subscriber_id, 'R-2', method, gateway_id, amount_minor, currency, received_on, "
        "author, created_at FROM payment"
    ),
    "Payment R-000001 of 8000 redeems 0 vouchers worth 0": "UPDATE payment SET method = 'voucher'",
    "Vouchers for 1000 EUR are sold and not redeemed; the ledger says 0": (
        "INSERT INTO voucher_batch (name, value_minor, currency, size, author, created_at, sold_on, sold_minor) "
        "VALUES ('May', 1000, 'EUR', 1, 'x', now(), '2026-04-01', 1000); "
        "INSERT INTO voucher (batch_id, digest) SELECT id, 'x' FROM voucher_batch"
    ),
    "Series invoice has given the numbers up to 4; 3 documents": (
        "UPDATE series SET last_number = 4 WHERE name = 'invoice'"
    ),
    "invoice:2 has 0 of tax class 1 in revenue; its lines come to -2999": (
        "UPDATE posting SET tax_class_id = NULL WHERE account = 'revenue' AND entry_id = 2"
    ),
    "invoice:2 has -2999 of tax class 0 in revenue; its lines come to 0": (
        "UPDATE posting SET tax_class_id = NULL WHERE account = 'revenue' AND entry_id = 2"
    ),
    "Of write-off 1 of 2399, 2400 are taken back": (
        "INSERT INTO reinstatement (write_off_id, subscriber_id, invoice_id, amount_minor, currency, on_day, account, "
        "reason, author, created_at) VALUES (1, 2, 3, 2400, 'EUR', '2026-04-03', 'recovered', '', '', now())"
    ),
    "2026-03 was closed with 4 EUR in tax (tax class 0); now it is -600": (
        "INSERT INTO month_close (month, closed_by, closed_at, balances) VALUES ('2026-03-01', '', now(), "
        """'[{"account": "tax", "tax_class_id": null, "currency": "EUR", "minor": 4}]')"""
    ),
    "Unearned revenue of 2026-03 (tax class 1) is put aside but not put back: -7 are left": (
        "INSERT INTO entry (day, text, source, created_at) VALUES ('2026-03-31', '', 'unearned:2026-03:1', now()); "
        "INSERT INTO posting (entry_id, account, tax_class_id, amount_minor, currency) SELECT max(id), 'unearned', 1, "
        "-7, 'EUR' FROM entry"
    ),
    "has a posting to purse that does not fit": "UPDATE posting SET account = 'purse' WHERE account = 'tax'",
    "Series receipt has given the numbers up to 0; 1 documents": "DELETE FROM series WHERE name = 'receipt'",
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
            amount=eur(8000),
            method="card",
            gateway_id="pi_1",
            invoice_ids=[1],
            author="system",
            now=noon(date(2026, 4, 2)),
        )
    with transaction() as tx:
        business, now = load_business(tx, provider.vault), noon(date(2026, 4, 3))
        (line,) = tx.scalars(select(invoice_line.c.id).where(invoice_line.c.invoice_id == 3))
        credit_invoice(tx, provider.vault, business, "staff:1", 3, "Outage", now, {line: eur(1000)})
        write_off_invoice(tx, provider.vault, business, "staff:1", 3, "Unknown address", now)
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
    for table in ("invoice", "invoice_line", "entry", "posting", "credit_note", "credit_note_line", "write_off"):
        tx.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
