"""Moving house: the contract and its history stay, the address, the NAS and the port are new from a day on."""

from collections.abc import Collection
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, Select, and_, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from base import wire
from base.calendar import local_midnight
from base.crypto import Vault
from base.offers import service_site
from base.tables import nas, session, wire_request
from billing.deed import begin
from billing.refused import need

ASKED_AGAIN = timedelta(minutes=15)


def move(
    tx: Connection,
    vault: Vault,
    actor: str,
    service_id: int,
    address: str,
    on_day: date,
    *,
    nas_id: int | None = None,
    port: str = "",
) -> None:
    """Have a service at another address from `on_day` on; bills, plan and term go on as they are.

    A session that is open at another NAS or port ends on that day: the old line is no longer theirs.
    """
    deed = begin(tx, vault, actor, service_id)
    need(address.strip(), "Where to? An address has a line at least.", "address")
    need(on_day >= deed.today, "Somebody moves today or later.", "on_day")
    known = nas_id is None or tx.scalar(select(nas.c.id).where(nas.c.id == nas_id)) is not None
    need(known, "There is no such NAS.", "nas_id")
    values = {"address": address.strip(), "nas_id": nas_id, "port": port.strip(), "author": actor}
    statement = insert(service_site).values(service_id=service_id, from_on=on_day, **values)
    tx.execute(statement.on_conflict_do_update(index_elements=["service_id", "from_on"], set_=values))
    if on_day == deed.today:
        for session_id in tx.scalars(_elsewhere(on_day).where(session.c.service_id == service_id)):
            wire.ask(tx, wire.Act.DISCONNECT, session_id, actor)
    deed.end("service.moved", {"to": address.strip(), "on": on_day.isoformat(), "port": port.strip()})


def due_moves(tx: Connection, today: date, zone: ZoneInfo) -> list[int]:
    """Sessions that are open where their service was before it moved, the day of which has come.

    Only those that began before that day: whoever logs in at the old line afterwards is not put out again and again.
    One that does not end although it was asked to comes up once more after a while.
    """
    lately = select(wire_request.c.id).where(
        wire_request.c.session_id == session.c.id,
        wire_request.c.act == wire.Act.DISCONNECT.value,
        or_(
            wire_request.c.answered_at.is_(None),
            wire_request.c.asked_at > func.clock_timestamp() - ASKED_AGAIN,  # real time, as the wire's is
        ),
    )
    query = _elsewhere(today).add_columns(session.c.started_at, service_site.c.from_on).where(~lately.exists())
    return [row.id for row in tx.execute(query) if row.started_at < local_midnight(row.from_on, zone)]


def end_old_lines(tx: Connection, session_ids: Collection[int]) -> list[int]:
    """Have these sessions ended; returns them."""
    for session_id in session_ids:
        wire.ask(tx, wire.Act.DISCONNECT, session_id, "system")
    return list(session_ids)


def _elsewhere(today: date) -> Select[Any]:
    """Open sessions that are not at the NAS and port which their service has on `today`."""
    later = service_site.alias("later")
    newer = select(later.c.from_on).where(
        later.c.service_id == service_site.c.service_id,
        later.c.from_on > service_site.c.from_on,
        later.c.from_on <= today,
    )
    return (
        select(session.c.id)
        .join(service_site, service_site.c.service_id == session.c.service_id)
        .where(
            session.c.stopped_at.is_(None),
            service_site.c.from_on <= today,
            ~newer.exists(),
            or_(
                and_(service_site.c.nas_id.is_not(None), session.c.nas_id != service_site.c.nas_id),
                and_(service_site.c.port != "", session.c.nas_port_id != service_site.c.port),
            ),
        )
        .order_by(session.c.id)
    )


def sites(tx: Connection, service_id: int) -> list[Row[Any]]:
    """Every place a service was, is and will be at, the newest first: from_on, address, nas, port, author."""
    query = (
        select(service_site, nas.c.name.label("nas"))
        .outerjoin(nas, nas.c.id == service_site.c.nas_id)
        .where(service_site.c.service_id == service_id)
        .order_by(service_site.c.from_on.desc())
    )
    return list(tx.execute(query))
