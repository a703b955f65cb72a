"""Credit notes: what is given back of an invoice, at the rates of then; and debts that are given up.

Law: an invoice never changes. A credit note names it, credits no line beyond what it charged, and its worth becomes
credit that settles the invoice first and other debts after it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from base import jobs, trail
from base.bulk import copy_rows
from base.business import Business
from base.calendar import Period, local_date
from base.crypto import Vault
from base.i18n import format_money
from base.money import Money, total
from billing.apply import refresh_access
from billing.credit_mail import send_credit_note
from billing.credits import Billed, Credit, unused
from billing.ledger import Posting, post
from billing.numbers import next_documents
from billing.own_words import say
from billing.paper import groups_to_json, language_of, taxes_from_json
from billing.prepaid.renewal import renew_and_refresh
from billing.refused import need
from billing.services import services_of
from billing.settle import add_credit, apply_credits, lock_subscribers, write_down
from billing.tables import credit_note, credit_note_line, invoice, invoice_line, open_item, write_off
from billing.tax import Taxed, Totals
from billing.tax import credit as worth
from billing.write_offs import reinstate


@dataclass(frozen=True, slots=True)
class Part:
    """What of one line is given back: as priced, with the line's sign; `days` where it is for days."""

    invoice_line_id: int
    amount: Money
    days: Period | None = None


def credit_unused(
    tx: Connection, vault: Vault, business: Business, author: str, service_id: int, days: Period, reason: str,
    now: datetime, *, only_plan: bool = False, only_product: int | None = None,
) -> list[int]:  # fmt: skip
    """Give back what was billed of a service for `days`, one credit note per invoice; returns their ids."""
    by_invoice: dict[int, list[Part]] = {}
    for each in unused_of(tx, service_id, days, only_plan=only_plan, only_product=only_product):
        part = Part(each.line.invoice_line_id, each.amount, each.days)
        by_invoice.setdefault(each.line.invoice_id, []).append(part)
    made = [
        issue_credit_note(tx, vault, business, author, invoice_id, parts, reason, now)
        for invoice_id, parts in by_invoice.items()
    ]
    return [each for each in made if each is not None]


def unused_of(
    tx: Connection, service_id: int, days: Period, *,
    only_plan: bool = False, only_product: int | None = None, whole_too: bool = False,
) -> list[Credit]:  # fmt: skip
    """What was billed of a service for `days` and not given back yet, line by line.

    `whole_too`: also of lines that do not cost by the day; without it they are given back whole or not at all.
    """
    query = (
        select(invoice_line, invoice.c.currency)
        .join(invoice, invoice.c.id == invoice_line.c.invoice_id)
        .where(
            invoice_line.c.service_id == service_id,
            invoice_line.c.period_end > days.start,
            invoice_line.c.period_start < days.end,
        )
        .order_by(invoice_line.c.id)
    )
    if only_plan:
        query = query.where(invoice_line.c.service_product_id.is_(None))
    if only_product is not None:
        query = query.where(invoice_line.c.service_product_id == only_product)
    rows = tx.execute(query).all()
    by_day: dict[int, list[Period]] = {}
    given: dict[int, int] = {}
    for row in _credited(tx, [row.id for row in rows]):
        if row.period_start is None:
            given[row.invoice_line_id] = given.get(row.invoice_line_id, 0) + row.amount_minor
        else:
            by_day.setdefault(row.invoice_line_id, []).append(Period(row.period_start, row.period_end))
    billed = [
        Billed(
            invoice_id=row.invoice_id,
            invoice_line_id=row.id,
            text=row.text,
            # what was given back without naming days has made all of them cheaper
            amount=Money(row.amount_minor - given.get(row.id, 0), row.currency),
            period=Period(row.period_start, row.period_end),
            credited=tuple(by_day.get(row.id, ())),
        )
        for row in rows
        if whole_too or row.by_day or days.start <= row.period_start
    ]
    return [each for each in unused(billed, days) if each.amount]


def kept_until(tx: Connection, service_id: int, day: date) -> date:
    """The first day from `day` on that no line covers which is given back whole or not at all."""
    latest = tx.scalar(
        select(func.max(invoice_line.c.period_end)).where(
            invoice_line.c.service_id == service_id,
            ~invoice_line.c.by_day,
            invoice_line.c.period_start < day,
            invoice_line.c.period_end > day,
        )
    )
    return latest or day


