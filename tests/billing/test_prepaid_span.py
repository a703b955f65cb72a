"""From which instant to which a prepaid period runs."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from base.calendar import Cycle, local_date
from billing.prepaid.span import next_span, whole_minute
from tests.billing.vienna import DAY, MONTH, VIENNA, vienna


def ends(anchor: datetime, cycle: Cycle, count: int, *, to_midnight: bool = False) -> list[str]:
    """Local ends of the next periods, each begun where the one before it ended."""
    found, start = [], anchor
    for _ in range(count):
        start = next_span(anchor, start, cycle, VIENNA, to_midnight=to_midnight).end
        found.append(f"{start.astimezone(VIENNA):%m-%d %H:%M}")
    return found


def test_months_are_counted_from_the_anchor():
    assert ends(vienna(1, 31), MONTH, 4) == ["02-28 14:35", "03-31 14:35", "04-30 14:35", "05-31 14:35"]


def test_the_wall_clock_holds_over_both_nights_of_summer_time():
    assert ends(vienna(3, 27, 2, 30), DAY, 4) == ["03-28 02:30", "03-29 03:30", "03-30 02:30", "03-31 02:30"]
    assert ends(vienna(10, 24, 2, 30), DAY, 3) == ["10-25 02:30", "10-26 02:30", "10-27 02:30"]
    spring = next_span(vienna(3, 28), vienna(3, 28), DAY, VIENNA, to_midnight=False)
    assert spring.end - spring.start == timedelta(hours=23)


def test_to_midnight_ends_with_the_day():
    assert ends(vienna(1, 31), MONTH, 3, to_midnight=True) == ["02-28 00:00", "03-31 00:00", "04-30 00:00"]
    assert ends(vienna(3, 28), DAY, 2, to_midnight=True) == ["03-29 00:00", "03-30 00:00"]


ZONES = ["Europe/Vienna", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Asia/Beirut", "Africa/Cairo"]
CYCLES = st.builds(Cycle, st.sampled_from(["day", "week", "month"]), st.integers(1, 13))


@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC)),
    CYCLES,
    st.sampled_from(ZONES),
    st.booleans(),
)
def test_periods_follow_each_other_without_gap_and_share_no_date(now, cycle, zone_name, to_midnight):
    zone = ZoneInfo(zone_name)
    anchor = start = whole_minute(now)
    assert timedelta() <= anchor - now < timedelta(minutes=1)
    last = None
    for _ in range(30):
        span = next_span(anchor, start, cycle, zone, to_midnight=to_midnight)
        assert span.start == start < span.end
        assert span.days.start == local_date(start, zone) < span.days.end
        assert span.days.end == local_date(span.end, zone)
        assert last is None or last.days.end == span.days.start
        last, start = span, span.end
