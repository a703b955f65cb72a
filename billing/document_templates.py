"""The operator's own templates: tried before they are kept, ours where there is none.

A template that is wrong is refused when it is saved, never when a bill is due: it must parse, and it must fill with
every sample of its kind, in a sandbox.
"""

import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from jinja2 import TemplateSyntaxError
from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert

from base import clock, trail
from base.business import Business
from base.i18n import is_language
from billing.document_samples import samples
from billing.pages import KINDS, Own, brand_of, builtin, fill
from billing.refused import Refused, need
from billing.tables import document_template

LARGEST = 200_000
"Letters of a template."


@dataclass(frozen=True, slots=True)
class OwnTemplate:
    """A template in place of ours, and who put it there."""

    kind: str
    language: str
    "'' for all languages that have none of their own."
    author: str
    created_at: datetime


def save_template(tx: Connection, actor: str, kind: str, language: str, source: str) -> None:
    """Put a template in place of ours, from the next document on; documents that are made stay as they are.

    Raises Refused, with line and words, when it does not parse or does not fill with sample values.
    """
    _check_name(kind, language)
    need(len(source) <= LARGEST, f"A template has at most {LARGEST:,} letters.", "source")
    others = {each.language for each in list_templates(tx)} - {""}
    for spoken in [language] if language else sorted({"en", "de", "es"} | others):
        _try(kind, spoken, dict(load_own(tx, spoken)) | {kind: source})
    row = {"kind": kind, "language": language, "source": source, "author": actor, "created_at": clock.now()}
    tx.execute(
        insert(document_template)
        .values(row)
        .on_conflict_do_update(
            index_elements=["kind", "language"], set_={k: row[k] for k in ("source", "author", "created_at")}
        )
    )
    _record(tx, actor, "template.saved", kind, language)


def reset_template(tx: Connection, actor: str, kind: str, language: str) -> None:
    """Take an own template away: the one for all languages, or ours, holds again. Refused when there is none."""
    _check_name(kind, language)
    place = (document_template.c.kind == kind) & (document_template.c.language == language)
    gone = tx.execute(delete(document_template).where(place)).rowcount
    need(gone, f"There is no own template for {kind}{f' in {language}' if language else ''}.", "kind")
    _record(tx, actor, "template.reset", kind, language)


def list_templates(tx: Connection) -> list[OwnTemplate]:
    """The operator's templates, by kind and language."""
    table = document_template.c
    query = select(table.kind, table.language, table.author, table.created_at).order_by(table.kind, table.language)
    return [OwnTemplate(*row) for row in tx.execute(query)]


def load_template(tx: Connection, kind: str, language: str) -> str:
    """The source that holds for a kind in a language: the operator's, else ours."""
    _check_name(kind, language)
    return dict(load_own(tx, language)).get(kind) or builtin(kind)


def load_own(tx: Connection, language: str) -> Own:
    """The operator's templates that hold in a language: those for 'de_AT', then for 'de', then for all."""
    wanted = _candidates(language)
    found = tx.execute(
        select(document_template.c.kind, document_template.c.language, document_template.c.source).where(
            document_template.c.language.in_(wanted)
        )
    ).all()
    best = {row.kind: row.source for name in wanted for row in found if row.language == name}
    return tuple(sorted(best.items()))


def _candidates(language: str) -> list[str]:
    """From the most general to the one that counts most."""
    spoken = language.replace("-", "_")
    return list(dict.fromkeys(["", spoken.partition("_")[0], spoken]))


def _check_name(kind: str, language: str) -> None:
    need(kind in KINDS, f"{kind!r} is not a document: {', '.join(KINDS)}.", "kind")
    need(not language or is_language(language), f"{language!r} is not a language such as de or de_AT.", "language")


def _try(kind: str, language: str, own: dict[str, str]) -> None:
    """Fill every page that the template has a part in, with every sample."""
    business = Business(bank_iban="DE89370400440532013000", bank_bic="COBADEFFXXX", invoice_footer="Thank you.")
    for page in _pages_with(kind):
        for values in samples(page, business):
            try:
                filled = fill(page, brand_of(business), language, tuple(sorted(own.items())), **values)
            except TemplateSyntaxError as wrong:
                raise Refused(f"Line {wrong.lineno}: {wrong.message}", "source") from None
            except Exception as wrong:  # whatever a template can do wrong, it does here and not when a bill is due
                words = str(wrong) or type(wrong).__name__
                raise Refused(f"{_line_of(wrong, kind)}{words} (with sample values)", "source") from None
            for each in values.values():
                number = getattr(each, "number", "")
                need(number in filled, f"The page of {page} does not show its number {number}.", "source")


def _pages_with(kind: str) -> Iterable[str]:
    if kind == "document":
        return [each for each in KINDS if each not in ("document", "pay")]
    return ["invoice", "statement", "reminder"] if kind == "pay" else [kind]


def _line_of(error: Exception, kind: str) -> str:
    """'Line 7: ' of the template in which an error arose; jinja2 names its frames after the template."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == kind]
    return f"Line {lines[-1]}: " if lines else ""


def _record(tx: Connection, actor: str, act: str, kind: str, language: str) -> None:
    trail.record(tx, actor, act, subject="template", detail={"kind": kind, "language": language})
