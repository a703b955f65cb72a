"""Sentences in other languages: read from .po files, English where there is none."""

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
