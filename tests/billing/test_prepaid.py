"""Prepaid services: paid until a minute, renewed from the balance, never a debt."""

from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import select

from base.access import AccessLevel, Reason
from base.business import load_business
from base.database import transaction
from base.tables import policy
from billing import tick
from billing.apply import refresh_access
from billing.invoices import issue_due
from billing.ledger import check_books
from billing.prepaid.deeds import renew_now, set_auto_renew
from billing.refused import Refused
from billing.services import set_staff_order
from billing.tables import open_item
from billing.tick import run
from billing.tomorrow import preview_day
from billing.why import explain
from tests.billing.provider import Provider
from tests.billing.vienna import balance, do, history, line, reasons, row_of, sold, tick_at, totals, vienna


@pytest.fixture
def isp(provider: Provider):
    provider.set(time_zone="Europe/Vienna")
    provider.travel(vienna(1, 10))
    yield provider
    with transaction() as tx:
        assert check_books(tx) == []
        assert tx.scalar(select(open_item.c.invoice_id)) is None  # nobody owes anything


def test_without_balance_it_is_walled_and_a_top_up_lets_it_in_in_the_same_commit(isp: Provider):
    anna = isp.subscriber()
    home = line(isp, anna, sold(isp))
    assert (isp.level(home), reasons(home), totals()) == (AccessLevel.WALLED, ["prepaid_over"], [])
    isp.pay(anna, 1500)
    assert (isp.level(home), totals(), balance(anna)) == (AccessLevel.FULL, [1000], 500)
    # the clock went on a little since the fixture set it: bought up to the next whole minute
    assert row_of(home).paid_until == vienna(1, 11, 14, 36)


def test_it_is_renewed_at_the_minute_and_walled_at_the_minute(isp: Provider):
    anna = isp.subscriber()
    home = line(isp, anna, sold(isp))
    isp.pay(anna, 2000)
    for day in (11, 12):
        tick_at(isp, vienna(1, day, 14, 35, 59))
        assert isp.level(home) == AccessLevel.FULL
        tick_at(isp, vienna(1, day, 14, 36))
        assert isp.level(home) == (AccessLevel.FULL if day == 11 else AccessLevel.WALLED)
    assert (totals(), balance(anna)) == ([1000, 1000], 0)
    with transaction() as tx:  # while it was renewed it was never walled in between
        levels = tx.execute(select(policy.c.version).where(policy.c.service_id == home)).scalar_one()
    assert levels == 3  # walled without balance, full, walled


def test_a_long_bill_run_keeps_nobody_online(isp: Provider, monkeypatch: pytest.MonkeyPatch):
    anna = isp.subscriber()
    home = line(isp, anna, sold(isp))
    isp.pay(anna, 1000)
    meanwhile: list[AccessLevel] = []

    def bill(now: datetime) -> list[int]:
        meanwhile.append(isp.level(home))
        return issue_due(now)

    monkeypatch.setattr(tick, "issue_due", bill)
    tick_at(isp, vienna(1, 11, 14, 36))
    assert meanwhile == [AccessLevel.WALLED]


def test_a_review_is_planned_for_the_instant_at_which_it_is_over(isp: Provider):
    anna = isp.subscriber()
    home = line(isp, anna, sold(isp))
    isp.pay(anna, 1000)
    with transaction() as tx:
        assert tx.scalar(select(policy.c.review_at)) == row_of(home).paid_until


def test_a_balance_that_falls_a_cent_short_buys_nothing(isp: Provider):
    anna = isp.subscriber()
    home = line(isp, anna, sold(isp))
    isp.pay(anna, 999)
    assert (isp.level(home), totals(), balance(anna)) == (AccessLevel.WALLED, [], 999)
    isp.pay(anna, 1)
    assert (isp.level(home), totals(), balance(anna)) == (AccessLevel.FULL, [1000], 0)


def test_time_that_ran_on_while_nobody_looked_is_paid_for(isp: Provider):
    """Five days of outage with a balance for two more: they are billed, and then it is over."""
    anna = isp.subscriber()
    home = line(isp, anna, sold(isp))
    isp.pay(anna, 3500)
    tick_at(isp, vienna(1, 16))
    assert (isp.level(home), totals(), balance(anna)) == (AccessLevel.WALLED, [1000] * 3, 500)


def test_after_a_wall_the_clock_begins_anew(isp: Provider):
    anna = isp.subscriber()
    home = line(isp, anna, sold(isp))
    isp.pay(anna, 1000)
    tick_at(isp, vienna(1, 11, 15, 0))
    isp.travel(vienna(1, 11, 18, 0))
    isp.pay(anna, 1000)
    assert row_of(home).paid_until == vienna(1, 12, 18, 1)


