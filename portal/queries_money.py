"""What invoices, payments, the ledger and mails look like on a page; read-only."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from base.tables import subscriber
from billing.collect.tables import checkout
from billing.invoice_states import credited_of_invoice, given_up_of_invoice
from billing.ledger import OWED
from billing.settle import open_of_invoice
from billing.tables import allocation, document, entry, invoice, message, payment, posting


def invoices(subscriber_id: int | None = None, *where: ColumnElement[bool]) -> Select[Any]:
    """Invoices with what is open, newest first."""
    query = (
        select(
            invoice,
            open_of_invoice().label("open_minor"),
            credited_of_invoice().label("credited_minor"),
            given_up_of_invoice().label("given_up_minor"),
            subscriber.c.name.label("subscriber_name"),
        )
        .join(subscriber, subscriber.c.id == invoice.c.subscriber_id)
        .where(*where)
        .order_by(invoice.c.id.desc())
    )
    return query if subscriber_id is None else query.where(invoice.c.subscriber_id == subscriber_id)


def paid_by(tx: Connection, invoice_id: int) -> list[Row[Any]]:
    """Which payments settled an invoice."""
    query = (
        select(payment, func.sum(allocation.c.amount_minor).cast(allocation.c.amount_minor.type).label("applied_minor"))
        .join(allocation, allocation.c.payment_id == payment.c.id)
        .where(allocation.c.invoice_id == invoice_id)
        .group_by(payment.c.id)
        .having(func.sum(allocation.c.amount_minor) > 0)  # none whose money has gone back
        .order_by(func.min(allocation.c.id))
    )
    return list(tx.execute(query))


def payments(subscriber_id: int | None = None, *where: ColumnElement[bool]) -> Select[Any]:
    """Payments, newest first."""
    query = (
        select(payment, subscriber.c.name.label("subscriber_name"), _document("receipt", payment.c.id))
        .join(subscriber, subscriber.c.id == payment.c.subscriber_id)
        .where(*where)
        .order_by(payment.c.id.desc())
    )
    return query if subscriber_id is None else query.where(payment.c.subscriber_id == subscriber_id)


def one_payment(tx: Connection, payment_id: int, subscriber_id: int | None = None) -> Row[Any] | None:
    """One payment; with a subscriber only if it is theirs."""
    return tx.execute(payments(subscriber_id, payment.c.id == payment_id)).one_or_none()


def _document(kind: str, subject: ColumnElement[int]) -> ColumnElement[bool]:
    made = select(document.c.id).where(document.c.kind == kind, document.c.subject_id == subject).exists()
    return made.label("has_document")


def ledger(subscriber_id: int) -> Select[Any]:
    """A subscriber's account, newest first: each entry with the balance after it (positive = owes)."""
    amount = func.sum(posting.c.amount_minor)
    whole = posting.c.amount_minor.type
    return (
        select(
            entry.c.day,
            entry.c.text,
            entry.c.source,
            amount.cast(whole).label("amount_minor"),
            posting.c.currency,
            func.sum(amount).over(order_by=entry.c.id).cast(whole).label("balance_minor"),
        )
        .join(entry, entry.c.id == posting.c.entry_id)
        .where(posting.c.account.in_(OWED), posting.c.subscriber_id == subscriber_id)
        .group_by(entry.c.id, posting.c.currency)
        .having(amount != 0)  # credit that an invoice used moves nothing for the subscriber
        .order_by(entry.c.id.desc())
    )


def messages(subscriber_id: int | None = None, *where: ColumnElement[bool]) -> Select[Any]:
    """Mails, newest first."""
    query = (
        select(message, subscriber.c.name.label("subscriber_name"))
        .join(subscriber, subscriber.c.id == message.c.subscriber_id)
        .where(*where)
        .order_by(message.c.id.desc())
    )
    return query if subscriber_id is None else query.where(message.c.subscriber_id == subscriber_id)


def checkout_by_session(tx: Connection, stripe_session: str) -> Row[Any] | None:
    """The try to pay that Stripe knows by this session id, with its payment's receipt number."""
    query = (
        select(checkout, payment.c.receipt_number, payment.c.amount_minor.label("paid_minor"))
        .outerjoin(payment, payment.c.id == checkout.c.payment_id)
        .where(checkout.c.session_id == stripe_session)
    )
    return tx.execute(query).one_or_none()
