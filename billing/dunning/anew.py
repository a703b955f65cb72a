"""A debt that is open again, or paid in parts no longer, is announced from the start: nothing done before holds."""

import json
from collections.abc import Collection
from datetime import date, datetime

from sqlalchemy import Connection, delete, func, insert, select, text

from billing.dunning.arrivals import withdraw_notices
from billing.dunning.policy import MESSAGES
from billing.dunning.tables import dunning_anew, dunning_look, dunning_notice, dunning_step, dunning_wall
from billing.outbox import root_key, withdraw
from billing.tables import message

SETTLED = "What it was about had been settled; the debt is announced anew."


def begin_anew(tx: Connection, invoice_ids: Collection[int], now: datetime, day: date, because: str = SETTLED) -> None:
    """Dun these invoices, open again since `day`, from the start; their subscribers are locked.

    Steps and walls of before are kept in dunning_anew, notices are withdrawn. A service that another debt has walled in
    stays so. `because` is noted of messages that had not left yet. The caller decides access anew.
    """
    ids = list(invoice_ids)
    if not ids:
        return
    theirs = select(message.c.key).where(message.c.invoice_id == func.any(ids), message.c.kind.in_(MESSAGES))
    withdraw(tx, {root_key(key) for key in tx.scalars(theirs)}, because)
    noticed = select(dunning_notice.c.message_key).where(dunning_notice.c.invoice_id == func.any(ids))
    withdraw_notices(tx, set(tx.scalars(noticed)), because, now)
    opened = (dunning_wall.c.invoice_id == func.any(ids), dunning_wall.c.back_on.is_not(None))
    steps = _kept(tx, "dunning_step", "invoice_id = ANY(:ids)", ids)
    walls = _kept(tx, "dunning_wall", "invoice_id = ANY(:ids) AND back_on IS NOT NULL", ids)
    rows = [
        {"invoice_id": each, "on_day": day, "steps": steps.get(each, []), "walls": walls.get(each, []), "at": now}
        for each in ids
    ]
    tx.execute(insert(dunning_anew), rows)
    tx.execute(delete(dunning_step).where(dunning_step.c.invoice_id == func.any(ids)))
    tx.execute(delete(dunning_wall).where(*opened))
    tx.execute(delete(dunning_look).where(dunning_look.c.invoice_id == func.any(ids)))


def _kept(tx: Connection, table: str, where: str, ids: list[int]) -> dict[int, list[object]]:
    query = f"SELECT invoice_id, jsonb_agg(to_jsonb(t))::text AS rows FROM {table} t WHERE {where} GROUP BY invoice_id"  # noqa: S608
    return {row.invoice_id: json.loads(row.rows) for row in tx.execute(text(query), {"ids": ids})}
