"""Credit notes as their document shows them."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, literal, select

from base.money import Money
from billing.lines import Line, lines_of
from billing.paper import groups_from_json
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
    query = (
        select(
            credit_note_line,
            invoice_line.c.kind,
            invoice_line.c.service_id,
            invoice_line.c.taxes,
            literal(1).label("quantity"),  # a part of a line is no number of pieces
        )
        .join(invoice_line, invoice_line.c.id == credit_note_line.c.invoice_line_id)
        .where(credit_note_line.c.credit_note_id == credit_note_id)
        .order_by(credit_note_line.c.position)
    )
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
        lines=lines_of(tx.execute(query), row.currency),
        taxes=groups_from_json(row.taxes, row.currency),
        net=Money(row.net_minor, row.currency),
        tax=Money(row.tax_minor, row.currency),
        total=Money(row.total_minor, row.currency),
    )
