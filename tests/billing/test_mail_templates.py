"""The operator's templates: refused with a reason, used, taken back; previews with what is really there."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from base import clock
from base.business import load_business
from base.database import transaction
from billing import invoices
from billing.credit_notes import credit_invoice
from billing.invoice_mail import write_invoice_mail
from billing.mail_preview import preview
from billing.mail_samples import SAMPLES
from billing.mail_templates import list_replaced, reset_template, save_template, template_in_use
from billing.mail_words import KINDS, built_in
from billing.refused import Refused
from tests.billing.provider import Provider, noon
from tests.billing.test_mail import ask

ROOT = Path(__file__).parents[2]
OWN = "Beleg {{ number }}\n\nHallo {{ name }}, {{ total|money }} bitte.\n"


def save(provider: Provider, kind: str, language: str, source: str) -> None:
    with transaction() as tx:
        save_template(tx, load_business(tx, provider.vault), "staff:1", kind, language, source)


def test_a_template_in_place_of_ours_is_used_and_taken_back(provider: Provider) -> None:
    save(provider, "invoice", "en", "First\n\n{{ name }}\n")
    save(provider, "invoice", "en", OWN)
    subscriber_id = provider.subscriber()
    day = clock.real().date()
    provider.service(subscriber_id, provider.plan(), day)
    (invoice_id,) = invoices.issue_due(provider.travel(noon(day)))
    with transaction() as tx:
        letter = write_invoice_mail(tx, load_business(tx, provider.vault), invoice_id)
        assert (letter.subject, letter.body) == ("Beleg INV-000001", "Hallo Anna, €35.99 bitte.\n")
        assert [(each.kind, each.language, each.author) for each in list_replaced(tx)] == [("invoice", "en", "staff:1")]
        assert template_in_use(tx, "invoice", "en-GB") == OWN
        reset_template(tx, "staff:1", "invoice", "en")
        assert template_in_use(tx, "invoice", "en") == built_in("invoice")
        with pytest.raises(Refused, match="not replaced"):
            reset_template(tx, "staff:1", "invoice", "en")
    acts = ask("SELECT act, actor FROM trail WHERE subject = 'mail_template' ORDER BY id")
    assert acts == [("mail_template.saved", "staff:1")] * 2 + [("mail_template.reset", "staff:1")]


@pytest.mark.parametrize(
    ("kind", "language", "source", "says"),
    [
        ("bill", "en", OWN, "There is no mail 'bill'"),
        ("invoice", "klingon", OWN, "not a language"),
        ("invoice", "en", "x" * 60_000, "50000 bytes"),
        ("invoice", "en", "Hi\n\n{% for %}", "line 3"),
        ("reminder_1", "en", "Hi\n\n{{ wall_on|day }}", "cannot be used"),  # there is not always such a day
        ("invoice", "en", "Hi\n\n{{ owed }}", "'owed' is undefined"),
    ],
)
def test_a_mistake_is_said_when_saved(provider: Provider, kind: str, language: str, source: str, says: str) -> None:
    with pytest.raises(Refused, match=says):
        save(provider, kind, language, source)
    assert ask("SELECT count(*) FROM mail_template") == [(0,)]


@pytest.mark.parametrize("kind", KINDS)
def test_our_own_templates_could_be_saved(provider: Provider, kind: str) -> None:
    save(provider, kind, "de", built_in(kind))
    assert ask("SELECT kind, language FROM mail_template") == [(kind, "de")]


def test_every_kind_has_a_preview_with_what_is_there(provider: Provider) -> None:
    day = date(2026, 11, 24)
    provider.travel(noon(day))
    anna = provider.subscriber("Anna Berg")
    provider.service(anna, provider.plan(), day)
    (invoice_id,) = invoices.issue_due(noon(day))
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        credit_invoice(tx, provider.vault, business, "staff:1", invoice_id, "Outage", noon(day))
    provider.subscriber("Nobody Yet", "")
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        for kind in KINDS:
            shown = preview(tx, business, kind, "00001")
            assert "Anna Berg" in shown.letter.body
            assert not {"name", "number", "open", "due_on", "lines", "login", "owed"} & set(shown.invented)
            for values in (preview(tx, business, kind, "00002"),):
                assert "Nobody Yet" in values.letter.body
                assert set(values.invented) < set(SAMPLES[kind][0])
        assert "INV-000001" in preview(tx, business, "invoice", "00001").letter.subject
        assert preview(tx, business, "invoice", "00001", source="My {{ number }}\nx").letter.subject == "My INV-000001"
        assert preview(tx, business, "restored", "00001", language="es").letter.subject.startswith("Su conexión")
        for wrong in (("bill", "00001"), ("invoice", "99999")):
            with pytest.raises(Refused):
                preview(tx, business, *wrong)
        with pytest.raises(Refused, match="cannot be used"):
            preview(tx, business, "invoice", "00001", source="{{")


def tollkeeper(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "console", "mail", *words]
    return subprocess.run(argv, cwd=ROOT, env=os.environ, input=given, capture_output=True, text=True, timeout=60)


def test_the_commands(provider: Provider) -> None:
    provider.subscriber("Anna Berg")
    refused = tollkeeper("save", "invoice", "-", given="Hi\n{{ nmae }}")
    assert refused.returncode == 1
    assert "nmae" in refused.stderr
    assert "your own template" in tollkeeper("save", "invoice", "-", "--language", "de", given=OWN).stdout
    listed = tollkeeper("templates").stdout.splitlines()
    assert len(listed) == len(KINDS)
    assert any(line.startswith("invoice\tyour own: de by console") for line in listed)
    assert tollkeeper("templates", "invoice", "--language", "de").stdout == OWN
    shown = tollkeeper("preview", "invoice", "--subscriber", "00001", "--language", "de")
    assert shown.stdout.startswith("Subject: Beleg INV-")
    assert "Hallo Anna Berg" in shown.stdout
    assert "number" in shown.stderr
    assert "our template again" in tollkeeper("reset", "invoice", "--language", "de").stdout
    assert "books@example.net" in tollkeeper("contacts", "00001", "--add", "books@example.net").stdout
    assert tollkeeper("bad").stdout == ""
    assert "bounce_imap_url is not set" in tollkeeper("bounces").stderr
