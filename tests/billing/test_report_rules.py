"""The pure part of the reports: what the book of twelve is too small to show."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.calendar import Cycle
from billing.reports.attempts import Attempt, Outcome, success
from billing.reports.autopay import autopay
from billing.reports.churn import is_non_payment
from billing.reports.collection import Bills, lateness
from billing.reports.debts import Movement, Sale, ageing_on, count_back_dso, simple_dso
from billing.reports.mrr import Off, Recurring, monthly
from billing.reports.promises import Promise, promises
from billing.reports.restoring import percentile
from billing.reports.shape import Window, month_of
from billing.tax import Tax

DAY = date(2026, 4, 30)
APRIL = Window(month_of(DAY), DAY, "EUR", months=2)
days = st.dates(date(2025, 1, 1), date(2026, 12, 31))


def test_count_back_goes_through_the_months():
    """Open 250 on 20 April: April (20 days) sold 100, March 100, of February's 200 in 28 days 50."""
    sales = [Sale(date(2026, 4, 20), None, 100), Sale(date(2026, 3, 1), None, 100), Sale(date(2026, 2, 5), None, 200)]
    assert count_back_dso(250, sales, date(2026, 4, 20)) == 20 + 31 + Fraction(50 * 28, 200)
    assert count_back_dso(0, sales, DAY) == 0
    assert count_back_dso(400, sales, DAY) == 30 + 31 + 28
    assert count_back_dso(401, sales, DAY) is None  # more than was ever sold
    assert count_back_dso(150, [*sales, Sale(date(2026, 4, 21), None, 999)], date(2026, 4, 20)) == 20 + Fraction(31, 2)


def test_simple_dso_looks_back_ninety_days_and_leaves_out_what_was_voided():
    first, before = date(2026, 1, 31), date(2026, 1, 30)
    sales = [Sale(first, None, 900), Sale(before, None, 5000), Sale(DAY, date(2026, 4, 30), 7000)]
    assert simple_dso(100, sales, DAY) == 10
    assert simple_dso(100, [Sale(before, None, 5000)], DAY) is None
    later = [Sale(first, None, 900), Sale(DAY, date(2026, 5, 1), 900)]  # voided only after the day
    assert simple_dso(100, later, DAY) == 5


@pytest.mark.parametrize(
    ("late", "bucket"), [(-5, 0), (0, 0), (1, 1), (30, 1), (31, 2), (60, 2), (61, 3), (90, 3), (91, 4)]
)
def test_the_edges_of_the_buckets(late, bucket):
    found = ageing_on([Movement(date(2025, 1, 1), DAY - timedelta(days=late), 7)], DAY)
    assert found == tuple(7 * (index == bucket) for index in range(5))


@given(st.lists(st.tuples(days, days, st.integers(-(10**9), 10**9))), days)
def test_buckets_sum_to_everything_that_moved_until_then(rows, day):
    movements = [Movement(*row) for row in rows]
    assert sum(ageing_on(movements, day)) == sum(each.minor for each in movements if each.day <= day)


def test_what_was_given_up_before_it_was_due_is_late_by_no_day():
    """Of 100 paid on the due day, 100 written off before it and 200 open for 20 days, 300 are late by 40 / 3 days."""
    first, due = date(2026, 4, 1), date(2026, 4, 10)
    bills = [
        Bills(first, due, due, False, 1, 100, 100),
        Bills(first, due, date(2026, 4, 5), True, 1, 100, 0),
        Bills(first, due, None, False, 1, 200, 0),
    ]
    found = lateness(bills, APRIL)
    assert (found.due, found.late, found.late_minor, found.days_late) == (3, 2, 300, Fraction(200 * 20, 300))


def recurring(price, cycle, **more):
    values = {"inclusive": False, "taxes": (), "off": (), "count": 1}
    return Recurring(DAY, "Home", price, cycle, **{**values, **more})


