"""Invoices and receipts on paper: everything is there, names as typed, our fonts, and nothing is fetched."""

import http.server
import io
import subprocess
import threading
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from pypdf import PdfReader
from sqlalchemy import text as sql
from sqlalchemy.exc import DatabaseError

from base.business import Business, load_business
from base.calendar import Period
from base.database import transaction
from base.money import Money
from billing import documents, invoices
from billing.account_documents import Voucher, load_reminder
from billing.credit_notes import credit_invoice
from billing.document_samples import samples
from billing.pages import brand_of, fill
from billing.payments import record_payment
from billing.qr import qr_image
from tests.billing.provider import Provider, noon
from tests.peers.peer import miss, require_peer

pytestmark = pytest.mark.peer("pdftotext")
STRANGE = "Zażółć Ελλάδα Привет ₹ <b>x</b>"
DAY = date(2026, 11, 24)


@pytest.fixture(autouse=True)
def _peers() -> None:
    require_peer("pdftotext")
    missing = documents.available()
    if missing is not None:
        miss(missing)


def text_of(pdf: bytes, *options: str) -> str:
    argv = ["pdftotext", "-layout", *options, "-", "-"]
    return subprocess.run(argv, input=pdf, capture_output=True, check=True).stdout.decode()


def squeeze(text: str) -> str:
    return " ".join(text.split())


def issue(provider: Provider, name: str = STRANGE, services: int = 2) -> tuple[int, int]:
    """A subscriber with an invoice; (subscriber, invoice)."""
    now = provider.travel(noon(DAY))
    provider.set(
        company_name="Nordlicht <i>Internet</i>",
        company_address="Hafenstraße 12\n20457 Hamburg",
        company_tax_number="DE123456789",
        support_contact="+49 40 123456",
        language="en_GB",
    )
    subscriber_id = provider.subscriber(name)
    plans = [provider.plan(2999, "20"), provider.plan(500, "5.5")]
    for number in range(services):
        provider.service(subscriber_id, plans[number % 2], DAY)
    (invoice_id,) = invoices.issue_due(now)
    return subscriber_id, invoice_id


def make(kind: str, subject_id: int) -> bytes:
    documents.render(kind, subject_id)
    with transaction() as tx:
        pdf = documents.fetch(tx, kind, subject_id)
    assert pdf is not None
    return pdf


def pay(provider: Provider, subscriber_id: int, minor: int) -> int:
    with transaction() as tx:
        return record_payment(
            tx,
            provider.vault,
            load_business(tx, provider.vault),
            subscriber_id=subscriber_id,
            amount=Money(minor, "EUR"),
            method="transfer",
            author="staff:1",
            now=noon(DAY),
        ).payment_id


def test_an_invoice_says_everything_and_names_as_typed(provider: Provider) -> None:
    _, invoice_id = issue(provider)
    text = squeeze(text_of(make("invoice", invoice_id)))
    for part in (
        "Nordlicht <i>Internet</i>",
        "Hafenstraße 12",
        "20457 Hamburg",
        "Tax number DE123456789",
        STRANGE,
        "INV-000001",
        "Issued on 24 Nov 2026",
        "Due on 8 Dec 2026",
        "24 Nov 2026 – 23 Dec 2026",
        "Net €34.99",
        "VAT 5.5 % on €5.00 €0.28",
        "VAT 20 % on €29.99 €6.00",
        "Total €41.27",
        "Please pay by 8 Dec 2026",
        f"http://127.0.0.1:8080/p/{invoice_id}-",
        "Questions? +49 40 123456",
    ):
        assert part in text, text
    assert "Still to pay" not in text, "nothing has been paid"


def test_what_was_paid_stands_on_it(provider: Provider) -> None:
    subscriber_id, invoice_id = issue(provider)
    pay(provider, subscriber_id, 4000)
    text = squeeze(text_of(make("invoice", invoice_id)))
    assert "Paid or credited -€40.00" in text
    assert "Still to pay €1.27" in text


def test_a_receipt_says_what_the_money_settled_and_what_is_left(provider: Provider) -> None:
    subscriber_id, _ = issue(provider)
    payment_id = pay(provider, subscriber_id, 5000)
    text = squeeze(text_of(make("receipt", payment_id)))
    for part in (
        "R-000001",
        STRANGE,
        "Received on 24 Nov 2026",
        "Paid by Bank transfer",
        "Invoice INV-000001 24 Nov 2026 €41.27",
        "Credit for your next invoice €8.73",
        "Received €50.00",
    ):
        assert part in text, text


def test_our_fonts_are_in_the_file_and_the_paper_is_a4(provider: Provider, tmp_path: Path) -> None:
    _, invoice_id = issue(provider)
    file = tmp_path / "invoice.pdf"
    file.write_bytes(make("invoice", invoice_id))
    fonts = subprocess.run(["pdffonts", file], capture_output=True, check=True, text=True).stdout.splitlines()[2:]
    assert len(fonts) == 2
    for line in fonts:
        assert "Noto-Sans" in line
        assert line.split()[-5:-2] == ["yes", "yes", "yes"], "embedded, subset, with its letters' names"
    info = subprocess.run(["pdfinfo", file], capture_output=True, check=True, text=True).stdout
    assert "A4" in info
    assert "Invoice INV-000001" in info


