"""What staff see of collecting: each collection that waits, with its next try, and why then."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from base.money import Money
from base.tables import subscriber
from billing.collect.cases import owed_by
from billing.collect.tables import attempt, collected, collection
from billing.tables import invoice

WORDS = {
    "waiting": "waits",
    "creating": "is being charged",
    "charging": "is being charged",
    "pending": "money is under way",
    "unknown": "outcome unknown, Stripe is asked",
    "customer": "its owner has to do something",
    "paid": "paid",
    "ended": "ended",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A collection as staff see it."""

    id: int
    account: str
    "Account number."
    name: str
    invoices: tuple[str, ...]
    owed: Money
    state: str
    next_try_at: datetime | None
    reason: str
    tries: int


def cases(tx: Connection, *, everything: bool = False) -> Sequence[Case]:
    """Collections that are alive, the next to be tried at the front; `everything`: those that ended too."""
    tries = select(func.count()).where(attempt.c.collection_id == collection.c.id).scalar_subquery()
    numbers = (
        select(func.array_agg(invoice.c.number))
        .join(collected, collected.c.invoice_id == invoice.c.id)
        .where(collected.c.collection_id == collection.c.id)
        .scalar_subquery()
    )
    query = (
        select(collection, subscriber.c.number, subscriber.c.name, tries.label("tries"), numbers.label("numbers"))
        .join(subscriber, subscriber.c.id == collection.c.subscriber_id)
        .order_by(collection.c.next_try_at.asc().nulls_first(), collection.c.id)
    )
    if not everything:
        query = query.where(collection.c.state.not_in(("paid", "ended")))
    return [
        Case(
            id=row.id,
            account=row.number,
            name=row.name,
            invoices=tuple(row.numbers or ()),
            owed=owed_by(tx, row.id, row.currency)[0],
            state=row.state,
            next_try_at=row.next_try_at,
            reason=row.reason,
            tries=row.tries,
        )
        for row in tx.execute(query)
    ]