def credit_invoice(
    tx: Connection, vault: Vault, business: Business, author: str, invoice_id: int, reason: str, now: datetime,
    amounts: Mapping[int, Money] | None = None,
) -> int | None:  # fmt: skip
    """Give back an invoice, or of each line (by its id) an amount as priced; returns the credit note's id.

    Without `amounts` all that was not given back before. None when that is nothing.
    """
    lines, given = _lines(tx, invoice_id)
    if amounts is None:
        amounts = {row.id: Money(row.amount_minor, row.currency) - given[row.id] for row in lines}
    parts = [Part(line_id, amount) for line_id, amount in amounts.items() if amount]
    return issue_credit_note(tx, vault, business, author, invoice_id, parts, reason, now)


def issue_credit_note(
    tx: Connection, vault: Vault, business: Business, author: str, invoice_id: int, parts: Sequence[Part],
    reason: str, now: datetime,
) -> int | None:  # fmt: skip
    """Write one credit note over parts of an invoice and everything that follows from it; the caller commits.

    Raises Refused when more would be given back than was charged. None when the parts come to nothing.
    """
    need(reason.strip(), "A credit note needs a reason: it is what the subscriber reads.", "reason")
    original = tx.execute(select(invoice).where(invoice.c.id == invoice_id)).one_or_none()
    need(original is not None, "There is no such invoice.", "invoice_id")
    assert original is not None
    need(
        original.series != "opening",
        f"Invoice {original.number} was taken over from the old system: correct it there, and write it off here.",
        "invoice_id",
    )
    lock_subscribers(tx, [original.subscriber_id])
    lines, given = _lines(tx, invoice_id)
    totals = _worth(lines, given, parts, original.currency)
    if totals.total.minor <= 0:
        return None
    today = local_date(now, business.zone)
    [document] = next_documents(tx, "credit_note", business.credit_note_prefix, today, 1)
    credit_note_id = tx.execute(
        insert(credit_note)
        .values(
            subscriber_id=original.subscriber_id,
            invoice_id=invoice_id,
            number=document.number,
            series=document.series,
            sequence=document.sequence,
            currency=original.currency,
            issued_on=today,
            reason=say(reason, language_of(tx, business, original.subscriber_id)),
            net_minor=totals.net.minor,
            tax_minor=totals.tax.minor,
            total_minor=totals.total.minor,
            taxes=groups_to_json(totals.groups),
            seller=original.seller,
            buyer=original.buyer,
            created_at=now,
        )
        .returning(credit_note.c.id)
    ).scalar_one()
    nets = dict(zip([row.id for row in lines], totals.nets, strict=True))
    copy_rows(tx, credit_note_line, _rows(credit_note_id, lines, parts, nets))
    deposits = total((nets[row.id] for row in lines if row.kind == "deposit"), original.currency)
    revenue: dict[int | None, Money] = {}
    for row in lines:
        if row.kind != "deposit":
            known = revenue.get(row.tax_class_id, Money(0, original.currency))
            revenue[row.tax_class_id] = known + nets[row.id]
    post(
        tx,
        today,
        f"Credit note {document.number} for invoice {original.number}",
        f"credit_note:{credit_note_id}",
        [
            *(Posting("revenue", None, net, tax_class) for tax_class, net in revenue.items()),
            Posting("deposits", original.subscriber_id, deposits),
            Posting("tax", None, totals.tax),
            Posting("customer_credit", original.subscriber_id, -totals.total),
        ],
    )
    # What was written off of it was no debt as far as it is credited now; only what was paid becomes credit.
    still_open = tx.scalar(select(open_item.c.open_minor).where(open_item.c.invoice_id == invoice_id)) or 0
    lost = Money(max(0, totals.total.minor - still_open), original.currency)
    reinstate(tx, author, invoice_id, lost, "bad_debt", f"Credit note {document.number}", now, today)
    add_credit(tx, original.subscriber_id, totals.total, credit_note_id=credit_note_id)
    apply_credits(tx, [original.subscriber_id], now, today)
    trail.record(
        tx, author, "credit_note.issued", subject="subscriber", subject_id=original.subscriber_id,
        detail={"number": document.number, "invoice": original.number, "reason": reason,
                "amount": format_money(totals.total, business.language)},
    )  # fmt: skip
    paper = {"kind": "credit_note", "id": credit_note_id}
    jobs.enqueue(tx, jobs.Kind.RENDER_DOCUMENT, paper, key=f"document:credit_note:{credit_note_id}")
    send_credit_note(tx, business, credit_note_id)
    touched = services_of(tx, original.subscriber_id)
    renew_and_refresh(tx, vault, touched, now, because=f"credit_note:{credit_note_id}")
    return int(credit_note_id)


def worth_of(tx: Connection, invoice_id: int, parts: Sequence[Part]) -> Totals:
    """What a credit note over these parts of an invoice would come to; Refused as `issue_credit_note` refuses."""
    lines, given = _lines(tx, invoice_id)
    return _worth(lines, given, parts, lines[0].currency)


