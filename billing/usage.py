"""Data caps: what services have used in their periods, and at how many bytes ingest must ask for a review."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy import BigInteger, Connection, Date, Row, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on

from base.access import AccessLevel
from base.calendar import Cycle, Period, period_around
from base.offers import service_plan
from base.tables import usage_daily
from billing.decide import Usage

COUNTS = ("total", "down", "up")
ACTIONS = {"none": AccessLevel.FULL, "reduce": AccessLevel.REDUCED, "wall": AccessLevel.WALLED}
WARNED_AT = (80, 100)  # percent of the cap; each is worth a mail


def load_usages(tx: Connection, plans: Mapping[int, Row[Any]], today: date) -> dict[int, Usage]:
    """What each of these services (by id: the row of its plan, which has a cap) used in its period around today.

    A service that has not begun has no period yet, and is missing.
    """
    if not plans:
        return {}
    sold = (
        select(service_plan.c.service_id, service_plan.c.anchor_on)
        .ext(distinct_on(service_plan.c.service_id))
        .where(service_plan.c.service_id == func.any(list(plans)), service_plan.c.from_on <= today)
        .order_by(service_plan.c.service_id, service_plan.c.from_on.desc())
    )
    periods: dict[int, Period] = {}
    for row in tx.execute(sold):
        cycle = Cycle(plans[row.service_id].cycle_unit, plans[row.service_id].cycle_length)
        periods[row.service_id] = period_around(row.anchor_on, cycle, today)
    counted = _count(tx, periods)
    return {
        service_id: Usage(
            period=period,
            cap=plans[service_id].cap_octets,
            used=counted.get(service_id, dict.fromkeys(COUNTS, 0))[plans[service_id].cap_counts],
            level=ACTIONS[plans[service_id].cap_action],
        )
        for service_id, period in periods.items()
    }


def watched(usage: Usage | None, counts: str) -> dict[str, Any]:
    """The columns of the policy row that ingest compares with: since when, what counts, and the next threshold."""
    if usage is None:
        return {"usage_from": None, "usage_threshold": None, "usage_counts": None}
    ahead = [each for each in (threshold(usage.cap, percent) for percent in WARNED_AT) if each > usage.used]
    return {
        "usage_from": usage.period.start,
        "usage_threshold": min(ahead, default=None),
        "usage_counts": counts,
    }


def threshold(cap: int, percent: int) -> int:
    """The first number of octets that is so many percent of a cap."""
    return -(-cap * percent // 100)


def _count(tx: Connection, periods: Mapping[int, Period]) -> dict[int, dict[str, int]]:
    """Octets by service and by what counts."""
    given = (
        func.unnest(
            cast(list(periods), ARRAY(BigInteger)),
            cast([each.start for each in periods.values()], ARRAY(Date)),
            cast([each.end for each in periods.values()], ARRAY(Date)),
        )
        .table_valued("service_id", "start_on", "end_on")
        .render_derived()
    )
    query = (
        select(
            usage_daily.c.service_id,
            func.sum(usage_daily.c.octets_out).label("down"),
            func.sum(usage_daily.c.octets_in).label("up"),
        )
        .join(given, given.c.service_id == usage_daily.c.service_id)
        .where(usage_daily.c.day >= given.c.start_on, usage_daily.c.day < given.c.end_on)
        .group_by(usage_daily.c.service_id)
    )
    return {
        row.service_id: {"down": int(row.down), "up": int(row.up), "total": int(row.down + row.up)}
        for row in tx.execute(query)
    }
