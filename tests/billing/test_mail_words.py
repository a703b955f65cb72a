"""Templates of mails: every kind in every language, nothing untranslated, and an operator's mistake said when saved."""

from datetime import date
from string import Formatter

import pytest

from base.access import Reason
from base.business import Business
from base.i18n import LOCALES, translations
from base.money import Money
from billing.addresses import COPIED_TO
from billing.collect.declines import SENTENCES
from billing.letters import reminder_letter
from billing.mail_samples import SAMPLES
from billing.mail_words import FOLDER, KINDS, WrongTemplate, _environment, built_in, render, write
from billing.outbox import ON_PAPER

BUSINESS = Business(company_name="Nordlicht Internet", support_contact="+49 30 1234", language="en_GB")
SPOKEN = ("en_GB", "de", "de_AT", "es", "es_MX", "fr")


def test_every_kind_has_a_template_and_samples() -> None:
    assert sorted(KINDS) == sorted(SAMPLES) == sorted(path.stem for path in FOLDER.glob("*.txt"))
    assert set(COPIED_TO) | ON_PAPER <= set(KINDS)


@pytest.mark.parametrize("language", SPOKEN)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_speaks_every_language(kind: str, language: str) -> None:
    for values in SAMPLES[kind]:
        letter = write(kind, BUSINESS, language=language, **values)
        assert letter.subject == " ".join(letter.subject.split())
        assert "\n\n\n" not in letter.body
        assert "%" not in letter.body.replace(" %", "").replace("\N{NO-BREAK SPACE}%", "")
        assert "Ada Lovelace" in letter.body
        assert letter.body.endswith("\n\nNordlicht Internet\n+49 30 1234\n")


def said_in(kind: str) -> set[str]:
    found = _environment("en", "UTC").extract_translations(built_in(kind))  # type: ignore[attr-defined]
    return {said[0] if isinstance(said, tuple) else said for _, _, said in found} - {None}


@pytest.mark.parametrize("language", sorted(path.name for path in LOCALES.iterdir()))
def test_nothing_is_left_in_english(language: str) -> None:
    words = translations(language)
    sentences = set.union(*map(said_in, KINDS)) | {reason.for_subscriber for reason in Reason} | set(SENTENCES)
    assert len(sentences) > 50
    same = {sentence for sentence in sentences if words.gettext(sentence) == sentence}
    assert same <= {"%(tax)s %(percent)s %%"}
    for sentence in sentences:
        assert names(words.gettext(sentence)) == names(sentence), sentence


def names(sentence: str) -> list[str]:
    """The placeholders of a sentence."""
    as_fields = sentence.replace("{", "{{").replace("}", "}}").replace("%%", "").replace("%(", "{").replace(")s", "}")
    return sorted(field for _, field, _, _ in Formatter().parse(as_fields) if field)


def test_german_amounts_and_dates_are_german() -> None:
    letter = write("invoice", BUSINESS, language="de", **SAMPLES["invoice"][0])
    assert letter.subject == "Rechnung INV-000007 von Nordlicht Internet: 95,99 €"
    assert "Bitte zahlen Sie sie bis zum 14.03.2026." in letter.body


def reminder(kind: str, fee: Money | None = None, fee_ahead: Money | None = None) -> str:
    return reminder_letter(
        BUSINESS,
        kind=kind,
        name="Zoë",
        number="INV-000007",
        due_on=date(2026, 3, 13),
        open=Money(3099, "EUR"),
        owed=Money(3099, "EUR"),
        wall_on=date(2026, 4, 3),
        today=date(2026, 3, 20),
        link="https://x.example",
        fee=fee,
        fee_ahead=fee_ahead,
    ).body


def test_each_step_of_a_reminder_says_its_own() -> None:
    assert "late fee of €5.00 is added" in reminder("reminder_2", fee_ahead=Money(500, "EUR"))
    assert "late fee of €5.00 has been added" in reminder("final_notice", Money(500, "EUR"))
    assert "our last notice" in reminder("final_notice")
    assert "fee" not in reminder("reminder_2") + reminder("final_notice")
    for kind in ("reminder_1", "reminder_2", "final_notice"):
        assert "from 3 Apr 2026 on" in reminder(kind), "an access step names its date"


def test_the_operators_words_win_where_the_language_fits() -> None:
    sources = {("restored", "de"): "Wieder da: {{ login }}\nHallo {{ name }}\n"}
    values = SAMPLES["restored"][0]
    assert write("restored", BUSINESS, language="de_AT", sources=sources, **values).subject == "Wieder da: ada"
    assert write("restored", BUSINESS, language="es", sources=sources, **values).subject.startswith("Su conexión")


def test_a_template_that_fails_at_run_time_gives_way_to_ours(capsys: pytest.CaptureFixture[str]) -> None:
    sources = {("restored", "en"): "Back\n{{ gone.away }}\n"}
    letter = write("restored", BUSINESS, language="en", sources=sources, **SAMPLES["restored"][0])
    assert letter.subject == "Your connection ada is back"
    assert "mail_template_failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "subject"),
        ("\nHello\n", "subject"),
        ("Hello\n\n{{ nmae }}", "'nmae' is undefined"),
        ("Hello\n{% if name %}", "line 2"),
        ("Hello\n\n\n{{ name | mony }}", "line 4: No filter named 'mony'"),
        ("Hello\n{{ name.__class__.__mro__ }}", "unsafe"),
        ("Hello\n{{ lines.append(1) }}", "safe"),
        ("Hello\n{% include '/etc/passwd' %}", "no loader"),
        ("Hello\n{{ name|day }}", "is not a date"),
        ("Hello\n{{ 'x' * 200000 }}", "200001 letters"),
    ],
)
def test_mistakes_are_said_with_their_place(source: str, says: str) -> None:
    with pytest.raises(WrongTemplate, match=says):
        render(source, BUSINESS, "en", SAMPLES["invoice"][0])


def test_names_cannot_be_programs_or_headers() -> None:
    values = SAMPLES["restored"][0] | {"name": "{{ 7 * 7 }} %(x)s", "login": "a\nBcc: all@example.net"}
    letter = write("restored", BUSINESS, **values)
    assert "Dear {{ 7 * 7 }} %(x)s," in letter.body
    assert "\n" not in letter.subject
