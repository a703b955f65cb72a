"""What the books say is said in the subscriber's language; nothing of ours is left in English."""

from datetime import date

import pytest
from sqlalchemy import text

from base.business import load_business
from base.calendar import Period
from base.database import transaction
from base.i18n import LOCALES, translations
from base.money import Money
from billing import documents, invoices
from billing.credit_notes import credit_invoice, write_off_invoice
from billing.own_words import SENTENCES, say
from tests.billing.provider import Provider, noon
from tests.billing.test_mail import ask

DAY = date(2026, 11, 24)


@pytest.mark.parametrize("language", sorted(path.name for path in LOCALES.iterdir()))
def test_nothing_of_ours_is_left_in_english(language: str) -> None:
    for sentence in SENTENCES:
        said = say(sentence.replace("%(", "<").replace(")s", ">"), language)
        wanted = translations(language).gettext(sentence)
        assert said == wanted.replace("%(", "<").replace(")s", ">")
        assert wanted != sentence or (language, sentence) == ("de", "Pause")


def test_what_somebody_typed_stays() -> None:
    assert say("Storm of 3 May", "de") == "Storm of 3 May"
    assert say("Invoice of my uncle", "de") == "Invoice of my uncle"
    assert say("Credit note CN-1 for invoice INV-2", "es") == "Nota de abono CN-1 de la factura INV-2"


def test_a_statement_and_a_credit_note_speak_the_subscribers_language(provider: Provider) -> None:
    now = provider.travel(noon(DAY))
    provider.set(language="de")
    anna = provider.subscriber()
    with transaction() as tx:
        tx.execute(text("UPDATE subscriber SET language = 'es'"))
    provider.service(anna, provider.plan(setup_fee=Money(2500, "EUR")), DAY)
    provider.service(anna, provider.plan(500), DAY)
    (invoice_id,) = invoices.issue_due(now)
    assert ask("SELECT text FROM invoice_line WHERE kind = 'setup'")[0][0].startswith("Alta de Home")
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        lines = invoices.load_invoice(tx, invoice_id).lines  # type: ignore[union-attr]
        assert len(lines) == 3
        (line_id,) = ask("SELECT id FROM invoice_line WHERE kind = 'setup'")[0]
        credit_invoice(
            tx, provider.vault, business, "staff:1", invoice_id, "Fee waived", now,
            {line_id: next(line.net for line in lines if line.kind == "setup")},
        )  # fmt: skip
        write_off_invoice(tx, provider.vault, business, "staff:1", invoice_id, "gone", now)
        page = documents.statement_html(tx, business, anna, Period(DAY, date(2026, 12, 1)), DAY)
    for words in (
        "Factura INV-000001",
        "Nota de abono CN-000001 de la factura INV-000001",
        "Dada por incobrable: factura INV-000001",
    ):
        assert f"<bdi>{words}</bdi>" in page
    assert ask("SELECT reason FROM credit_note") == [("Recargo condonado",)]
    assert ask("SELECT detail ->> 'reason' FROM trail WHERE act = 'credit_note.issued'") == [("Fee waived",)]