def test_until_midnight(isp: Provider):
    anna = isp.subscriber()
    home = line(isp, anna, sold(isp, ends_at_midnight=True))
    isp.pay(anna, 2000)
    assert row_of(home).paid_until == vienna(1, 11, 0, 0)
    tick_at(isp, vienna(1, 11, 0, 0))
    assert row_of(home).paid_until == vienna(1, 12, 0, 0)


def test_switched_off_it_ends_and_can_be_renewed_by_hand(isp: Provider):
    anna = isp.subscriber()
    home = line(isp, anna, sold(isp))
    isp.pay(anna, 5000)
    do(isp, set_auto_renew, home, False)
    with pytest.raises(Refused, match="It is paid until"):
        do(isp, renew_now, home)
    tick_at(isp, vienna(1, 11, 14, 36))
    assert (isp.level(home), balance(anna)) == (AccessLevel.WALLED, 4000)
    isp.pay(anna, 100)
    assert isp.level(home) == AccessLevel.WALLED
    do(isp, renew_now, home)
    assert (isp.level(home), balance(anna)) == (AccessLevel.FULL, 3100)
    tick_at(isp, vienna(1, 12, 15))
    do(isp, set_auto_renew, home, True)
    assert (isp.level(home), balance(anna)) == (AccessLevel.FULL, 2100)


def test_by_hand_without_balance_is_refused_with_the_price(isp: Provider):
    home = line(isp, isp.subscriber(), sold(isp))
    with pytest.raises(Refused, match=r"That costs €10\.00; the balance is €0\.00"):
        do(isp, renew_now, home)


def test_what_is_suspended_is_not_renewed_before_it_is_restored(isp: Provider):
    anna = isp.subscriber()
    home = line(isp, anna, sold(isp))
    isp.pay(anna, 2000)
    do(isp, set_staff_order, home, "suspended", "abuse")
    tick_at(isp, vienna(1, 14))
    assert balance(anna) == 1000
    do(isp, set_staff_order, home, "none", "")
    assert (isp.level(home), balance(anna)) == (AccessLevel.FULL, 0)


def test_a_preview_of_the_days_to_come_knows_what_the_balance_pays_for(isp: Provider):
    anna = isp.subscriber(email="")
    home = line(isp, anna, sold(isp))
    isp.pay(anna, 2000)
    said = {
        day: [
            (each.kind, each.amount and each.amount.minor)
            for each in preview_day(date(2026, 1, day)).items
            if each.kind != "mail"
        ]
        for day in (11, 12, 13)
    }
    assert said == {11: [("invoice", 1000)], 12: [("suspend", None)], 13: []}
    tick_at(isp, vienna(1, 11, 14, 36))
    assert (totals(), isp.level(home)) == ([1000, 1000], AccessLevel.FULL)
    tick_at(isp, vienna(1, 12, 14, 36))
    assert (totals(), isp.level(home)) == ([1000, 1000], AccessLevel.WALLED)


def test_why_says_until_when_it_was_paid_and_what_comes(isp: Provider):
    anna = isp.subscriber()
    home = line(isp, anna, sold(isp))
    isp.pay(anna, 1000)
    with transaction() as tx:
        business = load_business(tx, isp.vault)
        assert "WALLED, unless the balance pays for the next period" in explain(tx, business, home, vienna(1, 11)).next
        tick_then = vienna(1, 11, 15)
        (cause,) = explain(tx, business, home, tick_then).causes
    assert cause.sentence.startswith("It was paid until Jan 11, 2026, 2:36")


def test_decide_without_anything_paid_is_walled(isp: Provider):
    home = line(isp, isp.subscriber(), sold(isp))
    with transaction() as tx:
        refresh_access(tx, isp.vault, [home], isp.travel(vienna(5, 1)), "system")
    assert reasons(home) == [Reason.PREPAID_OVER.value]


def test_who_looks_between_the_end_and_the_tick_walls_nobody_in_whose_balance_pays(isp: Provider):
    """A bill, a promise, a write-off: whatever decides anew in that minute leaves the renewal to the tick."""
    home = line(isp, anna := isp.subscriber(), sold(isp))
    poor = line(isp, bert := isp.subscriber("Bert"), sold(isp))
    isp.pay(anna, 2000)
    isp.pay(bert, 1000)
    over = row_of(home).paid_until
    now = isp.travel(over + timedelta(seconds=20))
    with transaction() as tx:
        refresh_access(tx, isp.vault, [home, poor], now, because="staff:1")
    assert (isp.level(home), isp.level(poor)) == (AccessLevel.FULL, AccessLevel.FULL)
    now = isp.travel(over + timedelta(minutes=1))
    run(now)
    assert (isp.level(home), isp.level(poor)) == (AccessLevel.FULL, AccessLevel.WALLED)
    assert row_of(home).paid_until == over + timedelta(days=1)
    with transaction() as tx:
        refresh_access(tx, isp.vault, [home, poor], now, because="staff:1")
    assert isp.level(poor) == AccessLevel.WALLED  # nobody lets in again who was walled in
    assert history(home) == [2, 0]
