"""Templates: ours speak every language we promise, the operator's are tried when saved and hold ever after."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from base.business import Business, load_business
from base.database import transaction
from base.i18n import translations
from base.tables import trail
from billing import documents, pages, paper
from billing.document_samples import samples
from billing.document_templates import list_templates, load_own, load_template, reset_template, save_template
from billing.refused import Refused
from tests.billing.provider import Provider

BUSINESS = Business(
    company_name="Nordlicht", bank_iban="DE89370400440532013000", support_contact="040 1", invoice_footer="HRB 1"
)
FRAME = '{% extends "document.html" %}'
OURS = [kind for kind in pages.KINDS if kind not in ("document", "pay")]


def words() -> set[str]:
    """Every sentence that the templates have translated."""
    said = {text for kind in pages.KINDS for _, text in pages.in_words(pages.builtin(kind))}
    return said | set(pages.METHODS.values())


@pytest.mark.parametrize("language", ["de", "es"])
def test_no_sentence_is_missing(language: str) -> None:
    catalogue = translations(language)._catalog  # type: ignore[attr-defined]
    known = {key[0] if isinstance(key, tuple) else key for key in catalogue}
    plurals = {text for text in words() if "%(num)s" in text}
    assert len(words()) > 50
    assert words() - plurals - known == set()
    assert [
        translations(language).gettext(text) for text in words() - plurals if not translations(language).gettext(text)
    ] == []
    for kind in pages.KINDS:
        for one, many in re.findall(r'ngettext\("([^"]+)", "([^"]+)"', pages.builtin(kind)):
            assert {translations(language).ngettext(one, many, n) for n in (1, 2)}.isdisjoint({one, many})


@pytest.mark.parametrize("language", ["de", "es"])
def test_a_translation_keeps_what_is_filled_in(language: str) -> None:
    for text in words():
        said = translations(language).gettext(text)
        assert set(re.findall(r"%\(\w+\)s|%%", said)) == set(re.findall(r"%\(\w+\)s|%%", text)), said


def test_a_page_speaks_the_language_and_writes_its_amounts_and_dates() -> None:
    (page, *_) = (
        pages.fill("invoice", pages.brand_of(BUSINESS), "de", **values) for values in samples("invoice", BUSINESS)
    )
    for part in (
        "Rechnung",
        "Bitte zahlen Sie bis <b>07.12.2026</b>",
        "71,39\xa0€",
        "VAT 19 % auf 59,99\xa0€",
        "Verwendungszweck",
        'lang="de"',
    ):
        assert part in page, part
    assert "Factura" in pages.fill("invoice", pages.brand_of(BUSINESS), "es_MX", **samples("invoice", BUSINESS)[0])


@pytest.mark.parametrize("language", ["en", "de", "es", "fr"])
@pytest.mark.parametrize("kind", OURS)
def test_ours_fit_every_sample(kind: str, language: str) -> None:
    for business in (BUSINESS, Business()):
        for values in samples(kind, business):
            assert "<table" in pages.fill(kind, pages.brand_of(business), language, **values)


def save(provider: Provider, kind: str, source: str, language: str = "") -> None:
    with transaction() as tx:
        save_template(tx, "staff:1", kind, language, source)


def shown(provider: Provider, kind: str, language: str = "") -> str:
    with transaction() as tx:
        return documents.preview_html(tx, load_business(tx, provider.vault), provider.vault, kind, language)


def test_an_own_template_holds_until_it_is_reset(provider: Provider) -> None:
    own = FRAME + "{% block body %}<p>Ours is {{ invoice.number }}, {{ money(invoice.total) }}</p>{% endblock %}"
    save(provider, "invoice", own)
    save(provider, "invoice", own.replace("Ours is", "Unsere ist"), "de")
    assert "Ours is INV-000042, €71.39" in shown(provider, "invoice")
    assert "Unsere ist INV-000042" in shown(provider, "invoice", "de_AT")
    assert "Ours is INV-000042" in shown(provider, "invoice", "es")
    with transaction() as tx:
        assert [(each.kind, each.language, each.author) for each in list_templates(tx)] == [
            ("invoice", "", "staff:1"),
            ("invoice", "de", "staff:1"),
        ]
        reset_template(tx, "staff:2", "invoice", "de")
        assert load_template(tx, "invoice", "de") == own
        reset_template(tx, "staff:2", "invoice", "")
        assert load_own(tx, "de") == ()
        assert load_template(tx, "invoice", "de") == pages.builtin("invoice")
        with pytest.raises(Refused, match="no own template"):
            reset_template(tx, "staff:2", "invoice", "")
        acts = tx.scalars(select(trail.c.act).where(trail.c.subject == "template").order_by(trail.c.id)).all()
    assert acts == ["template.saved", "template.saved", "template.reset", "template.reset"]


@pytest.mark.parametrize(
    ("kind", "source", "said"),
    [
        ("invoice", "one\n{% if invoice %}\n", "Line 2: .*if"),
        ("invoice", "one\ntwo\n{{ invoice.numero }}", "Line 3: .*numero"),
        ("invoice", "{{ invoice.lines[9].text }}", "Line 1: "),
        (
            "invoice",
            "{{ invoice.number }}{% if not invoice.open %}\n{{ 1 / 0 }}{% endif %}",
            "Line 2: division by zero",
        ),
        ("receipt", "{{ invoice.number }}", "'invoice' is undefined"),
        ("invoice", "{{ ''.__class__.__mro__ }}", "unsafe"),
        ("invoice", "{{ brand.stripe_secret_key }}", "stripe_secret_key"),
        ("invoice", "{% include '/etc/passwd' %}", "/etc/passwd"),
        ("invoice", "{% for n in range(9999999) %}{% endfor %}", "too big"),
        ("document", "{{ seller.nothing }}", "Line 1: .*nothing"),
        ("pay", "{{ payable.nothing }}", "Line 1: .*nothing"),
        ("letter", "", "not a document"),
        ("invoice", "x" * 200_001, "at most 200,000"),
    ],
)
def test_a_wrong_template_is_refused_with_line_and_words(provider: Provider, kind: str, source: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        save(provider, kind, source)
    with transaction() as tx:
        assert list_templates(tx) == []


def test_a_page_that_leaves_out_what_it_is_about_is_refused(provider: Provider) -> None:
    with pytest.raises(Refused, match="does not show its number"):
        save(provider, "document", "<p>{{ seller.name }}</p>")
    with pytest.raises(Refused, match="invoice does not show its number INV-000042"):
        save(provider, "invoice", "<p>{{ money(invoice.total) }}</p>")


def test_the_language_of_the_subscriber_comes_before_the_providers(provider: Provider) -> None:
    provider.set(language="es")
    one, other = provider.subscriber(), provider.subscriber()
    with transaction() as tx:
        tx.exec_driver_sql(f"UPDATE subscriber SET language = 'de' WHERE id = {one}")
        business = load_business(tx, provider.vault)
        assert [paper.language_of(tx, business, each) for each in (one, other, None)] == ["de", "es", "es"]


def test_the_console_keeps_shows_and_previews(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from console.cli import main

    monkeypatch.setattr("base.log.configure", lambda *_: None)  # it is this process's, for good

    def run(*argv: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, list(argv))
        assert result.exit_code == code, result.output
        return result.output

    file = tmp_path / "receipt.html"
    file.write_text("<p>{{ receipt.number }}: thanks for {{ money(receipt.amount) }}</p>")
    assert "holds for documents" in run("template", "save", "receipt", str(file), "--language", "de")
    assert "receipt\tde\tyour own, by console" in run("template", "list")
    assert run("template", "show", "receipt", "--language", "de") == file.read_text()
    file.write_text("{{ nothing }}")
    assert "Line 1: 'nothing' is undefined" in run("template", "save", "receipt", str(file), code=1)
    pdf = tmp_path / "out.pdf"
    assert "is written" in run("template", "preview", "vouchers", "--out", str(pdf))
    assert pdf.read_bytes().startswith(b"%PDF")
    assert "there is no invoice 7" in run("template", "preview", "invoice", "--id", "7", "--out", str(pdf), code=1)
    run("template", "reset", "receipt", "--language", "de")
    svg = tmp_path / "logo.svg"
    svg.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    assert "is the logo" in run("logo", str(svg))
    svg.write_text("GIF")
    assert "neither a PNG nor an SVG" in run("logo", str(svg), code=1)


def test_nothing_secret_is_within_reach() -> None:
    assert not [name for name in pages.Brand.__dataclass_fields__ if "secret" in name or "stripe" in name]


def test_a_tax_on_taxes_says_so_and_rates_are_written_as_the_language_does() -> None:
    values = samples("invoice", BUSINESS)[1]
    found = values["invoice"]
    state, county = found.lines[0].taxes
    line = replace(found.lines[0], taxes=(state, replace(county, compound=True)))
    page = pages.fill("invoice", pages.brand_of(BUSINESS), "de", **values | {"invoice": replace(found, lines=(line,))})
    assert "State tax 6,25 % auf 29,99\xa0€<" in page
    assert "County tax 1,5 % auf 29,99\xa0€ und die Steuern davor<" in page
    assert "6,25\xa0% + 1,5\xa0%" in page
