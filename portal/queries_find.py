"""Finding a subscriber by whatever the person on the phone can say; read-only."""

from ipaddress import ip_address
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select

from base.tables import policy, service, session, subscriber


def subscribers(words: str = "") -> Select[Any]:
    """Subscribers with their logins and worst level: all, or those that the words name.

    Words are (part of) a name, e-mail, phone or service login, an account number, or the address of an open session.
    """
    own = service.c.subscriber_id == subscriber.c.id
    logins = select(func.array_agg(service.c.login)).where(own).scalar_subquery()
    worst = (
        select(func.max(policy.c.level))
        .join(service, service.c.id == policy.c.service_id)
        .where(own)
        .correlate(subscriber)
        .scalar_subquery()
    )
    query = select(
        subscriber.c.id,
        subscriber.c.number,
        subscriber.c.name,
        subscriber.c.email,
        subscriber.c.phone,
        logins.label("logins"),
        worst.label("level"),
    ).order_by(subscriber.c.id.desc())
    return query.where(_named(words.strip())) if words.strip() else query


def _named(words: str) -> ColumnElement[bool]:
    by_login = select(service.c.subscriber_id).where(service.c.login.icontains(words, autoescape=True))
    ways = [
        subscriber.c.number == words,
        subscriber.c.name.icontains(words, autoescape=True),
        subscriber.c.email.icontains(words, autoescape=True),
        subscriber.c.id.in_(by_login),
    ]
    digits = "".join(letter for letter in words if letter.isdigit())
    if len(digits) >= 4 and not set(words) - set("0123456789+-()/. "):
        plain = func.regexp_replace(subscriber.c.phone, "[^0-9]", "", "g")
        ways.append(plain.contains(digits, autoescape=True))
    address = _address(words)
    if address is not None:
        lines = (
            select(service.c.subscriber_id)
            .join(session, session.c.service_id == service.c.id)
            .where(session.c.stopped_at.is_(None), session.c.framed_address == address)
        )
        ways.append(subscriber.c.id.in_(lines))
    return or_(*ways)


def _address(words: str) -> str | None:
    try:
        return str(ip_address(words))
    except ValueError:
        return None
