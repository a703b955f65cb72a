"""Documents as HTML pages: templates, ours or the operator's, filled with values in the reader's language.

Every template is run in a sandbox: it reads what it is given, and reaches nothing else. Pure but for our own files.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from string import Template
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from base.bank import grouped
from base.branding import logo_type
from base.business import Business
from base.i18n import format_date, format_money, format_percentage, translations
from billing.gateway.offers import methods
from billing.qr import qr_image, transfer_qr

TEMPLATES = Path(__file__).parent / "templates"
KINDS = ("invoice", "credit_note", "receipt", "statement", "reminder", "vouchers", "document", "pay")
"What has a template; 'document' is the frame around all others, 'pay' the part of them that says how to pay."
METHODS = {
    "cash": "Cash",
    **{name: each.name for name, each in methods().items()},
    "cheque": "Cheque",
    "voucher": "Voucher",
    "opening": "Taken over",
}

Own = tuple[tuple[str, str], ...]
"(kind, source) of the operator's templates that hold in a language; the others are ours."


@dataclass(frozen=True, slots=True)
class Brand:
    """What templates may know about the provider: nothing secret."""

    name: str
    colour: str
    logo: str
    "A data: URL, or ''."
    footer: str
    support_contact: str
    bank_name: str
    iban: str
    bic: str


def brand_of(business: Business) -> Brand:
    """The provider's look and bank account."""
    return Brand(
        name=business.company_name,
        colour=business.company_colour,
        logo=_logo_url(business.company_logo),
        footer=business.invoice_footer,
        support_contact=business.support_contact,
        bank_name=business.bank_name,
        iban=business.bank_iban,
        bic=business.bank_bic,
    )


def fill(kind: str, brand: Brand, language: str, own: Own = (), **values: Any) -> str:
    """A document as one self-contained page. Raises what jinja2 raises when an own template does not fit the values."""
    return (
        _environment(language, own)
        .get_template(kind)
        .render(brand=brand, language=language.replace("_", "-"), style=_style_tag(brand.colour), **values)
    )


@lru_cache(maxsize=64)
def _environment(language: str, own: Own) -> Environment:
    sources = dict(own)

    def load(name: str) -> tuple[str, str | None, Callable[[], bool]] | None:
        kind = name.removesuffix(".html")
        if kind in sources:
            return sources[kind], kind, lambda: True
        path = TEMPLATES / f"{kind}.html"
        return (path.read_text(), str(path), lambda: True) if kind in KINDS and path.is_file() else None

    made = ImmutableSandboxedEnvironment(
        loader=FunctionLoader(load),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    spoken = translations(language)
    made.install_gettext_callables(spoken.gettext, spoken.ngettext, newstyle=True)  # type: ignore[attr-defined]
    made.globals.update(
        money=lambda amount: format_money(amount, language),
        day=lambda when: format_date(when, language),
        days=lambda period: " – ".join(
            format_date(each, language).replace(" ", "\N{NO-BREAK SPACE}") for each in (period.start, period.last_day)
        ),
        percent=lambda rate: format_percentage(rate, language),
        compounds=lambda lines: {tax.name for line in lines for tax in line.taxes if tax.compound},
        bold=lambda text: Markup("<b>{}</b>").format(text),
        iban=grouped,
        qr=qr_image,
        transfer_qr=transfer_qr,
        method=lambda name: spoken.gettext(METHODS[name]),
    )
    return made


@cache
def builtin(kind: str) -> str:
    """The source of our own template."""
    return (TEMPLATES / f"{kind}.html").read_text()


@lru_cache(maxsize=16)
def style_sheet(colour: str) -> str:
    """document.css in the provider's colour; its first line says which."""
    sheet = Template((TEMPLATES / "document.css").read_text())
    shades = {"colour": colour, "dark": _mixed(colour, "#000000", 25), "pale": _mixed(colour, "#ffffff", 89)}
    return f"/* {colour} */\n{sheet.substitute(shades)}"


@lru_cache(maxsize=16)
def _style_tag(colour: str) -> Markup:
    return Markup("<style>\n{}</style>").format(Markup(style_sheet(colour)))  # noqa: S704 - our own file


def _mixed(colour: str, other: str, percent: int) -> str:
    """`percent` of the other colour in the first."""
    pairs = ((int(colour[at : at + 2], 16), int(other[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{(one * (100 - percent) + two * percent) // 100:02x}" for one, two in pairs)


@lru_cache(maxsize=4)
def _logo_url(packed: str) -> str:
    return f"data:{logo_type(base64.b64decode(packed))};base64,{packed}" if packed else ""


def in_words(source: str) -> list[tuple[int, str]]:
    """(line, sentence) of everything that a template has translated; what a catalogue must hold."""
    found = _environment("en", ()).extract_translations(source)  # type: ignore[attr-defined]
    return [(line, each) for line, _, said in found for each in ([said] if isinstance(said, str) else said) if each]
