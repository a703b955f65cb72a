"""From which instant to which a prepaid period runs. Pure.

All ends are counted from the anchor, never from the end before: from 31 January 14:35 the months end on 28 February
and 31 March, always at 14:35 of the wall clock. Where the clock jumps over that time, the jump is added (02:30 becomes
03:30); where it comes twice, it is the first. Hours are real ones, whatever the wall clock does.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from zoneinfo import ZoneInfo

from base.calendar import Cycle, Period, boundary, local_date, local_midnight

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Span:
    """One period: the instants (UTC) between which it runs, and the local dates that the invoice names.

    A date belongs to the period that begins on it or runs over its end, so that no two periods share one. A period of
    hours has no dates: `days` is empty, and begins where it does.
    """

    start: datetime
    end: datetime
    days: Period


def whole_minute(now: datetime) -> datetime:
    """The first whole minute from `now` on: what was bought ends at a time that people can read off a clock."""
    floor = now.replace(second=0, microsecond=0)
    return floor if floor == now else floor + MINUTE


def next_span(anchor: datetime, start: datetime, cycle: Cycle, zone: ZoneInfo, *, to_midnight: bool) -> Span:
    """The period that begins at `start`, which is the anchor or an end counted from it."""
    if cycle.unit == "hour":
        day = local_date(start, zone)
        return Span(start, start + timedelta(hours=cycle.length), Period(day, day))
    local = anchor.astimezone(zone)
    first = local.date()
    clock = time.min if to_midnight else local.time().replace(fold=0)
    begins = local_date(start, zone)
    guess = _periods_between(first, begins, cycle)
    for index in count(max(1, guess)):
        day = boundary(first, cycle, index)
        end = local_midnight(day, zone) if to_midnight else datetime.combine(day, clock, zone).astimezone(UTC)
        if end > start:
            return Span(start, end, Period(begins, day))
    raise AssertionError("there is always a later day")


def _periods_between(first: date, day: date, cycle: Cycle) -> int:
    """A number of whole periods that surely lie between two days."""
    if cycle.unit == "month":
        return ((day.year - first.year) * 12 + day.month - first.month - 1) // cycle.length
    return (day - first).days // cycle.days
