"""Money moves once, and every refusal says what Stripe says."""

from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.emulator import Emulator, Receiver

DECLINES = [
    # token, code, decline_code, param, advice_code
    ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline", None, "try_again_later"),
    ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds", None, "try_again_later"),
    ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card", None, "do_not_try_again"),
    ("pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card", None, "do_not_try_again"),
    ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card", "exp_month", "confirm_card_data"),
    ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc", "cvc", "confirm_card_data"),
    ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error", None, "try_again_later"),
    ("pm_card_chargeDeclinedFraudulent", "card_declined", "fraudulent", None, None),
]


def pay(client: stripe.StripeClient, **params: Any) -> stripe.PaymentIntent:
    given = {"amount": 4599, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True, **params}
    return client.v1.payment_intents.create(params=given)


def saved_card(client: stripe.StripeClient, token: str) -> tuple[str, str]:
    customer = client.v1.customers.create().id
    return customer, client.v1.payment_methods.attach(token, params={"customer": customer}).id


def test_a_saved_card_is_charged_without_its_owner(client: stripe.StripeClient, webhooks: Receiver) -> None:
    customer, card = saved_card(client, "pm_card_visa")
    paid = pay(client, customer=customer, payment_method=card, off_session=True, metadata={"attempt": "7"})
    assert (paid.status, paid.amount_received, paid.last_payment_error) == ("succeeded", 4599, None)
    (charge,) = client.v1.charges.list(params={"payment_intent": paid.id})
    assert (charge.status, charge.paid, charge.captured, charge.customer) == ("succeeded", True, True, customer)
    assert charge.metadata["attempt"] == "7"
    events = webhooks.wait("payment_intent.succeeded", "charge.succeeded")
    assert [event.type for event in events][-3:] == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]
    created = next(event for event in events if event.type == "payment_intent.created")
    assert created.data.object["status"] == "requires_confirmation", "an event shows the object as it was then"
    assert created.request.id == paid.last_response.request_id
    assert created.request.idempotency_key == paid.last_response.headers["Idempotency-Key"]


@pytest.mark.parametrize(("token", "code", "decline_code", "param", "advice"), DECLINES)
def test_a_declined_card_says_why_and_the_next_one_may_pay(
    client: stripe.StripeClient, emulator: Emulator, token: str, code: str, decline_code: str, param: str, advice: str
) -> None:
    with pytest.raises(stripe.CardError) as refused:
        pay(client, payment_method=token, off_session=True)
    error = refused.value.error
    assert (refused.value.http_status, error.type, error.code, error.decline_code) == (
        402,
        "card_error",
        code,
        decline_code,
    )
    assert (error.param, error.advice_code) == (param, advice)
    assert refused.value.user_message == error.message
    assert error.doc_url
    intent = error.payment_intent
    assert (intent.status, intent.payment_method) == ("requires_payment_method", None)
    assert intent.last_payment_error.decline_code == decline_code
    assert error.charge == intent.latest_charge
    charge = client.v1.charges.retrieve(str(error.charge))
    assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, code)
    paid = client.v1.payment_intents.confirm(intent.id, params={"payment_method": "pm_card_visa"})
    assert (paid.status, paid.last_payment_error) == ("succeeded", None)
    assert emulator.state()["charges"] == {"guest": {"failed": 1, "succeeded": 1}}


def test_a_decline_is_told_by_webhook(client: stripe.StripeClient, webhooks: Receiver) -> None:
    with pytest.raises(stripe.CardError):
        pay(client, payment_method="pm_card_visa_chargeDeclined")
    events = webhooks.wait("payment_intent.payment_failed")
    assert [event.type for event in events] == [
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
    ]
    assert webhooks.of("payment_intent.payment_failed").last_payment_error.code == "card_declined"


def test_declining_cards_cannot_be_saved_except_the_one_made_for_it(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.CardError) as refused:
        saved_card(client, "pm_card_visa_chargeDeclined")
    assert refused.value.code == "card_declined"
    customer, card = saved_card(client, "pm_card_chargeCustomerFail")
    with pytest.raises(stripe.CardError) as refused:
        pay(client, customer=customer, payment_method=card, off_session=True)
    assert refused.value.code == "card_declined"


def test_a_card_that_needs_its_owner_is_refused_off_session(client: stripe.StripeClient) -> None:
    customer, card = saved_card(client, "pm_card_authenticationRequired")
    with pytest.raises(stripe.CardError) as refused:
        pay(client, customer=customer, payment_method=card, off_session=True)
    error = refused.value.error
    assert (error.code, error.decline_code) == ("authentication_required", "authentication_required")
    assert error.payment_intent.status == "requires_payment_method"


def test_error_on_requires_action_fails_at_once(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.CardError) as refused:
        pay(client, payment_method="pm_card_authenticationRequired", error_on_requires_action=True)
    error = refused.value.error
    assert (error.code, error.decline_code) == ("authentication_required", "authentication_not_handled")
    assert (error.payment_intent.status, error.payment_intent.latest_charge) == ("requires_payment_method", None)


