"""A saved card declines in every way that Stripe has, asks its owner, takes its time, is renewed, and goes."""

from typing import Any

import pytest
import requests
import stripe

from sandbox.stripe.cards import CARDS
from sandbox.stripe.declines import DECLINES
from tests.sandbox.emulator import Emulator, Receiver, wait_until

CLASSES = {
    "never": "incorrect_number lost_card pickup_card stolen_card revocation_of_authorization "
    "revocation_of_all_authorizations transaction_not_allowed invalid_account do_not_try_again restricted_card "
    "security_violation stop_payment_order fraudulent merchant_blacklist new_account_information_available",
    "needs customer": "expired_card incorrect_cvc card_not_supported currency_not_supported authentication_required",
    "later": "insufficient_funds card_velocity_exceeded withdrawal_count_limit_exceeded",
    "soft": "generic_decline do_not_honor call_issuer no_action_taken",
    "soon": "processing_error issuer_not_available try_again_later reenter_transaction approve_with_id",
}
NEVER = (
    "lost_card stolen_card pickup_card do_not_try_again restricted_card stop_payment_order "
    "revocation_of_authorization revocation_of_all_authorizations transaction_not_allowed"
)
CHECK = (
    "expired_card incorrect_cvc incorrect_number invalid_account card_not_supported currency_not_supported "
    "new_account_information_available"
)
OWN_CODE = ("expired_card", "incorrect_cvc", "incorrect_number", "processing_error", "authentication_required")


def saved(client: stripe.StripeClient, token: str = "pm_card_visa") -> tuple[str, str]:
    customer = client.v1.customers.create().id
    return customer, client.v1.payment_methods.attach(token, params={"customer": customer}).id


def charge(client: stripe.StripeClient, card: tuple[str, str], **params: Any) -> stripe.PaymentIntent:
    """As autopay does it: made unconfirmed, then confirmed without the customer."""
    made = client.v1.payment_intents.create(
        params={"amount": 4599, "currency": "eur", "customer": card[0], "payment_method": card[1], **params}
    )
    assert made.status == "requires_confirmation"
    return client.v1.payment_intents.confirm(made.id, params={"off_session": True})


@pytest.mark.parametrize("code", [code for codes in CLASSES.values() for code in codes.split()])
def test_a_saved_card_declines_in_every_way(client: stripe.StripeClient, emulator: Emulator, code: str) -> None:
    card = saved(client)
    emulator.control(f"cards/{card[1]}", decline=code)
    with pytest.raises(stripe.CardError) as refused:
        charge(client, card)
    error = refused.value.error
    why = DECLINES[code]
    assert (refused.value.http_status, error.decline_code) == (402, code)
    assert error.code == (code if code in OWN_CODE else "card_declined")
    assert error.advice_code == why.advice_code
    assert error.network_decline_code == why.network_decline_code
    assert error.payment_intent.status == "requires_payment_method"
    assert error.payment_method.id == card[1]
    outcome = client.v1.charges.retrieve(str(error.charge)).outcome
    assert (outcome.reason, outcome.advice_code) == (code, why.advice_code)
    assert outcome.network_decline_code == why.network_decline_code
    emulator.control(f"cards/{card[1]}", decline=None)
    assert charge(client, card).status == "succeeded"


def test_advice_and_network_codes_are_those_that_stripe_and_the_networks_publish() -> None:
    advised: dict[str | None, set[str]] = {}
    for code, why in DECLINES.items():
        advised.setdefault(why.advice_code, set()).add(code)
    assert advised["do_not_try_again"] == set(NEVER.split())
    assert advised["confirm_card_data"] == set(CHECK.split())
    assert {"fraudulent", "authentication_required", "merchant_blacklist"} <= advised[None]
    assert {"insufficient_funds", "do_not_honor", "generic_decline", "processing_error"} <= advised["try_again_later"]
    networks = {
        "insufficient_funds": "51",
        "lost_card": "41",
        "stolen_card": "43",
        "pickup_card": "04",
        "do_not_honor": "05",
        "expired_card": "54",
        "card_velocity_exceeded": "65",
        "issuer_not_available": "91",
        "revocation_of_authorization": "R1",
        "revocation_of_all_authorizations": "R3",
        "stop_payment_order": "R0",
    }
    assert {code: DECLINES[code].network_decline_code for code in networks} == networks


def test_no_card_number_or_token_stands_twice_and_all_check_out(client: stripe.StripeClient) -> None:
    assert len({card.number for card in CARDS}) == len({card.token for card in CARDS}) == len(CARDS)
    for card in CARDS:
        given = {"number": card.number, "exp_month": 12, "exp_year": 2040}
        assert client.v1.payment_methods.create(params={"type": "card", "card": given}).card.last4 == card.last4


