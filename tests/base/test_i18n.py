"""Sentences in other languages: read from .po files, English where there is none."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from base import i18n

GERMAN = """
msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"

msgid "Total"
msgstr "Gesamtbetrag"

msgid "{count} day"
msgid_plural "{count} days"
msgstr[0] "{count} Tag"
msgstr[1] "{count} Tage"
"""
AUSTRIAN = """
msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"

msgid "January"
msgstr "Jänner"
"""


@pytest.fixture
def locales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for language, file, text in (("de", "billing", GERMAN), ("de_AT", "billing", AUSTRIAN)):
        folder = tmp_path / language / "LC_MESSAGES"
        folder.mkdir(parents=True)
        (folder / f"{file}.po").write_text(text)
    more = AUSTRIAN.replace("January", "Subject").replace("Jänner", "Betreff")
    (tmp_path / "de" / "LC_MESSAGES" / "letters.po").write_text(more)
    monkeypatch.setattr(i18n, "LOCALES", tmp_path)
    i18n.translations.cache_clear()
    yield tmp_path
    i18n.translations.cache_clear()


@pytest.mark.parametrize("language", ["de", "de_DE", "de-AT"])
def test_every_file_of_the_language_counts(locales, language):
    said = i18n.translations(language)
    assert said.gettext("Total") == "Gesamtbetrag"
    assert said.gettext("Subject") == "Betreff"
    assert [said.ngettext("{count} day", "{count} days", n) for n in (1, 2)] == ["{count} Tag", "{count} Tage"]
    assert said.gettext("January") == ("Jänner" if language == "de-AT" else "January")


@pytest.mark.parametrize("language", ["en", "en_GB", "tlh", "../../etc"])
def test_a_language_without_a_file_stays_english(locales, language):
    said = i18n.translations(language)
    assert said.gettext("Total") == "Total"
    assert [said.ngettext("{count} day", "{count} days", n) for n in (1, 2)] == ["{count} day", "{count} days"]


def test_a_language_is_read_once(locales):
    assert i18n.translations("de") is i18n.translations("de")


@pytest.mark.parametrize(
    ("value", "places", "language", "written"),
    [
        ("1234.55", 1, "en", "1,234.6"),
        ("1234.5", 1, "de", "1.234,5"),
        ("0.05", 1, "en", "0.1"),
        ("-0.25", 1, "en", "-0.3"),
        ("2.5", 0, "en", "3"),
        ("12345", 0, "en", "12,345"),
    ],
)
def test_numbers_in_the_language(value, places, language, written):
    assert i18n.format_number(Decimal(value), places, language) == written


def test_months_in_the_language():
    assert [i18n.format_month(date(2026, 3, 31), each) for each in ("en", "de")] == ["Mar 2026", "März 2026"]


@pytest.mark.parametrize(
    ("text", "currency", "example"), [("29.999", "EUR", "29.99"), ("0.5", "JPY", "29"), ("1.2345", "KWD", "29.999")]
)
def test_a_wrong_amount_is_answered_with_one_that_its_currency_has(text: str, currency: str, example: str) -> None:
    with pytest.raises(ValueError, match=f"{text}' is not an amount of {currency} such as {example}[.]$"):
        i18n.parse_money(text, currency)
    assert i18n.format_money(i18n.parse_money(example, currency), "en")
