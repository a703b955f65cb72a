"""Periods follow the anchor day; midnights follow the provider's zone."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.calendar import Cycle, Period, add_months, boundary, local_date, local_midnight, period_around

days = st.dates(date(2000, 1, 1), date(2060, 12, 31))


def test_the_31st_survives_february():
    anchor = date(2026, 1, 31)
    assert [add_months(anchor, n) for n in range(4)] == [
        date(2026, 1, 31),
        date(2026, 2, 28),
        date(2026, 3, 31),
        date(2026, 4, 30),
    ]


def test_leap_day_anchor_returns_on_leap_years():
    anchor = date(2024, 2, 29)
    assert add_months(anchor, 12) == date(2025, 2, 28)
    assert add_months(anchor, 48) == date(2028, 2, 29)


@given(days, st.sampled_from([1, 3, 6, 12]), st.integers(-60, 60))
def test_boundaries_never_leave_the_day_of_the_anchor_for_a_later_one(anchor, months, index):
    cycle = Cycle("month", months)
    assert boundary(anchor, cycle, index) < boundary(anchor, cycle, index + 1)
    assert boundary(anchor, cycle, index).day <= anchor.day


@given(days, st.builds(Cycle, st.sampled_from(["day", "week", "month"]), st.integers(1, 24)), days)
def test_every_day_lies_in_one_period(anchor, cycle, day):
    found = period_around(anchor, cycle, day)
    assert found.start <= day < found.end
    assert period_around(anchor, cycle, found.end).start == found.end
    assert period_around(anchor, cycle, found.last_day) == found


def test_last_day_is_the_day_before_the_end():
    assert Period(date(2026, 11, 1), date(2026, 12, 1)).last_day == date(2026, 11, 30)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris", "America/Santiago", "Pacific/Apia", "Asia/Kathmandu"])
def test_midnight_is_the_first_instant_of_its_date(zone):
    place = ZoneInfo(zone)
    for offset in range(366):
        day = date(2026, 1, 1) + timedelta(days=offset)
        start = local_midnight(day, place)
        assert local_date(start, place) == day
        assert local_date(start - timedelta(microseconds=1), place) < day


def test_midnight_that_does_not_exist():
    # Santiago jumps from 24:00 on 5 September 2026 to 01:00 on the 6th.
    assert local_midnight(date(2026, 9, 6), ZoneInfo("America/Santiago")) == datetime(2026, 9, 6, 4, tzinfo=UTC)
