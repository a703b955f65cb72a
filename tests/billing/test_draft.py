"""Pieces of periods: what is due when, for how much, and that parts sum to the whole."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.calendar import Cycle, Period, period_around
from base.money import Money, total
from billing.credits import Billed, unused, value
from billing.draft import FAR, Discount, Recurring, Terms, due_lines, next_due_on

MONTH = Cycle("month", 1)


def eur(minor):
    return Money(minor, "EUR")


def terms(price=3000, from_on=date(2020, 1, 1), cycle=MONTH, anchor=date(2026, 1, 1), **more):
    return Terms(from_on, more.pop("text", "Home"), cycle, ((from_on, eur(price)),), False, 1, anchor, **more)


def recurring(starts_on=date(2026, 1, 1), **more):
    fields = {
        "starts_on": starts_on,
        "ends_on": FAR,
        "billed_until": starts_on,
        "terms": (terms(),),
        **more,
    }
    return Recurring(service_id=7, service_product_id=None, login="ann", quantity=1, **fields)


def rows(lines):
    return [(line.text, line.period.start, line.period.end, line.amount.minor) for line in lines]


def test_a_period_is_due_the_day_before_it_begins():
    each = recurring()
    assert due_lines(each, date(2025, 12, 30), 1) == ([], date(2026, 1, 1))
    lines, until = due_lines(each, date(2025, 12, 31), 1)
    assert rows(lines) == [("Home (ann)", date(2026, 1, 1), date(2026, 2, 1), 3000)]
    assert until == date(2026, 2, 1)
    assert next_due_on(replace(each, billed_until=until), 1) == date(2026, 1, 31)


def test_what_was_missed_is_caught_up_period_by_period():
    lines, until = due_lines(recurring(), date(2026, 3, 31), 1)
    assert [line.period.start for line in lines] == [date(2026, month, 1) for month in (1, 2, 3, 4)]
    assert until == date(2026, 5, 1)


def test_in_arrears_a_period_is_due_when_it_is_over():
    each = recurring(terms=(terms(in_arrears=True),))
    assert due_lines(each, date(2026, 1, 31), 1)[0] == []
    assert rows(due_lines(each, date(2026, 2, 1), 1)[0]) == [("Home (ann)", date(2026, 1, 1), date(2026, 2, 1), 3000)]


# A service begins on 20 January, billing day 1: 12 of 31 days.
@pytest.mark.parametrize(
    ("first_period", "amounts"),
    [("prorate", [1161]), ("prorate_next", [1161, 3000]), ("full", [3000])],
)
def test_the_first_period(first_period, amounts):
    each = recurring(date(2026, 1, 20), terms=(terms(first_period=first_period, anchor=date(2026, 2, 1)),))
    assert [line.amount.minor for line in due_lines(each, date(2026, 1, 19), 1)[0]] == amounts
    assert due_lines(each, date(2026, 1, 18), 1)[0] == []


def test_a_plan_that_is_not_prorated_costs_the_whole_where_it_begins():
    each = recurring(date(2026, 1, 20), ends_on=date(2026, 2, 10), terms=(terms(prorated=False),))
    assert [line.amount.minor for line in due_lines(each, date(2026, 2, 28), 1)[0]] == [3000, 3000]


def test_another_plan_from_a_day_on():
    later = terms(6000, date(2026, 1, 11), text="Pro")
    each = recurring(terms=(terms(), later))
    lines, until = due_lines(each, date(2025, 12, 31), 1)
    assert rows(lines) == [("Home (ann)", date(2026, 1, 1), date(2026, 1, 11), 968)]
    lines, until = due_lines(replace(each, billed_until=until), date(2026, 1, 10), 1)
    assert rows(lines) == [("Pro (ann)", date(2026, 1, 11), date(2026, 2, 1), 4065)]


def test_another_price_from_a_day_on_leaves_the_running_period_alone():
    dearer = replace(terms(), prices=((date(2020, 1, 1), eur(3000)), (date(2026, 2, 15), eur(3500))))
    lines, _ = due_lines(recurring(terms=(dearer,)), date(2026, 2, 28), 1)
    assert [line.amount.minor for line in lines] == [3000, 3000, 3500]


def test_skipped_days_cost_nothing_and_are_seen():
    each = recurring(skipped=(Period(date(2026, 1, 11), date(2026, 1, 21)), Period(date(2026, 2, 1), date(2026, 3, 1))))
    lines, until = due_lines(each, date(2026, 1, 31), 1)
    assert rows(lines) == [
        ("Home (ann)", date(2026, 1, 1), date(2026, 1, 11), 968),
        ("Home (ann)", date(2026, 1, 21), date(2026, 2, 1), 1065),
    ]
    assert until == date(2026, 3, 1)


def test_the_last_period_is_cut_where_the_service_ends():
    each = recurring(ends_on=date(2026, 1, 16))
    assert rows(due_lines(each, date(2026, 5, 1), 1)[0]) == [("Home (ann)", date(2026, 1, 1), date(2026, 1, 16), 1452)]


def test_discounts_never_make_a_line_negative():
    half = Discount("Half", date(2026, 1, 1), date(2026, 2, 1), Decimal(50), None)
    much = Discount("Welcome", date(2026, 1, 1), FAR, None, eur(2000))
    each = recurring(discounts=(half, much))
    january, half_off, rest, february, welcome = due_lines(each, date(2026, 1, 31), 1)[0]
    assert [line.amount.minor for line in (january, half_off, rest)] == [3000, -1500, -1500]
    assert [line.amount.minor for line in (february, welcome)] == [3000, -2000]
    assert (half_off.kind, half_off.text, welcome.text) == ("discount", "Half", "Welcome")


def test_what_is_free_is_a_line_of_nothing():
    assert [line.amount.minor for line in due_lines(recurring(terms=(terms(0),)), date(2026, 1, 1), 1)[0]] == [0]


# Worked out by hand: the first days of 24 months of periods.
@pytest.mark.parametrize(
    ("anchor", "cycle", "boundaries"),
    [
        (date(2027, 12, 31), MONTH, ["2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30"]),
        (date(2028, 2, 29), Cycle("month", 12), ["2028-02-29", "2029-02-28", "2030-02-28"]),
        (date(2027, 11, 30), Cycle("month", 3), ["2027-11-30", "2028-02-29", "2028-05-30", "2028-08-30"]),
        (date(2027, 8, 31), Cycle("month", 6), ["2027-08-31", "2028-02-29", "2028-08-31"]),
        (date(2028, 2, 27), Cycle("week", 1), ["2028-02-27", "2028-03-05", "2028-03-12"]),
        (date(2028, 2, 27), Cycle("day", 10), ["2028-02-27", "2028-03-08", "2028-03-18"]),
    ],
)
def test_boundaries_are_counted_from_the_anchor(anchor, cycle, boundaries):
    each = recurring(anchor, terms=(terms(cycle=cycle, anchor=anchor),))
    last = date.fromisoformat(boundaries[-1])
    lines, _ = due_lines(each, last - timedelta(days=1), 0)
    assert [line.period.start.isoformat() for line in lines] == boundaries[:-1]
    assert lines[-1].period.end == last
    assert {line.amount.minor for line in lines} == {3000}


days = st.dates(date(2024, 1, 1), date(2031, 12, 31))
cycles = st.builds(Cycle, st.sampled_from(["day", "week", "month"]), st.integers(1, 24))
prices = st.integers(0, 10**7)


@given(days, cycles, prices, st.lists(st.integers(0, 800), max_size=6))
def test_the_pieces_of_a_period_sum_to_its_price(anchor, cycle, price, cuts):
    whole = period_around(anchor, cycle, anchor)
    same = tuple(
        terms(price, day, cycle, anchor) for day in sorted({anchor, *(anchor + timedelta(days=n) for n in cuts)})
    )
    each = recurring(anchor, terms=same, ends_on=whole.end)
    lines, until = due_lines(each, date(2200, 1, 1), 0)
    assert until == whole.end
    assert total((line.amount for line in lines), "EUR") == eur(price)


@given(days, cycles, prices, st.lists(st.integers(0, 400), min_size=1, max_size=20))
def test_however_often_it_runs_no_day_is_billed_twice_or_never(anchor, cycle, price, steps):
    each = recurring(anchor, terms=(terms(price, cycle=cycle, anchor=anchor),))
    once, _ = due_lines(each, anchor + timedelta(days=sum(steps)), 1)
    by_steps, today = [], anchor
    for step in steps:
        today += timedelta(days=step)
        lines, until = due_lines(each, today, 1)
        by_steps += lines
        each = replace(each, billed_until=until)
    assert by_steps == once


@given(days, st.integers(1, 366), st.integers(-(10**7), 10**7), st.lists(st.integers(0, 366), max_size=8))
def test_used_and_credited_are_what_was_charged(start, length, amount, cuts):
    period = Period(start, start + timedelta(days=length))
    line = Billed(1, 1, "Home", eur(amount), period)
    credited = eur(0)
    for cut in sorted(cuts, reverse=True):
        found = unused([line], Period(start + timedelta(days=cut), FAR))
        credited = credited + value(found, "EUR")
        line = replace(line, credited=line.credited + tuple(each.days for each in found))
    least = min(cuts, default=length)
    used = value(
        unused([Billed(1, 1, "Home", eur(amount), period)], Period(start, start + timedelta(days=least))), "EUR"
    )
    assert (used if least else eur(0)) + credited == eur(amount)
    rest = unused([line], Period(start, FAR))
    assert credited + value(rest, "EUR") == eur(amount)
