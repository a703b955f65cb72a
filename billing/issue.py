"""From what is due to finalised invoices, many subscribers in one transaction.

Law: number, lines, ledger entry, days billed, credit used, jobs and access are one commit. The payer's and the
services' rows are locked from before the draft to the commit, so a second run finds nothing left to bill.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, func, or_, select, union, update

from base import jobs
from base.bulk import copy_rows, take_ids
from base.business import Business
from base.calendar import local_date
from base.crypto import Vault
from base.money import Money
from base.offers import plan
from base.tables import service, subscriber
from billing.apply import refresh_payers
from billing.collect.cases import open_collections
from billing.draft import Due, Recurring, due_lines
from billing.dunning.cases import announced
from billing.ledger import Entry, Posting, post_all
from billing.numbers import Numbered, next_documents
from billing.outbox import Outgoing, queue_all
from billing.paper import buyer_of, groups_to_json, seller_of, taxes_to_json
from billing.recurring import load_recurring, mark_billed
from billing.settle import add_open_items, apply_credits, lock_subscribers
from billing.tables import charge, invoice, invoice_line
from billing.tax import Tax, Taxed, Totals, compute
from billing.taxes import load_taxes, treated

FEES = ("late_fee", "reconnection")  # kinds of charge that dunning brings


@dataclass(frozen=True, slots=True)
class Draft:
    """An invoice before it has a number."""

    payer: Row[Any]
    lines: tuple[Due, ...]
    taxes: tuple[tuple[Tax, ...], ...]
    "Of each line."
    totals: Totals

    @property
    def total(self) -> Money:
        """What is to be paid."""
        return self.totals.total

    @property
    def dunned(self) -> bool:
        """Whether it starts dunning of its own: fees alone do not, nor do they beside what is free."""
        return sum(line.amount.minor for line in self.lines if line.kind not in FEES) > 0


def due_subscribers(tx: Connection, today: date, issue_days_before: int) -> list[int]:
    """Payers with something that is due to be billed, in order of their ids."""
    early = case((service.c.next_in_advance, today + timedelta(days=issue_days_before)), else_=today)
    recurring = select(service.c.payer_id).where(
        service.c.next_bill_on <= today + timedelta(days=issue_days_before), service.c.next_bill_on <= early
    )
    once = select(charge.c.subscriber_id).where(
        charge.c.invoice_id.is_(None), charge.c.dropped_at.is_(None), charge.c.bill_on <= today
    )
    return sorted(tx.scalars(union(recurring, once)))


def issue_for_subscribers(
    tx: Connection, vault: Vault, business: Business, subscriber_ids: Sequence[int], now: datetime
) -> list[int]:
    """Issue to each subscriber what is due, as one invoice or as one per service; returns the invoices' ids.

    What is free is marked as billed without an invoice, unless something else is due with it or the provider wants it.
    """
    today = local_date(now, business.zone)
    drafts = draft_for_subscribers(tx, business, lock_subscribers(tx, subscriber_ids), today, keep=True)
    return issue_drafts(tx, vault, business, drafts, now)


def issue_drafts(tx: Connection, vault: Vault, business: Business, drafts: Sequence[Draft], now: datetime) -> list[int]:
    """Make invoices of drafts to payers who are locked, and everything that follows from them; returns their ids."""
    if not drafts:
        return []
    today = local_date(now, business.zone)
    due_ons = [_due_on(business, draft, today) for draft in drafts]
    documents = next_documents(tx, "invoice", business.invoice_prefix, today, len(drafts))
    ids = _write(tx, business, drafts, documents, today, due_ons, now)
    numbers = [each.number for each in documents]
    post_all(tx, [_entry(*each, today) for each in zip(drafts, ids, numbers, strict=True) if each[0].total])
    waiting = [
        (invoice_id, draft.payer.id, due_on, draft.total, draft.dunned)
        for draft, invoice_id, due_on in zip(drafts, ids, due_ons, strict=True)
    ]
    add_open_items(tx, waiting)
    payers = sorted({draft.payer.id for draft in drafts})
    named = announced(tx, payers)
    apply_credits(tx, payers, now, today)
    papers = {f"document:invoice:{invoice_id}": {"kind": "invoice", "id": invoice_id} for invoice_id in ids}
    jobs.enqueue_all(tx, jobs.Kind.RENDER_DOCUMENT, papers)
    # the words are written when the mail leaves (billing.mail): by then credit may have settled it
    letters = [
        Outgoing(draft.payer.id, "invoice", f"invoice:{invoice_id}", number, "", invoice_id, awaits_paper=True)
        for draft, invoice_id, number in zip(drafts, ids, numbers, strict=True)
    ]
    queue_all(tx, business, letters)
    open_collections(tx, business, payers, now)
    # what was not announced takes nothing away, so nobody else's access can differ
    refresh_payers(tx, vault, named, now, because="time")
    return ids


def draft_periods(tx: Connection, periods: Sequence[tuple[int, int, list[Due]]], today: date) -> list[Draft]:
    """An invoice each over (payer, service, lines) and the charges that wait with the service; without numbers yet."""
    payers = {payer_id for payer_id, _, _ in periods}
    service_ids = [service_id for _, service_id, _ in periods]
    waiting = _charges(tx, list(payers), payers, today, 0, (), lock=True, of_services=service_ids)
    return _draft(
        tx,
        [
            (
                payer_id,
                [*lines, *(line for payer, line in waiting if (payer, line.service_id) == (payer_id, service_id))],
            )
            for payer_id, service_id, lines in periods
        ],
    )


def draft_charges(tx: Connection, wanted: Mapping[int, Collection[int]], today: date) -> list[Draft]:
    """An invoice to each payer over these of their charges alone, without a number yet; they are locked."""
    waiting = _charges(tx, list(wanted), wanted.keys(), today, 0, (), lock=True)
    mine = {
        payer: [line for who, line in waiting if who == payer and line.charge_id in wanted[payer]] for payer in wanted
    }
    return _draft(tx, [(payer, lines) for payer, lines in mine.items() if lines])


def draft_for_subscribers(
    tx: Connection,
    business: Business,
    subscriber_ids: Sequence[int],
    today: date,
    *,
    keep: bool,
    runs_before: Sequence[date] = (),
) -> list[Draft]:
    """What would be issued to these subscribers on `today`; `keep`: lock it and mark it as billed.

    `runs_before`: after the runs of these days, for who looks at a day further ahead.
    """
    recurring = load_recurring(tx, payers=subscriber_ids, lock=keep)
    theirs = select(service.c.id, service.c.payer_id).where(service.c.payer_id == func.any(list(subscriber_ids)))
    payer_of = {row.id: row.payer_id for row in tx.execute(theirs)}
    taken: set[int] = set()
    for day in runs_before:
        recurring = _run_before(tx, business, subscriber_ids, recurring, payer_of, taken, day)
    billed = [(each, *due_lines(each, today, business.issue_days_before)) for each in recurring]
    if keep:
        mark_billed(tx, [(each, until) for each, _, until in billed])
    due: dict[int, list[Due]] = {}
    for each, lines, _ in billed:
        if lines:
            due.setdefault(payer_of[each.service_id], []).extend(lines)
    for payer, line in _charges(tx, subscriber_ids, set(due), today, business.issue_days_before, taken, lock=keep):
        due.setdefault(payer, []).append(line)
    groups = [group for payer, lines in due.items() for group in _group(business, payer, lines)]
    drafts = _draft(tx, groups)
    return [draft for draft in drafts if draft.total or business.empty_invoices == "yes"]


def _run_before(
    tx: Connection,
    business: Business,
    subscriber_ids: Sequence[int],
    recurring: Sequence[Recurring],
    payer_of: Mapping[int, int],
    taken: set[int],
    day: date,
) -> list[Recurring]:
    """What recurs as the run of `day` will leave it; the charges that it will take along are added to `taken`."""
    billed = [(each, *due_lines(each, day, business.issue_days_before)) for each in recurring]
    payers = {payer_of[each.service_id] for each, lines, _ in billed if lines}
    charges = _charges(tx, subscriber_ids, payers, day, business.issue_days_before, taken, lock=False)
    taken |= {line.charge_id for _, line in charges if line.charge_id is not None}
    return [each if each.billed_until == until else replace(each, billed_until=until) for each, _, until in billed]


def _charges(
    tx: Connection,
    subscriber_ids: Sequence[int],
    billed: Collection[int],
    today: date,
    days_before: int,
    taken: Collection[int],
    *,
    lock: bool,
    of_services: Sequence[int] | None = None,
) -> list[tuple[int, Due]]:
    """The waiting charges, but for those `taken`, of who gets an invoice anyway or because a charge wants one.

    What waits with a prepaid service is left to its next period, which is billed only when the balance pays for it.
    """
    prepaid = select(service.c.id).join(plan, plan.c.id == service.c.plan_id).where(plan.c.prepaid)
    here = or_(charge.c.service_id.is_(None), charge.c.bill_on.is_not(None), charge.c.service_id.not_in(prepaid))
    if of_services is not None:
        here = charge.c.service_id == func.any(list(of_services))
    query = (
        select(charge, subscriber.c.currency)
        .join(subscriber, subscriber.c.id == charge.c.subscriber_id)
        .where(
            charge.c.subscriber_id == func.any(list(subscriber_ids)),
            charge.c.invoice_id.is_(None),
            charge.c.dropped_at.is_(None),
            here,
            charge.c.on_day <= today + timedelta(days=days_before),
        )
        .order_by(charge.c.id)
    )
    found = tx.execute(query.with_for_update(of=charge) if lock else query).all()
    rows = [row for row in found if row.id not in taken]
    wanted = {row.subscriber_id for row in rows if row.bill_on is not None and row.bill_on <= today}
    return [
        (
            row.subscriber_id,
            Due(
                kind=row.kind,
                service_id=row.service_id,
                text=row.text,
                amount=Money(row.amount_minor, row.currency),
                inclusive=row.inclusive,
                tax_class_id=row.tax_class_id,
                supplied_on=row.on_day,
                charge_id=row.id,
            ),
        )
        for row in rows
        if row.subscriber_id in wanted or row.subscriber_id in billed
    ]


def _group(business: Business, payer: int, lines: list[Due]) -> list[tuple[int, list[Due]]]:
    if business.invoice_per == "subscriber":
        return [(payer, lines)]
    by_service: dict[int | None, list[Due]] = {}
    for line in lines:
        by_service.setdefault(line.service_id, []).append(line)
    return [(payer, found) for found in by_service.values()]


def _draft(tx: Connection, groups: Sequence[tuple[int, list[Due]]]) -> list[Draft]:
    payers = {
        row.id: row
        for row in tx.execute(select(subscriber).where(subscriber.c.id == func.any([payer for payer, _ in groups])))
    }
    rates = load_taxes(tx, {line.tax_class_id for _, lines in groups for line in lines})
    drafts = []
    for payer_id, lines in groups:
        payer = payers[payer_id]
        taxes = tuple(
            treated(rates.on(line.tax_class_id, line.supplied_on), payer.tax_treatment, payer.tax_number_check)
            for line in lines
        )
        taxed = [Taxed(line.amount, line.inclusive, each) for line, each in zip(lines, taxes, strict=True)]
        drafts.append(Draft(payer, tuple(lines), taxes, compute(taxed, payer.currency)))
    return drafts


def _due_on(business: Business, draft: Draft, today: date) -> date:
    if business.due_from == "period":
        starts = [line.period.start for line in draft.lines if line.period is not None]
        return max([today, *starts[:1]])
    return today + timedelta(days=business.due_days)


def _write(
    tx: Connection,
    business: Business,
    drafts: Sequence[Draft],
    documents: Sequence[Numbered],
    issued_on: date,
    due_ons: Sequence[date],
    now: datetime,
) -> list[int]:
    seller = seller_of(business)
    ids = take_ids(tx, invoice, len(drafts))
    copy_rows(
        tx,
        invoice,
        [
            {
                "id": invoice_id,
                "subscriber_id": draft.payer.id,
                "number": document.number,
                "series": document.series,
                "sequence": document.sequence,
                "currency": draft.payer.currency,
                "issued_on": issued_on,
                "due_on": due_on,
                "net_minor": draft.totals.net.minor,
                "tax_minor": draft.totals.tax.minor,
                "total_minor": draft.total.minor,
                "taxes": groups_to_json(draft.totals.groups),
                "seller": seller,
                "buyer": buyer_of(draft.payer),
                "created_at": now,
            }
            for draft, document, invoice_id, due_on in zip(drafts, documents, ids, due_ons, strict=True)
        ],
    )
    copy_rows(
        tx,
        invoice_line,
        [
            {
                "invoice_id": invoice_id,
                "service_id": line.service_id,
                "position": position,
                "kind": line.kind,
                "service_product_id": line.service_product_id,
                "charge_id": line.charge_id,
                "text": line.text,
                "quantity": line.quantity,
                "period_start": None if line.period is None else line.period.start,
                "period_end": None if line.period is None else line.period.end,
                "amount_minor": line.amount.minor,
                "inclusive": line.inclusive,
                "by_day": line.by_day,
                "tax_class_id": line.tax_class_id,
                "net_minor": net.minor,
                "taxes": taxes_to_json(taxes),
            }
            for draft, invoice_id in zip(drafts, ids, strict=True)
            for position, (line, net, taxes) in enumerate(
                zip(draft.lines, draft.totals.nets, draft.taxes, strict=True), start=1
            )
        ],
    )
    taken = [
        {"row": line.charge_id, "invoice": invoice_id}
        for draft, invoice_id in zip(drafts, ids, strict=True)
        for line in draft.lines
        if line.charge_id is not None
    ]
    if taken:
        statement = update(charge).where(charge.c.id == bindparam("row"))
        tx.execute(statement.values(invoice_id=bindparam("invoice")), taken)
    return ids


def _entry(draft: Draft, invoice_id: int, number: str, day: date) -> Entry:
    nothing = Money(0, draft.payer.currency)
    deposits, revenue = nothing, dict[int, Money]()
    for line, net in zip(draft.lines, draft.totals.nets, strict=True):
        if line.kind == "deposit":
            deposits = deposits + net
        else:
            revenue[line.tax_class_id] = revenue.get(line.tax_class_id, nothing) + net
    return Entry(
        day=day,
        text=f"Invoice {number}",
        source=f"invoice:{invoice_id}",
        postings=(
            Posting("receivable", draft.payer.id, draft.total),
            *(Posting("revenue", None, -net, tax_class) for tax_class, net in revenue.items()),
            Posting("deposits", draft.payer.id, -deposits),
            Posting("tax", None, -draft.totals.tax),
        ),
    )
