"""What the network did and how it is: attempts, logins, nodes, NASes, drops, jobs, the trail; read-only."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select

from base.tables import (
    coa_attempt,
    drop_count,
    job,
    login_log,
    nas,
    radius_node,
    service,
    session,
    subscriber,
    trail,
    wire_request,
)
from portal.tables import staff


def attempts(subscriber_id: int | None = None, *where: ColumnElement[bool]) -> Select[Any]:
    """Every CoA and Disconnect with its answer, newest first."""
    query = (
        select(
            coa_attempt,
            session.c.login,
            nas.c.name.label("nas_name"),
            service.c.subscriber_id,
            subscriber.c.name.label("subscriber_name"),
        )
        .join(session, session.c.id == coa_attempt.c.session_id)
        .join(nas, nas.c.id == session.c.nas_id)
        .outerjoin(service, service.c.id == session.c.service_id)
        .outerjoin(subscriber, subscriber.c.id == service.c.subscriber_id)
        .where(*where)
        .order_by(coa_attempt.c.id.desc())
    )
    return query if subscriber_id is None else query.where(service.c.subscriber_id == subscriber_id)


def logins(subscriber_id: int | None = None, *where: ColumnElement[bool]) -> Select[Any]:
    """Logins as radius answered them, newest first."""
    query = (
        select(login_log, nas.c.name.label("nas_name"), service.c.subscriber_id)
        .outerjoin(nas, nas.c.id == login_log.c.nas_id)
        .outerjoin(service, service.c.id == login_log.c.service_id)
        .where(*where)
        .order_by(login_log.c.at.desc(), login_log.c.id.desc())
    )
    return query if subscriber_id is None else query.where(service.c.subscriber_id == subscriber_id)


def requests(subscriber_id: int | None = None, *where: ColumnElement[bool]) -> Select[Any]:
    """What people asked of sessions, newest first."""
    outcome = (
        select(coa_attempt.c.result)
        .where(coa_attempt.c.wire_request_id == wire_request.c.id)
        .order_by(coa_attempt.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(
            wire_request,
            outcome.label("outcome"),
            session.c.login,
            session.c.stopped_at,
            nas.c.name.label("nas_name"),
            service.c.subscriber_id,
        )
        .join(session, session.c.id == wire_request.c.session_id)
        .join(nas, nas.c.id == session.c.nas_id)
        .outerjoin(service, service.c.id == session.c.service_id)
        .where(*where)
        .order_by(wire_request.c.id.desc())
    )
    return query if subscriber_id is None else query.where(service.c.subscriber_id == subscriber_id)


def nas_list() -> Select[Any]:
    """NASes with how many sessions are open on each, by name; never their secrets."""
    in_use = (
        select(session.c.nas_id, func.count().label("lines"), func.max(session.c.updated_at).label("heard_at"))
        .where(session.c.stopped_at.is_(None))
        .group_by(session.c.nas_id)
        .subquery()
    )
    query = select(
        nas.c.id,
        nas.c.name,
        nas.c.network,
        nas.c.kind,
        nas.c.message_authenticator,
        nas.c.coa_port,
        func.coalesce(in_use.c.lines, 0).label("open_sessions"),
        in_use.c.heard_at,
    )
    return query.outerjoin(in_use, in_use.c.nas_id == nas.c.id).order_by(nas.c.name)


def nodes(tx: Connection) -> list[Row[Any]]:
    """The radius nodes, the one seen last at the front."""
    return list(tx.execute(select(radius_node).order_by(radius_node.c.seen_at.desc())))


def drops(*where: ColumnElement[bool]) -> Select[Any]:
    """Packets dropped on the wire by name and source, the latest first."""
    return select(drop_count).where(*where).order_by(drop_count.c.last_at.desc(), drop_count.c.name)


def jobs(*where: ColumnElement[bool]) -> Select[Any]:
    """Jobs, newest first."""
    return select(job).where(*where).order_by(job.c.id.desc())


def deeds(subscriber_id: int | None = None, *where: ColumnElement[bool]) -> Select[Any]:
    """The trail, newest first; of a subscriber also what was done to their services and sessions."""
    query = select(trail).where(*where).order_by(trail.c.id.desc())
    if subscriber_id is None:
        return query
    own = select(service.c.id).where(service.c.subscriber_id == subscriber_id)
    lines = select(session.c.id).where(session.c.service_id.in_(own))
    return query.where(
        or_(
            and_(trail.c.subject == "subscriber", trail.c.subject_id == subscriber_id),
            and_(trail.c.subject == "service", trail.c.subject_id.in_(own)),
            and_(trail.c.subject == "session", trail.c.subject_id.in_(lines)),
        )
    )


def staff_names(tx: Connection) -> dict[str, str]:
    """'staff:3' → the name of that person."""
    return {f"staff:{row.id}": row.name for row in tx.execute(select(staff.c.id, staff.c.name))}
