"""What has become of an invoice, in one word, from what was paid, credited and given up of it."""

from collections.abc import Collection
from datetime import date
from enum import Enum

from sqlalchemy import BigInteger, ColumnElement, Connection, func, select

from billing.book_tables import reinstatement
from billing.settle import open_of_invoice
from billing.tables import credit_note, invoice, write_off


class InvoiceState(Enum):
    """What an invoice is; its value is the word for staff."""

    OPEN = "open"
    PART_PAID = "part-paid"
    OVERDUE = "overdue"
    PAID = "paid"
    CANCELLED = "cancelled"
    WRITTEN_OFF = "written off"


def state_of(*, total: int, open: int, credited: int, written_off: int, due_on: date, today: date) -> InvoiceState:
    """The state of an invoice, from minor units: an open one is overdue after its due day, else part-paid or open.

    One that nothing is open of was cancelled when credit notes gave all of it back, written off when what was given up
    of it closed it, and else paid.
    """
    if open > 0:
        if due_on < today:
            return InvoiceState.OVERDUE
        return InvoiceState.PART_PAID if open < total else InvoiceState.OPEN
    if 0 < total <= credited:
        return InvoiceState.CANCELLED
    return InvoiceState.WRITTEN_OFF if written_off > 0 else InvoiceState.PAID


def credited_of_invoice() -> ColumnElement[int]:
    """What credit notes gave back of an `invoice` row, in minor units, as a correlated subquery."""
    return _sum(credit_note.c.total_minor, credit_note.c.invoice_id)


def given_up_of_invoice() -> ColumnElement[int]:
    """What is still written off of an `invoice` row, in minor units, as a correlated subquery."""
    lost = _sum(write_off.c.amount_minor, write_off.c.invoice_id)
    return lost - _sum(reinstatement.c.amount_minor, reinstatement.c.invoice_id)


def _sum(amount: ColumnElement[int], invoice_id: ColumnElement[int]) -> ColumnElement[int]:
    total = select(func.sum(amount)).where(invoice_id == invoice.c.id).scalar_subquery()
    return func.coalesce(total, 0).cast(BigInteger)


def load_states(tx: Connection, invoice_ids: Collection[int], today: date) -> dict[int, InvoiceState]:
    """The states of these invoices on a day."""
    query = select(
        invoice.c.id,
        invoice.c.total_minor,
        invoice.c.due_on,
        open_of_invoice().label("open"),
        credited_of_invoice().label("credited"),
        given_up_of_invoice().label("written_off"),
    ).where(invoice.c.id == func.any(list(invoice_ids)))
    return {
        row.id: state_of(
            total=row.total_minor, open=row.open, credited=row.credited, written_off=row.written_off,
            due_on=row.due_on, today=today,
        )
        for row in tx.execute(query)
    }  # fmt: skip
