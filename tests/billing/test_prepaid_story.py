"""A prepaid subscriber's days, minute by minute as beat sends them, and any life that one can have, as a property."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from base import clock, jobs
from base.access import AccessLevel
from base.calendar import Cycle
from base.database import transaction
from base.jobs import Kind
from base.money import Money
from base.tables import access_history, service
from billing import tasks
from billing.changes import change_plan
from billing.dunning.tables import dunning_step
from billing.ledger import check_books
from billing.plans import add_plan
from billing.prepaid.deeds import set_auto_renew
from billing.prepaid.redemption import redeem
from billing.prepaid.tables import voucher
from billing.prepaid.vouchers import add_batch, sell_batch, take_codes
from billing.pump import LEASE
from billing.refused import Refused
from billing.services import set_staff_order
from billing.tables import credit_note, invoice, open_credit, open_item, payment
from billing.tick import run
from tests.billing.provider import Provider

VIENNA = ZoneInfo("Europe/Vienna")
ROOT = Path(__file__).parents[2]
REDEEM = """
import sys
from base import clock
from base.crypto import open_vault
from base.database import transaction
from base.settings import settings
from billing.prepaid.redemption import redeem
vault = open_vault(settings().secret_keys)
print("ready", flush=True)
sys.stdin.readline()
for code in sys.argv[2:]:
    with transaction() as tx:
        done = redeem(tx, vault, int(sys.argv[1]), code, clock.now(), "system")
    print(done.sentence, flush=True)
