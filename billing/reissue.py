"""An invoice that was wrong about its recipient: cancelled by a credit note and issued anew, in one transaction."""

from datetime import date, datetime

from sqlalchemy import Connection, Row, exists, select

from base.business import Business
from base.calendar import Period
from base.crypto import Vault
from base.money import Money
from billing.credit_notes import Part, issue_credit_note
from billing.draft import Due
from billing.issue import draft_periods, issue_drafts
from billing.refused import need
from billing.settle import lock_subscribers
from billing.tables import charge, credit_note, invoice, invoice_line


def reissue_invoice(
    tx: Connection, vault: Vault, business: Business, actor: str, invoice_id: int, reason: str, now: datetime
) -> tuple[int, int]:
    """Credit all of an invoice and issue its lines again: address, tax number and treatment as they are today.

    The rates are those of the day of supply, as ever. Returns the ids of credit note and new invoice. What was paid of
    the old one pays the new one. Refused when something of it was given back before, and for a bill of nothing.
    """
    original = tx.execute(select(invoice).where(invoice.c.id == invoice_id)).one_or_none()
    need(original is not None, "There is no such invoice.", "invoice_id")
    assert original is not None
    lock_subscribers(tx, [original.subscriber_id])
    given = tx.scalar(select(exists().where(credit_note.c.invoice_id == invoice_id)))
    need(not given, f"Something of {original.number} was given back already; it is not issued anew.", "invoice_id")
    need(
        original.total_minor > 0, f"{original.number} is a bill of nothing: there is nothing to correct.", "invoice_id"
    )
    rows = tx.execute(
        select(invoice_line, charge.c.on_day)
        .outerjoin(charge, charge.c.id == invoice_line.c.charge_id)
        .where(invoice_line.c.invoice_id == invoice_id)
        .order_by(invoice_line.c.position)
    ).all()
    parts = [Part(row.id, Money(row.amount_minor, original.currency), _period(row)) for row in rows if row.amount_minor]
    credit_note_id = issue_credit_note(tx, vault, business, actor, invoice_id, parts, reason, now)
    assert credit_note_id is not None
    lines = [_due(row, original.currency, original.issued_on) for row in rows]
    drafts = draft_periods(tx, [(original.subscriber_id, 0, lines)], now.date())  # 0: nothing that waits comes along
    [made] = issue_drafts(tx, vault, business, drafts, now)
    return credit_note_id, made


def _period(row: Row[tuple[object, ...]]) -> Period | None:
    return None if row.period_start is None else Period(row.period_start, row.period_end)


def _due(row: Row[tuple[object, ...]], currency: str, issued_on: date) -> Due:
    period = _period(row)
    return Due(
        kind=row.kind,
        service_id=row.service_id,
        text=row.text,
        amount=Money(row.amount_minor, currency),
        inclusive=row.inclusive,
        tax_class_id=row.tax_class_id,
        supplied_on=row.on_day or (issued_on if period is None else period.start),
        period=period,
        quantity=row.quantity,
        service_product_id=row.service_product_id,
        charge_id=row.charge_id,
        by_day=row.by_day,
    )
