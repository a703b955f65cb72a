"""Paper: one PDF in post order, printed once, which counts as the notice of dunning; the fee for paper by choice."""

import io
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
from pypdf import PdfReader
from sqlalchemy import text

from base.access import AccessLevel
from base.database import transaction
from billing import documents, invoices, tick
from billing.post_order import post_key, postcode
from billing.print_batch import Batch, print_batch, waiting_for_paper
from billing.refused import Refused
from tests.billing.provider import Provider, noon
from tests.billing.test_documents import squeeze, text_of
from tests.billing.test_mail import ask
from tests.peers.peer import miss, require_peer

pytestmark = pytest.mark.peer("pdftotext")
DAY = date(2026, 11, 24)
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _peers() -> None:
    require_peer("pdftotext")
    missing = documents.available()
    if missing is not None:
        miss(missing)


def someone(provider: Provider, name: str, address: str, delivery: str = "paper") -> tuple[int, int]:
    """A subscriber with a monthly service from DAY on."""
    subscriber_id = provider.subscriber(name, f"{name.lower()}@example.net")
    with transaction() as tx:
        values = {"a": address, "d": delivery, "i": subscriber_id}
        tx.execute(text("UPDATE subscriber SET address = :a, delivery = :d WHERE id = :i"), values)
    return subscriber_id, provider.service(subscriber_id, provider.plan(), DAY)


def draw() -> None:
    for (invoice_id,) in ask("SELECT id FROM invoice ORDER BY id"):
        documents.render("invoice", invoice_id)


def printed(provider: Provider, day: date, *, two_sided: bool = False) -> tuple[Batch, list[str]]:
    """A batch and the text of each of its pages."""
    kept: list[bytes] = []
    batch = print_batch(provider.vault, "staff:1", noon(day), kept.append, two_sided=two_sided)
    if not kept:
        return batch, []
    pages = PdfReader(io.BytesIO(kept[0])).pages
    return batch, [squeeze(text_of(kept[0], "-f", str(n + 1), "-l", str(n + 1))) for n in range(len(pages))]


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("Lange Reihe 7\n20099 Hamburg", "20099"),
        ("Hauptstr. 12345\nA-1010 Wien\nAustria", "1010"),
        ("ul. Prosta 1\n00-950 Warszawa", "00-950"),
        ("10 Downing Street\nLondon\nSW1A 2AA", "SW1A 2AA"),
        ("742 Evergreen Terrace\nSpringfield, IL 62704", "62704"),
        ("Storgatan 3\n111 22 Stockholm", "111 22"),
        ("Somewhere 5", ""),
        ("", ""),
    ],
)
def test_a_postcode_is_found_where_it_stands(address: str, code: str) -> None:
    assert postcode(address) == code


def test_home_comes_first_and_then_country_by_country() -> None:
    letters = [("FR", "75001 Paris"), ("DE", "80331 München"), ("AT", "1010 Wien"), ("", "20095 Hamburg")]
    order = sorted(letters, key=lambda each: post_key(each[0], "DE", each[1]))
    assert [country for country, _ in order] == ["", "DE", "AT", "FR"]


def test_a_batch_is_in_post_order_and_printed_once(provider: Provider) -> None:
    now = provider.travel(noon(DAY))
    someone(provider, "Munich", "Weg 1\n80331 München")
    someone(provider, "Hamburg", "Weg 2\n20095 Hamburg", "both")
    someone(provider, "Mailed", "Weg 3\n10115 Berlin", "mail")
    someone(provider, "Homeless", "")
    invoices.issue_due(now)
    with transaction() as tx:
        assert waiting_for_paper(tx) == {"invoice": 3}
    batch, _ = printed(provider, DAY)
    assert batch.letters == 0, "their PDFs are not made yet"
    assert {why for _, _, why in batch.waiting} == {"There is no postal address.", "Its PDF is not made yet."}
    draw()
    batch, pages = printed(provider, DAY, two_sided=True)
    assert (batch.letters, batch.recipients, batch.pages, batch.kinds, batch.fees) == (2, 2, 4, {"invoice": 2}, 0)
    assert ["Hamburg" in pages[0], pages[1], "München" in pages[2], pages[3]] == [True, "", True, ""]
    assert [name for _, name, _ in batch.waiting] == ["Homeless"]
    assert printed(provider, DAY)[0].letters == 0
    assert ask("SELECT count(*) FROM message WHERE channel = 'paper' AND state = 'sent'") == [(2,)]


def test_what_is_printed_is_what_everybody_gets(provider: Provider) -> None:
    now = provider.travel(noon(DAY))
    someone(provider, "Anna", "Weg 1\n80331 München")
    invoices.issue_due(now)
    draw()
    provider.set(company_name="Somebody Else")
    _, pages = printed(provider, DAY)
    assert "My Internet Provider" in pages[0]
    assert "Somebody Else" not in pages[0]


