"""The two mails about a data cap: most of it is used, and all of it is; each once per service and period."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, func, select

from base import clock
from base.business import Business
from base.settings import settings
from base.tables import service, subscriber
from billing.decide import Usage
from billing.letters import usage_letter
from billing.mail_sources import load_sources
from billing.notices import RECENT
from billing.outbox import Outgoing, queue_all
from billing.tables import message
from billing.usage import WARNED_AT, threshold


def announce_usage(tx: Connection, business: Business, usages: Mapping[int, Usage], now: datetime) -> None:
    """Tell the subscribers of these services, by id, who have come past a threshold in this period and do not know.

    Whoever passes both at once is told of the last only.
    """
    wanted = {service_id: kind for service_id, usage in usages.items() if (kind := _kind(usage)) is not None}
    if not wanted or now < clock.real() - RECENT:
        return
    keys = {service_id: f"{kind}:{service_id}:{usages[service_id].period.start}" for service_id, kind in wanted.items()}
    known = set(tx.scalars(select(message.c.key).where(message.c.key == func.any(list(keys.values())))))
    fresh = [service_id for service_id, key in keys.items() if key not in known]
    if not fresh:
        return
    rows = tx.execute(
        select(service.c.id, service.c.login, service.c.subscriber_id, subscriber.c.name, subscriber.c.language)
        .join(subscriber, subscriber.c.id == service.c.subscriber_id)
        .where(service.c.id == func.any(fresh))
        .order_by(service.c.id)
    ).all()
    sources, letters = load_sources(tx), []
    for row in rows:
        usage, kind = usages[row.id], wanted[row.id]
        letter = usage_letter(
            business,
            kind,
            name=row.name,
            login=row.login,
            used=usage.used,
            cap=usage.cap,
            renews_on=usage.period.end,
            link=settings().public_url,
            language=row.language,
            sources=sources,
        )
        letters.append(Outgoing(row.subscriber_id, kind, keys[row.id], letter.subject, letter.body))
    queue_all(tx, business, letters)


def _kind(usage: Usage) -> str | None:
    """The mail about the highest threshold that is passed."""
    passed = [percent for percent in WARNED_AT if usage.used >= threshold(usage.cap, percent)]
    return f"usage_{max(passed)}" if passed else None