@pytest.mark.parametrize("answer", ["complete", "fail"])
def test_the_bank_asks_and_sends_the_customer_back(
    client: stripe.StripeClient, webhooks: Receiver, answer: str
) -> None:
    intent = pay(client, payment_method="pm_card_authenticationRequired", return_url="http://127.0.0.1:9/back?order=7")
    assert intent.status == "requires_action"
    assert intent.next_action.redirect_to_url
    page = str(intent.next_action.redirect_to_url.url)
    assert "Complete authentication" in requests.get(page, timeout=5).text
    back = requests.post(page, data={"answer": answer}, timeout=5, allow_redirects=False)
    told = back.headers["Location"]
    assert told.startswith(f"http://127.0.0.1:9/back?order=7&payment_intent={intent.id}&")
    now = client.v1.payment_intents.retrieve(intent.id)
    if answer == "complete":
        assert now.status == "succeeded"
        assert "redirect_status=succeeded" in told
        webhooks.wait("payment_intent.requires_action", "payment_intent.succeeded")
    else:
        assert now.status == "requires_payment_method"
        assert now.last_payment_error.code == "payment_intent_authentication_failure"
        assert "redirect_status=failed" in told
        webhooks.wait("payment_intent.requires_action", "payment_intent.payment_failed")
    again = requests.post(page, data={"answer": "complete"}, timeout=5, allow_redirects=False)
    assert again.headers["Location"] == told, "the bank asks once"
    assert client.v1.payment_intents.retrieve(intent.id).status == now.status


def test_a_card_that_was_set_up_with_its_bank_pays_later_without_it(client: stripe.StripeClient) -> None:
    customer, card = saved_card(client, "pm_card_authenticationRequiredOnSetup")
    with pytest.raises(stripe.CardError):
        pay(client, customer=customer, payment_method=card, off_session=True)
    setup = client.v1.setup_intents.create(params={"customer": customer, "payment_method": card, "confirm": True})
    assert setup.status == "requires_action"
    done = requests.post(str(setup.next_action.redirect_to_url.url), data={"answer": "complete"}, timeout=5)
    assert "Confirmed" in done.text
    assert client.v1.setup_intents.retrieve(setup.id).status == "succeeded"
    assert pay(client, customer=customer, payment_method=card, off_session=True).status == "succeeded"


def test_a_card_is_set_up_without_being_charged(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    customer = client.v1.customers.create().id
    setup = client.v1.setup_intents.create(params={"customer": customer, "metadata": {"for": "autopay"}})
    assert setup.status == "requires_payment_method"
    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
        client.v1.setup_intents.confirm(setup.id)
    with pytest.raises(stripe.CardError) as refused:
        client.v1.setup_intents.confirm(setup.id, params={"payment_method": "pm_card_visa_chargeDeclined"})
    assert refused.value.error.setup_intent.last_setup_error.code == "card_declined"
    done = client.v1.setup_intents.confirm(setup.id, params={"payment_method": "pm_card_visa"})
    assert (done.status, done.last_setup_error) == ("succeeded", None)
    (card,) = client.v1.payment_methods.list(params={"customer": customer})
    assert card.id == done.payment_method
    for deed in (client.v1.setup_intents.confirm, client.v1.setup_intents.cancel):
        with pytest.raises(stripe.InvalidRequestError) as blocked:
            deed(setup.id)
        assert blocked.value.code == "setup_intent_unexpected_state"
    assert emulator.state()["charges"] == {}
    assert [event.type for event in webhooks.wait("setup_intent.succeeded")] == [
        "customer.created",
        "setup_intent.created",
        "setup_intent.setup_failed",
        "payment_method.attached",
        "setup_intent.succeeded",
    ]
    given_up = client.v1.setup_intents.create()
    assert client.v1.setup_intents.cancel(given_up.id, params={"cancellation_reason": "abandoned"}).status == "canceled"
    webhooks.wait("setup_intent.canceled")
    assert [one.id for one in client.v1.setup_intents.list(params={"customer": customer})] == [setup.id]


def test_a_payment_can_save_its_card(client: stripe.StripeClient, webhooks: Receiver) -> None:
    customer = client.v1.customers.create().id
    paid = pay(client, customer=customer, setup_future_usage="off_session")
    (card,) = client.v1.payment_methods.list(params={"customer": customer})
    assert card.id == paid.payment_method
    webhooks.wait("payment_method.attached")


def test_an_intent_succeeds_once(client: stripe.StripeClient, emulator: Emulator) -> None:
    paid = pay(client)
    for deed in (client.v1.payment_intents.confirm, client.v1.payment_intents.cancel):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            deed(paid.id)
        assert refused.value.code == "payment_intent_unexpected_state"
        assert refused.value.error.payment_intent.status == "succeeded"
    assert emulator.state()["charges"] == {"guest": {"succeeded": 1}}


def test_an_intent_is_made_confirmed_later_or_cancelled(client: stripe.StripeClient, webhooks: Receiver) -> None:
    bare = client.v1.payment_intents.create(params={"amount": 500, "currency": "EUR"})
    assert (bare.status, bare.currency) == ("requires_payment_method", "eur")
    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
        client.v1.payment_intents.confirm(bare.id)
    ready = client.v1.payment_intents.create(
        params={
            "amount": 500,
            "currency": "eur",
            "payment_method": "pm_card_visa",
            "allowed_payment_method_types": ["card"],
        }
    )
    assert ready.status == "requires_confirmation"
    assert client.v1.payment_intents.confirm(ready.id).status == "succeeded"
    ended = client.v1.payment_intents.cancel(bare.id, params={"cancellation_reason": "duplicate"})
    assert (ended.status, ended.cancellation_reason) == ("canceled", "duplicate")
    assert ended.canceled_at
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.confirm(bare.id, params={"payment_method": "pm_card_visa"})
    webhooks.wait("payment_intent.canceled")


def test_a_card_of_nobody_pays_once_and_anothers_card_never(client: stripe.StripeClient) -> None:
    loose = client.v1.payment_methods.create(params={"type": "card", "card": {"token": "tok_visa"}})
    assert pay(client, payment_method=loose.id).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError, match="previously used"):
        pay(client, payment_method=loose.id)
    _, card = saved_card(client, "pm_card_visa")
    for customer in ({}, {"customer": client.v1.customers.create().id}):
        with pytest.raises(stripe.InvalidRequestError, match="another customer"):
            pay(client, payment_method=card, **customer)


