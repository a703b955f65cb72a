"""The operator's own mail templates: checked when saved, taken back, and listed."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert

from base import clock, trail
from base.business import Business
from base.i18n import is_language
from billing.mail_samples import SAMPLES
from billing.mail_sources import load_sources
from billing.mail_words import KINDS, WrongTemplate, built_in, find_source, render
from billing.refused import Refused
from billing.tables import mail_template

MOST_BYTES = 50_000


@dataclass(frozen=True, slots=True)
class Replaced:
    """A template that the operator put in place of ours."""

    kind: str
    language: str
    author: str
    created_at: datetime


def save_template(tx: Connection, business: Business, actor: str, kind: str, language: str, source: str) -> None:
    """Use `source` for mails of a kind in a language from this commit on; Refused when it does not work."""
    _check_name(kind, language)
    if len(source.encode()) > MOST_BYTES:
        raise Refused(f"A template has at most {MOST_BYTES} bytes.", "source")
    for values in SAMPLES[kind]:
        try:
            render(source, business, language, values)
        except WrongTemplate as error:
            raise Refused(f"This template cannot be used: {error}.", "source") from error
    row = {"source": source, "author": actor, "created_at": clock.now()}
    tx.execute(
        insert(mail_template)
        .values(kind=kind, language=_spelt(language), **row)
        .on_conflict_do_update(index_elements=["kind", "language"], set_=row)
    )
    detail = {"kind": kind, "language": _spelt(language)}
    trail.record(tx, actor, "mail_template.saved", subject="mail_template", detail=detail)


def reset_template(tx: Connection, actor: str, kind: str, language: str) -> None:
    """Use our template again; Refused when it was not replaced."""
    _check_name(kind, language)
    where = (mail_template.c.kind == kind, mail_template.c.language == _spelt(language))
    if not tx.execute(delete(mail_template).where(*where)).rowcount:
        raise Refused(f"The template {kind} in {language} was not replaced.", "kind")
    detail = {"kind": kind, "language": _spelt(language)}
    trail.record(tx, actor, "mail_template.reset", subject="mail_template", detail=detail)


def list_replaced(tx: Connection) -> Iterator[Replaced]:
    """Every template that is not ours, by kind and language."""
    columns = (mail_template.c.kind, mail_template.c.language, mail_template.c.author, mail_template.c.created_at)
    for row in tx.execute(select(*columns).order_by(mail_template.c.kind, mail_template.c.language)):
        yield Replaced(*row)


def template_in_use(tx: Connection, kind: str, language: str) -> str:
    """The source that mails of a kind in a language are made from: to look at, and to begin one's own with."""
    _check_name(kind, language)
    return find_source(load_sources(tx), kind, language) or built_in(kind)


def _check_name(kind: str, language: str) -> None:
    if kind not in KINDS:
        raise Refused(f"There is no mail {kind!r}; there are {', '.join(KINDS)}.", "kind")
    if not is_language(language):
        raise Refused(f"{language!r} is not a language such as en, de or es_MX.", "language")


def _spelt(language: str) -> str:
    return language.replace("-", "_")
