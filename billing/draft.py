"""Which invoice lines are due, decided from what a subscriber bought; nothing here reads a clock or a database.

A service's periods are counted from its first day, and `periods_billed` says how many of them have been billed: the
next one is due to be billed `issue_days_before` days before it begins. Whatever was missed is caught up.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from base.calendar import Period, billing_period
from base.money import Money


@dataclass(frozen=True, slots=True)
class Billable:
    """What the bill run knows about one service."""

    service_id: int
    login: str
    plan_name: str
    price: Money
    "Net, for one period."
    cycle_months: int
    tax_percent: Decimal
    starts_on: date
    ends_on: date | None
    "First day without service."
    periods_billed: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an invoice."""

    service_id: int | None
    text: str
    period: Period | None
    net: Money
    tax_percent: Decimal


def due_lines(services: Iterable[Billable], today: date, issue_days_before: int) -> list[Line]:
    """The lines due on `today`, service by service, each service's periods in order.

    A period that begins on or after `ends_on` is never billed; one that begins before it is billed in full.
    """
    last_start = today + timedelta(days=issue_days_before)
    return [
        Line(each.service_id, f"{each.plan_name} ({each.login})", period, each.price, each.tax_percent)
        for each in services
        for period in _due_periods(each, last_start)
    ]


def _due_periods(each: Billable, last_start: date) -> Iterable[Period]:
    index = each.periods_billed
    while True:
        period = billing_period(each.starts_on, each.cycle_months, index)
        if period.start > last_start or (each.ends_on is not None and period.start >= each.ends_on):
            return
        yield period
        index += 1
