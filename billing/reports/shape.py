"""What every report is made of: the days it is about, its table, its trend by month and its target."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from fractions import Fraction

from base.calendar import Period, add_months

Value = int | Fraction | None
"None: it cannot be said, such as a share of nothing."


class Unit(Enum):
    """What a column's values are; the value names it in CSV files."""

    MONEY = "money"
    "int, minor units of the window's currency."
    SHARE = "percent"
    "Fraction, 1 = 100 %."
    DAYS = "days"
    COUNT = "count"
    MILLISECONDS = "ms"


@dataclass(frozen=True, slots=True)
class Window:
    """What a report is asked about."""

    period: Period
    on: date
    "As of the end of this day; nothing dated later counts."
    currency: str
    months: int = 12
    "Of the trend; the last of them is that of the period's last day."

    @property
    def day(self) -> date:
        """The day of what is counted on one day: the period's last, or `on` where that comes first."""
        return min(self.period.last_day, self.on)

    @property
    def trend(self) -> list["Window"]:
        """The months of the trend, oldest first, all as of the same day."""
        last = self.day.replace(day=1)
        firsts = [add_months(last, index) for index in range(1 - self.months, 1)]
        return [Window(month_of(first), self.on, self.currency, self.months) for first in firsts]

    @property
    def runs(self) -> bool:
        """Whether days of the period are still to come."""
        return self.on < self.period.last_day

    @property
    def days(self) -> list[date]:
        """Every day that the report or its trend counts something on, the earliest first."""
        return sorted({self.day, *(each.day for each in self.trend)})

    @property
    def first(self) -> date:
        """The first day of the period and of the trend, whichever comes first."""
        return min([self.period.start, *(each.period.start for each in self.trend)])

    def has(self, day: date) -> bool:
        """Whether something dated `day` belongs to the period."""
        return self.period.start <= day < self.period.end and day <= self.on


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    unit: Unit


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a report's table."""

    label: str
    values: tuple[Value, ...]
    months: tuple[Value, ...] = ()
    "The last of the values in each month of the trend, oldest first; empty: not followed by month."


@dataclass(frozen=True, slots=True)
class Month:
    """A line of the trend."""

    first: date
    values: tuple[Value, ...]
    runs: bool = False
    "It is too early to hold it against the target."


@dataclass(frozen=True, slots=True)
class Target:
    """What the first column of the trend should be."""

    value: Fraction
    at_most: bool
    "Else at least."

    def met(self, value: Value) -> bool | None:
        """Whether `value` is good enough; None where there is none."""
        if value is None:
            return None
        return value <= self.value if self.at_most else value >= self.value


@dataclass(frozen=True, slots=True)
class Report:
    """A report as console and portal show it."""

    name: str
    title: str
    window: Window
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total: Row | None
    headline: Value
    "The figure that the target is about, for the period that was asked for."
    trend_columns: tuple[Column, ...]
    trend: tuple[Month, ...]
    target: Target | None = None
    notes: tuple[str, ...] = ()
    on_a_day: bool = False
    "It is about `window.day`; else about the period."
    below: tuple[Row, ...] = ()
    "Rows after the total, in another measure."

    @property
    def met(self) -> bool | None:
        """Whether the headline meets the target; None where one of them is missing."""
        return None if self.target is None else self.target.met(self.headline)


def month_of(day: date) -> Period:
    """The calendar month that a day lies in."""
    first = day.replace(day=1)
    return Period(first, add_months(first, 1))


def day_before(day: date) -> date:
    """The day before."""
    return day - timedelta(days=1)


def share(part: int, whole: int) -> Fraction | None:
    """part ÷ whole; None of nothing."""
    return Fraction(part, whole) if whole else None


def by_month(window: Window, values: Callable[[Window], tuple[Value, ...]]) -> tuple[Month, ...]:
    """The trend: `values` of every month; a month with days to come runs."""
    return tuple(Month(each.period.start, values(each), each.runs) for each in window.trend)