def test_when_the_file_cannot_be_kept_nothing_is_printed(provider: Provider) -> None:
    now = provider.travel(noon(DAY))
    someone(provider, "Anna", "Weg 1\n80331 München")
    invoices.issue_due(now)
    draw()

    def full(_pdf: bytes) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        print_batch(provider.vault, "staff:1", now, full)
    assert printed(provider, DAY)[0].letters == 1


def test_paper_by_choice_costs_what_the_setting_says(provider: Provider) -> None:
    now = provider.travel(noon(DAY))
    someone(provider, "Anna", "Weg 1\n80331 München")
    someone(provider, "Nomail", "Weg 1\n80331 München", "mail")
    with transaction() as tx:
        tx.execute(text("UPDATE subscriber SET email = '', language = 'de' WHERE name = 'Nomail'"))
        tx.execute(text("UPDATE subscriber SET language = 'de' WHERE name = 'Anna'"))
    invoices.issue_due(now)
    draw()
    provider.set(paper_fee=150)
    with pytest.raises(Refused, match="needs its tax class"):
        printed(provider, DAY)
    (name,) = ask("SELECT name FROM tax_class LIMIT 1")[0]
    provider.set(paper_fee_tax_class=name)
    batch, _ = printed(provider, DAY)
    assert (batch.letters, batch.fees) == (2, 1), "who has no mail address has not chosen paper"
    assert ask("SELECT text, amount_minor FROM charge") == [("Papierrechnung INV-000001", 150)]
    invoices.issue_due(provider.travel(noon(date(2026, 12, 24))))
    assert ("Papierrechnung INV-000001", 150) in ask("SELECT text, net_minor FROM invoice_line")


def dun_until(provider: Provider, first: date, last: date) -> None:
    """The tick of each noon; nobody prints."""
    for ahead in range((last - first).days + 1):
        tick.run(provider.travel(noon(first + timedelta(days=ahead))))


def test_a_printed_letter_is_the_notice_of_dunning(provider: Provider) -> None:
    _, service_id = someone(provider, "Anna", "Weg 1\n80331 München")
    final = DAY + timedelta(days=14 + 14)
    wall = final + timedelta(days=7)
    dun_until(provider, DAY, final)
    draw()
    batch, pages = printed(provider, final)
    assert batch.kinds == dict.fromkeys(("invoice", "due_notice", "reminder_1", "reminder_2", "final_notice"), 1)
    (letter,) = [page for page in pages if "Final notice" in page]
    assert f"from {wall.strftime('%b')} {wall.day}, {wall.year} on" in letter
    assert "this is our last notice" in letter
    dun_until(provider, final, wall - timedelta(days=1))
    assert provider.level(service_id) == AccessLevel.FULL
    dun_until(provider, wall, wall)
    assert provider.level(service_id) == AccessLevel.WALLED


def test_without_a_print_nobody_is_walled_in(provider: Provider) -> None:
    _, service_id = someone(provider, "Anna", "Weg 1\n80331 München")
    dun_until(provider, DAY, DAY + timedelta(days=50))
    assert provider.level(service_id) == AccessLevel.FULL


def test_a_reminder_that_was_paid_meanwhile_is_not_printed(provider: Provider) -> None:
    subscriber_id, _ = someone(provider, "Anna", "Weg 1\n80331 München")
    dun_until(provider, DAY, DAY + timedelta(days=18))
    draw()
    assert ask("SELECT count(*) FROM message WHERE kind = 'reminder_1' AND state = 'paper'") == [(1,)]
    provider.pay(subscriber_id, 3599)
    batch, _ = printed(provider, DAY + timedelta(days=18))
    assert batch.settled == 2
    assert set(batch.kinds) == {"invoice"}
    assert ask("SELECT DISTINCT state FROM message WHERE kind = 'reminder_1'") == [("withdrawn",)]


def test_the_command_never_overwrites(provider: Provider, tmp_path: Path) -> None:
    now = provider.travel(noon(DAY))
    someone(provider, "Anna", "Weg 1\n80331 München")
    invoices.issue_due(now)
    draw()

    def tollkeeper(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "console", "mail", *words]
        return subprocess.run(argv, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=60)

    assert tollkeeper("print").stdout == "invoice\t1\n"
    file = tmp_path / "batch.pdf"
    file.write_text("precious")
    refused = tollkeeper("print", str(file))
    assert refused.returncode == 1
    assert "nothing is printed" in refused.stderr
    assert file.read_text() == "precious"
    fresh = tmp_path / "fresh.pdf"
    assert "1 letters to 1 recipients, 1 pages (1 invoice)" in tollkeeper("print", str(fresh)).stdout
    assert fresh.read_bytes().startswith(b"%PDF")
    assert tollkeeper("print", str(tmp_path / "third.pdf")).stdout == "Nothing waits for paper.\n"
    assert "by paper" in tollkeeper("delivery", "00001", "paper").stdout
