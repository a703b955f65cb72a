"""Dates are local dates of the provider; periods are half-open and computed from the anchor, never from the
previous date, so that the 31st stays the 31st after February."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
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


def add_months(anchor: date, months: int) -> date:
    """The anchor's day `months` later, clamped to the month's last day (31 Jan + 1 → 28 Feb, + 2 → 31 Mar)."""
    index = anchor.year * 12 + anchor.month - 1 + months
    year, month = index // 12, index % 12 + 1
    return date(year, month, min(anchor.day, monthrange(year, month)[1]))


def billing_period(anchor: date, cycle_months: int, index: int) -> Period:
    """The `index`-th period (0 = the first) of `cycle_months` months counted from the anchor day."""
    return Period(add_months(anchor, index * cycle_months), add_months(anchor, (index + 1) * cycle_months))


def local_date(instant: datetime, zone: ZoneInfo) -> date:
    """The provider's calendar date at a UTC instant."""
    return instant.astimezone(zone).date()


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """The UTC instant at which `day` begins for the provider.

    Where the clock jumps over midnight (some zones start summer time at 00:00), the day begins at the first
    instant that carries its date.
    """
    return datetime.combine(day, time.min, zone).astimezone(UTC)