def test_a_long_invoice_repeats_its_heading_and_counts_its_pages(provider: Provider) -> None:
    _, invoice_id = issue(provider, services=45)
    pdf = make("invoice", invoice_id)
    first, second = text_of(pdf, "-l", "1"), text_of(pdf, "-f", "2", "-l", "2")
    assert "DESCRIPTION" in first
    assert "DESCRIPTION" in second
    pages = first.rstrip().rsplit("/", 1)[1].strip()
    assert int(pages) >= 3
    assert f"2/{pages}" in second.replace(" ", "")


def test_the_first_pdf_stays_the_document(provider: Provider) -> None:
    subscriber_id, invoice_id = issue(provider)
    first = make("invoice", invoice_id)
    pay(provider, subscriber_id, 4000)
    assert make("invoice", invoice_id) == first
    with transaction() as tx:
        documents.store(tx, "invoice", invoice_id, b"another")
        assert documents.fetch(tx, "invoice", invoice_id) == first
        assert documents.file_name(tx, "invoice", invoice_id) == "INV-000001.pdf"
        assert documents.fetch(tx, "receipt", invoice_id) is None


@pytest.mark.parametrize(
    "act",
    ["UPDATE document SET pdf = 'x'", "UPDATE document SET sha256 = 'x'", "DELETE FROM document", "TRUNCATE document"],
)
def test_the_database_keeps_what_was_made(provider: Provider, act: str) -> None:
    with transaction() as tx:
        documents.store(tx, "invoice", 7, b"%PDF-1.7 the first")
    with pytest.raises(DatabaseError, match="never changed or deleted"), transaction() as tx:
        tx.execute(sql(act))
    with transaction() as tx:
        assert documents.fetch(tx, "invoice", 7) == b"%PDF-1.7 the first"
        kept = tx.execute(sql("SELECT sha256 = encode(sha256(pdf), 'hex') FROM document")).scalar_one()
    assert kept


def test_what_a_hand_in_the_tables_has_changed_is_given_to_nobody(provider: Provider) -> None:
    with transaction() as tx:
        documents.store(tx, "invoice", 7, b"%PDF-1.7 the first")
        tx.execute(sql("SET LOCAL session_replication_role = replica"))
        tx.execute(sql("UPDATE document SET pdf = 'x'"))
        with pytest.raises(documents.Damaged, match="invoice 7"):
            documents.fetch(tx, "invoice", 7)


def test_the_page_carries_its_style_and_no_markup_of_others(provider: Provider) -> None:
    _, invoice_id = issue(provider, name='<script>alert(1)</script> & "O\'Neil"')
    with transaction() as tx:
        page = documents.invoice_html(tx, load_business(tx, provider.vault), provider.vault, invoice_id)
        with pytest.raises(LookupError):
            documents.receipt_html(tx, load_business(tx, provider.vault), provider.vault, 7)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp;" in page
    assert "<style>" in page
    assert "url(" not in page
    assert "<link" not in page


def test_nothing_is_fetched_but_our_own_files(tmp_path: Path) -> None:
    asked: list[str] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    secret = tmp_path / "secret.svg"
    secret.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text y="9">leaked</text></svg>')
    server = http.server.HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pixel = (
        "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><text y='9'>ours</text></svg>"
    )
    pdf = documents.render_pdf(
        f'<img src="http://127.0.0.1:{server.server_port}/a.png"><img src="{secret.as_uri()}">'
        f'<img src="{(documents.TEMPLATES / "../../pyproject.toml").as_uri()}"><img src="{pixel}">'
        f'<style>@import url("http://127.0.0.1:{server.server_port}/a.css");</style><p>still here</p>'
    )
    server.shutdown()
    server.server_close()
    text = text_of(pdf)
    assert asked == []
    assert "leaked" not in text
    assert "still here" in text
    assert "ours" in text


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("data:text/css,a", True),
        ((documents.FONTS / "NotoSans-Bold.ttf").as_uri(), True),
        ((documents.TEMPLATES / "document.css").as_uri() + "?x#y", True),
        (f"file://{documents.TEMPLATES}/../documents.py", False),
        (f"file://{documents.TEMPLATES}/%2e%2e/documents.py", False),
        (f"file://elsewhere{documents.TEMPLATES}/document.css", False),
        ("file:///etc/passwd", False),
        ("http://127.0.0.1/", False),
        ("ftp://127.0.0.1/", False),
    ],
)
def test_which_addresses_are_ours(url: str, ours: bool) -> None:
    assert documents._is_ours(url) == ours


def test_a_missing_library_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "LIBRARIES", ("libnobody-has.so.0",))
    documents.available.cache_clear()
    try:
        said = documents.available()
    finally:
        documents.available.cache_clear()
    assert said is not None
    assert "libnobody-has.so.0 is missing" in said
    assert "apt-get install --no-install-recommends libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0" in said


