"""Parts of a plan are collected from a card on their days: what is due, once; and the debt itself is left alone."""

from datetime import date

import pytest
from sqlalchemy import select, update

from base import clock
from base.database import transaction
from base.money import Money
from billing.collect import cards
from billing.collect.cases import leave_to_plan, owed_by
from billing.collect.pace import wait_for_turn
from billing.collect.tables import collection
from billing.instalments.plans import agree, plans_of
from billing.instalments.rules import spread
from billing.money_back import card as refunds
from billing.money_back import disputes
from billing.refused import Refused
from billing.tasks import Retry
from billing.tomorrow import preview_day
from tests.billing.collecting import Till, emulate, open_till, work
from tests.billing.dunned import body
from tests.billing.provider import live_a_day, noon
from tests.billing.test_disputes import dispute
from tests.billing.test_refunds import GROSS, gone, owes, paid_by_card, refund

emulator = pytest.fixture(emulate)
till = pytest.fixture(open_till)


def april(day: int) -> date:
    return date(2026, 4, day)


def live(till: Till, *days: date) -> None:
    """The tick runs in the morning and at noon of these days, and a worker works."""
    for day in days:
        for hour in (8, 12):
            live_a_day(till.provider.travel(noon(day).replace(hour=hour)))
            work()


def overdue(till: Till, *tokens: str, currency: str = "EUR", price: int = 2999) -> int:
    """A subscriber with a plan of three parts (8, 18 and 28 April) for what was due in March, and autopay since."""
    who = till.customer(*tokens, autopay=False, currency=currency, price=price)
    till.bill()
    till.provider.travel(noon(april(6)))
    with transaction() as tx:
        tx.execute(update(_service()).values(ends_on=april(1)))  # no further bills
        cards.set_autopay(tx, till.business(tx), f"subscriber:{who}", who, True)
        owed = owed_in_march(tx, who)
        parts = spread(owed, 3, april(8), 10)
        agree(tx, till.provider.vault, till.business(tx), "staff:1", who, parts, clock.now())
    work()
    return who


def owed_in_march(tx, who: int) -> Money:
    from billing.instalments.plans import overdue as overdue_of

    return overdue_of(tx, who, april(6))[0]


def _service():
    from base.tables import service

    return service


def state(who: int) -> str:
    with transaction() as tx:
        return plans_of(tx, who)[0].state


def test_each_part_is_charged_on_its_day_and_nothing_else(till: Till):
    who = overdue(till, "pm_card_visa")
    assert "charged to your card" in body("instalment_plan")
    live(till, april(6), april(7))
    assert till.taken() == 0
    live(till, april(8), april(9), april(17))
    assert (till.taken(), owes(who)) == (1200, ([GROSS - 1200], GROSS - 1200))
    live(till, april(18), april(27), april(28), april(29))
    assert (till.taken(), owes(who), state(who)) == (GROSS, ([], 0), "kept")
    assert till.cases()[-3:] == [("paid", "succeeded")] * 3
    assert till.recorded() == GROSS


def test_a_part_that_was_paid_otherwise_is_not_charged(till: Till):
    who = overdue(till, "pm_card_visa")
    till.provider.travel(noon(april(7)))
    till.provider.pay(who, 1300)
    live(till, april(8), april(18))
    assert till.taken() == 2400 - 1300
    assert owes(who)[0] == [GROSS - 2400]


def test_one_that_is_paid_while_its_collection_waits_ends_it(till: Till):
    who = overdue(till, "pm_card_visa")
    live_a_day(till.provider.travel(noon(april(8)).replace(hour=5)))  # it waits for the morning
    till.provider.pay(who, 1200)
    live(till, april(8))
    assert till.taken() == 0
    assert till.cases()[-1] == ("ended", "")