def write_off_invoice(
    tx: Connection, vault: Vault, business: Business, author: str, invoice_id: int, reason: str, now: datetime
) -> Money:
    """Give up what is open of an invoice: a loss, no longer a debt; returns how much. Refused when nothing is open."""
    need(reason.strip(), "Giving up a debt needs a reason.", "reason")
    original = tx.execute(select(invoice).where(invoice.c.id == invoice_id)).one_or_none()
    need(original is not None, "There is no such invoice.", "invoice_id")
    assert original is not None
    lock_subscribers(tx, [original.subscriber_id])
    left = tx.scalar(select(open_item.c.open_minor).where(open_item.c.invoice_id == invoice_id))
    need(left, f"Nothing of invoice {original.number} is open.", "invoice_id")
    amount = Money(int(left or 0), original.currency)
    today = local_date(now, business.zone)
    write_off_id = tx.execute(
        insert(write_off)
        .values(
            subscriber_id=original.subscriber_id,
            invoice_id=invoice_id,
            amount_minor=amount.minor,
            currency=amount.currency,
            on_day=today,
            reason=reason,
            author=author,
            created_at=now,
        )
        .returning(write_off.c.id)
    ).scalar_one()
    write_down(tx, invoice_id, amount, now, write_off_id=write_off_id)
    post(
        tx,
        today,
        f"Written off: invoice {original.number}",
        f"write_off:{write_off_id}",
        [Posting("bad_debt", None, amount), Posting("receivable", original.subscriber_id, -amount)],
    )
    trail.record(
        tx, author, "invoice.written_off", subject="subscriber", subject_id=original.subscriber_id,
        detail={"invoice": original.number, "reason": reason, "amount": format_money(amount, business.language)},
    )  # fmt: skip
    refresh_access(tx, vault, services_of(tx, original.subscriber_id), now, because=f"write_off:{write_off_id}")
    return amount


def credited_of(tx: Connection, invoice_line_id: int) -> bool:
    """Whether something of a line was given back."""
    return bool(_credited(tx, [invoice_line_id]))


def _credited(tx: Connection, line_ids: Sequence[int]) -> Sequence[Row[Any]]:
    query = select(credit_note_line).where(credit_note_line.c.invoice_line_id == func.any(list(line_ids)))
    return tx.execute(query).all()


def _lines(tx: Connection, invoice_id: int) -> tuple[Sequence[Row[Any]], dict[int, Money]]:
    """The lines of an invoice in order, and what was given back of each."""
    query = (
        select(invoice_line, invoice.c.currency)
        .join(invoice, invoice.c.id == invoice_line.c.invoice_id)
        .where(invoice_line.c.invoice_id == invoice_id)
        .order_by(invoice_line.c.position)
    )
    lines = tx.execute(query).all()
    given = {row.id: Money(0, row.currency) for row in lines}
    for row in _credited(tx, list(given)):
        given[row.invoice_line_id] = given[row.invoice_line_id] + Money(row.amount_minor, lines[0].currency)
    return lines, given


def _worth(lines: Sequence[Row[Any]], given: dict[int, Money], parts: Iterable[Part], currency: str) -> Totals:
    now = {row.id: Money(0, currency) for row in lines}
    for part in parts:
        need(part.invoice_line_id in now, "That line is not on this invoice.", "invoice_line_id")
        now[part.invoice_line_id] = now[part.invoice_line_id] + part.amount
    taxed = [Taxed(Money(row.amount_minor, currency), row.inclusive, taxes_from_json(row.taxes)) for row in lines]
    try:
        return worth(taxed, [given[row.id] for row in lines], [now[row.id] for row in lines], currency)
    except ValueError as error:
        need(False, f"No more can be given back than was charged: {error}.", "amount")
        raise


def _rows(
    credit_note_id: int, lines: Sequence[Row[Any]], parts: Sequence[Part], nets: dict[int, Money]
) -> list[dict[str, Any]]:
    """The lines of a credit note; where several parts are of one line, its net stands with the last of them."""
    texts = {row.id: row.text for row in lines}
    last = {part.invoice_line_id: position for position, part in enumerate(parts)}
    return [
        {
            "credit_note_id": credit_note_id,
            "invoice_line_id": part.invoice_line_id,
            "position": position + 1,
            "text": texts[part.invoice_line_id],
            "period_start": None if part.days is None else part.days.start,
            "period_end": None if part.days is None else part.days.end,
            "amount_minor": part.amount.minor,
            "net_minor": nets[part.invoice_line_id].minor if last[part.invoice_line_id] == position else 0,
        }
        for position, part in enumerate(parts)
    ]
