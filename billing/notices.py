"""Mails that follow from what happens to a service: welcome, suspended, restored. Each once, by its key."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from base import clock
from base.access import AccessLevel, Reason
from base.business import Business
from base.money import total
from base.offers import plan
from base.settings import settings
from base.tables import service, subscriber
from billing.letters import access_letter, welcome_letter
from billing.mail_sources import load_sources
from billing.outbox import Outgoing, queue_all
from billing.settle import open_by_subscriber

RECENT = timedelta(days=2)  # what happened longer ago is history that is being written, and no news to anybody


@dataclass(frozen=True, slots=True)
class Change:
    """The access of one service went from one level to another, or is what it was for other reasons."""

    service_id: int
    version: int
    before: AccessLevel
    now: AccessLevel
    reasons: tuple[Reason, ...]
    reasons_before: tuple[Reason, ...]

    @property
    def kind(self) -> str | None:
        """The mail that it is worth: 'suspended', 'restored', or None."""
        if self.before < AccessLevel.WALLED and self.now == AccessLevel.WALLED:
            return "suspended"
        if self.before == AccessLevel.WALLED and self.now < AccessLevel.WALLED:
            return "restored"
        return None


def announce_access(tx: Connection, business: Business, changes: Sequence[Change], now: datetime) -> None:
    """Tell the subscribers whose services were walled in or let out again, where the provider wants that."""
    told = {change.service_id: change for change in changes if change.kind is not None}
    if not told or business.mail_access_changes != "yes" or _is_history(now):
        return
    rows = tx.execute(
        select(
            service.c.id,
            service.c.login,
            service.c.subscriber_id,
            service.c.payer_id,
            subscriber.c.name,
            subscriber.c.language,
            subscriber.c.currency,
        )
        .join(subscriber, subscriber.c.id == service.c.subscriber_id)
        .where(service.c.id == func.any(list(told)))
        .order_by(service.c.id)
    ).all()
    debts = open_by_subscriber(tx, {row.subscriber_id for row in rows})
    sources = load_sources(tx)
    letters = []
    for row in rows:
        change = told[row.id]
        assert change.kind is not None
        owing = debts.get(row.subscriber_id, []) if row.payer_id == row.subscriber_id else []  # not a landlord's debts
        letter = access_letter(
            business,
            change.kind,
            name=row.name,
            login=row.login,
            at=now,
            reasons=change.reasons,
            owed=total((debt.open for debt in owing), row.currency),
            link=settings().public_url,
            language=row.language,
            sources=sources,
        )
        key = f"{change.kind}:{row.id}:{change.version}"
        letters.append(Outgoing(row.subscriber_id, change.kind, key, letter.subject, letter.body))
    queue_all(tx, business, letters)


def welcome(tx: Connection, business: Business, service_id: int, now: datetime) -> None:
    """Greet the subscriber whose first service this is; harmless for a second one, and for one taken over."""
    if _is_history(now):
        return
    theirs = select(service.c.subscriber_id).where(service.c.id == service_id).scalar_subquery()
    earlier = select(service.c.id).where(service.c.subscriber_id == theirs, service.c.id < service_id).limit(1)
    if tx.scalar(earlier) is not None:
        return
    row = tx.execute(
        select(
            service.c.login,
            service.c.starts_on,
            service.c.subscriber_id,
            subscriber.c.name,
            subscriber.c.number,
            subscriber.c.language,
            plan.c.name.label("plan"),
        )
        .join(subscriber, subscriber.c.id == service.c.subscriber_id)
        .join(plan, plan.c.id == service.c.plan_id)
        .where(service.c.id == service_id)
    ).one()
    letter = welcome_letter(
        business,
        name=row.name,
        number=row.number,
        plan=row.plan,
        login=row.login,
        starts_on=row.starts_on,
        link=settings().public_url,
        language=row.language,
        sources=load_sources(tx),
    )
    key = f"welcome:{row.subscriber_id}"
    queue_all(tx, business, [Outgoing(row.subscriber_id, "welcome", key, letter.subject, letter.body)])


def _is_history(now: datetime) -> bool:
    return now < clock.real() - RECENT
