"""Documents as HTML and PDF, made once and kept: the first PDF of a document stays the document.

The only importer of weasyprint, and only when a PDF is made: its import takes half a second and needs system libraries.
A document fetches nothing but our own fonts and templates, whatever a name or a note contains.
"""

import atexit
import ctypes
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache, partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname
from xml.etree import ElementTree

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from base import clock
from base.business import Business, load_business
from base.calendar import Period
from base.crypto import Vault, open_vault
from base.database import transaction
from base.log import alarm, logger
from base.settings import settings
from base.tables import subscriber
from billing.account_documents import Reminder, Voucher, load_statement
from billing.credit_documents import load_credit_note
from billing.document_samples import samples
from billing.document_templates import load_own, load_template
from billing.enclosures import cause_of, statement_asked
from billing.invoices import Invoice, load_invoice
from billing.links import link_to
from billing.outbox import hurry_mails
from billing.pages import TEMPLATES, brand_of, fill, style_sheet
from billing.paper import language_of, seller_of
from billing.receipts import load_receipt
from billing.refused import Refused
from billing.tables import credit_note, document, invoice, message, payment

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
STYLE = re.compile(r"<style>\n/\* (#[0-9a-f]{6}) \*/.*?</style>", re.DOTALL)
"Our own style in a page, which the press has read before: reading it is a third of the work of a page."

_rendering = threading.Lock()  # Pango and fontconfig keep state of their own


MOST_IMAGES = 100
"Decoded images that the press remembers: the logo comes again and again, QR codes never."

NUMBERS = {
    "invoice": (invoice, invoice.c.number),
    "credit_note": (credit_note, credit_note.c.number),
    "receipt": (payment, payment.c.receipt_number),
}


class Damaged(Exception):
    """A stored PDF is not what was stored; it is given to nobody until somebody has looked into it."""


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
    link = link_to(tx, invoice_id)
    return _fill(tx, "invoice", business, found.subscriber_id, invoice=found, seller=found.seller, link=link)


def receipt_html(tx: Connection, business: Business, vault: Vault, payment_id: int) -> str:
    """The receipt of a payment as one self-contained page; LookupError when there is none."""
    receipt = load_receipt(tx, payment_id)
    if receipt is None:
        raise LookupError(f"there is no payment {payment_id}")
    subscriber_id = tx.scalar(select(payment.c.subscriber_id).where(payment.c.id == payment_id))
    return _fill(tx, "receipt", business, subscriber_id, receipt=receipt, seller=seller_of(business))


def credit_note_html(tx: Connection, business: Business, vault: Vault, credit_note_id: int) -> str:
    """A credit note as one self-contained page; LookupError when there is none."""
    note = load_credit_note(tx, credit_note_id)
    if note is None:
        raise LookupError(f"there is no credit note {credit_note_id}")
    return _fill(tx, "credit_note", business, note.subscriber_id, note=note, seller=note.seller)


def statement_html(tx: Connection, business: Business, subscriber_id: int, period: Period, made_on: date) -> str:
    """A statement of account as one self-contained page; LookupError when there is no such subscriber."""
    found = load_statement(tx, subscriber_id, period, made_on, language_of(tx, business, subscriber_id))
    link = settings().public_url
    return _fill(tx, "statement", business, subscriber_id, statement=found, seller=seller_of(business), link=link)


def reminder_html(tx: Connection, business: Business, subscriber_id: int, reminder: Reminder) -> str:
    """A reminder letter (load_reminder) as one self-contained page."""
    link = settings().public_url
    return _fill(tx, "reminder", business, subscriber_id, reminder=reminder, seller=seller_of(business), link=link)


def vouchers_html(tx: Connection, business: Business, vouchers: Sequence[Voucher]) -> str:
    """Cards to cut out, 24 on a sheet, each with its code as a QR code."""
    return _fill(tx, "vouchers", business, None, vouchers=vouchers, seller=seller_of(business))


def sent_statement_html(tx: Connection, business: Business, vault: Vault, message_id: int) -> str:
    """The statement that a message brings; LookupError when there is no such message."""
    key = tx.scalar(select(message.c.key).where(message.c.id == message_id))
    if key is None:
        raise LookupError(f"there is no message {message_id}")
    asked = statement_asked(key)
    return statement_html(tx, business, asked.subscriber_id, asked.period, asked.made_on)


HTML_OF = {
    "invoice": invoice_html,
    "credit_note": credit_note_html,
    "receipt": receipt_html,
    "statement": sent_statement_html,
}
"Documents that are kept, a statement when it is sent; the others are made when somebody wants one."


