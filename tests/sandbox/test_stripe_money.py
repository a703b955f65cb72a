"""Every cent has its movement: fees, refunds, disputes, payouts, and money of another shop; the sum is the balance."""

from collections import Counter
from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.emulator import Emulator, Receiver, wait_until

DAY = 86400


def pay(client: stripe.StripeClient, token: str = "pm_card_visa", amount: int = 10000, **params: Any) -> Any:
    given = {"amount": amount, "currency": "eur", "payment_method": token, "confirm": True, **params}
    return client.v1.payment_intents.create(params={**given, "expand": ["latest_charge.balance_transaction"]})


def movements(client: stripe.StripeClient, **params: Any) -> list[stripe.BalanceTransaction]:
    return list(client.v1.balance_transactions.list(params={"limit": 100, **params}).auto_paging_iter())


def balance(client: stripe.StripeClient) -> tuple[int, int]:
    """(available, pending) euros in cents; checked against the movements."""
    now = client.v1.balance.retrieve()
    sums = [sum(one.amount for one in kind if one.currency == "eur") for kind in (now.available, now.pending)]
    assert sum(sums) == sum(one.net for one in movements(client))
    return sums[0], sums[1]


def test_a_payment_costs_its_fee_and_is_available_later(client: stripe.StripeClient, emulator: Emulator) -> None:
    moved = pay(client).latest_charge.balance_transaction
    assert (moved.type, moved.amount, moved.fee, moved.net, moved.status) == ("charge", 10000, 320, 9680, "pending")
    assert [(one.type, one.amount) for one in moved.fee_details] == [("stripe_fee", 320)]
    assert balance(client) == (0, 9680)
    emulator.control("dials", fee_percent=1.5, fee_fixed=25, payouts="manual")
    assert pay(client).latest_charge.balance_transaction.fee == 175
    assert pay(client, "pm_card_bypassPending").latest_charge.balance_transaction.status == "available"
    emulator.control("clock", advance=3 * DAY)
    assert {one.status for one in movements(client)} == {"available"}
    assert balance(client) == (9680 + 2 * 9825, 0)


def test_movements_are_found_by_type_source_time_and_payout(client: stripe.StripeClient, emulator: Emulator) -> None:
    first = pay(client)
    emulator.control("clock", advance=3 * DAY)
    second = pay(client, amount=5000)
    client.v1.refunds.create(params={"payment_intent": second.id, "amount": 1000})
    charge = second.latest_charge.id
    assert [one.type for one in movements(client, source=charge)] == ["charge"]
    assert [one.amount for one in movements(client, type="refund")] == [-1000]
    (payout,) = client.v1.payouts.list().data
    paid_out = movements(client, payout=payout.id)
    assert [one.type for one in paid_out] == ["payout", "charge"]
    assert sum(one.net for one in paid_out) == 0, "a payout is what it consists of"
    assert paid_out[1].source == first.latest_charge.id
    since = movements(client, created={"gte": second.created})
    assert Counter(one.type for one in since) == {"charge": 1, "refund": 1}
    (shown,) = client.v1.balance_transactions.list(params={"type": "refund", "expand": ["data.source"]}).data
    assert isinstance(shown.source, stripe.Refund)


