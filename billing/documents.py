"""Invoices and receipts as HTML and PDF, made once and kept: the first PDF of a document stays the document.

The only importer of weasyprint, and only when a PDF is made: its import takes half a second and needs system libraries.
A document fetches nothing but our own fonts and templates, whatever a name or a note contains.
"""

import atexit
import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from base import clock
from base.business import Business, load_business
from base.crypto import Vault, open_vault
from base.database import transaction
from base.i18n import format_date, format_money
from base.settings import settings
from billing.invoices import load_invoice
from billing.receipts import load_receipt
from billing.tables import document, invoice, payment
from billing.tax import percent_text

TEMPLATES = Path(__file__).parent / "templates"
FONTS = Path(__file__).parent / "fonts"
# What weasyprint.text.ffi opens; HarfBuzz's subsetter makes a PDF in a quarter of the time but is not needed.
LIBRARIES = (
    "libgobject-2.0.so.0",
    "libpango-1.0.so.0",
    "libharfbuzz.so.0",
    "libfontconfig.so.1",
    "libpangoft2-1.0.so.0",
)
PACKAGES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
METHODS = {"cash": "Cash", "transfer": "Bank transfer", "card": "Card"}

_rendering = threading.Lock()  # Pango and fontconfig keep state of their own


@cache
def available() -> str | None:
    """None when PDFs can be made; else a sentence that says what is missing and how to get it."""
    for name in LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            return (
                f"PDFs cannot be made, because {name} is missing. Install it with: "
                f"apt-get install --no-install-recommends {PACKAGES}"
            )
    return None


def invoice_html(tx: Connection, business: Business, vault: Vault, invoice_id: int) -> str:
    """An invoice as one self-contained page; LookupError when there is none."""
    found = load_invoice(tx, invoice_id)
    if found is None:
        raise LookupError(f"there is no invoice {invoice_id}")
    link = f"{settings().public_url}/invoices/{invoice_id}"
    return _fill("invoice.html", business, invoice=found, seller=found.seller, link=link)


def receipt_html(tx: Connection, business: Business, vault: Vault, payment_id: int) -> str:
    """The receipt of a payment as one self-contained page; LookupError when there is none."""
    receipt = load_receipt(tx, payment_id)
    if receipt is None:
        raise LookupError(f"there is no payment {payment_id}")
    seller = {
        "name": business.company_name,
        "address": business.company_address,
        "tax_number": business.company_tax_number,
    }
    return _fill("receipt.html", business, receipt=receipt, seller=seller, methods=METHODS)


HTML_OF = {"invoice": invoice_html, "receipt": receipt_html}


def render(kind: str, subject_id: int) -> None:
    """Make and keep the PDF of an invoice or a receipt, unless it is there; no transaction is open meanwhile."""
    vault = open_vault(settings().secret_keys)
    with transaction() as tx:
        if has(tx, kind, subject_id):
            return
        html = HTML_OF[kind](tx, load_business(tx, vault), vault, subject_id)
    pdf = render_pdf(html)
    with transaction() as tx:
        store(tx, kind, subject_id, pdf)


def render_pdf(html: str) -> bytes:
    """The page as PDF, A4, with our fonts embedded. Raises OSError when a system library is missing."""
    with _rendering:
        press = _press()
        page = press.read(string=html.replace(_style(), "", 1), base_url=TEMPLATES.as_uri() + "/")
        pdf: bytes = page.write_pdf(stylesheets=press.stylesheets, font_config=press.fonts)
        return pdf


@dataclass(frozen=True, slots=True)
class _Press:
    """Weasyprint with our style and fonts read in, which is a third of the work of a page."""

    read: Callable[..., Any]
    stylesheets: list[Any]
    fonts: Any


@cache
def _press() -> _Press:
    from weasyprint import CSS, HTML
    from weasyprint.text.fonts import FontConfiguration
    from weasyprint.urls import URLFetcher

    class OurFiles(URLFetcher):
        """Opens our files and data: URLs; refuses every other address, and weasyprint goes on without it."""

        def fetch(self, url: str, headers: Any = None) -> Any:
            if not _is_ours(url):
                raise ValueError(f"documents fetch nothing: {url[:200]}")
            return super().fetch(url, headers)

    ours = OurFiles(allowed_protocols=["file", "data"], allow_redirects=False)
    fonts = FontConfiguration()
    sheets = [
        CSS(filename=TEMPLATES / name, font_config=fonts, url_fetcher=ours) for name in ("fonts.css", "document.css")
    ]
    atexit.register(_press.cache_clear)  # later the interpreter has taken apart what cleans up after the fonts
    return _Press(partial(HTML, url_fetcher=ours), sheets, fonts)


def store(tx: Connection, kind: str, subject_id: int, pdf: bytes) -> None:
    """Keep a document's PDF; the one that is there stays."""
    row = {"kind": kind, "subject_id": subject_id, "pdf": pdf, "created_at": clock.now()}
    tx.execute(insert(document).values(row).on_conflict_do_nothing(index_elements=["kind", "subject_id"]))


def fetch(tx: Connection, kind: str, subject_id: int) -> bytes | None:
    """The PDF of an invoice or a receipt; None while there is none."""
    query = select(document.c.pdf).where(document.c.kind == kind, document.c.subject_id == subject_id)
    return tx.scalar(query)


def has(tx: Connection, kind: str, subject_id: int) -> bool:
    """Whether the PDF is there."""
    query = select(document.c.id).where(document.c.kind == kind, document.c.subject_id == subject_id)
    return tx.scalar(query) is not None


def file_name(tx: Connection, kind: str, subject_id: int) -> str:
    """What the PDF is called on somebody's disk: its number, such as INV-000042.pdf."""
    query = (
        select(invoice.c.number).where(invoice.c.id == subject_id)
        if kind == "invoice"
        else select(payment.c.receipt_number).where(payment.c.id == subject_id)
    )
    number = tx.scalar(query) or kind
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in number) + ".pdf"


def _is_ours(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme == "data":
        return True
    path = Path(url2pathname(parts.path)).resolve()
    return parts.scheme == "file" and not parts.netloc and any(path.is_relative_to(f) for f in (TEMPLATES, FONTS))


def _fill(template: str, business: Business, **values: Any) -> str:
    language = business.language
    return (
        _templates()
        .get_template(template)
        .render(
            business=business,
            language=language.replace("_", "-"),
            money=lambda amount: format_money(amount, language),
            day=lambda when: format_date(when, language),
            percent=percent_text,
            style=_style(),
            **values,
        )
    )


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _style() -> str:
    return f"<style>\n{(TEMPLATES / 'document.css').read_text()}</style>"
