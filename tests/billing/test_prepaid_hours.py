"""Hours: sold prepaid, real ones whatever the wall clock does, on invoices as times, and never given back."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from base.access import AccessLevel
from base.calendar import Cycle, Period, period_around
from base.database import transaction
from base.money import Money
from billing import changes, endings
from billing.extras import add_discount
from billing.ledger import check_books
from billing.plans import add_plan
from billing.refused import Refused
from billing.reports.mrr import cycles_in_month
from billing.tables import credit_note, invoice_line, open_item
from tests.billing.provider import Provider
from tests.billing.vienna import balance, do, line, row_of, sold, tick_at, totals, vienna

THREE = Cycle("hour", 3)


@pytest.fixture
def isp(provider: Provider) -> Iterator[Provider]:
    provider.set(time_zone="Europe/Vienna")
    provider.travel(vienna(1, 10, 22, 35) - timedelta(seconds=20))
    yield provider
    with transaction() as tx:
        assert check_books(tx) == []
        assert tx.scalar(select(open_item.c.invoice_id)) is None


def lines() -> list[Any]:
    with transaction() as tx:
        return list(tx.execute(select(invoice_line).order_by(invoice_line.c.id)))


def test_three_hours_end_after_three_hours_and_follow_each_other_over_midnight(isp: Provider):
    home = line(isp, anna := isp.subscriber(), sold(isp, 250, THREE))
    isp.pay(anna, 500)
    assert row_of(home).paid_until == vienna(1, 11, 1, 35)
    tick_at(isp, vienna(1, 11, 1, 35) + timedelta(seconds=3))
    assert (row_of(home).paid_until, balance(anna)) == (vienna(1, 11, 4, 35), 0)
    assert isp.level(home) == AccessLevel.FULL
    tick_at(isp, vienna(1, 11, 4, 35))
    assert isp.level(home) == AccessLevel.WALLED
    first, second = lines()
    assert first.text.endswith("), 2026-01-10 22:35 – 2026-01-11 01:35")
    assert second.text.endswith("), 2026-01-11 01:35 – 04:35")
    assert {(each.period_start, each.by_day, each.amount_minor) for each in (first, second)} == {(None, False, 250)}


def test_on_one_day_many_are_bought_and_the_books_count_no_day_twice(isp: Provider):
    home = line(isp, anna := isp.subscriber(), sold(isp, 100, Cycle("hour", 1)))
    for hour in range(5, 9):
        isp.travel(vienna(1, 12, hour) - timedelta(seconds=20))
        isp.pay(anna, 100)
        tick_at(isp, vienna(1, 12, hour + 1))
    assert totals() == [100] * 4
    assert isp.level(home) == AccessLevel.WALLED


def test_an_hour_is_an_hour_when_the_clock_jumps(isp: Provider):
    isp.travel(vienna(3, 29, 1, 30) - timedelta(seconds=20))  # at 02:00 it is 03:00
    home = line(isp, anna := isp.subscriber(), sold(isp, 250, THREE))
    isp.pay(anna, 250)
    assert row_of(home).paid_until == vienna(3, 29, 5, 30)


def test_hours_are_not_given_back_and_another_plan_follows_at_the_minute(isp: Provider):
    home = line(isp, anna := isp.subscriber(), sold(isp, 250, THREE))
    month = sold(isp, 1500, Cycle("month", 1))
    isp.pay(anna, 2000)
    with pytest.raises(Refused, match="Hours are not given back"):
        do(isp, changes.change_plan, home, month)
    do(isp, changes.change_plan, home, month, at_boundary=True)
    tick_at(isp, vienna(1, 11, 1, 35))
    assert row_of(home).paid_until == vienna(2, 11, 1, 35)
    assert (totals(), balance(anna)) == ([250, 1500], 250)
    do(isp, changes.change_plan, home, sold(isp, 250, THREE), at_boundary=True)
    tick_at(isp, vienna(2, 11, 1, 35))
    assert (row_of(home).paid_until, balance(anna)) == (vienna(2, 11, 4, 35), 0)


def test_the_end_of_the_service_cuts_them(isp: Provider):
    home = line(isp, anna := isp.subscriber(), sold(isp, 250, THREE))
    do(isp, endings.cancel, home, vienna(1, 11).date(), "moved")
    isp.pay(anna, 500)
    assert row_of(home).paid_until == vienna(1, 11, 0, 0)
    tick_at(isp, vienna(1, 11, 0, 0))
    assert isp.level(home) == AccessLevel.BLOCKED
    assert totals() == [250]
    with transaction() as tx:
        assert tx.scalars(select(credit_note.c.id)).all() == []


def test_a_discount_holds_for_hours_too(isp: Provider):
    home = line(isp, anna := isp.subscriber(), sold(isp, 250, THREE))
    do(isp, add_discount, home, text="Opening", percent_off="10")
    isp.pay(anna, 225)
    assert totals() == [225]
    assert {(each.kind, each.period_start) for each in lines()} == {("plan", None), ("discount", None)}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"prepaid": False}, "sold prepaid only"),
        ({"ends_at_midnight": True}, "do not end at midnight"),
        ({"cycle": Cycle("hour", 721)}, "A cycle is"),
    ],
)
def test_hours_that_cannot_be_sold(isp: Provider, more: dict[str, Any], message: str):
    values = {"name": "Hours", "price": Money(100, "EUR"), "cycle": THREE, "prepaid": True, **more}
    with transaction() as tx, pytest.raises(Refused, match=message):
        add_plan(tx, "system", rate_down=0, rate_up=0, **values)


def test_to_dates_hours_are_days_and_to_reports_they_do_not_recur():
    day = vienna(1, 10).date()
    assert period_around(day, THREE, day) == Period(day, day + timedelta(days=1))
    assert Cycle("hour", 25).days == 2
    assert cycles_in_month(THREE) == 0
