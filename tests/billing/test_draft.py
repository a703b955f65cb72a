"""What is due to be billed: by example and by property, no clock and no database."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from base.calendar import Period, billing_period
from base.money import Money
from billing.draft import Billable, due_lines

HOME = Billable(
    service_id=1,
    login="anna",
    plan_name="Home 100",
    price=Money(2999, "EUR"),
    cycle_months=1,
    tax_percent=Decimal("20"),
    starts_on=date(2026, 1, 31),
    ends_on=None,
    periods_billed=0,
)

services = st.builds(
    Billable,
    service_id=st.integers(1, 10**6),
    login=st.text(min_size=1, max_size=8),
    plan_name=st.text(min_size=1, max_size=8),
    price=st.builds(Money, st.integers(0, 10**7), st.just("EUR")),
    cycle_months=st.integers(1, 24),
    tax_percent=st.sampled_from([Decimal("0"), Decimal("5.5"), Decimal("20")]),
    starts_on=st.dates(date(2020, 1, 1), date(2027, 12, 31)),
    ends_on=st.none() | st.dates(date(2020, 1, 1), date(2030, 12, 31)),
    periods_billed=st.integers(0, 40),
)
days = st.dates(date(2020, 1, 1), date(2031, 12, 31))
ahead = st.integers(0, 40)


def periods(each: Billable, today: date, before: int = 0) -> list[Period | None]:
    return [line.period for line in due_lines([each], today, before)]


def test_the_first_period_is_due_so_many_days_before_it_begins():
    assert due_lines([HOME], date(2026, 1, 25), 5) == []
    (line,) = due_lines([HOME], date(2026, 1, 26), 5)
    assert (line.service_id, line.text, line.net, line.tax_percent) == (
        1,
        "Home 100 (anna)",
        Money(2999, "EUR"),
        Decimal("20"),
    )
    assert line.period == Period(date(2026, 1, 31), date(2026, 2, 28))


def test_missed_months_are_caught_up_and_the_31st_stays_the_31st():
    assert periods(HOME, date(2026, 4, 1)) == [
        Period(date(2026, 1, 31), date(2026, 2, 28)),
        Period(date(2026, 2, 28), date(2026, 3, 31)),
        Period(date(2026, 3, 31), date(2026, 4, 30)),
    ]


def test_a_period_that_begins_at_the_end_is_not_billed_and_one_that_begins_before_it_is():
    assert len(periods(replace(HOME, ends_on=date(2026, 2, 28)), date(2027, 1, 1))) == 1
    assert len(periods(replace(HOME, ends_on=date(2026, 3, 1)), date(2027, 1, 1))) == 2
    assert periods(replace(HOME, ends_on=HOME.starts_on), date(2027, 1, 1)) == []


@given(services, days, ahead)
def test_exactly_the_periods_that_have_come_due_are_billed(each, today, before):
    got = periods(each, today, before)
    every = [billing_period(each.starts_on, each.cycle_months, index) for index in range(200)]
    due = [
        period
        for period in every[each.periods_billed :]
        if period.start <= today + timedelta(days=before) and (each.ends_on is None or period.start < each.ends_on)
    ]
    assert got == due
    assert all(a.end == b.start for a, b in pairwise(got))


@given(services, st.lists(days, max_size=6), ahead)
def test_running_often_bills_what_running_once_bills(each, visits, before):
    visits = sorted([*visits, date(2031, 12, 31)])
    once = due_lines([each], visits[-1], before)
    often = []
    for today in visits:
        lines = due_lines([each], today, before)
        often += lines
        each = replace(each, periods_billed=each.periods_billed + len(lines))
        assert due_lines([each], today, before) == []
    assert often == once
