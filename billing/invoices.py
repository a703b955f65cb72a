"""Invoices: issuing all that is due, and reading them for pages, documents and payments."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, select

from base.bulk import learn_sizes
from base.business import Business, load_business
from base.calendar import local_date
from base.crypto import Vault, open_vault
from base.database import transaction
from base.money import Money
from base.settings import settings
from base.tables import job
from billing.allocation import OpenInvoice
from billing.bill_holds import begin_holding, end_holds, hold_back
from billing.bill_runs import count_issued, end_run, note_held
from billing.issue import due_subscribers, issue_for_subscribers
from billing.ledger import receivable
from billing.lines import Line, lines_of
from billing.paper import groups_from_json
from billing.settle import open_invoices, open_of_invoice
from billing.sweep import Unfinished, sweep
from billing.tables import entry, invoice, invoice_line, message, open_item, posting
from billing.tax import TaxGroup

__all__ = [
    "Invoice",
    "InvoiceSummary",
    "OpenInvoice",
    "balance",
    "issue_due",
    "issue_for_subscriber",
    "list_invoices",
    "load_invoice",
    "open_invoices",
]

CHUNK = 100  # subscribers to a transaction: few enough that nobody waits 100 ms for the number series

GROWING = (invoice, invoice_line, open_item, entry, posting, message, job)  # what a bill run adds to


@dataclass(frozen=True, slots=True)
class InvoiceSummary:
    """An invoice as lists show it."""

    id: int
    number: str
    issued_on: date
    due_on: date
    total: Money
    open: Money
    "What is still to be paid; zero when it is settled."


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice with everything that was written on it, and what has been paid of it since."""

    id: int
    subscriber_id: int
    number: str
    issued_on: date
    due_on: date
    seller: dict[str, str]
    "name, address (several lines), tax_number: as of issue."
    buyer: dict[str, str]
    "name, address (several lines), number (of the account): as of issue."
    lines: tuple[Line, ...]
    taxes: tuple[TaxGroup, ...]
    net: Money
    tax: Money
    total: Money
    open: Money
    "What is still to be paid; zero when it is settled."

    @property
    def taken_over(self) -> bool:
        """It is what was open of an invoice of an old system, and no invoice of ours."""
        return any(line.kind == "opening" for line in self.lines)


def issue_for_subscriber(
    tx: Connection, vault: Vault, business: Business, subscriber_id: int, now: datetime
) -> int | None:
    """Issue one invoice for everything due to be billed to this subscriber; None when there is nothing."""
    return next(iter(issue_for_subscribers(tx, vault, business, [subscriber_id], now)), None)


def issue_due(now: datetime, progress: Callable[[int, int], None] = lambda done, of: None) -> list[int]:
    """The bill run: issue every invoice that is due, missed periods included; returns their ids.

    Harmless at any time, any number of times and from many processes at once. Raises sweep.Unfinished when somebody
    could not be billed; everybody else is. `progress` is told how many subscribers of how many are done.
    """
    vault = open_vault(settings().secret_keys)
    began = time.monotonic()
    with transaction() as tx:
        business = load_business(tx, vault)
        today = local_date(now, business.zone)
        due = due_subscribers(tx, today, business.issue_days_before)
        holding = begin_holding(tx, business, due)

    issued = done = 0

    def issue(tx: Connection, subscriber_ids: list[int]) -> list[int]:
        nonlocal issued, done
        business = load_business(tx, vault)
        going, held = hold_back(tx, business, subscriber_ids, today) if holding else (subscriber_ids, {})
        made = issue_for_subscribers(tx, vault, business, going, now)
        if (issued + len(made)).bit_length() > issued.bit_length() and issued >= CHUNK:  # it has doubled
            learn_sizes(tx, GROWING, issued)
        issued += len(made)
        done += len(subscriber_ids)
        progress(done, len(due))
        if holding:
            end_holds(tx, going)
        if held:
            note_held(tx, today, now, held)
        if made:
            count_issued(tx, today, now, made)
        return made

    def end(failures: Mapping[int, Exception]) -> None:
        with transaction() as tx:
            end_run(tx, today, now, now + timedelta(seconds=time.monotonic() - began), failures)

    try:
        made = sweep("bill", due, issue, size=CHUNK)
    except Unfinished as unfinished:
        end(unfinished.failures)
        raise
    end({})
    return made


def balance(tx: Connection, subscriber_id: int) -> Money:
    """What a subscriber owes by the ledger; negative is credit. LookupError when there is no such subscriber."""
    return receivable(tx, subscriber_id)


def list_invoices(tx: Connection, subscriber_id: int) -> list[InvoiceSummary]:
    """All invoices of a subscriber, newest first."""
    query = (
        select(invoice, open_of_invoice().label("open_minor"))
        .where(invoice.c.subscriber_id == subscriber_id)
        .order_by(invoice.c.id.desc())
    )
    return [
        InvoiceSummary(
            id=row.id,
            number=row.number,
            issued_on=row.issued_on,
            due_on=row.due_on,
            total=Money(row.total_minor, row.currency),
            open=Money(row.open_minor, row.currency),
        )
        for row in tx.execute(query)
    ]


def load_invoice(tx: Connection, invoice_id: int) -> Invoice | None:
    """One invoice with its lines; None when there is no such invoice."""
    row = tx.execute(
        select(invoice, open_of_invoice().label("open_minor")).where(invoice.c.id == invoice_id)
    ).one_or_none()
    if row is None:
        return None
    query = select(invoice_line).where(invoice_line.c.invoice_id == invoice_id).order_by(invoice_line.c.position)
    return Invoice(
        id=row.id,
        subscriber_id=row.subscriber_id,
        number=row.number,
        issued_on=row.issued_on,
        due_on=row.due_on,
        seller=row.seller,
        buyer=row.buyer,
        lines=lines_of(tx.execute(query), row.currency),
        taxes=groups_from_json(row.taxes, row.currency),
        net=Money(row.net_minor, row.currency),
        tax=Money(row.tax_minor, row.currency),
        total=Money(row.total_minor, row.currency),
        open=Money(row.open_minor, row.currency),
    )
