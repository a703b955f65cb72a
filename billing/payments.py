"""Money received: recorded once, applied to what is open, booked, receipted, and felt by access in the same commit."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from base import jobs, trail
from base.business import Business
from base.calendar import local_date
from base.crypto import Vault
from base.i18n import format_money
from base.money import Money
from base.tables import subscriber
from billing.apply import refresh_access
from billing.ledger import Posting, post, receivable
from billing.letters import receipt_letter
from billing.mail import queue_message
from billing.mail_sources import load_sources
from billing.numbers import next_number
from billing.prepaid.renewal import renew
from billing.refused import Refused
from billing.services import services_of
from billing.settle import add_credit, apply_credits, lock_subscribers
from billing.tables import allocation, invoice, payment
from billing.write_offs import recover_named

# method -> where the money lies, or lay already
ACCOUNT_OF = {"cash": "cash", "transfer": "bank", "card": "stripe", "voucher": "vouchers_sold"}


@dataclass(frozen=True, slots=True)
class Recorded:
    """The payment as it stands; `new` is False when its gateway id had been recorded before."""

    payment_id: int
    new: bool


def record_payment(
    tx: Connection,
    vault: Vault,
    business: Business,
    *,
    subscriber_id: int,
    amount: Money,
    method: str,
    author: str,
    gateway_id: str | None = None,
    invoice_ids: Collection[int] = (),
    note: str = "",
    now: datetime,
    received_on: date | None = None,
) -> Recorded:
    """Record money from a subscriber and everything that follows from it; the caller commits.

    The money goes to the open invoices named in `invoice_ids`, then to the one due first, then to what was written off
    of those named; what is left over is credit that the next invoice uses. A `gateway_id` (Stripe's pi_…) is recorded
    once: the second time nothing happens. It came in on `received_on` (default: today). Raises services.Refused when
    the amount, its currency or the method cannot be, its month is closed in the books, or the gateway id came before
    with another payer or amount.
    """
    if not lock_subscribers(tx, [subscriber_id]):
        raise Refused("There is no such subscriber.", "subscriber_id")
    if gateway_id is not None:
        known = tx.execute(select(payment).where(payment.c.gateway_id == gateway_id)).one_or_none()
        if known is not None:
            return _same(known, subscriber_id, amount)
    payer = tx.execute(select(subscriber).where(subscriber.c.id == subscriber_id)).one()
    _check(amount, method, payer.currency)
    today = local_date(now, business.zone)
    received_on = received_on or today
    receipt_number = f"R-{next_number(tx, 'receipt'):06d}"
    payment_id = tx.scalar(
        insert(payment)
        .values(
            subscriber_id=subscriber_id,
            receipt_number=receipt_number,
            method=method,
            gateway_id=gateway_id,
            amount_minor=amount.minor,
            currency=amount.currency,
            received_on=received_on,
            note=note,
            author=author,
            created_at=now,
        )
        .returning(payment.c.id)
    )
    assert payment_id is not None
    post(
        tx,
        received_on,
        f"Payment {receipt_number}",
        f"payment:{payment_id}",
        [Posting(ACCOUNT_OF[method], None, amount), Posting("customer_credit", subscriber_id, -amount)],
    )
    add_credit(tx, subscriber_id, amount, payment_id=payment_id)
    apply_credits(tx, [subscriber_id], now, today, prefer=invoice_ids)
    recover_named(tx, author, subscriber_id, invoice_ids, now, today)
    trail.record(
        tx,
        author,
        "payment.recorded",
        subject="subscriber",
        subject_id=subscriber_id,
        detail={"payment_id": payment_id, "amount": format_money(amount, business.language), "method": method},
    )
    touched = services_of(tx, subscriber_id)
    renew(tx, vault, business, touched, now)
    paper = {"kind": "receipt", "id": payment_id}
    jobs.enqueue(tx, jobs.Kind.RENDER_DOCUMENT, paper, key=f"document:receipt:{payment_id}")
    letter = receipt_letter(
        business,
        name=payer.name,
        receipt_number=receipt_number,
        received_on=received_on,
        amount=amount,
        settled=_settled(tx, payment_id, amount.currency),
        owed=receivable(tx, subscriber_id),
        language=payer.language,
        sources=load_sources(tx),
    )
    queue_message(
        tx,
        business,
        subscriber_id=subscriber_id,
        kind="receipt",
        key=f"receipt:{payment_id}",
        subject=letter.subject,
        body=letter.body,
        awaits_paper=True,
    )
    refresh_access(tx, vault, touched, now, because=f"payment:{payment_id}")
    return Recorded(payment_id, new=True)


def _same(known: Row[Any], subscriber_id: int, amount: Money) -> Recorded:
    if (known.subscriber_id, known.amount_minor, known.currency) != (subscriber_id, amount.minor, amount.currency):
        raise Refused(f"{known.gateway_id} is recorded already, with another payer or amount.", "gateway_id")
    return Recorded(known.id, new=False)


def _check(amount: Money, method: str, currency: str) -> None:
    if method not in ACCOUNT_OF:
        raise Refused(f"A method is one of {', '.join(ACCOUNT_OF)}.", "method")
    if amount.currency != currency:
        raise Refused(f"The subscriber pays in {currency}, not in {amount.currency}.", "amount")
    if amount.minor <= 0:
        raise Refused("A payment is more than nothing.", "amount")


def _settled(tx: Connection, payment_id: int, currency: str) -> list[tuple[str, Money]]:
    query = (
        select(invoice.c.number, allocation.c.amount_minor)
        .join(allocation, allocation.c.invoice_id == invoice.c.id)
        .where(allocation.c.payment_id == payment_id)
        .order_by(allocation.c.id)
    )
    return [(row.number, Money(row.amount_minor, currency)) for row in tx.execute(query)]
