"""What MRR and churn are calculated from: what recurs on some days, counted where it is alike; a few statements."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, text

from base.calendar import Cycle
from billing.reports.churn import Ended, Start
from billing.reports.mrr import EXTRAS, Off, Recurring
from billing.reports.revenue_load import SOLD
from billing.reports.shape import Window, day_before
from billing.taxes import Rates, load_taxes, treated

# Every service that is active and not paused on a day, under the plan of that day.
_ACTIVE_AND = f"""
day AS MATERIALIZED (SELECT unnest(CAST(:days AS date[])) AS day), sold AS ({SOLD}), line AS MATERIALIZED (
  SELECT s.id AS service_id, s.payer_id, sold.plan_id, sold.price_minor AS own_minor, b.tax_treatment,
    b.tax_number_check, greatest(s.starts_on, sold.from_on) AS from_on,
    least(coalesce(s.ends_on, 'infinity'), sold.until_on) AS until_on
  FROM service s JOIN sold ON sold.service_id = s.id JOIN plan p ON p.id = sold.plan_id AND p.currency = :currency
  JOIN subscriber b ON b.id = s.payer_id
), active AS (
  SELECT d.day, l.*, {{more}} FROM line l JOIN day d ON d.day >= l.from_on AND d.day < l.until_on {{join}}
  WHERE NOT EXISTS (SELECT 1 FROM skipped_period k WHERE k.service_id = l.service_id
    AND d.day >= k.start_on AND d.day < coalesce(k.end_on, 'infinity'))
)"""  # noqa: S608 - nothing of it comes from outside
_ACTIVE = _ACTIVE_AND.format(more="NULL::date AS last, NULL::text AS reason", join="")
_ENDED_ACTIVE = _ACTIVE_AND.format(
    more="e.last, e.reason", join="JOIN ended e ON e.payer_id = l.payer_id AND e.before = d.day"
)

# Counted where it is alike before anything is looked up: what is left are few rows.
_ALIKE = """
off AS (
  SELECT d.day, o.service_id,
    string_agg(coalesce(o.percent, '') || '/' || coalesce(o.amount_minor::text, ''), ' ' ORDER BY o.id) AS off
  FROM discount o JOIN day d ON d.day >= o.from_on AND d.day < coalesce(o.until_on, 'infinity') GROUP BY 1, 2
), plans AS (
  SELECT a.day, a.last, a.reason, a.plan_id, a.tax_treatment, a.tax_number_check, a.own_minor, off.off,
    count(*) AS services
  FROM active a LEFT JOIN off ON off.day = a.day AND off.service_id = a.service_id GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
), extras AS (
  SELECT a.day, a.last, a.reason, a.plan_id, a.tax_treatment, a.tax_number_check, s.product_id, s.price_minor,
    s.quantity, count(*) AS services
  FROM active a JOIN service_product s ON s.service_id = a.service_id
    AND a.day >= s.from_on AND a.day < coalesce(s.until_on, 'infinity') GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
)
SELECT i.day, i.last, i.reason, p.name AS label, p.cycle_unit, p.cycle_length, p.price_inclusive, p.tax_class_id,
  i.tax_treatment, i.tax_number_check, coalesce(i.off, '') AS off, i.services,
  coalesce(i.own_minor, (SELECT c.price_minor FROM plan_price c WHERE c.plan_id = p.id AND c.valid_from <= i.day
    ORDER BY c.valid_from DESC LIMIT 1), p.price_minor) AS minor
FROM plans i JOIN plan p ON p.id = i.plan_id
UNION ALL
SELECT i.day, i.last, i.reason, NULL, p.cycle_unit, p.cycle_length, o.price_inclusive, o.tax_class_id,
  i.tax_treatment, i.tax_number_check, '', i.services, coalesce(i.price_minor, o.price_minor) * i.quantity