def test_every_night_what_is_available_goes_to_the_bank_and_arrives(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    midnight = (emulator.state()["now"] // DAY + 1) * DAY
    emulator.control("clock", now=midnight + 60)
    pay(client)
    emulator.control("clock", advance=DAY)
    assert client.v1.payouts.list().data == [], "not available yet"
    pay(client, "pm_card_bypassPending", 2000)
    emulator.control("clock", advance=10 * DAY)
    payouts = list(reversed(client.v1.payouts.list().data))
    assert [(one.amount, one.status) for one in payouts] == [(9680 + 1912, "paid")]
    (payout,) = payouts
    assert (payout.created, payout.arrival_date) == (midnight + 2 * DAY, midnight + 4 * DAY), "as of their own days"
    webhooks.wait("payout.created", "payout.paid", "payout.reconciliation_completed")
    created = next(one for one in webhooks.requests if one.type == "payout.paid")
    assert created.created == payout.arrival_date
    assert balance(client) == (0, 0)
    assert client.v1.payouts.list(params={"status": "failed"}).data == []
    assert client.v1.payouts.retrieve(payout.id).balance_transaction == movements(client, type="payout")[0].id


def test_a_payout_comes_back_and_its_money_goes_with_the_next(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    emulator.control("dials", payout_failure="account_closed")
    pay(client, "pm_card_bypassPending")
    emulator.control("clock", advance=DAY)
    (payout,) = client.v1.payouts.list().data
    assert payout.status == "in_transit"
    emulator.control("dials", payout_failure="", payouts="manual")
    emulator.control(f"payouts/{payout.id}", fail="no_account")
    failed = client.v1.payouts.retrieve(payout.id)
    assert (failed.status, failed.failure_code) == ("failed", "no_account")
    back = client.v1.balance_transactions.retrieve(str(failed.failure_balance_transaction))
    assert (back.type, back.amount) == ("payout_failure", payout.amount)
    webhooks.wait("payout.failed")
    (again,) = emulator.control("payouts")["data"]
    assert again["amount"] == payout.amount
    assert [one.type for one in movements(client, payout=again["id"])] == ["payout", "payout_failure"]
    emulator.control(f"payouts/{again['id']}", arrive=True)
    assert client.v1.payouts.retrieve(again["id"]).status == "paid"


def test_the_dials_let_payouts_fail_on_their_day(client: stripe.StripeClient, emulator: Emulator) -> None:
    emulator.control("dials", payout_failure="account_closed")
    pay(client, "pm_card_bypassPending")
    emulator.control("clock", advance=4 * DAY)
    assert "failed" in {one.status for one in client.v1.payouts.list()}


def test_more_that_goes_than_comes_is_not_paid_out(client: stripe.StripeClient, emulator: Emulator) -> None:
    emulator.control("fees", amount=700, currency="eur", description="Billing")
    (fee,) = movements(client, type="stripe_fee")
    assert (fee.amount, fee.source) == (-700, None)
    emulator.control("clock", advance=2 * DAY)
    assert client.v1.payouts.list().data == []
    assert balance(client) == (-700, 0)


def test_a_refund_is_pending_and_then_succeeds(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    paid = pay(client, "pm_card_pendingRefund")
    refund = client.v1.refunds.create(params={"payment_intent": paid.id})
    assert refund.status == "pending"
    emulator.control("clock", advance=DAY + 1)
    assert client.v1.refunds.retrieve(refund.id).status == "succeeded"
    webhooks.wait("refund.created", "charge.refunded", "refund.updated", "charge.refund.updated")
    changed = client.v1.refunds.update(refund.id, params={"metadata": {"credit_note": "7"}})
    assert changed.metadata["credit_note"] == "7"


def test_a_refund_fails_later_and_the_money_is_back(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    paid = pay(client, "pm_card_refundFail")
    refund = client.v1.refunds.create(params={"payment_intent": paid.id, "amount": 4000})
    assert refund.status == "succeeded", "it looks like any other at first"
    emulator.control("clock", advance=DAY + 1)
    failed = client.v1.refunds.retrieve(refund.id)
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    back = client.v1.balance_transactions.retrieve(str(failed.failure_balance_transaction))
    assert (back.type, back.amount) == ("refund_failure", 4000)
    charge = client.v1.charges.retrieve(paid.latest_charge.id)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    webhooks.wait("refund.failed", "refund.updated")
    assert client.v1.refunds.create(params={"payment_intent": paid.id}).amount == 10000


def test_a_saved_cards_refunds_end_as_one_says(client: stripe.StripeClient, emulator: Emulator) -> None:
    customer = client.v1.customers.create().id
    card = client.v1.payment_methods.attach("pm_card_visa", params={"customer": customer}).id
    emulator.control(f"cards/{card}", refunds="pending")
    paid = pay(client, card, customer=customer)
    refund = client.v1.refunds.create(params={"payment_intent": paid.id})
    assert emulator.control(f"refunds/{refund.id}", settle="failed")["status"] == "failed"
    emulator.control("clock", advance=2 * DAY)
    assert client.v1.refunds.retrieve(refund.id).status == "failed", "what is over stays over"
    answer = requests.post(f"{emulator.url}/sandbox/refunds/{refund.id}", json={"settle": "maybe"}, timeout=5)
    assert answer.status_code == 400


def dispute_of(client: stripe.StripeClient, paid: Any) -> stripe.Dispute:
    (found,) = client.v1.disputes.list(params={"payment_intent": paid.id}).data
    return found


@pytest.mark.parametrize("fee_returned", [True, False])
def test_a_dispute_is_won(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver, fee_returned: bool
) -> None:
    paid = pay(client)
    before = sum(balance(client))
    opened = emulator.control("disputes", payment_intent=paid.id, reason="product_not_received")
    assert sum(balance(client)) == before - 10000 - 1500
    (taken,) = movements(client, type="adjustment")
    assert (taken.reporting_category, taken.fee, taken.source) == ("dispute", 1500, opened["id"])
    with pytest.raises(stripe.InvalidRequestError, match="charged back"):
        client.v1.refunds.create(params={"payment_intent": paid.id})
    emulator.control(f"disputes/{opened['id']}", outcome="won", fee_returned=fee_returned)
    assert sum(balance(client)) == before - (0 if fee_returned else 1500)
    assert dispute_of(client, paid).status == "won"
    webhooks.wait("charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated", "charge.dispute.closed")
    assert client.v1.refunds.create(params={"payment_intent": paid.id}).status == "succeeded"


def test_a_dispute_is_answered_with_evidence_or_given_up(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    won, lost, given_up = (dispute_of(client, pay(client, "pm_card_createDispute")) for _ in range(3))
    assert won.status == "needs_response"
    draft = client.v1.disputes.update(won.id, params={"evidence": {"service_date": "May"}, "submit": False})
    assert (draft.status, draft.evidence_details.has_evidence) == ("needs_response", True)
    for one, word in ((won, "winning_evidence"), (lost, "losing_evidence")):
        client.v1.disputes.update(one.id, params={"evidence": {"uncategorized_text": word}})
    client.v1.disputes.close(given_up.id)
    ends = [client.v1.disputes.retrieve(one.id).status for one in (won, lost, given_up)]
    assert ends == ["won", "lost", "lost"]
    wait_until(lambda: webhooks.types.count("charge.dispute.closed") == 3)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.disputes.update(won.id, params={"evidence": {"service_date": "June"}})


def test_an_inquiry_takes_no_money_until_it_becomes_a_dispute(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    closed, grown = pay(client, "pm_card_createDisputeInquiry"), pay(client, "pm_card_createDisputeInquiry")
    assert dispute_of(client, closed).status == "warning_needs_response"
    assert dispute_of(client, closed).payment_method_details.card.case_type == "inquiry"
    assert movements(client, type="adjustment") == []
    emulator.control(f"disputes/{dispute_of(client, closed).id}", outcome="warning_closed")
    emulator.control(f"disputes/{dispute_of(client, grown).id}", outcome="needs_response")
    assert [dispute_of(client, one).status for one in (closed, grown)] == ["warning_closed", "needs_response"]
    assert len(movements(client, type="adjustment")) == 1
    assert client.v1.refunds.create(params={"payment_intent": closed.id}).status == "succeeded"
    webhooks.wait("charge.dispute.created", "charge.dispute.closed", "charge.dispute.funds_withdrawn")
    wrong = requests.post(
        f"{emulator.url}/sandbox/disputes/{dispute_of(client, grown).id}", json={"outcome": "warning_closed"}, timeout=5
    )
    assert wrong.status_code == 400


def test_part_of_a_payment_is_disputed_but_never_more(client: stripe.StripeClient, emulator: Emulator) -> None:
    paid = pay(client)
    assert emulator.control("disputes", charge=paid.latest_charge.id, amount=2500)["amount"] == 2500
    url = f"{emulator.url}/sandbox/disputes"
    assert requests.post(url, json={"charge": paid.latest_charge.id, "amount": 10001}, timeout=5).status_code == 400
    assert requests.post(url, json={"charge": "ch_no"}, timeout=5).status_code == 400


def test_another_shop_shares_the_account(client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver) -> None:
    modern = emulator.control("charges", amount=3000, currency="eur", description="T-shirt")
    bare = emulator.control("charges", amount=2000, currency="eur", intent=False)
    assert (modern["object"], modern["metadata"], modern["status"]) == ("payment_intent", {}, "succeeded")
    assert (bare["object"], bare["payment_intent"], bare["metadata"]) == ("charge", None, {})
    assert sorted(one.amount for one in movements(client, type="charge")) == [2000, 3000]
    wait_until(lambda: webhooks.types.count("charge.succeeded") == 2)


@pytest.mark.parametrize(
    ("currency", "amount", "code"),
    [
        ("eur", 49, "amount_too_small"),
        ("gbp", 29, "amount_too_small"),
        ("gbp", 30, None),
        ("huf", 17499, "amount_too_small"),
        ("jpy", 49, "amount_too_small"),
        ("jpy", 50, None),
        ("krw", 49, "amount_too_small"),
        ("kwd", 150, "amount_too_small"),
        ("kwd", 1005, "parameter_invalid_integer"),
        ("kwd", 1000, None),
        ("isk", 10050, "parameter_invalid_integer"),
        ("eur", 100_000_000, "amount_too_large"),
    ],
)
def test_each_currency_has_its_least_amount(
    client: stripe.StripeClient, currency: str, amount: int, code: str | None
) -> None:
    def create() -> Any:
        return client.v1.payment_intents.create(params={"amount": amount, "currency": currency})

    if code is None:
        assert create().amount == amount
        return
    with pytest.raises(stripe.InvalidRequestError) as refused:
        create()
    assert (refused.value.code, refused.value.param) == (code, "amount")
