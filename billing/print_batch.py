"""The print batch: everything that waits for paper as one PDF in post order; printed counts as arrived with the post.

The only importer of pypdf, which puts stored documents together page by page: what is printed is what everybody gets.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from typing import Any

from pypdf import PdfReader, PdfWriter
from sqlalchemy import Connection, Row, func, select, update

from base import trail
from base.business import Business, load_business
from base.calendar import local_date
from base.crypto import Vault
from base.database import transaction
from base.money import Money
from base.offers import tax_class
from base.tables import subscriber
from billing import documents
from billing.addresses import load_reaches
from billing.charges import add_charge
from billing.dunning.policy import MESSAGES
from billing.enclosures import enclosure_of
from billing.outbox import mark_printed, to_print
from billing.own_words import say
from billing.post_order import post_key
from billing.refused import Refused
from billing.reminder_letters import load_letters
from billing.tables import invoice, message

MOST = 1000
"Letters of a batch: what is more waits for the next."


@dataclass(frozen=True, slots=True)
class Batch:
    """What was printed, and what was not."""

    letters: int = 0
    recipients: int = 0
    pages: int = 0
    kinds: Mapping[str, int] = field(default_factory=dict)
    fees: int = 0
    "Paper fees that go on the next invoices."
    settled: int = 0
    "Reminders that are not needed any more; they are withdrawn."
    waiting: tuple[tuple[str, str, str], ...] = ()
    "(account number, name, why) of what stays for a later batch."


@dataclass(slots=True)
class _Sheets:
    """What phase one has found: letters in post order, without a lock."""

    pages: list[tuple[Row[Any], str | bytes]] = field(default_factory=list)
    "The row with its stored PDF, or the page that is still to be drawn."
    settled: list[int] = field(default_factory=list)
    waiting: list[tuple[str, str, str]] = field(default_factory=list)


def print_batch(
    vault: Vault, actor: str, now: datetime, keep: Callable[[bytes], None], *, two_sided: bool = False,
    tell: Callable[[int, int], None] = lambda done, of: None, limit: int = MOST,
) -> Batch:  # fmt: skip
    """Put all that waits for paper into one PDF and hand it to `keep`; what it has taken is then printed, once.

    `two_sided`: every letter begins on a front page. Two batches at once share the letters between them. When `keep`
    fails nothing is printed. Refused when there is a paper fee without its tax class.
    """
    with transaction() as tx:
        business = load_business(tx, vault)
        _fee_class(tx, business)
        sheets = _gather(tx, business, now, limit)
    drawn = []
    for done, (row, page) in enumerate(sheets.pages, start=1):
        drawn.append((row, documents.render_pdf(page) if isinstance(page, str) else page))
        tell(done, len(sheets.pages))
    with transaction() as tx:
        mine = {row.id for row in to_print(tx, limit)}
        going = [(row, pdf) for row, pdf in drawn if row.id in mine]
        settled = [each for each in sheets.settled if each in mine]
        _withdraw(tx, settled)
        if not going:
            return Batch(settled=len(settled), waiting=tuple(sheets.waiting))
        pdf, pages = _bind([pdf for _, pdf in going], two_sided)
        mark_printed(tx, [row.id for row, _ in going], now)
        fees = _charge_fees(tx, business, actor, [row for row, _ in going], now)
        kinds: dict[str, int] = {}
        for row, _ in going:
            kinds[row.kind] = kinds.get(row.kind, 0) + 1
        trail.record(tx, actor, "paper.printed", subject="paper", detail={"letters": len(going), "kinds": kinds})
        keep(pdf)
    recipients = len({row.subscriber_id for row, _ in going})
    return Batch(len(going), recipients, pages, kinds, fees, len(settled), tuple(sheets.waiting))


def waiting_for_paper(tx: Connection) -> dict[str, int]:
    """How many letters of each kind wait for the next batch."""
    query = select(message.c.kind, func.count()).where(message.c.state == "paper").group_by(message.c.kind)
    return {row.kind: int(row[1]) for row in tx.execute(query.order_by(message.c.kind))}


def _gather(tx: Connection, business: Business, now: datetime, limit: int) -> _Sheets:
    query = (
        select(message, subscriber.c.number, subscriber.c.name, subscriber.c.address, subscriber.c.country)
        .join(subscriber, subscriber.c.id == message.c.subscriber_id)
        .where(message.c.state == "paper")
        .order_by(message.c.id)
        .limit(limit)
    )
    rows = tx.execute(query).all()
    letters = load_letters(tx, business, [row for row in rows if row.kind in MESSAGES], now)
    sheets = _Sheets()
    for row in sorted(rows, key=lambda row: (post_key(row.country, business.company_country, row.address), row.number)):
        if not row.address.strip():
            sheets.waiting.append((row.number, row.name, "There is no postal address."))
        elif row.kind in MESSAGES:
            letter = letters[row.id]
            if letter is None:
                sheets.settled.append(row.id)
            else:
                sheets.pages.append((row, documents.reminder_html(tx, business, row.subscriber_id, letter)))
        else:
            try:
                pdf = _stored(tx, row)
            except documents.Damaged as damaged:
                sheets.waiting.append((row.number, row.name, f"Not printed, because {damaged}."))
                continue
            if pdf is None:
                sheets.waiting.append((row.number, row.name, "Its PDF is not made yet."))
            else:
                sheets.pages.append((row, pdf))
    return sheets


def _stored(tx: Connection, row: Row[Any]) -> bytes | None:
    found = enclosure_of(tx, row)
    return None if found is None else documents.fetch(tx, found.kind, found.subject_id)


def _bind(pdfs: Sequence[bytes], two_sided: bool) -> tuple[bytes, int]:
    """One PDF of all, and how many pages it has."""
    book = PdfWriter()
    for pdf in pdfs:
        for page in PdfReader(BytesIO(pdf)).pages:
            book.add_page(page)
        if two_sided and len(book.pages) % 2:
            book.add_blank_page()
    out = BytesIO()
    book.write(out)
    return out.getvalue(), len(book.pages)


def _withdraw(tx: Connection, message_ids: Sequence[int]) -> None:
    values = {"state": "withdrawn", "state_reason": "It was paid before it was printed."}
    tx.execute(update(message).where(message.c.id == func.any(list(message_ids))).values(values))


def _fee_class(tx: Connection, business: Business) -> int | None:
    """The tax class of the paper fee; None when there is no fee."""
    if not business.paper_fee:
        return None
    found = tx.scalar(select(tax_class.c.id).where(tax_class.c.name == business.paper_fee_tax_class))
    if found is None:
        named = business.paper_fee_tax_class or "none"
        raise Refused(
            f"The paper fee needs its tax class: set paper_fee_tax_class to one of `tax list` (it is {named}).",
            "paper_fee_tax_class",
        )
    return int(found)


def _charge_fees(tx: Connection, business: Business, actor: str, rows: Sequence[Row[Any]], now: datetime) -> int:
    """Charge who has chosen paper for the invoices among these; whom mail does not reach pays nothing for it."""
    tax_class_id = _fee_class(tx, business)
    invoices = [row for row in rows if row.kind == "invoice"]
    if tax_class_id is None or not invoices:
        return 0
    reaches = load_reaches(tx, [row.subscriber_id for row in invoices])
    query = select(invoice.c.id, invoice.c.number, invoice.c.currency, subscriber.c.language).join(
        subscriber, subscriber.c.id == invoice.c.subscriber_id
    )
    found = {each.id: each for each in tx.execute(query.where(invoice.c.id.in_([row.invoice_id for row in invoices])))}
    charged = 0
    for row in invoices:
        of = found[row.invoice_id]
        if reaches[row.subscriber_id].delivery == "mail" or of.currency != business.currency:
            continue
        add_charge(
            tx,
            subscriber_id=row.subscriber_id,
            kind="one_off",
            text=say(f"Paper invoice {of.number}", of.language or business.language),
            amount=Money(business.paper_fee, of.currency),
            tax_class_id=tax_class_id,
            on_day=local_date(now, business.zone),
            author=actor,
        )
        charged += 1
    return charged