def test_a_warm_invoice_is_quick(provider: Provider) -> None:
    _, invoice_id = issue(provider)
    with transaction() as tx:
        page = documents.invoice_html(tx, load_business(tx, provider.vault), provider.vault, invoice_id)
    documents.render_pdf(page)
    best = min(_cpu_seconds(page) for _ in range(5))
    print(f"{best * 1000:.0f} ms of a core")
    assert best < 0.5, "the budget is 60 ms; ten times that means something is read or measured again each time"


def test_the_press_does_not_hoard_images() -> None:
    kept = []
    for number in range(12):
        documents.render_pdf("".join(qr_image(f"{number} {each}") for each in range(10)))
        kept.append(len(documents._press().images))
    assert 0 < max(kept) <= documents.MOST_IMAGES


def _cpu_seconds(page: str) -> float:
    begun = time.process_time()
    documents.render_pdf(page)
    return time.process_time() - begun


def test_an_invoice_carries_its_data_where_the_provider_wants_it(provider: Provider) -> None:
    provider.set(company_country="DE", e_invoice="factur-x", bank_iban="DE89370400440532013000")
    subscriber_id, invoice_id = issue(provider)
    with transaction() as tx:
        found = invoices.load_invoice(tx, invoice_id)
    assert found is not None
    assert found.buyer["country"] == "", "the invoice of somebody without a country"
    assert PdfReader(io.BytesIO(make("invoice", invoice_id))).attachments == {}, "the paper goes out all the same"
    with transaction() as tx:
        tx.execute(sql("UPDATE subscriber SET country = 'DE'"))
    provider.service(subscriber_id, provider.plan(1000, "20"), DAY)
    (second,) = invoices.issue_due(noon(DAY))
    (xml,) = PdfReader(io.BytesIO(make("invoice", second))).attachments["factur-x.xml"]
    assert b"<ram:GrandTotalAmount>12.00</ram:GrandTotalAmount>" in xml
    assert b"<ram:IBANID>DE89370400440532013000</ram:IBANID>" in xml


def test_a_credit_note_a_statement_and_a_reminder(provider: Provider) -> None:
    subscriber_id, invoice_id = issue(provider)
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        note_id = credit_invoice(tx, provider.vault, business, "staff:1", invoice_id, "Outage", noon(DAY))
        assert note_id is not None
    text = squeeze(text_of(make("credit_note", note_id)))
    for part in ("Credit note", "CN-000001", "Corrects INV-000001", "Reason: Outage", "VAT 20 % on €29.99", "€41.27"):
        assert part in text, text
    provider.service(subscriber_id, provider.plan(1000, "20"), DAY)
    invoices.issue_due(noon(DAY))
    with transaction() as tx:
        assert documents.file_name(tx, "credit_note", note_id) == "CN-000001.pdf"
        month = Period(date(2026, 11, 1), date(2026, 12, 1))
        page = documents.statement_html(tx, business, subscriber_id, month, DAY)
        reminder = load_reminder(tx, subscriber_id, date(2026, 12, 12), date(2026, 12, 15))
        assert load_reminder(tx, subscriber_id, date(2026, 12, 8), None) is None, "due that day is not overdue"
        assert reminder is not None
        letter = documents.reminder_html(tx, business, subscriber_id, reminder)
    text = squeeze(text_of(documents.render_pdf(page)))
    for part in (
        "Statement of account",
        "Invoice INV-000001 €41.27 €41.27",
        "Owed on 30 Nov 2026 €12.00",
        "Charged €53.27",
    ):
        assert part in text, text
    text = squeeze(text_of(documents.render_pdf(letter)))
    for part in (
        f"Dear {STRANGE},",
        "Please pay by 14 Dec 2026 €12.00",
        "from 15 Dec 2026 on",
        "INV-000002 8 Dec 2026 €12.00",
    ):
        assert part in text, text


def test_vouchers_fill_sheets_of_24(provider: Provider) -> None:
    cards = [Voucher(f"K7QP-{number:04d}", "30 days", date(2027, 12, 31)) for number in range(25)]
    with transaction() as tx:
        pdf = documents.render_pdf(documents.vouchers_html(tx, load_business(tx, provider.vault), cards))
    assert "K7QP-0023" in text_of(pdf, "-l", "1")
    second = text_of(pdf, "-f", "2")
    assert ("K7QP-0024" in second, "K7QP-0023" in second, second.count("Valid until Dec 31, 2027")) == (True, False, 1)


@pytest.mark.parametrize("lines", [17, 41])
def test_how_to_pay_does_not_stand_alone_on_the_last_page_of_a_statement(lines: int) -> None:
    ours = Business(bank_iban="DE89370400440532013000", bank_bic="COBADEFFXXX", support_contact="+49 40 123456")
    values = next(each for each in samples("statement", ours) if each["statement"].owes)
    one = values["statement"]
    long = replace(one, lines=tuple((list(one.lines) * lines)[:lines]))
    pages = text_of(documents.render_pdf(fill("statement", brand_of(ours), "en", **(values | {"statement": long}))))
    last = squeeze(pages.split("\f")[-2])
    assert pages.count("\f") > 1
    assert "How to pay" in last
    assert last.startswith("DATE DESCRIPTION"), last
