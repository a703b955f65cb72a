"""Facts for decisions, loaded under lock: one query per kind of fact, however many services."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from base.access import Reason
from base.business import Business
from base.calendar import Period, local_date
from base.offers import plan, skipped_period
from base.tables import policy, service
from billing.decide import Debt, Facts
from billing.dunning.debts import load_debts, reached
from billing.terms import Line, Profile
from billing.usage import load_usages


@dataclass(frozen=True, slots=True)
class Known:
    """Everything refresh_access needs about one service."""

    facts: Facts
    line: Line
    login: str
    password: bytes
    payer_id: int
    counts: str
    "What counts against the plan's cap: total, down, up."


def load_facts(
    tx: Connection, business: Business, service_ids: Sequence[int], now: datetime, *, lock: bool, renewed: bool = True
) -> list[Known]:
    """The facts of these services; with `lock` their rows are locked first, so that what is read stays true.

    `renewed`: prepaid services whose time is over were renewed just before, where the balance pays for it.
    """
    query = (
        select(service, policy.c.reasons)
        .outerjoin(policy, policy.c.service_id == service.c.id)
        .where(service.c.id == func.any(list(service_ids)))
        .order_by(service.c.id)
    )
    if lock:
        query = query.with_for_update(of=service, key_share=True)
    rows = tx.execute(query).all()
    plans = {row.id: row for row in tx.execute(select(plan).where(plan.c.id.in_({row.plan_id for row in rows})))}
    profiles = {plan_id: profile_of(row) for plan_id, row in plans.items()}
    today = local_date(now, business.zone)
    running = (row for row in rows if row.ends_on is None or today < row.ends_on)  # what has ended needs no count
    capped = {row.id: plans[row.plan_id] for row in running if plans[row.plan_id].cap_octets is not None}
    usages = load_usages(tx, capped, today)
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
                prepaid=plans[row.plan_id].prepaid,
                paid_until=row.paid_until,
                renewal_due=not renewed and _runs_on(row),
                pauses=pauses.get(row.id, ()),
                usage=usages.get(row.id),
            ),
            line=Line(
                service_id=row.id,
                rate_down=plans[row.plan_id].rate_down,
                rate_up=plans[row.plan_id].rate_up,
                pool=plans[row.plan_id].pool,
                address=None if row.address is None else str(row.address),
                profile=profiles[row.plan_id],
            ),
            login=row.login,
            password=bytes(row.password),
            payer_id=row.payer_id,
            counts=plans[row.plan_id].cap_counts,
        )
        for row in rows
    ]


def profile_of(row: Row[Any]) -> Profile:
    """What a plan says beyond its rates."""
    return Profile(**{each.name: getattr(row, each.name) for each in fields(Profile)})


def _runs_on(row: Row[Any]) -> bool:
    """Whether a prepaid service has not been walled in for its time, and renews itself."""
    return row.auto_renew and row.paid_until is not None and Reason.PREPAID_OVER.value not in (row.reasons or ())


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
