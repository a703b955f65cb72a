"""Reminders: one mail per invoice, some days after its due date, while something of it is still open."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, Text, cast, exists, func, literal, select

from base.business import Business, load_business
from base.calendar import local_date
from base.crypto import open_vault
from base.database import transaction
from base.money import total
from base.settings import settings
from base.tables import service, subscriber
from billing.decide import wall_on
from billing.letters import reminder_letter
from billing.mail import queue_message
from billing.mail_sources import load_sources
from billing.settle import lock_subscribers, open_by_subscriber
from billing.sweep import sweep
from billing.tables import message, open_item

CHUNK = 50  # subscribers to a transaction


@dataclass(frozen=True, slots=True)
class Reminder:
    """An invoice about which its payer is to be reminded."""

    invoice_id: int
    subscriber_id: int
    name: str
    "The payer's."
    language: str | None
    "The payer's; None: the provider's."


def due_reminders(
    tx: Connection, business: Business, today: date, among: Sequence[int] | None = None
) -> list[Reminder]:
    """Open invoices due `remind_after_days` ago or earlier whose payer has an address and was not reminded yet.

    `among` limits the search to these subscribers.
    """
    reminded = exists().where(message.c.key == literal("reminder:") + cast(open_item.c.invoice_id, Text))
    query = (
        select(open_item.c.invoice_id, open_item.c.subscriber_id, subscriber.c.name, subscriber.c.language)
        .join(subscriber, subscriber.c.id == open_item.c.subscriber_id)
        .where(
            open_item.c.due_on <= today - timedelta(days=business.remind_after_days),
            subscriber.c.email != "",
            ~reminded,
        )
        .order_by(open_item.c.subscriber_id, open_item.c.due_on, open_item.c.invoice_id)
    )
    if among is not None:
        query = query.where(open_item.c.subscriber_id == func.any(list(among)))
    return [Reminder(*row) for row in tx.execute(query)]


def send_reminders(now: datetime) -> list[int]:
    """Remind everybody who is to be reminded; returns the invoices' ids. Harmless when run again or at once."""
    vault = open_vault(settings().secret_keys)
    with transaction() as tx:
        business = load_business(tx, vault)
        due = due_reminders(tx, business, local_date(now, business.zone))

    def send(tx: Connection, subscriber_ids: list[int]) -> list[int]:
        current = load_business(tx, vault)
        return remind(tx, current, subscriber_ids, local_date(now, current.zone))

    return sweep("remind", list(dict.fromkeys(each.subscriber_id for each in due)), send, size=CHUNK)


def remind(tx: Connection, business: Business, subscriber_ids: Sequence[int], today: date) -> list[int]:
    """Remind these subscribers of every invoice that `due_reminders` finds; returns the invoices' ids."""
    lock_subscribers(tx, subscriber_ids)
    at_stake = set(
        tx.scalars(
            select(service.c.payer_id).where(
                service.c.payer_id == func.any(list(subscriber_ids)),
                service.c.ends_on.is_(None) | (service.c.ends_on > today),
            )
        )
    )
    debts = open_by_subscriber(tx, subscriber_ids)
    reminders = due_reminders(tx, business, today, subscriber_ids)
    sources = load_sources(tx) if reminders else {}
    for each in reminders:
        owing = debts[each.subscriber_id]
        late = next(debt for debt in owing if debt.id == each.invoice_id)
        letter = reminder_letter(
            business,
            name=each.name,
            number=late.number,
            due_on=late.due_on,
            open=late.open,
            owed=total((debt.open for debt in owing), late.open.currency),
            # access depends on the oldest debt, whichever invoice this letter is about
            wall_on=wall_on(owing[0].due_on, business.wall_after_days) if each.subscriber_id in at_stake else None,
            today=today,
            link=f"{settings().public_url}/invoices/{each.invoice_id}",
            language=each.language,
            sources=sources,
        )
        queue_message(
            tx,
            business,
            subscriber_id=each.subscriber_id,
            kind="reminder_1",
            key=f"reminder:{each.invoice_id}",
            subject=letter.subject,
            body=letter.body,
            invoice_id=each.invoice_id,
        )
    return [each.invoice_id for each in reminders]
