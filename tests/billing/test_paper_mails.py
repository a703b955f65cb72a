"""Credit notes and statements reach their subscriber as invoices do, each with its PDF."""

import io
from datetime import date, timedelta

import pytest
from pypdf import PdfReader
from sqlalchemy import text

from base.business import load_business
from base.calendar import Period
from base.database import transaction
from billing import documents, invoices, mail
from billing.credit_notes import credit_invoice
from billing.statement_mail import send_statement
from billing.tasks import Retry
from tests.billing.provider import Provider, noon
from tests.billing.test_documents import squeeze, text_of
from tests.billing.test_mail import ask
from tests.billing.test_mail_channels import Picky, picky  # noqa: F401 - a fixture
from tests.peers.peer import miss, require_peer

pytestmark = pytest.mark.peer("pdftotext")
DAY = date(2026, 11, 24)
YEAR = Period(date(2026, 1, 1), DAY + timedelta(days=1))


@pytest.fixture(autouse=True)
def _peers() -> None:
    require_peer("pdftotext")
    missing = documents.available()
    if missing is not None:
        miss(missing)


def billed(provider: Provider, delivery: str = "mail") -> tuple[int, int]:
    now = provider.travel(noon(DAY))
    anna = provider.subscriber()
    with transaction() as tx:
        tx.execute(text("UPDATE subscriber SET language = 'de', delivery = :d"), {"d": delivery})
    provider.service(anna, provider.plan(), DAY)
    (invoice_id,) = invoices.issue_due(now)
    with transaction() as tx:
        tx.execute(text("UPDATE message SET state = 'sent'"))
    return anna, invoice_id


def credit(provider: Provider, invoice_id: int) -> int:
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        made = credit_invoice(tx, provider.vault, business, "staff:1", invoice_id, "Fee waived", noon(DAY))
        assert made is not None
        return made


def send(provider: Provider, anna: int) -> list[str]:
    with transaction() as tx:
        return send_statement(tx, load_business(tx, provider.vault), "staff:1", anna, YEAR, noon(DAY))


def message_id(kind: str) -> int:
    return ask(f"SELECT min(id) FROM message WHERE kind = '{kind}'")[0][0]


def attached(picky: Picky, kind: str) -> tuple[str, str, str]:  # noqa: F811
    """Subject, file name and text of the PDF of the mail that came."""
    from email import message_from_bytes, policy

    (envelope,) = picky.kept
    found = message_from_bytes(envelope.content, policy=policy.default)
    (paper,) = found.iter_attachments()  # type: ignore[attr-defined]
    pdf = paper.get_content()
    assert len(PdfReader(io.BytesIO(pdf)).pages) == 1
    return found["Subject"], paper.get_filename(), squeeze(text_of(pdf))


def test_a_credit_note_is_mailed_with_its_pdf(provider: Provider, picky: Picky) -> None:  # noqa: F811
    _, invoice_id = billed(provider)
    note = credit(provider, invoice_id)
    with pytest.raises(Retry, match="the PDF of credit_note"):
        mail.deliver(message_id("credit_note"))
    documents.render("credit_note", note)
    mail.deliver(message_id("credit_note"))
    subject, name, words = attached(picky, "credit_note")
    assert (subject, name) == ("Gutschrift CN-000001 von My Internet Provider: 35,99 €", "CN-000001.pdf")
    assert "Grund: Gebühr erlassen" in words


def test_a_statement_is_mailed_with_its_pdf_as_it_was_when_it_was_asked_for(
    provider: Provider,
    picky: Picky,  # noqa: F811
) -> None:
    anna, _ = billed(provider)
    assert send(provider, anna) == ["mail"]
    first = message_id("statement")
    with pytest.raises(Retry, match="the PDF of statement"):
        mail.deliver(first)
    documents.render("statement", first)
    provider.pay(anna, 3599)
    mail.deliver(first)
    subject, name, words = attached(picky, "statement")
    assert subject == "Kontoauszug von My Internet Provider, 01.01.2026 bis 24.11.2026"
    assert name == "00001-2026-11-24.pdf"
    assert "Rechnung INV-000001 35,99 € 35,99 €" in words
    assert "Zahlung" not in words


@pytest.mark.parametrize(("delivery", "ways"), [("mail", ["mail"]), ("paper", ["paper"]), ("both", ["mail", "paper"])])
def test_delivery_is_as_for_invoices(provider: Provider, delivery: str, ways: list[str]) -> None:
    anna, invoice_id = billed(provider, delivery)
    credit(provider, invoice_id)
    assert send(provider, anna) == ways
    for kind in ("credit_note", "statement"):
        assert [row[0] for row in ask(f"SELECT channel FROM message WHERE kind = '{kind}' ORDER BY id")] == ways


def test_a_statement_is_printed_from_the_pdf_that_was_mailed(provider: Provider) -> None:
    from billing.print_batch import print_batch

    anna, _ = billed(provider, "both")
    with transaction() as tx:
        tx.execute(text("UPDATE subscriber SET address = 'Weg 1\n20095 Hamburg'"))
    send(provider, anna)
    documents.render("statement", message_id("statement"))
    kept: list[bytes] = []
    batch = print_batch(provider.vault, "staff:1", noon(DAY), kept.append)
    assert batch.kinds == {"statement": 1}
    assert "Kontoauszug" in text_of(kept[0])
