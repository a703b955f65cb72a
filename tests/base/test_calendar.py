"""Periods follow the anchor day; midnights follow the provider's zone."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.calendar import Period, add_months, billing_period, local_date, local_midnight

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


@given(days, st.sampled_from([1, 3, 6, 12]), st.integers(0, 60))
def test_periods_follow_each_other_without_gap(anchor, cycle, index):
    period = billing_period(anchor, cycle, index)
    assert period.end == billing_period(anchor, cycle, index + 1).start
    assert period.days > 0
    assert period.start.day <= anchor.day


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
