"""What subscribers are told of money that goes back."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, func, select

from base.business import Business
from base.money import Money
from base.settings import settings
from base.tables import subscriber
from billing.ledger import receivable
from billing.mail_sources import load_sources
from billing.mail_words import write
from billing.outbox import Outgoing, queue_all
from billing.tables import invoice

WHAT = ("refund", "refund_failed", "reversed", "moved", "dispute_lost")


def tell(tx: Connection, business: Business, row: Row[Any], what: str, number: str, reopened: Collection[int]) -> None:
    """Say what went back (or came again) of the receipt or credit note `number`; `reopened`: invoices open again."""
    who = tx.execute(select(subscriber).where(subscriber.c.id == row.subscriber_id)).one()
    numbers = select(invoice.c.number).where(invoice.c.id == func.any(list(reopened))).order_by(invoice.c.id)
    nothing = Money(0, row.currency)
    letter = write(
        "money_back",
        business,
        language=who.language,
        sources=load_sources(tx),
        name=who.name,
        what=what,
        way=row.way,
        amount=Money(row.amount_minor, row.currency),
        number=number,
        reopened=list(tx.scalars(numbers)),
        owed=max(receivable(tx, who.id), nothing),
        nothing=nothing,
        link=f"{settings().public_url}/",
    )
    key = f"money_back:{row.id}:{what}"
    queue_all(tx, business, [Outgoing(who.id, "money_back", key, letter.subject, letter.body)])
