"""Credit notes as their document shows them."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, select

from base.calendar import Period
from base.money import Money
from billing.invoices import Line
from billing.paper import groups_from_json, taxes_from_json
from billing.tables import credit_note, credit_note_line, invoice, invoice_line
from billing.tax import TaxGroup


@dataclass(frozen=True, slots=True)
class CreditNote:
    """What is given back of an invoice, with everything that was written on it; amounts as credited, so positive."""

    id: int
    subscriber_id: int
    number: str
    issued_on: date
    invoice_id: int
    invoice_number: str
    invoice_issued_on: date
    reason: str
    seller: dict[str, str]
    buyer: dict[str, str]
    lines: tuple[Line, ...]
    taxes: tuple[TaxGroup, ...]
    net: Money
    tax: Money
    total: Money


def load_credit_note(tx: Connection, credit_note_id: int) -> CreditNote | None:
    """One credit note with its lines; None when there is no such credit note."""
    row = tx.execute(
        select(credit_note, invoice.c.number.label("invoice_number"), invoice.c.issued_on.label("invoice_issued_on"))
        .join(invoice, invoice.c.id == credit_note.c.invoice_id)
        .where(credit_note.c.id == credit_note_id)
    ).one_or_none()
    if row is None:
        return None
    return CreditNote(
        id=row.id,
        subscriber_id=row.subscriber_id,
        number=row.number,
        issued_on=row.issued_on,
        invoice_id=row.invoice_id,
        invoice_number=row.invoice_number,
        invoice_issued_on=row.invoice_issued_on,
        reason=row.reason,
        seller=row.seller,
        buyer=row.buyer,
        lines=_load_lines(tx, credit_note_id, row.currency),
        taxes=groups_from_json(row.taxes, row.currency),
        net=Money(row.net_minor, row.currency),
        tax=Money(row.tax_minor, row.currency),
        total=Money(row.total_minor, row.currency),
    )


def _load_lines(tx: Connection, credit_note_id: int, currency: str) -> tuple[Line, ...]:
    query = (
        select(credit_note_line, invoice_line.c.kind, invoice_line.c.service_id, invoice_line.c.taxes)
        .join(invoice_line, invoice_line.c.id == credit_note_line.c.invoice_line_id)
        .where(credit_note_line.c.credit_note_id == credit_note_id)
        .order_by(credit_note_line.c.position)
    )
    return tuple(
        Line(
            kind=row.kind,
            service_id=row.service_id,
            text=row.text,
            period=None if row.period_start is None else Period(row.period_start, row.period_end),
            net=Money(row.net_minor, currency),
            taxes=taxes_from_json(row.taxes),
        )
        for row in tx.execute(query)
    )
