"""Prepaid services that change their plan, have add-ons, end, and live beside bills."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from sqlalchemy import func, select

from base.access import AccessLevel
from base.calendar import Cycle
from base.database import transaction
from base.money import Money
from billing import changes, endings
from billing.extras import add_product, sell_product, take_back_product
from billing.ledger import check_books
from billing.prepaid.redemption import redeem
from billing.prepaid.vouchers import add_batch, take_codes
from billing.refused import Refused
from billing.tables import open_item, payment
from billing.tick import run
from billing.walled import set_walled_billing
from tests.billing.provider import Provider
from tests.billing.vienna import (
    MONTH,
    balance,
    do,
    line,
    row_of,
    sold,
    tick_at,
    totals,
    vienna,
)


@pytest.fixture
def isp(provider: Provider):
    provider.set(time_zone="Europe/Vienna")
    provider.travel(vienna(1, 10))
    yield provider
    with transaction() as tx:
        assert check_books(tx) == []
        assert tx.scalar(select(open_item.c.invoice_id)) is None  # nobody owes anything


def test_another_prepaid_plan_follows_at_the_minute(isp: Provider):
    anna = isp.subscriber()
    home = line(isp, anna, sold(isp))
    isp.pay(anna, 3000)
    fast = sold(isp, price=2000, cycle=Cycle("day", 7), rate_down=300_000_000)
    do(isp, changes.change_plan, home, fast, at_boundary=True)
    tick_at(isp, vienna(1, 11, 14, 35))
    assert row_of(home).plan_id != fast
    tick_at(isp, vienna(1, 11, 14, 36))
    assert (row_of(home).plan_id, row_of(home).paid_until) == (fast, vienna(1, 18, 14, 36))
    assert (totals(), balance(anna)) == ([1000, 2000], 0)


def test_another_prepaid_plan_now_gives_the_rest_back(isp: Provider):
    """31 days from 10 January at 31.00; on the 20th 21 days are left, 21.00, and the new month costs 40.00."""
    anna = isp.subscriber()
    home = line(isp, anna, sold(isp, price=3100, cycle=MONTH))
    isp.pay(anna, 5000)
    tick_at(isp, vienna(1, 20, 9, 0))
    fast = sold(isp, price=4000, cycle=MONTH)
    with transaction() as tx:
        seen = changes.preview_change(tx, isp.vault, "staff:1", home, fast)
    assert (seen.credited.minor, seen.charged.minor) == (2100, 4000)
    do(isp, changes.change_plan, home, fast)
    assert (balance(anna), row_of(home).paid_until) == (5000 - 3100 + 2100 - 4000 + 0, vienna(2, 20, 9, 1))
    assert isp.level(home) == AccessLevel.FULL


def test_another_prepaid_plan_now_that_the_balance_does_not_pay_for_changes_nothing(isp: Provider):
    anna = isp.subscriber()
    home = line(isp, anna, sold(isp, price=3100, cycle=MONTH))
    isp.pay(anna, 3100)
    before = row_of(home)
    with pytest.raises(Refused, match="That costs"):
        do(isp, changes.change_plan, home, sold(isp, price=9000, cycle=MONTH))
    assert (row_of(home), totals()) == (before, [3100])


def test_from_prepaid_to_billed_and_back(isp: Provider):
    anna = isp.subscriber()
    home = line(isp, anna, sold(isp, price=3100, cycle=MONTH))
    isp.pay(anna, 9000)
    tick_at(isp, vienna(1, 20, 9, 0))
    billed = isp.plan(price=3100, price_inclusive=True)
    do(isp, changes.change_plan, home, billed)
    run(isp.travel(vienna(1, 20, 10, 0)))
    assert (totals(), isp.level(home)) == ([3100, 3100], AccessLevel.FULL)
    assert balance(anna) == 9000 - 3100 + 2100 - 3100
    again = sold(isp, price=1000)
    do(isp, changes.change_plan, home, again)
    assert (totals()[2:], isp.level(home), balance(anna)) == ([1000], AccessLevel.FULL, 7000)
    run(isp.travel(vienna(1, 20, 11, 0)))
    assert totals()[2:] == [1000]


def test_a_prepaid_service_is_not_paused(isp: Provider):
    home = line(isp, isp.subscriber(), sold(isp))
    with pytest.raises(Refused, match="not paused"):
        do(isp, changes.pause, home, date(2026, 1, 10), None)
    with transaction() as tx, pytest.raises(Refused, match="no bills that could stop"):
        set_walled_billing(tx, "staff:1", row_of(home).plan_id, "days")


def test_an_end_cuts_the_last_period_and_can_be_taken_back(isp: Provider):
    """28 days at 28.00 from 10 January; it ends on the 17th, so 21 days come back, and again when it stays."""
    anna = isp.subscriber()
    home = line(isp, anna, sold(isp, price=2800, cycle=Cycle("week", 4)))
    isp.pay(anna, 5600)
    do(isp, endings.cancel, home, date(2026, 1, 17), "moved")
    assert balance(anna) == 2800 + 2100
    do(isp, endings.keep, home)
    assert row_of(home).paid_until == vienna(1, 17, 0, 0)
    tick_at(isp, vienna(1, 17, 0, 0))
    assert (isp.level(home), balance(anna)) == (AccessLevel.FULL, 2100)
    do(isp, endings.cancel, home, date(2026, 1, 20), "moved")
    tick_at(isp, vienna(2, 20))
    assert (isp.level(home), balance(anna)) == (AccessLevel.BLOCKED, 2100 + 2500)


def test_add_ons_and_the_set_up_fee_go_with_the_period(isp: Provider):
    anna = isp.subscriber()
    plan_id = sold(isp, setup_fee=Money(500, "EUR"))
    home = line(isp, anna, plan_id)
    isp.pay(anna, 1499)
    assert isp.level(home) == AccessLevel.WALLED
    isp.pay(anna, 5001)
    assert (totals(), balance(anna)) == ([1500], 5000)
    with transaction() as tx:
        extra = add_product(
            tx, "system", name="Address", kind="addon", price=Money(300, "EUR"), price_inclusive=True,
            tax_class_id=1,
        )  # fmt: skip
    do(isp, sell_product, home, extra)
    tick_at(isp, vienna(1, 11, 14, 36))
    assert totals() == [1500, 1300]
    do(isp, take_back_product, 1)
    tick_at(isp, vienna(1, 12, 14, 36))
    assert totals() == [1500, 1300, 1000]


def test_a_bill_beside_it_does_not_touch_it(isp: Provider):
    """Somebody has a line that is billed, too: what is owed for it goes first, and the set-up fee is left alone."""
    anna = isp.subscriber()
    home = line(isp, anna, sold(isp, setup_fee=Money(500, "EUR")))
    isp.service(anna, isp.plan(price=3000, price_inclusive=True), date(2026, 1, 10))
    run(isp.travel(vienna(1, 10, 15)))
    assert totals() == [3000]
    isp.pay(anna, 4000)
    assert (isp.level(home), balance(anna)) == (AccessLevel.WALLED, 1000)
    isp.pay(anna, 500)
    assert (isp.level(home), balance(anna)) == (AccessLevel.FULL, 0)


def test_ticks_payments_cards_and_changes_at_once_never_wait_in_a_ring(isp: Provider):
    plans = [sold(isp, price=100), sold(isp, price=150, cycle=Cycle("day", 2))]
    people = [isp.subscriber(f"Payer {number}") for number in range(4)]
    lines = [line(isp, who, plans[0]) for who in people for _ in range(2)]
    with transaction() as tx:
        add_batch(
            tx, isp.vault, "staff:1", name="May", value=Money(130, "EUR"), count=16, valid_until=None,
            today=date(2026, 1, 10), now=vienna(1, 10),
        )  # fmt: skip
        codes = [card.code for card in take_codes(tx, isp.vault, "staff:1", "May", "x", vienna(1, 10))]

    def pass_time(turn: int) -> None:
        run(vienna(1, 11 + turn, 15))

    def pay(turn: int) -> None:
        for who in people[:: 1 if turn % 2 else -1]:
            isp.pay(who, 100 + turn)

    def put(turn: int) -> None:
        for number, who in enumerate(people):
            with transaction() as tx:
                redeem(tx, isp.vault, who, codes[turn * 2 + number % 2], vienna(1, 11 + turn, 15), "system")

    def change(turn: int) -> None:
        for each in lines[:: -1 if turn % 2 else 1]:
            try:
                do(isp, changes.change_plan, each, plans[turn % 2], at_boundary=turn % 3 == 0)
            except Refused as refused:
                if "That costs" not in str(refused):
                    raise

    with ThreadPoolExecutor(8) as pool:
        for deed in [pool.submit(each, turn) for turn in range(8) for each in (pass_time, pay, put, change)]:
            deed.result()
    with transaction() as tx:
        assert tx.scalar(select(func.count()).where(payment.c.method == "voucher")) == 16


def test_prepaid_is_paid_in_advance(isp: Provider):
    for wrong in ({"in_arrears": True}, {"minimum_months": 12}, {"prepaid": False, "ends_at_midnight": True}):
        with pytest.raises(Refused):
            sold(isp, **wrong)
