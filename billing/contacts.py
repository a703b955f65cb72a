"""Who else of a subscriber is written to: added, removed and listed, with trail."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from base import clock, trail
from base.tables import subscriber
from billing.addresses import is_mailbox
from billing.refused import Refused
from billing.tables import contact

KINDS = ("billing", "technical")
DELIVERIES = ("mail", "paper", "both")


def add_contact(
    tx: Connection, actor: str, subscriber_id: int, *, email: str, name: str = "", kinds: Collection[str] = ("billing",)
) -> int:
    """Write to this address too: 'billing' gets invoices and reminders, 'technical' what happens to the line.

    The same address again replaces name and kinds. Returns the contact's id.
    """
    if not is_mailbox(email.strip()):
        raise Refused(f"{email!r} is not a mail address.", "email")
    if not kinds or not set(kinds) <= set(KINDS):
        raise Refused(f"A contact is {' or '.join(KINDS)}, or both.", "kinds")
    if tx.scalar(select(subscriber.c.id).where(subscriber.c.id == subscriber_id)) is None:
        raise Refused("There is no such subscriber.", "subscriber_id")
    row = {"name": " ".join(name.split()), "kinds": [kind for kind in KINDS if kind in kinds]}
    contact_id = tx.scalar(
        insert(contact)
        .values(subscriber_id=subscriber_id, email=email.strip(), created_at=clock.now(), **row)
        .on_conflict_do_update(index_elements=["subscriber_id", "email"], set_=row)
        .returning(contact.c.id)
    )
    assert contact_id is not None
    detail = {"email": email.strip(), "kinds": row["kinds"]}
    trail.record(tx, actor, "contact.added", subject="subscriber", subject_id=subscriber_id, detail=detail)
    return int(contact_id)


def remove_contact(tx: Connection, actor: str, subscriber_id: int, email: str) -> None:
    """Write to this address no more; Refused when there is no such contact."""
    where = (contact.c.subscriber_id == subscriber_id, func.lower(contact.c.email) == email.strip().lower())
    if not tx.execute(delete(contact).where(*where)).rowcount:
        raise Refused(f"There is no contact {email}.", "email")
    detail = {"email": email.strip()}
    trail.record(tx, actor, "contact.removed", subject="subscriber", subject_id=subscriber_id, detail=detail)


def list_contacts(tx: Connection, subscriber_id: int) -> list[Row[Any]]:
    """The contacts of a subscriber, in the order in which they were added."""
    return list(tx.execute(select(contact).where(contact.c.subscriber_id == subscriber_id).order_by(contact.c.id)))


def set_delivery(tx: Connection, actor: str, subscriber_id: int, delivery: str) -> None:
    """Have invoices and reminders go by 'mail', on 'paper', or 'both' ways."""
    if delivery not in DELIVERIES:
        raise Refused(f"Delivery is one of {', '.join(DELIVERIES)}.", "delivery")
    found = tx.execute(update(subscriber).where(subscriber.c.id == subscriber_id).values(delivery=delivery)).rowcount
    if not found:
        raise Refused("There is no such subscriber.", "subscriber_id")
    detail = {"delivery": delivery}
    trail.record(tx, actor, "subscriber.delivery", subject="subscriber", subject_id=subscriber_id, detail=detail)


def find_subscriber(tx: Connection, number: str) -> int:
    """The id behind an account number, or Refused."""
    found = tx.scalar(select(subscriber.c.id).where(subscriber.c.number == number))
    if found is None:
        raise Refused(f"There is no subscriber {number}.", "number")
    return int(found)
