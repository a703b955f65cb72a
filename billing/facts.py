"""Facts for decisions, loaded under lock: one query per kind of fact, however many services."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, select

from base.business import Business
from base.calendar import Period
from base.offers import plan, skipped_period
from base.tables import service
from billing.decide import Facts
from billing.tables import open_item
from billing.terms import Line


@dataclass(frozen=True, slots=True)
class Known:
    """Everything refresh_access needs about one service."""

    facts: Facts
    line: Line
    login: str
    password: bytes
    payer_id: int


def load_facts(tx: Connection, business: Business, service_ids: Sequence[int], *, lock: bool) -> list[Known]:
    """The facts of these services; with `lock` their rows are locked first, so that what is read stays true."""
    query = (
        select(service, plan.c.rate_down, plan.c.rate_up, plan.c.pool)
        .join(plan, plan.c.id == service.c.plan_id)
        .where(service.c.id == func.any(list(service_ids)))
        .order_by(service.c.id)
    )
    if lock:
        query = query.with_for_update(of=service, key_share=True)
    rows = tx.execute(query).all()
    pauses = _pauses(tx, service_ids)
    debts = oldest_due(tx, sorted({row.payer_id for row in rows}))
    return [
        Known(
            facts=Facts(
                service_id=row.id,
                starts_on=row.starts_on,
                ends_on=row.ends_on,
                staff_order=row.staff_order,
                oldest_due_on=debts.get(row.payer_id),
                wall_after_days=business.wall_after_days,
                zone=business.zone,
                pauses=pauses.get(row.id, ()),
            ),
            line=Line(
                service_id=row.id,
                rate_down=row.rate_down,
                rate_up=row.rate_up,
                pool=row.pool,
                address=None if row.address is None else str(row.address),
            ),
            login=row.login,
            password=bytes(row.password),
            payer_id=row.payer_id,
        )
        for row in rows
    ]


def _pauses(tx: Connection, service_ids: Sequence[int]) -> dict[int, tuple[Period, ...]]:
    query = select(skipped_period).where(
        skipped_period.c.service_id == func.any(list(service_ids)), skipped_period.c.reason == "pause"
    )
    found: dict[int, tuple[Period, ...]] = {}
    for row in tx.execute(query.order_by(skipped_period.c.start_on)):
        found[row.service_id] = (*found.get(row.service_id, ()), Period(row.start_on, row.end_on or date.max))
    return found


def oldest_due(tx: Connection, subscriber_ids: Sequence[int]) -> dict[int, date]:
    """The due date of each subscriber's oldest invoice with something still open."""
    query = (
        select(open_item.c.subscriber_id, func.min(open_item.c.due_on).label("due_on"))
        .where(open_item.c.subscriber_id == func.any(list(subscriber_ids)))
        .group_by(open_item.c.subscriber_id)
    )
    return {row.subscriber_id: row.due_on for row in tx.execute(query)}
