"""A till holds what came in cash less what left in cash, whoever booked it: payments, vouchers, money paid back."""

from datetime import date, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from base import clock
from base.business import load_business
from base.database import transaction
from base.money import Money
from billing.clearing.till import Day, close_day, days
from billing.ledger import check_books
from billing.money_back.refunds import pay_out_credit, refund_by_hand
from billing.money_back.reversals import reverse_payment
from billing.payments import record_payment
from billing.prepaid.vouchers import add_batch, sell_batch, void_batch
from billing.refused import Refused
from billing.tables import payment, posting
from console.cli import main
from tests.billing.provider import Provider, noon

DAY = date(2026, 3, 2)


@pytest.fixture
def who(provider: Provider) -> int:
    provider.travel(noon(DAY))
    return provider.subscriber()


def pay(provider: Provider, who: int, minor: int, cashier: str = "staff:1", method: str = "cash") -> int:
    with transaction() as tx:
        return record_payment(
            tx, provider.vault, load_business(tx, provider.vault), subscriber_id=who, amount=Money(minor, "EUR"),
            method=method, author=cashier, now=clock.now(),
        ).payment_id  # fmt: skip


def back(provider: Provider, payment_id: int, minor: int | None, cashier: str, way: str = "cash") -> None:
    with transaction() as tx:
        amount = None if minor is None else Money(minor, "EUR")
        business = load_business(tx, provider.vault)
        refund_by_hand(tx, provider.vault, business, cashier, payment_id, amount, way, "moved away", clock.now())


def reverse(provider: Provider, payment_id: int, actor: str, move_to: int | None = None) -> None:
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        reverse_payment(tx, provider.vault, business, actor, payment_id, "typed wrongly", clock.now(), move_to=move_to)


def close(provider: Provider, minor: int, cashier: str = "staff:1", note: str = "", day: date = DAY) -> None:
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        close_day(tx, business, cashier, day, Money(minor, "EUR"), author="staff:2", note=note)


def tills() -> dict[tuple[str, date], Day]:
    with transaction() as tx:
        assert check_books(tx) == []
        found = {(each.cashier, each.day): each for each in days(tx, DAY - timedelta(days=9))}
        cash = sum(tx.scalars(select(posting.c.amount_minor).where(posting.c.account == "cash")))
    assert sum(each.expected.minor for each in found.values()) == cash
    return found


def test_vouchers_sold_for_cash_and_taken_back_are_in_the_till(provider: Provider, who: int):
    pay(provider, who, 5000)
    with transaction() as tx:
        values = {"valid_until": None, "today": DAY, "now": clock.now(), "count": 10, "value": Money(1000, "EUR")}
        for name in ("May", "June"):
            add_batch(tx, provider.vault, "staff:1", name=name, **values)
        sell_batch(tx, "staff:1", "May", method="cash", amount=Money(9000, "EUR"), today=DAY)
        sell_batch(tx, "staff:1", "June", method="transfer", amount=None, today=DAY)
        void_batch(tx, "staff:2", "May", "torn", clock.now(), today=DAY, paid_back=Money(8500, "EUR"))
        void_batch(tx, "staff:2", "June", "torn", clock.now(), today=DAY, paid_back=Money(1, "EUR"), method="transfer")
    found = tills()
    assert found["staff:1", DAY].others == (("Vouchers sold: May", Money(9000, "EUR")),)
    assert (found["staff:1", DAY].expected.minor, found["staff:1", DAY].payments) == (14000, 1)
    assert found["staff:2", DAY].expected.minor == -8500
    with pytest.raises(Refused, match="say why"):
        close(provider, 5000)
    close(provider, 14000)
    with transaction() as tx:
        add_batch(tx, provider.vault, "staff:1", name="July", **values)
    with pytest.raises(Refused, match="closed"), transaction() as tx:
        sell_batch(tx, "staff:1", "July", method="cash", amount=None, today=DAY)
    with transaction() as tx:
        sell_batch(tx, "staff:1", "July", method="cash", amount=Money(0, "EUR"), today=DAY)  # no coin is moved


def test_cash_paid_back_leaves_the_till_of_who_pays_it(provider: Provider, who: int):
    first, second = pay(provider, who, 5000), pay(provider, who, 3000, method="transfer")
    back(provider, first, 2000, "staff:1")
    back(provider, second, 1000, "staff:3")  # it came by transfer and goes in cash
    back(provider, first, 1000, "staff:1", way="transfer")
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        amount = Money(500, "EUR")
        pay_out_credit(tx, provider.vault, business, "staff:3", who, amount, "cash", "asked for", clock.now())
    found = tills()
    assert found["staff:1", DAY].others == (("R-000001 paid back: moved away", Money(-2000, "EUR")),)
    assert found["staff:1", DAY].expected.minor == 3000
    assert found["staff:3", DAY].expected.minor == -1500
    close(provider, 3000)
    with pytest.raises(Refused, match="till of staff:1 is closed"):
        back(provider, first, 100, "staff:1")
    back(provider, first, 100, "staff:3")


def test_cash_that_was_never_paid_is_taken_out_of_the_till_that_had_it(provider: Provider, who: int):
    mistake = pay(provider, who, 5000)
    reverse(provider, mistake, "staff:2")
    found = tills()
    assert set(found) == {("staff:1", DAY)}
    assert found["staff:1", DAY].expected.minor == 0
    close(provider, 0)
    provider.travel(noon(DAY + timedelta(days=1)))
    late = pay(provider, who, 700)
    provider.travel(noon(DAY + timedelta(days=2)))
    reverse(provider, late, "staff:2")  # the day that had it is over: it is missing on this one
    assert tills()["staff:1", DAY + timedelta(days=2)].expected.minor == -700


def test_cash_that_is_moved_to_another_subscriber_stays_in_its_till(provider: Provider, who: int):
    other = provider.subscriber("Bert")
    mistake = pay(provider, who, 5000)
    close(provider, 5000)
    close(provider, 0, "staff:2")  # closed as well: no cash comes into it
    provider.travel(noon(DAY + timedelta(days=1)))
    reverse(provider, mistake, "staff:2", move_to=other)
    found = tills()
    assert found["staff:1", DAY].expected.minor == 5000
    assert found["staff:2", DAY].others == (("R-000001 moved, no cash came", Money(-5000, "EUR")),)
    assert found["staff:2", DAY].expected.minor == 0
    with transaction() as tx:
        assert tx.scalars(select(payment.c.received_on)).all() == [DAY, DAY]


def test_the_console_shows_the_lines_of_a_day_when_it_is_closed(provider: Provider, who: int):
    back(provider, pay(provider, who, 5000), 2000, "staff:1")
    listed = CliRunner().invoke(main, ["cashier", "list"])
    assert "2026-03-02  staff:1  1 payments, €50.00" in listed.output, listed.output
    assert "    -€20.00  R-000001 paid back: moved away" in listed.output
    assert "    €30.00  expected in the till  open" in listed.output
    wrong = CliRunner().invoke(main, ["cashier", "close", "staff:1", "50.00"])
    assert "say why in a note" in wrong.output
    closed = CliRunner().invoke(main, ["cashier", "close", "staff:1", "30.00"])
    assert "€30.00  expected in the till  closed with €30.00" in closed.output, closed.output
    assert "2026-03-02 of staff:1 is closed." in closed.output
