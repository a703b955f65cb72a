"""Charges: amounts that the next invoice takes along, or that are worth an invoice of their own."""

from datetime import date

from sqlalchemy import Connection, insert, update

from base import clock, trail
from base.money import Money
from billing.refused import need
from billing.tables import charge

KINDS = ("setup", "one_off", "deposit", "early_end", "equipment", "late_fee", "reconnection")


def add_charge(
    tx: Connection,
    *,
    subscriber_id: int,
    kind: str,
    text: str,
    amount: Money,
    tax_class_id: int,
    on_day: date,
    author: str,
    service_id: int | None = None,
    inclusive: bool = False,
    bill_on: date | None = None,
) -> int:
    """Charge a subscriber once: `amount` net, or gross where inclusive. Returns the charge's id.

    `bill_on`: from that day on it is billed even where nothing else is due.
    """
    need(kind in KINDS, f"A charge is one of {', '.join(KINDS)}.", "kind")
    need(text.strip(), "A charge needs a text: it is what the invoice says.", "text")
    need(amount.minor > 0, "A charge is more than nothing; what is to be given back is a credit note.", "amount")
    charge_id = tx.execute(
        insert(charge)
        .values(
            subscriber_id=subscriber_id,
            service_id=service_id,
            kind=kind,
            text=text,
            amount_minor=amount.minor,
            inclusive=inclusive,
            tax_class_id=tax_class_id,
            on_day=on_day,
            bill_on=bill_on,
            author=author,
            created_at=clock.now(),
        )
        .returning(charge.c.id)
    ).scalar_one()
    detail = {"charge_id": charge_id, "kind": kind, "text": text, "amount_minor": amount.minor}
    trail.record(tx, author, "charge.added", subject="subscriber", subject_id=subscriber_id, detail=detail)
    return int(charge_id)


def drop_charge(tx: Connection, actor: str, charge_id: int) -> None:
    """Take back a charge that no invoice has; one that was billed is given back by a credit note."""
    waiting = (charge.c.id == charge_id, charge.c.invoice_id.is_(None), charge.c.dropped_at.is_(None))
    found = tx.execute(update(charge).where(*waiting).values(dropped_at=clock.now()).returning(charge.c.subscriber_id))
    subscriber_id = found.scalar_one_or_none()
    need(subscriber_id is not None, "There is no such charge waiting for an invoice.", "charge_id")
    detail = {"charge_id": charge_id}
    trail.record(tx, actor, "charge.dropped", subject="subscriber", subject_id=subscriber_id, detail=detail)