def preview_html(
    tx: Connection, business: Business, vault: Vault, kind: str, language: str = "", subject_id: int | None = None
) -> str:
    """A document as it would be made now, of a real subject or of the first sample; nothing is kept.

    Raises Refused for what is no kind, LookupError for what is no subject.
    """
    load_template(tx, kind, language)
    if subject_id is not None and kind in NUMBERS:
        return HTML_OF[kind](tx, business, vault, subject_id)
    shown = "invoice" if kind in ("document", "pay") else kind
    spoken = language or business.language
    return fill(shown, brand_of(business), spoken, load_own(tx, spoken), **samples(shown, business, spoken)[0])


def render(kind: str, subject_id: int) -> None:
    """Make and keep the PDF of a document, unless it is there; no transaction is open meanwhile."""
    vault = open_vault(settings().secret_keys)
    with transaction() as tx:
        if available() is not None:
            hurry_mails(tx, [cause_of(tx, kind, subject_id)])  # it has to leave without
        if has(tx, kind, subject_id):
            return
        business = load_business(tx, vault)
        html = HTML_OF[kind](tx, business, vault, subject_id)
        xml = _data(tx, business, kind, subject_id)
    pdf = render_pdf(html, xml)
    with transaction() as tx:
        store(tx, kind, subject_id, pdf)


def _data(tx: Connection, business: Business, kind: str, subject_id: int) -> bytes | None:
    """The e-invoice to put into the PDF; where it is refused, the PDF goes out without it, and staff read why."""
    if business.e_invoice != "factur-x" or kind not in ("invoice", "credit_note"):
        return None
    from billing.einvoice import to_xml  # who makes no e-invoices loads no lxml

    found = load_invoice(tx, subject_id) if kind == "invoice" else load_credit_note(tx, subject_id)
    assert found is not None
    if isinstance(found, Invoice) and found.taken_over:
        return None  # the invoice is the one that the old system wrote
    try:
        return to_xml(found, iban=business.bank_iban, bic=business.bank_bic)
    except Refused as refused:
        alarm("einvoice_refused", kind=kind, number=found.number, because=str(refused))
        return None


def render_pdf(html: str, xml: bytes | None = None) -> bytes:
    """The page as PDF, A4, with our fonts embedded; with the XML of an e-invoice inside as PDF/A-3b.

    Raises OSError when a system library is missing. Conformance to PDF/A is not verified: no veraPDF is at hand.
    """
    with _rendering:
        press = _press()
        colour = STYLE.search(html)
        sheets = [] if colour is None else [press.sheet(colour[1])]
        page = press.read(string=STYLE.sub("", html, count=1), base_url=TEMPLATES.as_uri() + "/")
        options = {} if xml is None else press.with_data(xml)
        pdf: bytes = page.write_pdf(
            stylesheets=[press.faces, *sheets], font_config=press.fonts, cache=press.images, **options
        )
        if len(press.images) > MOST_IMAGES:
            press.images.clear()
        return pdf


@dataclass(frozen=True, slots=True)
class _Press:
    """Weasyprint with our style and fonts read in, which is a third of the work of a page."""

    read: Callable[..., Any]
    faces: Any
    sheet: Callable[[str], Any]
    "document.css in a colour."
    fonts: Any
    images: dict[str, Any]
    "Logos, decoded; by address."
    with_data: Callable[[bytes], dict[str, Any]]
    "Options for a PDF/A-3b that carries an e-invoice."


@cache
def _press() -> _Press:
    from weasyprint import CSS, HTML, Attachment
    from weasyprint.text.fonts import FontConfiguration
    from weasyprint.urls import URLFetcher

    class OurFiles(URLFetcher):
        """Opens our files and data: URLs; refuses every other address, and weasyprint goes on without it."""

        def fetch(self, url: str, headers: Any = None) -> Any:
            if not _is_ours(url):
                raise ValueError(f"documents fetch nothing: {url[:200]}")
            return super().fetch(url, headers)

    class Page(HTML):
        """HTML that is read as XML where it is XML, as ours is, and whose elements are what elements.css says.

        Both only save time: without them pages look the same.
        """

        wrapper_element: Any

        def __init__(self, string: str, base_url: str) -> None:
            try:
                root = ElementTree.fromstring(string)  # noqa: S314 - filled by us, every value escaped
            except ElementTree.ParseError:
                super().__init__(string=string, base_url=base_url, url_fetcher=ours)
                return
            super().__init__(string="<p>", base_url=base_url, url_fetcher=ours)
            self.wrapper_element = type(self.wrapper_element).from_html_root(root, content_language=None)
            self.etree_element = self.wrapper_element.etree_element

        def _ua_stylesheets(self, forms: bool = False) -> list[Any]:
            return [elements]

    ours = OurFiles(allowed_protocols=["file", "data"], allow_redirects=False)
    fonts = FontConfiguration()
    read_css = partial(CSS, font_config=fonts, url_fetcher=ours)
    elements, faces = (read_css(filename=TEMPLATES / name) for name in ("elements.css", "fonts.css"))
    sheet = lru_cache(maxsize=4)(lambda colour: read_css(string=style_sheet(colour)))
    atexit.register(_press.cache_clear)  # later the interpreter has taken apart what cleans up after the fonts

    def with_data(xml: bytes) -> dict[str, Any]:
        from billing.einvoice import FILE_NAME

        inside = Attachment(
            file_obj=BytesIO(xml),
            name=FILE_NAME,
            description="The invoice as data (Factur-X)",
            created=clock.now(),
            modified=clock.now(),
            relationship="Alternative",
        )
        return {"pdf_variant": "pdf/a-3b", "attachments": [inside], "finisher": _describe_data}

    return _Press(Page, faces, sheet, fonts, {}, with_data)