FROM extras i JOIN plan p ON p.id = i.plan_id JOIN product o ON o.id = i.product_id"""

_RECURRING = f"WITH {_ACTIVE}, {_ALIKE}"

_ACCOUNTS = f"WITH {_ACTIVE} SELECT day, count(DISTINCT payer_id) FROM active GROUP BY day"  # noqa: S608 - as above

_PAYING = f"WITH {_ACTIVE} SELECT DISTINCT payer_id FROM active"  # noqa: S608 - as above

# Accounts that had something on the day before a period and have nothing on its last day.
_ENDED = """
span AS (SELECT * FROM unnest(CAST(:befores AS date[]), CAST(:lasts AS date[])) AS s(before, last)), ended AS (
  SELECT n.before, n.last, s.payer_id, (array_agg(s.end_reason ORDER BY s.ends_on DESC, s.id DESC))[1] AS reason
  FROM span n JOIN service s ON s.starts_on <= n.before AND s.ends_on > n.before AND s.ends_on <= n.last
  JOIN subscriber b ON b.id = s.payer_id AND b.currency = :currency
  WHERE NOT EXISTS (SELECT 1 FROM service o WHERE o.payer_id = s.payer_id AND o.starts_on <= n.last
    AND coalesce(o.ends_on, 'infinity') > n.last)
  GROUP BY 1, 2, 3
)"""

_CHURN = f"WITH {_ENDED} SELECT before, last, reason, count(*) FROM ended GROUP BY 1, 2, 3"  # noqa: S608 - as above

_LOST = f"WITH {_ENDED}, {_ENDED_ACTIVE}, {_ALIKE}"

_STARTED = """
SELECT d.day, count(DISTINCT s.payer_id) FROM unnest(CAST(:days AS date[])) AS d(day)
JOIN service s ON s.starts_on <= d.day AND coalesce(s.ends_on, 'infinity') > d.day
JOIN subscriber b ON b.id = s.payer_id AND b.currency = :currency GROUP BY 1
"""


def load_recurring_on(tx: Connection, days: Sequence[date], currency: str) -> list[Recurring]:
    """What recurs on these days, counted where it is alike."""
    rows = tx.execute(text(_RECURRING), {"days": list(days), "currency": currency}).all()
    return _recurring(tx, rows)


def load_accounts(tx: Connection, days: Sequence[date], currency: str) -> dict[date, int]:
    """How many accounts pay for a service that is active and not paused, by day."""
    found: dict[date, int] = dict(tx.execute(text(_ACCOUNTS), {"days": list(days), "currency": currency}).all())
    return found


def load_paying(tx: Connection, day: date, currency: str) -> list[int]:
    """Those accounts on one day: ids of subscribers."""
    return list(tx.scalars(text(_PAYING), {"days": [day], "currency": currency}))


def load_churn(tx: Connection, window: Window) -> tuple[list[Start], list[Ended]]:
    """What there was before each period of the window and its trend, and which accounts ended in it."""
    spans = sorted({(day_before(each.period.start), each.day) for each in (window, *window.trend)})
    befores = sorted({before for before, _ in spans})
    values = {"days": befores, "currency": window.currency}
    spanned = {"befores": [each[0] for each in spans], "lasts": [each[1] for each in spans], **values}
    accounts: dict[date, int] = dict(tx.execute(text(_STARTED), values).all())
    worth = dict.fromkeys(befores, 0)
    for each in load_recurring_on(tx, befores, window.currency):
        worth[each.day] += each.mrr
    lost: dict[tuple[date, date, str], int] = {}
    rows = tx.execute(text(_LOST), spanned).all()
    for row, each in zip(rows, _recurring(tx, rows), strict=True):
        key = (row.day, row.last, row.reason)
        lost[key] = lost.get(key, 0) + each.mrr
    ended = [
        Ended(before, last, reason, count, lost.get((before, last, reason), 0))
        for before, last, reason, count in tx.execute(text(_CHURN), spanned)
    ]
    return [Start(day, accounts.get(day, 0), worth[day]) for day in befores], ended


def _recurring(tx: Connection, rows: Sequence[Row[Any]]) -> list[Recurring]:
    rates = load_taxes(tx, {row.tax_class_id for row in rows})
    return [_one(row, rates) for row in rows]


def _one(row: Row[Any], rates: Rates) -> Recurring:
    return Recurring(
        day=row.day,
        label=row.label or EXTRAS,
        price_minor=row.minor,
        cycle=Cycle(row.cycle_unit, row.cycle_length),
        inclusive=row.price_inclusive,
        # a net price is what it is; only where tax is in the price must it be known
        taxes=treated(rates.on(row.tax_class_id, row.day), row.tax_treatment, row.tax_number_check)
        if row.price_inclusive
        else (),
        off=tuple(_off(each) for each in row.off.split()),
        count=row.services,
    )


def _off(stored: str) -> Off:
    """'10/' is ten per cent, '/500' five euro off."""
    percent, _, minor = stored.partition("/")
    return Off(Decimal(percent) if percent else None, int(minor) if minor else None)
