"""Card payments that are denied: the money's way through the books, the debt, the card, and access."""

from datetime import date, timedelta

import pytest
from sqlalchemy import func, select

from base import clock
from base.database import transaction
from billing.collect.tables import card
from billing.ledger import check_books
from billing.money_back.tables import gone_back
from billing.refused import Refused
from billing.stripe_events import EVENTS
from billing.stripe_poll import poll
from billing.tables import payment, posting
from billing.tick import run as tick
from tests.billing.collecting import Till, emulate, open_till, work
from tests.billing.dunned import body
from tests.billing.provider import noon
from tests.billing.test_refunds import GROSS, MARCH, gone, hear, later, owes, paid_by_card, refund

emulator = pytest.fixture(emulate)
till = pytest.fixture(open_till)


def dispute(till: Till, **more) -> str:
    with transaction() as tx:
        intent = tx.scalar(select(payment.c.gateway_id).order_by(payment.c.id.desc()).limit(1))
    return str(till.emulator.control("disputes", payment_intent=intent, **more)["id"])


def tell(till: Till) -> None:
    """Everything that Stripe has to tell of disputes, the newest first, each twice."""
    for _ in range(2):
        for each in till.stripe.v1.events.list(params={"limit": 100}).data:
            if each.type.startswith("charge.dispute"):
                EVENTS[each.type](till.provider.vault, each.to_dict())
    work()


def lies_in(account: str) -> int:
    with transaction() as tx:
        assert check_books(tx) == []
        return int(tx.scalar(select(func.sum(posting.c.amount_minor)).where(posting.c.account == account)) or 0)


def cards_now() -> list[str]:
    with transaction() as tx:
        return list(tx.scalars(select(card.c.state)))


def test_one_that_is_won_changes_no_debt_but_the_card_is_left_alone(till: Till):
    who = paid_by_card(till)
    named = dispute(till)
    tell(till)
    assert (gone(), owes(who), cards_now()) == ([("open", GROSS)], ([], 0), ["disputed"])
    assert (lies_in("disputed"), lies_in("stripe")) == (GROSS, 0)
    with pytest.raises(Refused, match="is disputed"):
        refund(till)
    till.emulator.control(f"disputes/{named}", outcome="won")
    tell(till)
    assert (gone(), owes(who)) == ([("won", GROSS)], ([], 0))
    assert (lies_in("disputed"), lies_in("stripe")) == (0, GROSS)
    till.bill(date(2026, 4, 1))
    assert (till.taken(), owes(who)) == (GROSS, ([GROSS], GROSS))


def test_one_that_is_lost_opens_the_debt_again_and_charges_nobody(till: Till):
    who = paid_by_card(till)
    named = dispute(till)
    till.emulator.control(f"disputes/{named}", outcome="lost")  # heard of only when it is over
    till.provider.travel(noon(date(2026, 5, 20)))
    tell(till)
    assert (gone(), owes(who)) == ([("lost", GROSS)], ([GROSS], GROSS))
    assert (lies_in("disputed"), lies_in("stripe")) == (0, 0)
    assert "taken" in body("money_back")
    for ahead in range(3):
        tick(till.provider.travel(noon(date(2026, 5, 20) + timedelta(days=ahead))))
        work()
    assert till.taken() == GROSS  # by what Stripe calls taken; no second charge


def test_an_inquiry_moves_no_money_until_it_becomes_a_dispute(till: Till):
    who = paid_by_card(till)
    named = dispute(till, inquiry=True)
    tell(till)
    assert (gone(), lies_in("disputed"), owes(who)) == ([("inquiry", GROSS)], 0, ([], 0))
    till.emulator.control(f"disputes/{named}", outcome="needs_response")
    tell(till)
    assert (gone(), lies_in("disputed")) == ([("open", GROSS)], GROSS)


def test_an_inquiry_that_comes_to_nothing(till: Till):
    paid_by_card(till)
    named = dispute(till, inquiry=True)
    tell(till)
    till.emulator.control(f"disputes/{named}", outcome="warning_closed")
    tell(till)
    assert (gone(), lies_in("disputed")) == ([("won", GROSS)], 0)
    refund(till)
    work()
    assert gone()[1] == ("succeeded", GROSS)


def test_a_refund_before_a_whole_dispute_is_a_loss_and_no_debt_twice(till: Till):
    who = paid_by_card(till)
    refund(till, 1000)
    work()
    named = dispute(till)
    till.emulator.control(f"disputes/{named}", outcome="lost")
    tell(till)
    assert (owes(who), lies_in("bad_debt"), lies_in("disputed")) == (([GROSS], GROSS), 1000, 0)


def test_one_that_nobody_tells_of_is_asked_about(till: Till):
    who = paid_by_card(till)
    named = dispute(till)
    hear(till, "charge.dispute.created")
    till.emulator.control(f"disputes/{named}", outcome="lost")
    later(till)
    assert owes(who) == ([GROSS], GROSS)
    assert clock.now().date() + timedelta(days=1) > MARCH
    with transaction() as tx:
        assert tx.scalar(select(gone_back.c.ask_at)) is None


def test_after_a_gap_longer_than_stripe_keeps_events_what_went_back_is_read_from_the_lists(till: Till):
    """The poll finds no event any more: a dispute, and a refund made on Stripe's pages, are learned all the same."""
    for _ in range(2):
        till.customer("pm_card_visa")
    till.bill()
    poll(till.provider.vault)
    named = dispute(till)
    with transaction() as tx:
        first = tx.scalar(select(payment.c.gateway_id).order_by(payment.c.id).limit(1))
    till.stripe.v1.refunds.create(params={"payment_intent": first, "amount": 500})
    till.emulator.control("clock", advance=40 * 86400)
    till.provider.travel(clock.real() + timedelta(days=40))
    assert poll(till.provider.vault) == 0
    assert sorted(gone()) == [("open", GROSS), ("succeeded", 500)]
    assert (lies_in("disputed"), lies_in("stripe")) == (GROSS, GROSS - 500)
    till.emulator.control(f"disputes/{named}", outcome="won")
    poll(till.provider.vault)
    work()
    assert (lies_in("disputed"), lies_in("stripe")) == (0, 2 * GROSS - 500)
