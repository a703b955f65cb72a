"""The words of mails from templates: ours in templates/mail, the operator's in their place. Pure but for our own files.

A template is Jinja2 text: its first line is the subject, the rest the body. What it may use: the values of its kind
(SAMPLES shows each), company, support, sender (the lines at the end), nothing (no money, to compare with), the filters
money, day, moment, percent and octets, and _("sentence") for words that the .po files translate.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from base.business import Business
from base.i18n import format_date, format_instant, format_money, format_octets, format_percentage, translations
from base.log import alarm

FOLDER = Path(__file__).parent / "templates" / "mail"
KINDS = (
    "welcome", "invoice", "credit_note", "receipt", "statement", "due_notice", "reminder_1", "reminder_2",
    "final_notice", "suspended", "restored", "card_failed", "card_expiring", "promise_accepted",
    "instalment_plan", "money_back", "usage_80", "usage_100",
)  # fmt: skip
Sources = Mapping[tuple[str, str], str]
"The operator's templates by kind and language; see billing.mail_sources."
_T = TypeVar("_T")
MOST_LETTERS = 100_000  # of a rendered mail: what is longer is a mistake


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail's words."""

    subject: str
    body: str


class WrongTemplate(ValueError):
    """A template does not parse or render; the message says where and why."""


def write(
    kind: str, business: Business, *, language: str | None = None, sources: Sources | None = None, **values: Any
) -> Letter:
    """A mail of a kind in a language (default: the provider's), by the operator's template if there is one.

    The operator's template was checked when it was saved; one that fails all the same gives way to ours, with an alarm.
    """
    spoken = language or business.language
    own = find_source(sources or {}, kind, spoken)
    if own is not None:
        try:
            return render(own, business, spoken, values)
        except WrongTemplate:
            alarm("mail_template_failed", kind=kind, language=spoken)
    return render(built_in(kind), business, spoken, values)


def find_source(sources: Sources, kind: str, language: str) -> str | None:
    """The operator's template for exactly this language, or for the language without its country; None: ours."""
    spoken = language.replace("-", "_")
    return sources.get((kind, spoken)) or sources.get((kind, spoken.partition("_")[0]))


@cache
def built_in(kind: str) -> str:
    """Our template of a kind."""
    return (FOLDER / f"{kind}.txt").read_text()


def render(source: str, business: Business, language: str, values: Mapping[str, Any]) -> Letter:
    """The words of a template, or WrongTemplate."""
    given = {
        "company": " ".join(business.company_name.split()),
        "support": business.support_contact,
        "sender": "\n".join(part for part in (business.company_name, business.support_contact) if part),
        **values,
    }
    try:
        subject, body = _compile(source, language, business.time_zone)
        words = Letter(" ".join(subject.render(given).split()), _paragraphs(body.render(given)))
    except Exception as error:  # a template is a program, and may fail in any way
        line = getattr(error, "lineno", None)
        what = str(error) or f"it fails with {type(error).__name__}"
        raise WrongTemplate(f"{'' if line is None else f'line {line}: '}{what}") from error
    if not words.subject:
        raise WrongTemplate("line 1: the first line is the subject, and it is empty")
    if len(words.body) > MOST_LETTERS:
        raise WrongTemplate(f"it makes {len(words.body)} letters, and a mail has {MOST_LETTERS} at most")
    return words


@lru_cache(256)
def _compile(source: str, language: str, zone: str) -> tuple[Template, Template]:
    """Subject and body; the body keeps the line numbers of the whole."""
    first, _, rest = source.partition("\n")
    environment = _environment(language, zone)
    return environment.from_string(first), environment.from_string("\n" + rest)


@cache
def _environment(language: str, zone: str) -> ImmutableSandboxedEnvironment:
    """Where templates run: no attribute with an underscore, no way out, and no value that is silently missing."""
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # plain text
        extensions=["jinja2.ext.i18n"],
    )
    words = translations(language)
    environment.install_gettext_callables(words.gettext, words.ngettext, newstyle=True)  # type: ignore[attr-defined]
    once = lru_cache(10_000)  # a bill run says the same amounts and days all over again
    filters: dict[str, Callable[..., str]] = {
        "money": once(lambda amount: format_money(amount, language)),
        "day": once(lambda day: format_date(_given(day, date), language)),
        "moment": lambda instant: format_instant(_given(instant, datetime), ZoneInfo(zone), language),
        "percent": once(lambda rate: format_percentage(rate, language)),
        "octets": format_octets,
    }
    environment.filters.update(filters)
    return environment


def _given(value: object, wanted: type[_T]) -> _T:
    """The value; TypeError for none, which Babel would take for today."""
    if not isinstance(value, wanted):
        raise TypeError(f"{value} is not a {wanted.__name__}; it may be missing, so ask for it with {{% if … %}}")
    return value


def _paragraphs(text: str) -> str:
    """One blank line between paragraphs, whatever conditions left out; one line break at the end."""
    return re.sub(r"\n[ \t]*(?:\n[ \t]*)+\n", "\n\n", text).strip("\n") + "\n"
