"""Prepaid services: paid until a minute, renewed from the balance, never a debt."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from base.access import AccessLevel, Reason
from base.business import load_business
from base.calendar import Cycle, local_date
from base.database import transaction
from base.money import Money
from base.tables import policy, service
from billing import changes, endings, tick
from billing.apply import refresh_access
from billing.extras import add_product, sell_product, take_back_product
from billing.invoices import issue_due
from billing.ledger import check_books
from billing.plans import add_plan
from billing.prepaid.deeds import renew_now, set_auto_renew
from billing.prepaid.redemption import redeem
from billing.prepaid.renewal import balance_of
from billing.prepaid.span import next_span, whole_minute
from billing.prepaid.vouchers import add_batch, take_codes
from billing.refused import Refused
from billing.services import add_service, set_staff_order
from billing.tables import invoice, open_item, payment
from billing.tick import run
from billing.tomorrow import preview_day
from billing.walled import set_walled_billing
from billing.why import explain
from tests.billing.provider import Provider

VIENNA = ZoneInfo("Europe/Vienna")
DAY = Cycle("day", 1)
MONTH = Cycle("month", 1)


def vienna(month: int, day: int, hour: int = 14, minute: int = 35, second: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, second, tzinfo=VIENNA).astimezone(UTC)


@pytest.fixture
def isp(provider: Provider):
    provider.set(time_zone="Europe/Vienna")
    provider.travel(vienna(1, 10))
    yield provider
    with transaction() as tx:
        assert check_books(tx) == []
        assert tx.scalar(select(open_item.c.invoice_id)) is None  # nobody owes anything


def sold(isp: Provider, price: int = 1000, cycle: Cycle = DAY, **more: Any) -> int:
    """A prepaid plan, 10.00 a day with the tax in it."""
    with transaction() as tx:
        return add_plan(
            tx, "system", name=f"Pre {next(isp.numbers)}", price=Money(price, "EUR"), tax_percent="20", cycle=cycle,
            **{"price_inclusive": True, "prepaid": True, "rate_down": 50_000_000, "rate_up": 10_000_000, **more},
        )  # fmt: skip


def line(isp: Provider, anna: int, plan_id: int) -> int:
    """A service from today on."""
    with transaction() as tx:
        login = f"line{next(isp.numbers)}"
        return add_service(tx, isp.vault, "system", subscriber_id=anna, plan_id=plan_id, login=login, password="secret")


def row_of(service_id: int) -> Any:
    with transaction() as tx:
        return tx.execute(select(service).where(service.c.id == service_id)).one()


def reasons(service_id: int) -> list[str]:
    with transaction() as tx:
        return list(tx.scalars(select(policy.c.reasons).where(policy.c.service_id == service_id)).one())


def balance(subscriber_id: int) -> int:
    with transaction() as tx:
        return balance_of(tx, subscriber_id).minor


def totals() -> list[int]:
    with transaction() as tx:
        return list(tx.scalars(select(invoice.c.total_minor).order_by(invoice.c.id)))


def do(isp: Provider, deed: Any, *args: Any, **more: Any) -> Any:
    with transaction() as tx:
        return deed(tx, isp.vault, "staff:1", *args, **more)


def tick_at(isp: Provider, now: datetime) -> None:
    run(isp.travel(now))


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


def test_decide_without_anything_paid_is_walled(isp: Provider):
    home = line(isp, isp.subscriber(), sold(isp))
    with transaction() as tx:
        refresh_access(tx, isp.vault, [home], isp.travel(vienna(5, 1)), "system")
    assert reasons(home) == [Reason.PREPAID_OVER.value]


# the clock


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
