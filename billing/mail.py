"""Mails to subscribers: a row and a job in the business transaction; delivery is the job's work."""

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from base import clock, jobs
from base.business import Business
from base.tables import subscriber
from billing.tables import message


def queue_message(
    tx: Connection,
    business: Business,
    *,
    subscriber_id: int,
    kind: str,
    key: str,
    subject: str,
    body: str,
    invoice_id: int | None = None,
) -> None:
    """Have a mail sent after the commit, once per `key`; a subscriber without an address gets none."""
    recipient = tx.scalar(select(subscriber.c.email).where(subscriber.c.id == subscriber_id))
    if not recipient:
        return
    message_id = tx.scalar(
        insert(message)
        .values(
            subscriber_id=subscriber_id,
            invoice_id=invoice_id,
            kind=kind,
            key=key,
            recipient=recipient,
            subject=subject,
            body=body,
            created_at=clock.now(),
        )
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(message.c.id)
    )
    if message_id is not None:
        jobs.enqueue(tx, jobs.Kind.SEND_MESSAGE, {"message_id": message_id})