def test_a_card_expires_as_time_goes_by(client: stripe.StripeClient, emulator: Emulator) -> None:
    customer, card = saved_card(client, "pm_card_visa")
    emulator.ahead = 6 * 366 * 86400.0
    with pytest.raises(stripe.CardError) as refused:
        pay(client, customer=customer, payment_method=card, off_session=True)
    assert refused.value.code == "expired_card"


def test_money_goes_back_in_parts_but_never_more_than_came(client: stripe.StripeClient, webhooks: Receiver) -> None:
    paid = pay(client, amount=1000)
    part = client.v1.refunds.create(params={"payment_intent": paid.id, "amount": 300, "metadata": {"why": "outage"}})
    assert (part.status, part.amount, part.charge) == ("succeeded", 300, paid.latest_charge)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create(params={"payment_intent": paid.id, "amount": 701})
    assert refused.value.param == "amount"
    rest = client.v1.refunds.create(params={"charge": str(paid.latest_charge), "reason": "requested_by_customer"})
    assert rest.amount == 700
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create(params={"payment_intent": paid.id})
    assert refused.value.code == "charge_already_refunded"
    charge = client.v1.charges.retrieve(str(paid.latest_charge))
    assert (charge.amount_refunded, charge.refunded) == (1000, True)
    assert [one.id for one in client.v1.refunds.list(params={"charge": charge.id})] == [rest.id, part.id]
    assert client.v1.refunds.retrieve(part.id).metadata["why"] == "outage"
    movement = client.v1.balance_transactions.retrieve(str(rest.balance_transaction))
    assert (movement.amount, movement.net, movement.type) == (-700, -700, "refund")
    assert [event.type for event in webhooks.wait("charge.refunded")][-4:] == ["refund.created", "charge.refunded"] * 2


@pytest.mark.parametrize("params", [{}, {"charge": "ch_1", "payment_intent": "pi_1"}, {"payment_intent": "pi_none"}])
def test_a_refund_needs_one_payment(client: stripe.StripeClient, params: dict[str, str]) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.refunds.create(params=params)


def test_what_was_not_paid_cannot_go_back(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.CardError) as refused:
        pay(client, payment_method="pm_card_visa_chargeDeclined")
    with pytest.raises(stripe.InvalidRequestError, match="not successful"):
        client.v1.refunds.create(params={"payment_intent": refused.value.error.payment_intent.id})


def test_a_payment_is_disputed(client: stripe.StripeClient, webhooks: Receiver) -> None:
    paid = pay(client, payment_method="pm_card_createDispute")
    assert paid.status == "succeeded"
    (dispute,) = client.v1.disputes.list(params={"payment_intent": paid.id})
    assert (dispute.amount, dispute.status, dispute.charge) == (4599, "needs_response", paid.latest_charge)
    assert dispute.balance_transactions[0].net == -4599 - 1500
    assert client.v1.charges.retrieve(str(paid.latest_charge)).disputed
    webhooks.wait("charge.dispute.created")
    assert webhooks.of("charge.dispute.created").id == client.v1.disputes.retrieve(dispute.id).id
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create(params={"payment_intent": paid.id})
    assert refused.value.code == "charge_disputed"