def test_what_a_cycle_is_worth_a_month():
    assert monthly(recurring(3000, Cycle("month", 1))) == 3000
    assert monthly(recurring(10000, Cycle("month", 3))) == 3333
    assert monthly(recurring(10000, Cycle("month", 6))) == 1667
    assert monthly(recurring(1000, Cycle("week", 1))) == 4345  # x 365 / 84
    assert monthly(recurring(3000, Cycle("day", 30))) == 3042  # x 365 / 12 / 30
    vat = (Tax("VAT", Decimal(20)),)
    assert monthly(recurring(3600, Cycle("month", 1), inclusive=True, taxes=vat)) == 3000
    assert monthly(recurring(3600, Cycle("month", 1), inclusive=False, taxes=vat)) == 3600
    both = (Tax("GST", Decimal(5)), Tax("QST", Decimal(10), compound=True))  # 1.05 x 1.10
    assert monthly(recurring(11550, Cycle("month", 1), inclusive=True, taxes=both)) == 10000
    half, five = Off(Decimal(50), None), Off(None, 500)
    assert monthly(recurring(3000, Cycle("month", 1), off=(half, five))) == 1000
    assert monthly(recurring(3000, Cycle("month", 1), off=(half, half, five))) == 0
    assert monthly(recurring(6000, Cycle("month", 12), off=(five,))) == 458  # 55.00 / 12


def test_recovered_is_what_a_later_attempt_collected():
    tries = [(1, Outcome.FAILED, (1,)), (2, Outcome.UNKNOWN, (2,)), (3, Outcome.SUCCEEDED, (1, 2)),
             (4, Outcome.FAILED, (3,)), (5, Outcome.NOT_SENT, (4,))]  # fmt: skip
    found = success([Attempt(number, DAY, outcome, ids) for number, outcome, ids in tries], APRIL)
    assert (found.succeeded, found.decided) == (1, 3)
    assert (found.first_succeeded, found.tried, found.recovered) == (1, 3, 1)
    # first tried in March: April's attempt recovers March's invoice and is no first attempt of April
    march = [Attempt(1, date(2026, 3, 31), Outcome.FAILED, (1,)), Attempt(2, DAY, Outcome.SUCCEEDED, (1,))]
    then = success(march, Window(month_of(date(2026, 3, 1)), DAY, "EUR"))
    assert (then.tried, then.recovered, success(march, APRIL).tried) == (1, 1, 0)


def test_promises_are_kept_until_their_last_day():
    first = date(2026, 4, 1)
    made = [
        Promise(first, 100, date(2026, 4, 10), date(2026, 4, 10)),
        Promise(first, 200, date(2026, 4, 10), date(2026, 4, 11)),  # paid, and broken
        Promise(first, 300, date(2026, 4, 29), None),
        Promise(first, 400, DAY, None),  # there is time until midnight
        Promise(first, 500, DAY, DAY),
        Promise(first, 900, date(2026, 3, 31), None),  # of March
        Promise(first, 900, date(2026, 5, 1), first),  # of May
    ]
    found = promises(made, APRIL)
    assert {row.label: row.values[::2] for row in found.rows} == {
        "kept": (2, 600), "broken": (2, 500), "still open, not counted": (1, 400),
    }  # fmt: skip
    assert found.rows[0].values[1::2] == (Fraction(1, 2), Fraction(600, 1100))
    assert [month.values[2:] for month in found.trend] == [(0, 1), (2, 2)]


def test_autopay_counts_those_who_can_be_charged_and_pay():
    found = autopay({DAY: [1, 2, 9]}, {DAY: [1, 2, 3, 4]}, APRIL, 30)
    assert (found.headline, found.met) == (Fraction(1, 2), True)
    assert found.trend[0].values == (None, 0, 0)


def test_percentiles_are_by_nearest_rank():
    assert percentile([], 50) is None
    assert [percentile(range(1, 11), percent) for percent in (50, 95, 100)] == [5, 10, 10]
    assert percentile([7], 95) == 7


def test_words_for_non_payment():
    assert all(is_non_payment(reason) for reason in ("non-payment", "Non payment", "nonpayment"))
    assert not is_non_payment("payment")
    assert not is_non_payment("")


def test_a_window_is_cut_at_its_day():
    middle = Window(month_of(DAY), date(2026, 4, 16), "EUR", months=3)
    assert middle.day == date(2026, 4, 16)
    assert [each.day for each in middle.trend] == [date(2026, 2, 28), date(2026, 3, 31), date(2026, 4, 16)]
    assert [each.runs for each in middle.trend] == [False, False, True]
    assert not middle.has(date(2026, 4, 17))
    past = Window(month_of(date(2026, 2, 1)), DAY, "EUR", months=1)
    assert (past.day, past.first) == (date(2026, 2, 28), date(2026, 2, 1))
