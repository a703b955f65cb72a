"""Somebody opens the hosted page and clicks: plain forms, one charge, and back to the provider."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.emulator import Emulator, Receiver, wait_until

SHOP = "http://127.0.0.1:9"
CARD = {"number": "4242 4242 4242 4242", "expiry": "12 / 40", "cvc": "123", "name": "Ada Lovelace"}
LINES = [
    {
        "quantity": 2,
        "price_data": {
            "currency": "EUR",
            "unit_amount": 1500,
            "product_data": {"name": "Invoice <b>2026-000123</b> & more"},
        },
    },
    {"quantity": 1, "price_data": {"currency": "eur", "unit_amount": 99, "product_data": {"name": "Fee"}}},
]


def session(client: stripe.StripeClient, **params: Any) -> stripe.checkout.Session:
    given = {
        "mode": "payment",
        "line_items": LINES,
        "success_url": f"{SHOP}/paid?sid={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{SHOP}/invoices",
        **params,
    }
    return client.v1.checkout.sessions.create(params={k: v for k, v in given.items() if v is not None})


def setup_session(client: stripe.StripeClient, **params: Any) -> stripe.checkout.Session:
    return session(client, mode="setup", currency="eur", line_items=None, **params)


def submit(made: stripe.checkout.Session | str, **typed: str) -> requests.Response:
    url = made if isinstance(made, str) else str(made.url)
    return requests.post(url, data={**CARD, **typed}, timeout=5, allow_redirects=False)


def page(made: stripe.checkout.Session) -> requests.Response:
    return requests.get(str(made.url), timeout=5)


def test_a_page_is_paid_and_leads_back(client: stripe.StripeClient, webhooks: Receiver) -> None:
    customer = client.v1.customers.create(params={"email": "ada@example.com"}).id
    made = session(
        client,
        customer=customer,
        client_reference_id="attempt 7",
        metadata={"on": "session"},
        payment_intent_data={"metadata": {"attempt": "7"}, "description": "Invoice 2026-000123"},
    )
    assert (made.status, made.payment_status, made.payment_intent) == ("open", "unpaid", None)
    assert (made.amount_total, made.currency) == (3099, "eur")
    shown = page(made)
    assert "€30.99" in shown.text
    assert "Invoice &lt;b&gt;2026-000123&lt;/b&gt; &amp; more" in shown.text, "shown as typed, never executed"
    assert "Sandbox" in shown.text
    assert "ada@example.com" in shown.text
    assert "<script" not in shown.text
    assert "http://" not in shown.text.replace(SHOP, ""), "no outside assets"
    done = submit(made)
    assert (done.status_code, done.headers["Location"]) == (303, f"{SHOP}/paid?sid={made.id}")
    paid = client.v1.checkout.sessions.retrieve(made.id, params={"expand": ["payment_intent", "line_items"]})
    assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
    assert (paid.client_reference_id, paid.metadata) == ("attempt 7", made.metadata)
    assert (paid.customer_details.email, paid.customer_details.name) == ("ada@example.com", "Ada Lovelace")
    assert isinstance(paid.payment_intent, stripe.PaymentIntent)
    assert (paid.payment_intent.status, paid.payment_intent.customer) == ("succeeded", customer)
    assert paid.payment_intent.metadata.to_dict() == {"attempt": "7"}
    assert [line.amount_total for line in paid.line_items.data] == [3000, 99]
    listed = client.v1.checkout.sessions.line_items.list(made.id)
    assert [line.description for line in listed] == ["Invoice <b>2026-000123</b> & more", "Fee"]
    webhooks.wait("checkout.session.completed")
    assert webhooks.types == [
        "customer.created",
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]
    told = webhooks.of("checkout.session.completed")
    assert (told.id, told.payment_intent, told.payment_status) == (made.id, paid.payment_intent.id, "paid")
    assert webhooks.requests[-1].request.id is None, "a browser did it, no API call"
    by_intent = client.v1.checkout.sessions.list(params={"payment_intent": paid.payment_intent.id})
    assert [one.id for one in by_intent] == [made.id]


def test_a_guest_needs_no_customer(client: stripe.StripeClient, emulator: Emulator) -> None:
    made = session(client)
    assert 'name="email"' in page(made).text
    submit(made, email="guest@example.com")
    paid = client.v1.checkout.sessions.retrieve(made.id)
    assert (paid.customer, paid.customer_details.email) == (None, "guest@example.com")
    always = session(client, customer_creation="always", customer_email="new@example.com")
    submit(always)
    customer = client.v1.checkout.sessions.retrieve(always.id).customer
    assert client.v1.customers.retrieve(str(customer)).email == "new@example.com"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"number": "4000000000000002"}, "Your card was declined."),
        ({"number": "4000000000009995"}, "Your card has insufficient funds."),
        ({"number": "4242424242424241"}, "Your card number is incorrect."),
        ({"number": ""}, "Your card number is incorrect."),
        ({"expiry": "soon"}, "expiration date is incomplete"),
        ({"expiry": "13/40"}, "expiration month is invalid"),
        ({"expiry": "01/2020"}, "expiration year is invalid"),
        ({"cvc": "1"}, "security code is invalid"),
        ({"number": "4556737586899855"}, "used a non test (live) card"),
    ],
)
def test_a_refused_card_brings_the_page_again(
    client: stripe.StripeClient, emulator: Emulator, typed: dict[str, str], says: str
) -> None:
    made = session(client)
    refused = submit(made, **typed)
    assert refused.status_code == 402
    assert says in refused.text.replace("&#39;", "'")
    assert 'value="Ada Lovelace"' in refused.text, "what was typed stays"
    number = typed.get("number", CARD["number"])
    assert not number or number not in refused.text.split("<details>")[0].replace('placeholder="' + number, "")
    assert client.v1.checkout.sessions.retrieve(made.id).status == "open"
    assert submit(made).status_code == 303
    assert emulator.state()["charges"]["guest"]["succeeded"] == 1
    assert emulator.state()["objects"]["payment_intent"] == 1, "the next card pays the same intent"


def test_expiry_is_read_as_people_write_it(client: stripe.StripeClient) -> None:
    for expiry in ("1240", "12/40", "12 / 2040", "12-40", "12 40"):
        assert submit(session(client), expiry=expiry).status_code == 303, expiry


@pytest.mark.parametrize("answer", ["complete", "fail"])
def test_the_bank_asks_in_between(client: stripe.StripeClient, webhooks: Receiver, answer: str) -> None:
    made = session(client)
    asked = submit(made, number="4000002760003184")
    assert asked.status_code == 303
    assert "/authenticate/pi_" in asked.headers["Location"]
    bank = asked.headers["Location"]
    assert "€30.99" in requests.get(bank, timeout=5).text
    assert client.v1.checkout.sessions.retrieve(made.id).status == "open"
    told = requests.post(bank, data={"answer": answer}, timeout=5, allow_redirects=False)
    if answer == "complete":
        assert (told.status_code, told.headers["Location"]) == (303, f"{SHOP}/paid?sid={made.id}")
        webhooks.wait("payment_intent.requires_action", "checkout.session.completed")
    else:
        assert told.status_code == 402
        assert "failed authentication" in told.text
        webhooks.wait("payment_intent.requires_action", "payment_intent.payment_failed")
        back = requests.get(bank, timeout=5, allow_redirects=False)
        assert back.headers["Location"] == made.url
        assert submit(made).status_code == 303
    assert client.v1.checkout.sessions.retrieve(made.id).payment_status == "paid"


def test_a_bank_that_says_yes_does_not_make_money(client: stripe.StripeClient) -> None:
    made = session(client)
    asked = submit(made, number="4000008260003178")
    bank = asked.headers["Location"]
    refused = requests.post(bank, data={"answer": "complete"}, timeout=5)
    assert refused.status_code == 402
    assert "insufficient funds" in refused.text


def test_paying_twice_charges_once(client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver) -> None:
    made = session(client)
    assert submit(made).headers["Location"] == submit(made).headers["Location"] == f"{SHOP}/paid?sid={made.id}"
    again = page(made)
    assert "Already paid" in again.text
    assert f'href="{SHOP}/paid?sid={made.id}"' in again.text
    assert emulator.state()["charges"] == {"guest": {"succeeded": 1}}
    webhooks.wait("checkout.session.completed")
    assert webhooks.types.count("checkout.session.completed") == 1


def test_paying_at_the_same_time_charges_once(client: stripe.StripeClient, emulator: Emulator) -> None:
    made, start = session(client), threading.Barrier(8)

    def click(_: int) -> requests.Response:
        start.wait()
        return submit(made)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(click, range(8)))
    assert {one.headers["Location"] for one in answers} == {f"{SHOP}/paid?sid={made.id}"}
    assert emulator.state()["charges"] == {"guest": {"succeeded": 1}}


def test_two_tabs_at_the_bank_charge_once(client: stripe.StripeClient, emulator: Emulator) -> None:
    made = session(client)
    bank = submit(made, number="4000002760003184").headers["Location"]
    assert submit(made).status_code == 303, "another card in a second tab"
    late = requests.post(bank, data={"answer": "fail"}, timeout=5, allow_redirects=False)
    assert late.headers["Location"] == f"{SHOP}/paid?sid={made.id}"
    assert emulator.state()["charges"] == {"guest": {"succeeded": 1}}


def test_a_page_expires_by_itself(client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver) -> None:
    now = emulator.state()["now"]
    made = session(client, expires_at=now + 1801)
    submit(made, number="4000000000000002")
    emulator.ahead = 1805.0
    webhooks.wait("checkout.session.expired", "payment_intent.canceled")
    gone = page(made)
    assert gone.status_code == 410
    assert "This payment page has expired" in gone.text
    assert submit(made).status_code == 410
    expired = client.v1.checkout.sessions.retrieve(made.id)
    assert (expired.status, expired.payment_status, expired.url) == ("expired", "unpaid", None)
    assert [one.id for one in client.v1.checkout.sessions.list(params={"status": "expired"})] == [made.id]
    assert "succeeded" not in emulator.state()["charges"]["guest"]


def test_a_page_is_expired_by_the_provider(client: stripe.StripeClient, webhooks: Receiver) -> None:
    made = session(client)
    bank = submit(made, number="4000002760003184").headers["Location"]
    assert client.v1.checkout.sessions.expire(made.id).status == "expired"
    webhooks.wait("checkout.session.expired")
    with pytest.raises(stripe.InvalidRequestError, match="status of expired"):
        client.v1.checkout.sessions.expire(made.id)
    late = requests.post(bank, data={"answer": "complete"}, timeout=5)
    assert "has expired" in late.text, "the bank's yes comes too late"
    paid = session(client)
    submit(paid)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.checkout.sessions.expire(paid.id)


def test_its_intent_is_the_pages_own(client: stripe.StripeClient) -> None:
    made = session(client)
    submit(made, number="4000000000000002")
    intent = str(client.v1.checkout.sessions.retrieve(made.id).payment_intent)
    for deed in (client.v1.payment_intents.cancel, client.v1.payment_intents.confirm):
        with pytest.raises(stripe.InvalidRequestError, match="Checkout Session"):
            deed(intent)


def test_a_card_is_saved_on_a_setup_page(client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver) -> None:
    customer = client.v1.customers.create().id
    made = setup_session(client, customer=customer, setup_intent_data={"metadata": {"for": "autopay"}})
    assert (made.payment_status, made.payment_intent, made.amount_total) == ("no_payment_required", None, None)
    setup = client.v1.setup_intents.retrieve(str(made.setup_intent))
    assert (setup.status, setup.customer) == ("requires_payment_method", customer)
    assert setup.metadata["for"] == "autopay"
    assert "Save a card" in page(made).text
    assert submit(made, number="4000000000000002").status_code == 402
    bank = submit(made, number="4000002500003155").headers["Location"]
    done = requests.post(bank, data={"answer": "complete"}, timeout=5, allow_redirects=False)
    assert done.headers["Location"] == f"{SHOP}/paid?sid={made.id}"
    webhooks.wait("setup_intent.setup_failed", "setup_intent.requires_action", "payment_method.attached")
    webhooks.wait("setup_intent.succeeded", "checkout.session.completed")
    (card,) = client.v1.payment_methods.list(params={"customer": customer})
    assert emulator.state()["charges"] == {}
    paid = client.v1.payment_intents.create(
        params={
            "amount": 500,
            "currency": "eur",
            "customer": customer,
            "payment_method": card.id,
            "off_session": True,
            "confirm": True,
        }
    )
    assert paid.status == "succeeded"
    assert "Your card was saved" in page(made).text


def test_a_setup_pages_intent_ends_with_it(client: stripe.StripeClient) -> None:
    made = setup_session(client)
    with pytest.raises(stripe.InvalidRequestError, match="Checkout Session"):
        client.v1.setup_intents.cancel(str(made.setup_intent))
    client.v1.checkout.sessions.expire(made.id)
    assert client.v1.setup_intents.retrieve(str(made.setup_intent)).status == "canceled"


@pytest.mark.parametrize("ticked", [True, False])
def test_the_customer_chooses_to_save_the_card(client: stripe.StripeClient, ticked: bool) -> None:
    customer = client.v1.customers.create().id
    made = session(client, customer=customer, saved_payment_method_options={"payment_method_save": "enabled"})
    assert 'name="save"' in page(made).text
    assert 'name="save"' not in page(session(client)).text
    submit(made, **({"save": "yes"} if ticked else {}))
    cards = client.v1.payment_methods.list(params={"customer": customer}).data
    assert [one.allow_redisplay for one in cards] == (["always"] if ticked else [])


def test_the_provider_may_ask_for_the_card_to_be_saved(client: stripe.StripeClient) -> None:
    made = session(client, payment_intent_data={"setup_future_usage": "off_session"})
    submit(made, email="ada@example.com")
    customer = str(client.v1.checkout.sessions.retrieve(made.id).customer)
    assert len(client.v1.payment_methods.list(params={"customer": customer}).data) == 1


def test_a_test_card_is_filled_in_with_one_tap(client: stripe.StripeClient) -> None:
    made = session(client)
    filled = requests.get(f"{made.url}?card=4000000000009995", timeout=5).text
    assert 'value="4000 0000 0000 9995"' in filled
    assert 'value="12 / 34"' in filled
    other = requests.get(f"{made.url}?card=4556737586899855", timeout=5).text
    assert "4556" not in other


def now_plus(seconds: int) -> Callable[[Emulator], int]:
    return lambda emulator: int(emulator.state()["now"]) + seconds


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"mode": None}, "mode"),
        ({"mode": "subscription"}, "mode"),
        ({"success_url": None}, "success_url"),
        ({"success_url": "javascript:alert(1)"}, "success_url"),
        ({"cancel_url": "//example.com"}, "cancel_url"),
        ({"line_items": None}, "line_items"),
        ({"line_items": [{"quantity": 0, "price_data": LINES[0]["price_data"]}]}, "line_items[0][quantity]"),
        ({"line_items": [{"quantity": 1, "price": "price_1"}]}, "line_items[0][price]"),
        (
            {"line_items": [{"quantity": 1, "price_data": {"currency": "eur"}}]},
            "line_items[0][price_data][unit_amount]",
        ),
        ({"expires_at": now_plus(1700)}, "expires_at"),
        ({"expires_at": now_plus(86500)}, "expires_at"),
        ({"customer": "cus_no"}, "customer"),
        ({"payment_method_types": ["card"]}, "payment_method_types"),
        ({"mode": "setup"}, "line_items"),
        ({"mode": "setup", "line_items": None}, "currency"),
        ({"mode": "setup", "line_items": None, "payment_intent_data": {"description": "x"}}, "payment_intent_data"),
        ({"setup_intent_data": {"description": "x"}}, "setup_intent_data"),
        ({"payment_intent_data": {"capture": "x"}}, "payment_intent_data[capture]"),
        ({"ui_mode": "embedded_page"}, "ui_mode"),
    ],
)
def test_a_wrong_session_is_refused(
    client: stripe.StripeClient, emulator: Emulator, changed: dict[str, Any], param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        session(client, **{k: v(emulator) if callable(v) else v for k, v in changed.items()})
    assert refused.value.param == param
    assert "checkout.session" not in emulator.state()["objects"]


def test_a_setup_page_needs_no_currency_when_it_is_for_cards(client: stripe.StripeClient) -> None:
    assert session(client, mode="setup", line_items=None, allowed_payment_method_types=["card"]).currency is None


def test_a_page_that_never_was_says_so(emulator: Emulator) -> None:
    for path in ("/c/pay/cs_test_no", "/authenticate/pi_no"):
        for method in ("GET", "POST"):
            answer = requests.request(method, emulator.url + path, timeout=5)
            assert answer.status_code == 404
            assert "There is nothing here" in answer.text


def test_the_operator_sees_what_is_going_on(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    assert "4000 0000 0000 9995" in requests.get(emulator.url, timeout=5).text
    open_one, paid, declined = session(client, client_reference_id="<i>7</i>"), session(client), session(client)
    submit(paid)
    submit(declined, number="4000000000009995")
    webhooks.wait("checkout.session.completed")
    emulator.order(kind="drop", type="customer.*")
    wait_until(lambda: emulator.state()["deliveries"].get("pending", 0) == 0)
    shown = requests.get(emulator.url, timeout=5).text
    assert f'href="/c/pay/{open_one.id}"' in shown
    assert "&lt;i&gt;7&lt;/i&gt;" in shown
    assert "€30.99" in shown
    assert "Your card has insufficient funds." in shown
    assert "checkout.session.completed" in shown
    assert "delivered" in shown
    assert "Faults are ordered: drop" in shown
