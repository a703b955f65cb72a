"""From drafts to finalised invoices, many subscribers in one transaction.

Law: number, lines, ledger entry, periods billed, credit applied, jobs and access are one commit. The subscriber's and
the services' rows are locked from before the draft to the commit, so a second run finds nothing left to bill.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Date, Row, bindparam, cast, func, insert, select, update

from base import jobs
from base.business import Business
from base.calendar import local_date
from base.crypto import Vault
from base.money import Money, total
from base.settings import settings
from base.tables import plan, service, subscriber
from billing.apply import refresh_access
from billing.draft import Billable, Line, due_lines
from billing.ledger import Entry, Posting, post_all
from billing.letters import invoice_letter
from billing.mail import queue_message
from billing.numbers import next_numbers
from billing.settle import apply_credits, lock_subscribers, open_by_subscriber
from billing.tables import invoice, invoice_line
from billing.tax import TaxGroup, percent_text, tax_groups


@dataclass(frozen=True, slots=True)
class Draft:
    """An invoice before it has a number."""

    payer: Row[Any]
    lines: list[Line]
    taxes: list[TaxGroup]
    net: Money
    tax: Money

    @property
    def total(self) -> Money:
        """What is to be paid."""
        return self.net + self.tax


def due_subscribers(tx: Connection, today: date, issue_days_before: int) -> list[int]:
    """Subscribers with a service whose next period is due to be billed, in order of their ids."""
    # date + interval of months clamps to the month's last day and counts from the anchor, as base.calendar does
    begins = cast(service.c.starts_on + func.make_interval(0, service.c.periods_billed * plan.c.cycle_months), Date)
    query = (
        select(service.c.subscriber_id)
        .distinct()
        .join(plan, plan.c.id == service.c.plan_id)
        .where(
            begins <= today + timedelta(days=issue_days_before),
            service.c.ends_on.is_(None) | (begins < service.c.ends_on),
        )
        .order_by(service.c.subscriber_id)
    )
    return list(tx.scalars(query))


def issue_for_subscribers(
    tx: Connection, vault: Vault, business: Business, subscriber_ids: Sequence[int], now: datetime
) -> list[int]:
    """Issue to each subscriber one invoice for everything due; returns the invoices' ids.

    What is free is marked as billed without an invoice, unless something else is due with it.
    """
    today = local_date(now, business.zone)
    bought = _load_services(tx, lock_subscribers(tx, subscriber_ids))
    due = {payer: due_lines(services, today, business.issue_days_before) for payer, services in bought.items()}
    _mark_billed(tx, [line for lines in due.values() for line in lines])
    drafts = [
        _draft(payer, due[payer.id])
        for payer in tx.execute(select(subscriber).where(subscriber.c.id == func.any(list(due))).order_by("id"))
    ]
    drafts = [draft for draft in drafts if draft.total]
    if not drafts:
        return []
    due_on = today + timedelta(days=business.due_days)
    numbers = [f"{business.invoice_prefix}{number:06d}" for number in next_numbers(tx, "invoice", len(drafts))]
    ids = _write(tx, business, drafts, numbers, today, due_on, now)
    post_all(tx, [_entry(*each, today) for each in zip(drafts, ids, numbers, strict=True)])
    payers = [draft.payer.id for draft in drafts]
    apply_credits(tx, payers, now)
    still_open = {each.id: each.open for found in open_by_subscriber(tx, payers).values() for each in found}
    for draft, invoice_id, number in zip(drafts, ids, numbers, strict=True):
        jobs.enqueue(tx, jobs.Kind.RENDER_DOCUMENT, {"kind": "invoice", "id": invoice_id})
        letter = invoice_letter(
            business,
            name=draft.payer.name,
            number=number,
            issued_on=today,
            due_on=due_on,
            lines=[(line.text, line.period, line.net) for line in draft.lines],
            taxes=draft.taxes,
            total=draft.total,
            open=still_open.get(invoice_id, Money(0, draft.payer.currency)),
            link=f"{settings().public_url}/invoices/{invoice_id}",
        )
        queue_message(
            tx,
            business,
            subscriber_id=draft.payer.id,
            kind="invoice",
            key=f"invoice:{invoice_id}",
            subject=letter.subject,
            body=letter.body,
            invoice_id=invoice_id,
        )
    # A new due date is a new day on which time alone may change access.
    refresh_access(tx, vault, [each.service_id for payer in payers for each in bought[payer]], now, because="time")
    return ids


def _load_services(tx: Connection, subscriber_ids: Sequence[int]) -> dict[int, list[Billable]]:
    query = (
        select(service, plan.c.name, plan.c.price_minor, plan.c.currency, plan.c.cycle_months, plan.c.tax_percent)
        .join(plan, plan.c.id == service.c.plan_id)
        .where(service.c.subscriber_id == func.any(list(subscriber_ids)))
        .order_by(service.c.id)
        .with_for_update(of=service, key_share=True)
    )
    found: dict[int, list[Billable]] = {}
    for row in tx.execute(query):
        found.setdefault(row.subscriber_id, []).append(
            Billable(
                service_id=row.id,
                login=row.login,
                plan_name=row.name,
                price=Money(row.price_minor, row.currency),
                cycle_months=row.cycle_months,
                tax_percent=Decimal(row.tax_percent),
                starts_on=row.starts_on,
                ends_on=row.ends_on,
                periods_billed=row.periods_billed,
            )
        )
    return found


def _mark_billed(tx: Connection, lines: Sequence[Line]) -> None:
    counts = Counter(line.service_id for line in lines)
    if counts:
        tx.execute(
            update(service)
            .where(service.c.id == bindparam("billed_service"))
            .values(periods_billed=service.c.periods_billed + bindparam("count")),
            [{"billed_service": service_id, "count": count} for service_id, count in counts.items()],
        )


def _draft(payer: Row[Any], lines: list[Line]) -> Draft:
    taxes = tax_groups([(line.tax_percent, line.net) for line in lines], payer.currency)
    return Draft(
        payer=payer,
        lines=lines,
        taxes=taxes,
        net=total((line.net for line in lines), payer.currency),
        tax=total((group.tax for group in taxes), payer.currency),
    )


def _write(
    tx: Connection,
    business: Business,
    drafts: Sequence[Draft],
    numbers: Sequence[str],
    issued_on: date,
    due_on: date,
    now: datetime,
) -> list[int]:
    seller = {
        "name": business.company_name,
        "address": business.company_address,
        "tax_number": business.company_tax_number,
    }
    rows = [
        {
            "subscriber_id": draft.payer.id,
            "number": number,
            "currency": draft.payer.currency,
            "issued_on": issued_on,
            "due_on": due_on,
            "net_minor": draft.net.minor,
            "tax_minor": draft.tax.minor,
            "total_minor": draft.total.minor,
            "taxes": [
                {
                    "percent": percent_text(group.percent),
                    "net_minor": group.net.minor,
                    "tax_minor": group.tax.minor,
                }
                for group in draft.taxes
            ],
            "seller": seller,
            "buyer": {"name": draft.payer.name, "address": draft.payer.address, "number": draft.payer.number},
            "created_at": now,
        }
        for draft, number in zip(drafts, numbers, strict=True)
    ]
    ids = list(tx.scalars(insert(invoice).returning(invoice.c.id, sort_by_parameter_order=True), rows))
    tx.execute(
        insert(invoice_line),
        [
            {
                "invoice_id": invoice_id,
                "service_id": line.service_id,
                "position": position,
                "text": line.text,
                "period_start": None if line.period is None else line.period.start,
                "period_end": None if line.period is None else line.period.end,
                "net_minor": line.net.minor,
                "tax_percent": percent_text(line.tax_percent),
            }
            for draft, invoice_id in zip(drafts, ids, strict=True)
            for position, line in enumerate(draft.lines, start=1)
        ],
    )
    return ids


def _entry(draft: Draft, invoice_id: int, number: str, day: date) -> Entry:
    return Entry(
        day=day,
        text=f"Invoice {number}",
        source=f"invoice:{invoice_id}",
        postings=(
            Posting("receivable", draft.payer.id, draft.total),
            Posting("revenue", None, -draft.net),
            Posting("tax", None, -draft.tax),
        ),
    )
