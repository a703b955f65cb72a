"""Facts for decisions, loaded under lock: one query per kind of fact, however many services."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from sqlalchemy import Connection, func, select

from base.business import Business
from base.calendar import Period
from base.offers import plan, skipped_period
from base.tables import policy, service
from billing.decide import Debt, Facts
from billing.dunning.debts import load_debts, reached
from billing.terms import Line


@dataclass(frozen=True, slots=True)
class Known:
    """Everything refresh_access needs about one service."""

    facts: Facts
    line: Line
    login: str
    password: bytes
    payer_id: int


def load_facts(
    tx: Connection, business: Business, service_ids: Sequence[int], now: datetime, *, lock: bool
) -> list[Known]:
    """The facts of these services; with `lock` their rows are locked first, so that what is read stays true."""
    query = (
        select(service, plan.c.rate_down, plan.c.rate_up, plan.c.pool, policy.c.reasons)
        .join(plan, plan.c.id == service.c.plan_id)
        .outerjoin(policy, policy.c.service_id == service.c.id)
        .where(service.c.id == func.any(list(service_ids)))
        .order_by(service.c.id)
    )
    if lock:
        query = query.with_for_update(of=service, key_share=True)
    rows = tx.execute(query).all()
    pauses = _pauses(tx, service_ids)
    debts = load_debts(tx, business, sorted({row.payer_id for row in rows}), now)
    return [
        Known(
            facts=Facts(
                service_id=row.id,
                starts_on=row.starts_on,
                ends_on=row.ends_on,
                staff_order=row.staff_order,
                zone=business.zone,
                debt=_debt(debts.get(row.payer_id, {}), row.id, row.reasons or ()),
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


def _debt(debts: Mapping[int | None, Debt], service_id: int, reasons: Collection[str]) -> Debt | None:
    debt = debts.get(service_id, debts.get(None))
    return None if debt is None else replace(debt, already=reached(reasons))


def _pauses(tx: Connection, service_ids: Sequence[int]) -> dict[int, tuple[Period, ...]]:
    query = select(skipped_period).where(
        skipped_period.c.service_id == func.any(list(service_ids)), skipped_period.c.reason == "pause"
    )
    found: dict[int, tuple[Period, ...]] = {}
    for row in tx.execute(query.order_by(skipped_period.c.start_on)):
        found[row.service_id] = (*found.get(row.service_id, ()), Period(row.start_on, row.end_on or date.max))
    return found
