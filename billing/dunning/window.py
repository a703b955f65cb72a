"""When services may be cut off: not on chosen weekdays, not on holidays, only within hours. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from base.calendar import local_date, local_midnight

_FAR = 400  # days within which there is one to be found, or the window is never open


@dataclass(frozen=True, slots=True)
class Window:
    """The days and hours on which access may be taken; it is given back at any time."""

    weekdays_off: frozenset[int] = frozenset()
    "ISO weekdays, 1 = Monday to 7 = Sunday."
    holidays: frozenset[date] = frozenset()
    opens: time = time.min
    closes: time | None = None
    "The first instant that is too late; None: the end of the day."

    def allows(self, day: date) -> bool:
        """Whether something of this day is in the window."""
        return day.isoweekday() not in self.weekdays_off and day not in self.holidays

    def next_day(self, day: date) -> date:
        """The first allowed day from `day` on; ValueError when there is none within a year."""
        for ahead in range(_FAR):
            if self.allows(found := day + timedelta(days=ahead)):
                return found
        raise ValueError(f"no cut-off is allowed within {_FAR} days of {day}")

    def next_open(self, instant: datetime, zone: ZoneInfo) -> datetime:
        """The first instant in the window from `instant` (UTC) on, which may be `instant` itself."""
        day = local_date(instant, zone)
        while True:
            day = self.next_day(day)
            begins, ends = self._hours(day, zone)
            if instant < ends:
                return max(instant, begins)
            day += timedelta(days=1)

    def _hours(self, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
        begins = local_midnight(day, zone)
        if self.opens != time.min:
            begins = datetime.combine(day, self.opens, zone).astimezone(UTC)
        if self.closes is None:
            return begins, local_midnight(day + timedelta(days=1), zone)
        return begins, datetime.combine(day, self.closes, zone).astimezone(UTC)


ALWAYS = Window()
