"""What becomes of an invoice: open, part-paid, overdue, paid, written off, cancelled, and issued anew."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import text

from base.business import load_business
from base.database import transaction
from base.money import Money
from billing import invoices
from billing.credit_notes import credit_invoice, write_off_invoice
from billing.invoice_states import InvoiceState, load_states
from billing.ledger import check_books, receivable
from billing.refused import Refused
from billing.reissue import reissue_invoice
from billing.tax_numbers import set_tax_treatment
from tests.billing.provider import Provider, noon
from tests.billing.test_mail import ask

DAY = date(2026, 11, 24)
LATE = date(2026, 12, 20)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def billed(provider: Provider) -> tuple[int, int]:
    """A subscriber with an invoice of 35.99; (subscriber, invoice)."""
    now = provider.travel(noon(DAY))
    anna = provider.subscriber()
    provider.service(anna, provider.plan(), DAY)
    (invoice_id,) = invoices.issue_due(now)
    return anna, invoice_id


def state(invoice_id: int, day: date = DAY) -> InvoiceState:
    with transaction() as tx:
        return load_states(tx, [invoice_id], day)[invoice_id]


def credit(provider: Provider, invoice_id: int, **more: object) -> int | None:
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        return credit_invoice(tx, provider.vault, business, "staff:1", invoice_id, "Wrong", noon(DAY), **more)


def write_off(provider: Provider, invoice_id: int) -> None:
    with transaction() as tx:
        write_off_invoice(
            tx, provider.vault, load_business(tx, provider.vault), "staff:1", invoice_id, "gone", noon(DAY)
        )


def test_from_open_to_paid(provider: Provider, billed: tuple[int, int]) -> None:
    anna, invoice_id = billed
    assert state(invoice_id) == InvoiceState.OPEN
    provider.pay(anna, 1000)
    assert state(invoice_id) == InvoiceState.PART_PAID
    assert state(invoice_id, date(2026, 12, 8)) == InvoiceState.PART_PAID, "its due day is not over"
    assert state(invoice_id, date(2026, 12, 9)) == InvoiceState.OVERDUE
    provider.pay(anna, 2599)
    assert state(invoice_id, LATE) == InvoiceState.PAID


def test_given_up_and_then_credited(provider: Provider, billed: tuple[int, int]) -> None:
    anna, invoice_id = billed
    write_off(provider, invoice_id)
    assert state(invoice_id, LATE) == InvoiceState.WRITTEN_OFF
    credit(provider, invoice_id)
    assert state(invoice_id, LATE) == InvoiceState.CANCELLED
    with transaction() as tx:
        assert receivable(tx, anna) == Money(0, "EUR"), "what was no debt any more is no credit"
        assert check_books(tx) == []


def test_a_part_that_is_credited_is_no_cancellation(provider: Provider, billed: tuple[int, int]) -> None:
    anna, invoice_id = billed
    (line_id,) = ask("SELECT id FROM invoice_line")[0]
    credit(provider, invoice_id, amounts={line_id: Money(1000, "EUR")})
    assert state(invoice_id) == InvoiceState.PART_PAID
    provider.pay(anna, 2399)
    assert state(invoice_id) == InvoiceState.PAID


def test_issued_anew_with_what_is_right_now(provider: Provider, billed: tuple[int, int]) -> None:
    anna, invoice_id = billed
    provider.pay(anna, 1000)
    with transaction() as tx:
        tx.execute(text("UPDATE subscriber SET name = 'Anna Ltd', address = 'New Street 1'"))
        set_tax_treatment(
            tx, "staff:1", anna, "reverse_charge", tax_number="U13585627", country="AT", today=DAY, vies=None
        )
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        note, made = reissue_invoice(tx, provider.vault, business, "staff:1", invoice_id, "Your company", noon(DAY))
        found = invoices.load_invoice(tx, made)
        assert found is not None
        assert (found.number, found.buyer["name"], found.total) == ("INV-000002", "Anna Ltd", Money(2999, "EUR"))
        assert [group.category for group in found.taxes] == ["AE"]
        assert found.open == Money(1999, "EUR"), "what was paid of the old one pays the new one"
        assert check_books(tx) == []
    assert state(invoice_id) == InvoiceState.CANCELLED
    assert state(made) == InvoiceState.PART_PAID
    assert ask("SELECT key FROM message WHERE kind IN ('invoice', 'credit_note') ORDER BY id") == [
        ("invoice:1",), (f"credit_note:{note}",), ("invoice:2",),
    ]  # fmt: skip
    assert invoices.issue_due(noon(DAY)) == [], "its days are billed"
    with transaction() as tx, pytest.raises(Refused, match="given back already"):
        reissue_invoice(tx, provider.vault, business, "staff:1", invoice_id, "again", noon(DAY))


def test_why_somebody_is_exempt_stands_on_the_invoice(provider: Provider) -> None:
    now = provider.travel(noon(DAY))
    anna = provider.subscriber()
    provider.service(anna, provider.plan(), DAY)
    with transaction() as tx:
        set_tax_treatment(tx, "staff:1", anna, "exempt", reason="Embassy <of X>", today=DAY, vies=None)
    (invoice_id,) = invoices.issue_due(now)
    credit(provider, invoice_id)
    from billing import documents

    with transaction() as tx:
        business = load_business(tx, provider.vault)
        for kind in ("invoice", "credit_note"):
            page = documents.HTML_OF[kind](tx, business, provider.vault, 1)
            assert "Exempt from tax: Embassy &lt;of X&gt;" in page


@pytest.mark.usefixtures("billed")
def test_the_commands(provider: Provider) -> None:
    def tollkeeper(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "console", *words]
        return subprocess.run(argv, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=60)

    assert (
        "INV-000001\t2026-11-24\tdue 2026-12-08\t€35.99\topen €35.99\t" in tollkeeper("invoice", "list", "00001").stdout
    )
    assert "is cancelled by CN-000001 and issued again as INV-000002" in (
        tollkeeper("invoice", "reissue", "INV-000001", "--because", "Wrong name").stdout
    )
    shown = tollkeeper("invoice", "show", "INV-000001").stdout
    assert "cancelled" in shown
    assert "CN-000001" in shown
    assert "no document 'INV-9'" in tollkeeper("invoice", "pdf", "INV-9", "--out", "x").stderr
    assert "not made yet" in tollkeeper("invoice", "pdf", "INV-000001", "--out", "x").stderr
    assert "balance" in tollkeeper("statement", "00001", "--from", "2026-01-01", "--to", "2099-12-31").stdout
    assert "comes before" in tollkeeper("statement", "00001", "--from", "2026-02-01", "--to", "2026-01-01").stderr
    assert "goes out: mail" in tollkeeper("statement", "00001", "--mail").stdout
