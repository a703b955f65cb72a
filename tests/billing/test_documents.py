"""Invoices and receipts on paper: everything is there, names as typed, our fonts, and nothing is fetched."""

import http.server
import subprocess
import threading
import time
from datetime import date
from pathlib import Path

import pytest

from base.business import load_business
from base.database import transaction
from base.money import Money
from billing import documents, invoices
from billing.payments import record_payment
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
        "Tax 5.5 % on €5.00 €0.28",
        "Tax 20 % on €29.99 €6.00",
        "Total €41.27",
        "Please pay by 8 Dec 2026",
        f"http://127.0.0.1:8080/invoices/{invoice_id}",
        "Questions? +49 40 123456",
    ):
        assert part in text, text
    assert "Still to pay" not in text, "nothing has been paid"


def test_what_was_paid_stands_on_it(provider: Provider) -> None:
    subscriber_id, invoice_id = issue(provider)
    pay(provider, subscriber_id, 4000)
    text = squeeze(text_of(make("invoice", invoice_id)))
    assert "Paid -€40.00" in text
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


def _cpu_seconds(page: str) -> float:
    begun = time.process_time()
    documents.render_pdf(page)
    return time.process_time() - begun
