"""Dates are local dates of the provider; periods are half-open and computed from the anchor, never from the
previous date, so that the 31st stays the 31st after February."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Period:
    """Local dates [start, end): the end is the first day that no longer belongs."""

    start: date
    end: date

    @property
    def days(self) -> int:
        """Number of days in the period."""
        return (self.end - self.start).days

    @property
    def last_day(self) -> date:
        """The last day that belongs, as people read it."""
        return self.end - timedelta(days=1)


Unit = Literal["hour", "day", "week", "month"]


@dataclass(frozen=True, slots=True)
class Cycle:
    """How long a period is: `length` units; a quarter is 3 months, a year is 12.

    Hours are for prepaid plans, whose periods are instants; where only dates matter, as for a data cap or a discount,
    they are the days that they at least touch.
    """

    unit: Unit
    length: int

    @property
    def days(self) -> int:
        """How many days it has, if it is not one of months."""
        if self.unit == "hour":
            return -(-self.length // 24)
        return self.length * (7 if self.unit == "week" else 1)


def add_months(anchor: date, months: int) -> date:
    """The anchor's day `months` later, clamped to the month's last day (31 Jan + 1 → 28 Feb, + 2 → 31 Mar)."""
    index = anchor.year * 12 + anchor.month - 1 + months
    year, month = index // 12, index % 12 + 1
    return date(year, month, min(anchor.day, monthrange(year, month)[1]))


def boundary(anchor: date, cycle: Cycle, index: int) -> date:
    """The first day of the `index`-th period counted from the anchor (0 = the anchor itself; negative: before it)."""
    if cycle.unit == "month":
        return add_months(anchor, index * cycle.length)
    return anchor + timedelta(days=index * cycle.days)


def period_around(anchor: date, cycle: Cycle, day: date) -> Period:
    """The whole period that `day` lies in."""
    if cycle.unit == "month":
        months = (day.year - anchor.year) * 12 + day.month - anchor.month
        index = months // cycle.length
    else:
        index = (day - anchor).days // cycle.days
    while boundary(anchor, cycle, index) > day:  # the anchor's day is still to come in this month
        index -= 1
    while boundary(anchor, cycle, index + 1) <= day:
        index += 1
    return Period(boundary(anchor, cycle, index), boundary(anchor, cycle, index + 1))


def local_date(instant: datetime, zone: ZoneInfo) -> date:
    """The provider's calendar date at a UTC instant."""
    return instant.astimezone(zone).date()


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """The UTC instant at which `day` begins for the provider.

    Where the clock jumps over midnight (some zones start summer time at 00:00), the day begins at the first
    instant that carries its date.
    """
    return datetime.combine(day, time.min, zone).astimezone(UTC)