def test_a_card_that_is_refused_is_tried_with_the_next_part_too_and_the_plan_breaks_without_money(till: Till):
    who = overdue(till, "pm_card_chargeCustomerFail")
    live(till, april(8))
    assert till.cases()[-1] == ("waiting", "declined")
    live(till, april(9), april(12))
    assert state(who) == "broken"
    before = len(till.cases())
    live(till, april(13), april(20))
    assert (till.taken(), len(till.cases())) == (0, before)  # no card is charged for all of it by itself


def test_a_waiting_collection_takes_the_next_part_along(till: Till):
    till.provider.set(instalment_grace_days=30)
    who = overdue(till, "pm_card_chargeCustomerFail")
    live(till, april(8))
    with transaction() as tx:
        row = till_case(tx)
        assert owed_by(tx, row.id, "EUR")[0].minor == 1200
        tx.execute(update(collection).where(collection.c.id == row.id).values(next_try_at=noon(date(2026, 5, 20))))
    live(till, april(18))
    with transaction() as tx:
        assert owed_by(tx, row.id, "EUR")[0].minor == 2400
        assert till_case(tx).id == row.id
    assert owes(who)[1] == GROSS


def till_case(tx):
    return tx.execute(select(collection).order_by(collection.c.id.desc()).limit(1)).one()


def test_the_preview_names_the_charge(till: Till):
    overdue(till, "pm_card_visa")
    found = [(each.kind, each.what, each.amount) for each in preview_day(april(8)).items]
    assert ("charge", "", Money(1200, "EUR")) in found
    assert ("part", "1 of 3", Money(1200, "EUR")) in found


def test_nothing_is_agreed_while_a_card_payment_is_under_way(till: Till):
    who = till.customer("pm_card_chargeCustomerFail")
    till.bill()
    with transaction() as tx:
        tx.execute(update(collection).values(state="pending"))
        with pytest.raises(Refused, match="under way"):
            leave_to_plan(tx, [1], clock.now())
        tx.execute(update(collection).values(state="waiting"))
    till.provider.travel(noon(april(6)))
    with transaction() as tx:
        parts = spread(owed_in_march(tx, who), 2, april(8))
        agree(tx, till.provider.vault, till.business(tx), "staff:1", who, parts, clock.now(), [1])
    live(till, april(6))
    assert till.cases()[0] == ("ended", "declined")


@pytest.mark.parametrize(("currency", "price"), [("JPY", 5000), ("KWD", 8334)])
def test_parts_in_other_currencies(till: Till, currency: str, price: int):
    """6,000 yen in whole yen; 10.001 dinar, of which cards are charged whole hundredths: a little more at first."""
    who = overdue(till, "pm_card_visa", currency=currency, price=price)
    live(till, april(8))
    first = till.taken()
    live(till, april(18), april(28))
    assert owes(who)[0] == []
    if currency == "JPY":
        assert (first, till.taken()) == (2000, 6000)
    else:
        assert (first, till.taken() % 10) == (3340, 0)  # 3.334 are due
        assert 10001 <= till.taken() <= 10010
    assert till.recorded() == till.taken()
    live(till, april(29))
    assert state(who) == "kept"


def test_refunds_and_disputes_wait_for_their_turn_at_stripe(till: Till):
    paid_by_card(till)
    named = dispute(till)
    refund_id = refund_of(till)
    till.provider.set(stripe_calls_per_second=1)
    wait_for_turn(1, 30)  # everybody else's calls of the next half minute
    vault = till.provider.vault
    for call in (
        lambda: refunds.send(vault, refund_id),
        lambda: refunds.hear(vault, "re_1"),
        lambda: refunds.hear_charge(vault, "pi_1"),
        lambda: disputes.hear(vault, named),
        lambda: disputes.ask(vault, refund_id),
    ):
        with pytest.raises(Retry, match="1 times a second"):
            call()
    assert [state for state, _ in gone()] == ["sent"]


def refund_of(till: Till) -> int:
    return refund(till, 500)