def _describe_data(_document: Any, pdf: Any) -> None:
    """Say in the PDF's metadata what lies inside; in the one rdf:RDF that XMP allows, hence not as a second."""
    from billing.einvoice import xmp

    pdf.catalog["AF"] = type(pdf.catalog["AF"])(dict.fromkeys(pdf.catalog["AF"]))  # WeasyPrint 70 names each file twice
    for each in pdf.objects:
        extra = getattr(each, "extra", None) or {}
        if extra.get("Type") == "/Metadata":
            each.stream = [b"".join(each.stream).replace(b"</rdf:RDF>", xmp() + b"</rdf:RDF>")]


def store(tx: Connection, kind: str, subject_id: int, pdf: bytes) -> None:
    """Keep a document's PDF with its hash, and send the mail that waits for it; the one that is there stays."""
    row = {
        "kind": kind,
        "subject_id": subject_id,
        "pdf": pdf,
        "sha256": sha256(pdf).hexdigest(),
        "created_at": clock.now(),
    }
    tx.execute(insert(document).values(row).on_conflict_do_nothing(index_elements=["kind", "subject_id"]))
    hurry_mails(tx, [cause_of(tx, kind, subject_id)])


def fetch(tx: Connection, kind: str, subject_id: int) -> bytes | None:
    """The PDF of a document as it was first made; None while there is none. Damaged when it no longer fits its hash."""
    query = select(document.c.pdf, document.c.sha256).where(
        document.c.kind == kind, document.c.subject_id == subject_id
    )
    row = tx.execute(query).one_or_none()
    if row is None:
        return None
    if sha256(row.pdf).hexdigest() != row.sha256:
        raise Damaged(f"the stored PDF of {kind} {subject_id} is not the one that was made: its hash differs")
    return bytes(row.pdf)


def has(tx: Connection, kind: str, subject_id: int) -> bool:
    """Whether the PDF is there."""
    query = select(document.c.id).where(document.c.kind == kind, document.c.subject_id == subject_id)
    return tx.scalar(query) is not None


def file_name(tx: Connection, kind: str, subject_id: int) -> str:
    """What the PDF is called on somebody's disk: its number, such as INV-000042.pdf."""
    if kind == "statement":
        return _statement_name(tx, subject_id)
    table, column = NUMBERS[kind]
    query = select(column).where(table.c.id == subject_id)
    number = tx.scalar(query) or kind
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in number) + ".pdf"


def _statement_name(tx: Connection, message_id: int) -> str:
    query = (
        select(message.c.key, subscriber.c.number)
        .join(subscriber, subscriber.c.id == message.c.subscriber_id)
        .where(message.c.id == message_id)
    )
    row = tx.execute(query).one()
    return f"{row.number}-{statement_asked(row.key).period.last_day}.pdf"


def _is_ours(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme == "data":
        return True
    path = Path(url2pathname(parts.path)).resolve()
    return parts.scheme == "file" and not parts.netloc and any(path.is_relative_to(f) for f in (TEMPLATES, FONTS))


def _fill(tx: Connection, kind: str, business: Business, subscriber_id: int | None, **values: Any) -> str:
    """Fill the template that holds; an own one that fails after all gives way to ours, loudly."""
    language = language_of(tx, business, subscriber_id)
    own = load_own(tx, language)
    try:
        return fill(kind, brand_of(business), language, own, **values)
    except Exception:
        if not own:
            raise
        logger().warning("template.failed", kind=kind, language=language, exc_info=True)
        alarm("template_failed", kind=kind, language=language)
        return fill(kind, brand_of(business), language, **values)