@pytest.mark.parametrize(
    ("path", "given", "param"),
    [
        ("cards/{pm}", {"decline": "no_such_reason"}, "decline"),
        ("cards/{pm}", {"decline": 7}, "decline"),
        ("cards/{pm}", {"authenticate": "sometimes"}, "authenticate"),
        ("cards/{pm}", {"processing": {"then": "perhaps"}}, "then"),
        ("cards/{pm}", {"processing": {"seconds": -1}}, "seconds"),
        ("cards/{pm}", {"colour": "red"}, "colour"),
        ("cards/pm_nobody", {"decline": None}, "id"),
        ("cards/{pm}/renew", {"exp_month": 13}, "exp_month"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused_in_a_sentence(
    client: stripe.StripeClient, emulator: Emulator, path: str, given: Any, param: str
) -> None:
    url = f"{emulator.url}/sandbox/{path.format(pm=saved(client)[1])}"
    answer = requests.post(url, json=given, timeout=5)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == param
    assert len(answer.json()["error"]["message"]) > 10


def test_how_a_card_behaves_survives_a_restart(client: stripe.StripeClient, emulator: Emulator) -> None:
    card = saved(client)
    emulator.control(f"cards/{card[1]}", decline="do_not_honor")
    emulator.restart()
    client = stripe.StripeClient("sk_test_for_tests_only", base_addresses={"api": emulator.url})
    with pytest.raises(stripe.CardError) as refused:
        charge(client, card)
    assert refused.value.error.decline_code == "do_not_honor"


def test_off_session_the_owner_is_wanted_and_pays_with_the_same_intent(
    client: stripe.StripeClient, emulator: Emulator
) -> None:
    card = saved(client)
    emulator.control(f"cards/{card[1]}", authenticate="always")
    with pytest.raises(stripe.CardError) as refused:
        charge(client, card)
    assert (refused.value.http_status, refused.value.code) == (402, "authentication_required")
    intent = refused.value.error.payment_intent
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error.payment_method.id == card[1]
    again = client.v1.payment_intents.confirm(
        intent.id, params={"payment_method": card[1], "return_url": "http://127.0.0.1:9/back"}
    )
    assert again.status == "requires_action"
    page = str(again.next_action.redirect_to_url.url)
    assert page.startswith(f"{emulator.running.bank}/authenticate/")
    assert emulator.running.bank.split(":")[1:] != emulator.url.split(":")[1:], "the bank has another address"
    back = requests.post(page, data={"answer": "complete"}, timeout=5, allow_redirects=False)
    assert back.headers["Location"].startswith("http://127.0.0.1:9/back?")
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"


def test_a_payment_is_processing_until_time_has_come(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    card = saved(client)
    emulator.control(f"cards/{card[1]}", processing={"seconds": 86400})
    pending = charge(client, card)
    assert (pending.status, pending.amount_received) == ("processing", 0)
    for deed in (client.v1.payment_intents.cancel, client.v1.payment_intents.confirm):
        with pytest.raises(stripe.InvalidRequestError, match="status of processing"):
            deed(pending.id)
    held = client.v1.charges.retrieve(str(pending.latest_charge))
    assert (held.status, held.paid, held.balance_transaction) == ("pending", False, None)
    webhooks.wait("payment_intent.processing", "charge.pending")
    emulator.control("clock", advance=86401)
    done = client.v1.payment_intents.retrieve(pending.id)
    assert (done.status, done.latest_charge, done.processing) == ("succeeded", pending.latest_charge, None)
    webhooks.wait("payment_intent.succeeded", "charge.succeeded")
    moved = client.v1.charges.retrieve(str(done.latest_charge)).balance_transaction
    assert client.v1.balance_transactions.retrieve(str(moved)).type == "payment"


def test_a_processing_payment_fails_by_time_or_on_demand(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    card = saved(client)
    emulator.control(f"cards/{card[1]}", processing={"seconds": 3600, "then": "insufficient_funds"})
    by_time, on_demand, well = charge(client, card), charge(client, card), charge(client, card)
    emulator.control(f"payments/{on_demand.id}", settle="do_not_honor")
    emulator.control(f"payments/{well.id}", settle="succeeded")
    emulator.control("clock", advance=3601)
    failed = client.v1.payment_intents.retrieve(by_time.id)
    assert (failed.status, failed.last_payment_error.decline_code) == ("requires_payment_method", "insufficient_funds")
    assert client.v1.charges.retrieve(str(by_time.latest_charge)).status == "failed"
    assert client.v1.payment_intents.retrieve(on_demand.id).last_payment_error.decline_code == "do_not_honor"
    assert client.v1.payment_intents.retrieve(well.id).status == "succeeded"
    wait_until(lambda: webhooks.types.count("payment_intent.payment_failed") == 2)
    emulator.control(f"cards/{card[1]}", processing=False)
    assert charge(client, card).status == "succeeded"


def test_a_payment_comes_back_after_it_had_succeeded(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    paid = charge(client, saved(client))
    emulator.control(f"payments/{paid.id}", **{"return": "insufficient_funds"})
    gone = client.v1.charges.retrieve(str(paid.latest_charge))
    assert (gone.status, gone.paid) == ("failed", False)
    moved = client.v1.balance_transactions.retrieve(str(gone.failure_balance_transaction))
    assert (moved.type, moved.amount, moved.source) == ("payment_failure_refund", -4599, gone.id)
    webhooks.wait("charge.failed", "payment_intent.payment_failed")
    answer = requests.post(f"{emulator.url}/sandbox/payments/{paid.id}", json={"return": "lost_card"}, timeout=5)
    assert answer.status_code == 400


def test_a_card_is_renewed_by_its_issuer(client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver) -> None:
    _, card = saved(client)
    emulator.control(f"cards/{card}/renew", exp_year=2055, last4="9999")
    webhooks.wait("payment_method.automatically_updated")
    told = next(one for one in webhooks.requests if one.type == "payment_method.automatically_updated").to_dict()
    assert told["data"]["previous_attributes"]["card"]["last4"] == "4242"
    assert told["data"]["object"]["card"]["exp_year"] == 2055
    assert client.v1.payment_methods.retrieve(card).card.last4 == "9999"


def test_a_card_that_was_detached_is_never_charged_again(client: stripe.StripeClient) -> None:
    customer, card = saved(client)
    client.v1.payment_methods.update(card, params={"metadata": {"nick": "blue"}, "card": {"exp_month": 3}})
    assert client.v1.customers.payment_methods.retrieve(customer, card).card.exp_month == 3
    client.v1.payment_methods.detach(card)
    with pytest.raises(stripe.InvalidRequestError, match="detached"):
        charge(client, (customer, card))
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_methods.update(card, params={"metadata": {"nick": "red"}})
