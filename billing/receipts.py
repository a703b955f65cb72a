"""Receipts: a payment as its document shows it."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import BigInteger, Connection, func, select

from base.money import Money, total
from base.tables import subscriber
from billing.cheques.tables import cheque
from billing.tables import allocation, invoice, payment


@dataclass(frozen=True, slots=True)
class Settled:
    """What a payment paid of one invoice."""

    number: str
    issued_on: date
    amount: Money


@dataclass(frozen=True, slots=True)
class Receipt:
    """Money that was received, and where it went so far."""

    number: str
    received_on: date
    method: str
    "cash, transfer, card."
    amount: Money
    buyer: dict[str, str]
    "name, address (several lines), number (of the account): as they are now."
    settled: tuple[Settled, ...]
    counts_on: date | None = None
    "A cheque that settles nothing before that day."

    @property
    def credit(self) -> Money:
        """What no invoice has used yet; nothing of a cheque that does not count yet."""
        if self.counts_on is not None:
            return Money(0, self.amount.currency)
        return self.amount - total((each.amount for each in self.settled), self.amount.currency)


def load_receipt(tx: Connection, payment_id: int) -> Receipt | None:
    """The receipt of one payment; None when there is no such payment."""
    row = tx.execute(
        select(payment, subscriber.c.name, subscriber.c.address, subscriber.c.number, cheque.c.counts_on)
        .join(subscriber, subscriber.c.id == payment.c.subscriber_id)
        .outerjoin(cheque, (cheque.c.payment_id == payment.c.id) & (cheque.c.state == "waiting"))
        .where(payment.c.id == payment_id)
    ).one_or_none()
    if row is None:
        return None
    settled = tx.execute(
        select(
            invoice.c.number, invoice.c.issued_on, func.sum(allocation.c.amount_minor).cast(BigInteger).label("minor")
        )
        .join(allocation, allocation.c.invoice_id == invoice.c.id)
        .where(allocation.c.payment_id == payment_id)
        .group_by(invoice.c.id)
        .having(func.sum(allocation.c.amount_minor) > 0)
        .order_by(func.min(allocation.c.id))
    )
    return Receipt(
        number=row.receipt_number,
        received_on=row.received_on,
        method=row.method,
        amount=Money(row.amount_minor, row.currency),
        buyer={"name": row.name, "address": row.address, "number": row.number},
        settled=tuple(Settled(each.number, each.issued_on, Money(each.minor, row.currency)) for each in settled),
        counts_on=row.counts_on,
    )
