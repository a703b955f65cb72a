"""Moving house: the contract and its history stay, the address, the NAS and the port are new from a day on."""

from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.dialects.postgresql import insert

from base import wire
from base.crypto import Vault
from base.offers import service_site
from base.tables import nas, session
from billing.deed import begin
from billing.refused import need


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

    A session that is open at another NAS ends when the day is today: the old line is no longer theirs.
    """
    deed = begin(tx, vault, actor, service_id)
    need(address.strip(), "Where to? An address has a line at least.", "address")
    need(on_day >= deed.today, "Somebody moves today or later.", "on_day")
    known = nas_id is None or tx.scalar(select(nas.c.id).where(nas.c.id == nas_id)) is not None
    need(known, "There is no such NAS.", "nas_id")
    values = {"address": address.strip(), "nas_id": nas_id, "port": port.strip(), "author": actor}
    statement = insert(service_site).values(service_id=service_id, from_on=on_day, **values)
    tx.execute(statement.on_conflict_do_update(index_elements=["service_id", "from_on"], set_=values))
    if nas_id is not None and on_day == deed.today:
        elsewhere = select(session.c.id).where(
            session.c.service_id == service_id, session.c.stopped_at.is_(None), session.c.nas_id != nas_id
        )
        for session_id in tx.scalars(elsewhere):
            wire.ask(tx, wire.Act.DISCONNECT, session_id, actor)
    deed.end("service.moved", {"to": address.strip(), "on": on_day.isoformat(), "port": port.strip()})


def sites(tx: Connection, service_id: int) -> list[Row[Any]]:
    """Every place a service was, is and will be at, the newest first: from_on, address, nas, port, author."""
    query = (
        select(service_site, nas.c.name.label("nas"))
        .outerjoin(nas, nas.c.id == service_site.c.nas_id)
        .where(service_site.c.service_id == service_id)
        .order_by(service_site.c.from_on.desc())
    )
    return list(tx.execute(query))
