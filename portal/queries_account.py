"""Subscribers, their services and lines as the pages show them; read-only."""

from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from base.offers import plan, service_plan, tax_class
from base.tables import access_history, enforcement, nas, policy, service, session, subscriber, usage_daily


def one_subscriber(tx: Connection, subscriber_id: int) -> Row[Any] | None:
    """The subscriber."""
    return tx.execute(select(subscriber).where(subscriber.c.id == subscriber_id)).one_or_none()


def services(subscriber_id: int | None = None, *where: ColumnElement[bool]) -> Select[Any]:
    """Services with plan, access and how many sessions are open, in order of subscriber and service."""
    open_now = (
        select(func.count())
        .where(session.c.service_id == service.c.id, session.c.stopped_at.is_(None))
        .scalar_subquery()
        .label("open_sessions")
    )
    own_price = (
        select(service_plan.c.price_minor)
        .where(service_plan.c.service_id == service.c.id, service_plan.c.from_on <= func.current_date())
        .order_by(service_plan.c.from_on.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(
            service.c.id,
            service.c.subscriber_id,
            service.c.login,
            service.c.address,
            service.c.starts_on,
            service.c.ends_on,
            service.c.staff_order,
            service.c.staff_order_note,
            plan.c.name.label("plan_name"),
            func.coalesce(own_price, plan.c.price_minor).label("price_minor"),
            plan.c.price_inclusive,
            plan.c.currency,
            plan.c.cycle_unit,
            plan.c.cycle_length,
            tax_class.c.name.label("tax_name"),
            plan.c.rate_down,
            plan.c.rate_up,
            policy.c.level,
            policy.c.reasons,
            policy.c.review_at,
            policy.c.version,
            policy.c.obeyed,
            policy.c.changed_at,
            subscriber.c.name.label("subscriber_name"),
            subscriber.c.number.label("subscriber_number"),
            open_now,
        )
        .join(plan, plan.c.id == service.c.plan_id)
        .join(tax_class, tax_class.c.id == plan.c.tax_class_id)
        .join(subscriber, subscriber.c.id == service.c.subscriber_id)
        .outerjoin(policy, policy.c.service_id == service.c.id)
        .where(*where)
        .order_by(service.c.subscriber_id, service.c.id)
    )
    return query if subscriber_id is None else query.where(service.c.subscriber_id == subscriber_id)


def sessions(subscriber_id: int | None = None, *where: ColumnElement[bool]) -> Select[Any]:
    """Sessions with NAS, subscriber and how far enforcement brought them, newest first."""
    query = (
        select(
            session,
            nas.c.name.label("nas_name"),
            policy.c.version,
            policy.c.level,
            enforcement.c.applied_version,
            enforcement.c.failures,
            service.c.subscriber_id,
            subscriber.c.name.label("subscriber_name"),
        )
        .join(nas, nas.c.id == session.c.nas_id)
        .outerjoin(service, service.c.id == session.c.service_id)
        .outerjoin(subscriber, subscriber.c.id == service.c.subscriber_id)
        .outerjoin(policy, policy.c.service_id == session.c.service_id)
        .outerjoin(enforcement, enforcement.c.session_id == session.c.id)
        .where(*where)
    )
    if subscriber_id is None:
        return query.order_by(session.c.id.desc())  # as good as by time, and by an index
    of_one = query.where(service.c.subscriber_id == subscriber_id)
    return of_one.order_by(session.c.started_at.desc(), session.c.id.desc())


def is_open() -> ColumnElement[bool]:
    """Only sessions that have not ended."""
    return session.c.stopped_at.is_(None)


def access_changes(subscriber_id: int | None = None, *where: ColumnElement[bool]) -> Select[Any]:
    """Every change of access with its cause, newest first."""
    query = (
        select(
            access_history,
            service.c.login,
            service.c.subscriber_id,
            subscriber.c.name.label("subscriber_name"),
        )
        .join(service, service.c.id == access_history.c.service_id)
        .join(subscriber, subscriber.c.id == service.c.subscriber_id)
        .where(*where)
        .order_by(access_history.c.id.desc())
    )
    return query if subscriber_id is None else query.where(service.c.subscriber_id == subscriber_id)


def usage(tx: Connection, subscriber_id: int, start: date, end: date) -> list[Row[Any]]:
    """Traffic per local day in [start, end) over all services of a subscriber, oldest first."""
    query = (
        select(
            usage_daily.c.day,
            _sum(usage_daily.c.octets_in).label("octets_in"),
            _sum(usage_daily.c.octets_out).label("octets_out"),
            _sum(usage_daily.c.seconds).label("seconds"),
        )
        .join(service, service.c.id == usage_daily.c.service_id)
        .where(service.c.subscriber_id == subscriber_id, usage_daily.c.day >= start, usage_daily.c.day < end)
        .group_by(usage_daily.c.day)
        .order_by(usage_daily.c.day)
    )
    return list(tx.execute(query))


def _sum(column: ColumnElement[int]) -> ColumnElement[int]:
    return func.sum(column).cast(usage_daily.c.seconds.type)


def open_sessions_at(tx: Connection, address: str) -> list[Row[Any]]:
    """The open sessions that have this address: the captive page knows a browser only by exactly one of them."""
    query = (
        select(session.c.id, session.c.service_id, service.c.subscriber_id, policy.c.level)
        .outerjoin(service, service.c.id == session.c.service_id)
        .outerjoin(policy, policy.c.service_id == session.c.service_id)
        .where(session.c.framed_address == address, session.c.stopped_at.is_(None))
        .limit(2)
    )
    return list(tx.execute(query))


def switching(tx: Connection, subscriber_id: int) -> bool:
    """Whether an open session of this subscriber is known to obey an older version than the current one."""
    obeys = func.coalesce(enforcement.c.applied_version, session.c.accepted_version)  # NULL only when both are
    query = (
        select(session.c.id)
        .join(service, service.c.id == session.c.service_id)
        .join(policy, policy.c.service_id == service.c.id)
        .outerjoin(enforcement, enforcement.c.session_id == session.c.id)
        .where(service.c.subscriber_id == subscriber_id, session.c.stopped_at.is_(None), obeys < policy.c.version)
        .limit(1)
    )
    return tx.scalar(query) is not None
