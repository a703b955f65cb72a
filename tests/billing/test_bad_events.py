"""Events that should not be: of another account or mode, a deleted customer, other business, out of their time."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from base import clock, inbox
from base.database import transaction
from base.tables import inbox as events
from billing.checkout import Wish, start
from billing.collect import cards
from billing.collect.tables import card, gateway_state
from billing.gateway.webhooks import TOLERANCE, construct_event
from billing.gateway.words import BadSignature
from billing.stripe_events import handle
from billing.stripe_poll import poll
from tests.billing.collecting import Till, emulate, open_till, work
from tests.portal.test_webhooks import SECRET, signature
from tests.sandbox.emulator import Emulator

emulator = pytest.fixture(emulate)
till = pytest.fixture(open_till)
GROSS = 3599


def tell(kind: str, of: str, number: int = 1, **more: Any) -> str:
    """An event about an object comes in; what became of it."""
    body = {"id": f"evt_{kind}_{number}", "type": kind, "data": {"object": {"id": of}}, **more}
    with transaction() as tx:
        inbox.receive(tx, "stripe", body["id"], kind, body, clock.real())
        inbox_id = tx.scalar(select(events.c.id).where(events.c.event_id == body["id"]))
    handle(inbox_id)
    with transaction() as tx:
        return str(tx.scalar(select(events.c.outcome).where(events.c.id == inbox_id)))


def charged_unheard(till: Till) -> str:
    """A card was charged, and nobody has told us: pi_…"""
    till.customer("pm_card_visa")
    till.emulator.order(kind="error_500_after", path="/v1/payment_intents/*/confirm")
    till.bill()
    assert (till.taken(), till.recorded()) == (GROSS, 0)
    return str(till.case().intent_id)


@pytest.mark.parametrize(
    ("stranger", "outcome"),
    [
        ({"livemode": True}, "refused: of live mode"),
        ({"livemode": False, "account": "acct_other"}, "refused: of the account acct_other"),
    ],
)
def test_another_account_or_mode_moves_nothing_even_of_a_payment_that_is_ours(till: Till, stranger, outcome):
    intent = charged_unheard(till)
    assert tell("payment_intent.succeeded", intent, **stranger) == outcome
    assert till.recorded() == 0
    assert tell("payment_intent.succeeded", intent, 2, livemode=False) == "paid"
    assert till.recorded() == GROSS


def test_a_connected_account_takes_its_own_events_only(till: Till):
    till.provider.set(stripe_connected_account="acct_ours")
    assert tell("customer.created", "cus_1", account="acct_ours", livemode=False) == "ignored"
    assert tell("customer.created", "cus_1", 2, livemode=False) == "refused: of the account itself"


def test_a_deleted_customer_has_no_cards_any_more_and_can_pay_and_leave_one_again(till: Till):
    who = till.customer("pm_card_visa")
    customer = cards.customer_of(till.provider.vault, who)
    method = till.stripe.v1.customers.payment_methods.list(customer).data[0].id
    till.stripe.v1.customers.delete(customer)
    told = {"data": {"object": {"id": method, "customer": customer}}}
    assert tell("payment_method.updated", method, **told) == "cards read"
    assert tell("customer.deleted", customer) == "customer forgotten"
    assert tell("customer.deleted", customer, 2) == "not ours"
    with transaction() as tx:
        assert cards.all_cards(tx, who) == []
        assert tx.scalars(select(card.c.state)).all() == ["removed"]
    till.bill()  # nothing to charge, and nothing breaks
    assert (till.taken(), till.recorded()) == (0, 0)
    assert start(till.provider.vault, who, "https://isp.example", Wish()).startswith(till.emulator.url)
    assert cards.customer_of(till.provider.vault, who) != customer


def test_a_deleted_customer_that_nobody_told_of_is_found_when_the_card_is_charged(till: Till):
    who = till.customer("pm_card_visa")
    till.stripe.v1.customers.delete(cards.customer_of(till.provider.vault, who))
    till.bill()
    assert (till.taken(), till.recorded()) == (0, 0)
    with transaction() as tx:
        assert cards.all_cards(tx, who) == []
    assert start(till.provider.vault, who, "https://isp.example", Wish()).startswith(till.emulator.url)


def test_a_customer_that_is_still_there_is_not_forgotten(till: Till):
    customer = cards.customer_of(till.provider.vault, till.customer("pm_card_visa"))
    assert tell("customer.deleted", customer) == "still there"
    assert cards.customer_of(till.provider.vault, 1) == customer


def test_an_event_of_a_customer_that_is_nobody_here(till: Till):
    told = {"data": {"object": {"id": "pm_1", "customer": "cus_nobody"}}}
    assert tell("payment_method.attached", "pm_1", **told) == "cards read"
    assert tell("payment_method.detached", "pm_1") == "not ours"
    with transaction() as tx:
        assert tx.execute(select(card)).all() == []


def test_other_business_without_our_metadata_is_nobodys(till: Till, emulator: Emulator):
    till.customer("pm_card_visa")
    intent = emulator.control("charges", amount=3000, currency="eur", description="T-shirt")["id"]
    refund = till.stripe.v1.refunds.create(params={"payment_intent": intent, "amount": 1000}).id
    disputed = emulator.control("disputes", payment_intent=intent)["id"]
    refunded = {"data": {"object": {"id": "ch_1", "payment_intent": intent}}}
    assert tell("payment_intent.succeeded", intent) == "not ours"
    assert tell("refund.created", refund) == "not ours"
    assert tell("charge.refunded", "ch_1", **refunded) == "not ours"
    assert tell("charge.refunded", "ch_1", 2) == "not ours"
    assert tell("charge.dispute.created", disputed) == "not ours"
    assert till.recorded() == 0


@pytest.mark.parametrize("kind", ["customer.created", "v2.core.event", "payment_intent.of_tomorrow", ""])
def test_an_unknown_type_is_kept_and_ignored(till: Till, kind: str):
    assert tell(kind, "whatever", data={"object": None}) == "ignored"


def test_an_event_about_what_is_long_over_changes_nothing(till: Till):
    till.customer("pm_card_visa")
    till.bill()
    intent = till.case().intent_id
    month_ago = {"created": int(time.time()) - 40 * 86400}
    for number, kind in enumerate(("payment_failed", "processing", "requires_action", "canceled", "succeeded")):
        assert tell(f"payment_intent.{kind}", intent, number, **month_ago) == "paid"
    assert (till.taken(), till.recorded()) == (GROSS, GROSS)
    assert tell("payment_intent.succeeded", "pi_of_last_year", 9) == "not ours"


def test_an_event_from_the_future_does_not_hide_what_comes_before_it(till: Till, emulator: Emulator):
    till.customer("pm_card_visa")
    till.bill()
    emulator.control("clock", advance=9 * 86400)
    till.stripe.v1.refunds.create(params={"payment_intent": till.case().intent_id, "amount": 100})
    assert poll(till.provider.vault) > 0
    with transaction() as tx:
        until = tx.scalar(select(gateway_state.c.polled_until))
    assert until <= max(clock.now(), datetime.now(UTC)) + timedelta(minutes=1)
    work()
    assert till.taken() == GROSS - 100


def test_a_gap_longer_than_stripe_keeps_events_is_read_from_the_payments(till: Till):
    intent = charged_unheard(till)
    with transaction() as tx:
        before = {"id": 1, "polled_until": clock.now() - timedelta(days=31)}
        tx.execute(gateway_state.insert().values(**before))
    poll(till.provider.vault)
    assert till.recorded() == GROSS
    assert tell("payment_intent.succeeded", intent) == "paid"
    assert till.recorded() == GROSS


@pytest.mark.parametrize("off", [-TOLERANCE - 60, TOLERANCE + 60])
def test_a_signature_out_of_its_time_is_not_believed(off: int):
    body = b'{"id": "evt_1", "type": "payout.paid"}'
    with pytest.raises(BadSignature):
        construct_event(body, signature(body, at=time.time() + off), SECRET)
    assert construct_event(body, signature(body), SECRET)["id"] == "evt_1"