"""


def vienna(month: int, day: int, hour: int, minute: int = 0, second: int = 0, fold: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, second, tzinfo=VIENNA, fold=fold).astimezone(UTC)


@pytest.fixture
def isp(provider: Provider) -> Provider:
    provider.set(time_zone="Europe/Vienna")
    return provider


def prepaid(isp: Provider, price: int, cycle: Cycle) -> int:
    """A plan with the tax in its price."""
    with transaction() as tx:
        return add_plan(
            tx, "system", name=f"Pre {next(isp.numbers)}", price=Money(price, "EUR"), cycle=cycle, tax_percent="20",
            price_inclusive=True, prepaid=True, rate_down=50_000_000, rate_up=10_000_000,
        )  # fmt: skip


def cards(isp: Provider, name: str, value: int, count: int, now: datetime) -> list[str]:
    """The codes of a batch that was sold."""
    with transaction() as tx:
        add_batch(
            tx, isp.vault, "staff:1", name=name, value=Money(value, "EUR"), count=count, valid_until=None,
            today=date(2020, 1, 1), now=now,
        )  # fmt: skip
        sell_batch(tx, "staff:1", name, method="cash", amount=None, today=now.date())
        return [card.code for card in take_codes(tx, isp.vault, "staff:1", name, "a day", now)]


def beats(isp: Provider, first: datetime, last: datetime) -> Iterator[datetime]:
    """What beat and the worker do every five seconds, to `last` inclusive."""
    now = first
    while now <= last:
        isp.travel(now)
        tasks.ask_for_tick()
        with transaction() as tx:
            due = [job for job in jobs.claim(tx, [Kind.TICK.lane], 50, LEASE) if job.kind is Kind.TICK]
        for job in due:
            tasks.perform(job.id, job.tries)
        yield now
        now += timedelta(seconds=5)


def first_walled(isp: Provider, service_id: int, first: datetime, last: datetime) -> datetime | None:
    """The beat at which it was walled."""
    return next((now for now in beats(isp, first, last) if isp.level(service_id) == AccessLevel.WALLED), None)


def test_a_voucher_a_day_over_the_night_on_which_the_clock_is_set_back(isp: Provider):
    """A day from Saturday 24 October 02:29:20, half an hour before the hour that comes twice on the 25th."""
    now = isp.travel(vienna(10, 24, 2, 29, 20))
    day = prepaid(isp, 100, Cycle("day", 1))
    one, two, three = cards(isp, "Kiosk", 100, 3, now)
    anna = isp.subscriber()
    home = isp.service(anna, day, date(2026, 10, 24))
    assert isp.level(home) == AccessLevel.WALLED

    def put(code: str, when: datetime) -> datetime | None:
        isp.travel(when)
        with transaction() as tx:
            assert redeem(tx, isp.vault, anna, code, when, f"subscriber:{anna}").amount
        assert isp.level(home) == AccessLevel.FULL
        with transaction() as tx:
            return tx.scalar(select(service.c.paid_until).where(service.c.id == home))

    # 24 hours later by the wall clock, where 02:30 comes for the first time
    assert put(one, vienna(10, 24, 2, 29, 20)) == vienna(10, 25, 2, 30) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    walled = first_walled(isp, home, vienna(10, 25, 2, 28), vienna(10, 25, 2, 35))
    assert walled is not None
    assert timedelta() <= walled - vienna(10, 25, 2, 30) < timedelta(minutes=1)
    # redeemed in the hour that comes twice, for the second time: to 02:45 of the 26th, 24 hours by any clock
    assert put(two, vienna(10, 25, 2, 44, 30, fold=1)) == vienna(10, 26, 2, 45)
    assert first_walled(isp, home, vienna(10, 26, 2, 43), vienna(10, 26, 2, 44, 59)) is None
    walled = first_walled(isp, home, vienna(10, 26, 2, 45), vienna(10, 26, 2, 50))
    assert walled == vienna(10, 26, 2, 45)
    # two days ahead on the balance: renewed at the minute, and never walled in between
    put(three, vienna(10, 27, 20))
    isp.pay(anna, 100)
    assert first_walled(isp, home, vienna(10, 28, 19, 58), vienna(10, 28, 20, 3)) is None
    walled = first_walled(isp, home, vienna(10, 29, 19, 58), vienna(10, 29, 20, 3))
    assert walled == vienna(10, 29, 20, 0)
    with transaction() as tx:
        levels = tx.scalars(select(access_history.c.level).order_by(access_history.c.id))
        assert list(levels) == [2, 0, 2, 0, 2, 0, 2]
        assert tx.scalar(select(func.count()).select_from(invoice)) == 4
        assert tx.scalar(select(func.count()).select_from(dunning_step)) == 0
        assert check_books(tx) == []


def test_in_spring_a_day_has_an_hour_less_and_ends_at_the_same_time(isp: Provider):
    isp.travel(vienna(3, 28, 14, 35))
    home = isp.service(anna := isp.subscriber(), prepaid(isp, 100, Cycle("day", 1)), date(2026, 3, 28))
    isp.pay(anna, 100)
    walled = first_walled(isp, home, vienna(3, 29, 14, 34), vienna(3, 29, 14, 40))
    assert walled is not None
    assert timedelta() <= walled - vienna(3, 29, 14, 35) <= timedelta(minutes=1)  # it was bought within 14:35


def test_two_processes_redeem_the_same_cards_and_each_goes_once(isp: Provider):
    now = isp.travel(datetime.now(UTC))
    codes = cards(isp, "Kiosk", 100, 12, now)
    people = [isp.subscriber("Anna"), isp.subscriber("Bert")]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", REDEEM, str(who), *codes], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )
        for who in people
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [line for process in processes for line in process.communicate(timeout=60)[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0]
    assert len(said) == 24
    assert said.count("€1.00 went to your balance.") == 12
    assert said.count("This voucher was redeemed already.") == 12
    with transaction() as tx:
        assert tx.scalar(select(func.count()).select_from(payment)) == 12
        assert tx.scalar(select(func.count()).where(voucher.c.payment_id.is_(None))) == 0
        assert check_books(tx) == []


ACTS = st.one_of(
    st.tuples(st.just("pay"), st.integers(1, 400)),
    st.tuples(st.just("card"), st.integers(0, 2)),
    st.tuples(st.just("wait"), st.integers(1, 3 * 24 * 60)),
    st.tuples(st.just("auto"), st.booleans()),
    st.tuples(st.just("order"), st.sampled_from(["none", "suspended"])),
    st.tuples(st.just("change"), st.integers(0, 3)),
    st.tuples(st.just("change at the boundary"), st.integers(0, 3)),
)


def test_whatever_happens_the_balance_is_what_came_in_less_what_was_bought(isp: Provider):
    now = vienna(3, 20, 9, 0)
    isp.travel(now)
    plans = [prepaid(isp, 100, Cycle("day", 1)), prepaid(isp, 250, Cycle("day", 3)), prepaid(isp, 0, Cycle("week", 1))]
    plans.append(prepaid(isp, 333, Cycle("month", 1)))
    names = iter(range(10_000))

    @settings(max_examples=20)
    @given(st.lists(ACTS, min_size=3, max_size=12))
    def live(acts: list[tuple[str, Any]]) -> None:
        nonlocal now
        anna = isp.subscriber()
        home = isp.service(anna, plans[0], now.date())
        codes = cards(isp, f"Batch {next(names)}", 130, 3, now)
        paid, used = 0, set()
        for act, value in acts:
            isp.travel(now)
            if act == "pay":
                isp.pay(anna, value)
                paid += value
            elif act == "card":
                with transaction() as tx:
                    taken = redeem(tx, isp.vault, anna, codes[value], now, "system").amount is not None
                assert taken == (value not in used)
                paid += 130 * taken
                used.add(value)
            elif act == "wait":
                now += timedelta(minutes=value)
                run(isp.travel(now))
            else:
                _decide(isp, home, act, value, plans)
            _look(isp, anna, home, paid)
        with transaction() as tx:
            assert check_books(tx) == []

    live()


def _decide(isp: Provider, home: int, act: str, value: Any, plans: list[int]) -> None:
    try:
        with transaction() as tx:
            if act == "auto":
                set_auto_renew(tx, isp.vault, "staff:1", home, value)
            elif act == "order":
                set_staff_order(tx, isp.vault, "staff:1", home, value, "")
            else:
                change_plan(tx, isp.vault, "staff:1", home, plans[value], at_boundary=act != "change")
    except Refused as refused:
        if "That costs" not in str(refused):  # only ever the balance
            raise


def _look(isp: Provider, anna: int, home: int, paid: int) -> None:
    """Nothing is owed, the balance is what came in less what was bought, and access is what was paid for."""

    def summed(column: Any, owner: Any) -> int:
        return int(tx.scalar(select(func.sum(column)).where(owner == anna)) or 0)

    with transaction() as tx:
        bought = summed(invoice.c.total_minor, invoice.c.subscriber_id)
        back = summed(credit_note.c.total_minor, credit_note.c.subscriber_id)
        left = summed(open_credit.c.left_minor, open_credit.c.subscriber_id)
        assert summed(open_item.c.open_minor, open_item.c.subscriber_id) == 0
        row = tx.execute(select(service).where(service.c.id == home)).one()
    assert left == paid - bought + back >= 0
    running = row.staff_order == "none" and row.paid_until is not None and row.paid_until > clock.now()
    assert isp.level(home) == (AccessLevel.FULL if running else AccessLevel.WALLED)
