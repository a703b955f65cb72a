"""The sandbox's Stripe answers as the API does: keys, parameters, customers, cards, lists, search, expansion."""

import pytest
import requests
import stripe

from sandbox.stripe.objects_site import API_VERSION
from tests.sandbox.emulator import KEY, Emulator, Receiver, connect


def error_of(answer: requests.Response) -> dict[str, object]:
    error = answer.json()["error"]
    assert isinstance(error, dict)
    return error


def test_it_speaks_the_version_that_the_library_asks_for(client: stripe.StripeClient) -> None:
    assert stripe.api_version == API_VERSION
    assert client.v1.customers.create().last_response.headers["Stripe-Version"] == API_VERSION


@pytest.mark.parametrize("auth", [None, ("sk_test_wrong_key_entirely", ""), ("", "")])
def test_a_missing_or_wrong_key_is_refused(emulator: Emulator, auth: tuple[str, str] | None) -> None:
    answer = requests.get(f"{emulator.url}/v1/customers", auth=auth, timeout=5)
    assert answer.status_code == 401
    assert error_of(answer)["type"] == "invalid_request_error"


def test_the_key_comes_as_bearer_token_or_as_basic_user_name(emulator: Emulator) -> None:
    bearer = {"Authorization": f"Bearer {KEY}"}
    assert requests.get(f"{emulator.url}/v1/account", headers=bearer, timeout=5).status_code == 200
    assert requests.get(f"{emulator.url}/v1/account", auth=(KEY, ""), timeout=5).status_code == 200


def test_the_library_sees_a_wrong_key_as_what_it_is(emulator: Emulator) -> None:
    stranger = stripe.StripeClient("sk_test_of_somebody_else", base_addresses={"api": emulator.url})
    with pytest.raises(stripe.AuthenticationError, match="Invalid API Key"):
        stranger.v1.customers.list()


def test_an_unknown_address_is_a_404_in_stripes_words(emulator: Emulator) -> None:
    answer = emulator.call("GET", "/v1/nonsense")
    assert answer.status_code == 404
    assert "Unrecognized request URL (GET: /v1/nonsense)" in str(error_of(answer)["message"])


@pytest.mark.parametrize(
    ("path", "params", "param", "code"),
    [
        ("/v1/customers", {"nonsense": "1"}, "nonsense", "parameter_unknown"),
        ("/v1/customers", {"address[planet]": "Mars"}, "address[planet]", "parameter_unknown"),
        ("/v1/customers", {"address": "Mars"}, "address", None),
        ("/v1/customers", {"metadata[k]": "x" * 501}, "metadata[k]", None),
        ("/v1/customers", {"metadata[" + "k" * 41 + "]": "x"}, "metadata[" + "k" * 41 + "]", None),
        ("/v1/customers", {"invoice_settings[default_payment_method]": "pm_no"}, None, "resource_missing"),
        ("/v1/payment_intents", {"currency": "usd"}, "amount", "parameter_missing"),
        ("/v1/payment_intents", {"amount": "ten", "currency": "usd"}, "amount", "parameter_invalid_integer"),
        ("/v1/payment_intents", {"amount": "0", "currency": "usd"}, "amount", "parameter_invalid_integer"),
        ("/v1/payment_intents", {"amount": "49", "currency": "usd"}, "amount", "amount_too_small"),
        ("/v1/payment_intents", {"amount": "100000000", "currency": "usd"}, "amount", "amount_too_large"),
        ("/v1/payment_intents", {"amount": "100", "currency": "dollars"}, "currency", None),
        ("/v1/payment_intents", {"amount": "100", "currency": ""}, "currency", "parameter_invalid_empty"),
        ("/v1/payment_intents", {"amount": "100", "currency": "usd", "confirm": "maybe"}, "confirm", None),
        ("/v1/payment_intents", {"amount": "100", "currency": "usd", "off_session": "true"}, "off_session", None),
        (
            "/v1/payment_intents",
            {"amount": "100", "currency": "usd", "customer": "cus_no"},
            "customer",
            "resource_missing",
        ),
        (
            "/v1/payment_intents",
            {"amount": "100", "currency": "usd", "payment_method_types[0]": "card"},
            "payment_method_types",
            "payment_method_types_no_longer_supported",
        ),
        (
            "/v1/setup_intents",
            {"payment_method_types[0]": "card"},
            "payment_method_types",
            "payment_method_types_no_longer_supported",
        ),
        ("/v1/payment_methods", {"type": "card", "card[number]": "4242424242424242"}, "card[exp_month]", None),
        ("/v1/payment_methods", {"type": "card", "card[token]": "tok_nobody"}, "card[token]", "resource_missing"),
        ("/v1/payment_methods", {"type": "sepa_debit", "card[token]": "tok_visa"}, "type", None),
        ("/v1/webhook_endpoints", {"url": "http://example.com/", "enabled_events[0]": "*"}, "url", "url_invalid"),
        ("/v1/webhook_endpoints", {"url": "javascript:alert(1)", "enabled_events[0]": "*"}, "url", "url_invalid"),
        ("/v1/webhook_endpoints", {"url": "http://127.0.0.1/", "enabled_events[x]": "*"}, "enabled_events", None),
    ],
)
def test_a_wrong_parameter_is_named(
    emulator: Emulator, path: str, params: dict[str, str], param: str | None, code: str | None
) -> None:
    answer = emulator.call("POST", path, **params)
    error = error_of(answer)
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    if param:
        assert error["param"] == param
    if code:
        assert error["code"] == code
        assert str(error["doc_url"]).endswith(code.replace("_", "-"))
    assert emulator.state()["objects"].get("payment_intent", 0) == 0, "a refused request leaves nothing behind"


def test_a_customer_from_birth_to_death(client: stripe.StripeClient, webhooks: Receiver) -> None:
    name = "Zoë <script>alert(1)</script> 李"
    made = client.v1.customers.create(
        params={"name": name, "email": "zoe@example.com", "metadata": {"subscriber": "7"}, "address": {"city": "Oslo"}}
    )
    assert made.name == name
    assert (made.address.city, made.address.line1) == ("Oslo", None)
    changed = client.v1.customers.update(
        made.id, params={"phone": "+47 1", "metadata": {"more": "1", "subscriber": ""}}
    )
    assert changed.metadata.to_dict() == {"more": "1"}
    assert client.v1.customers.retrieve(made.id).phone == "+47 1"
    assert client.v1.customers.update(made.id, params={"email": ""}).email is None
    assert client.v1.customers.update(made.id, params={"metadata": ""}).metadata.to_dict() == {}
    assert client.v1.customers.delete(made.id).deleted
    assert client.v1.customers.retrieve(made.id).deleted
    assert client.v1.customers.list().data == []
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.customers.update(made.id, params={"name": "Again"})
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
    events = webhooks.wait("customer.deleted")
    assert [event.type for event in events] == ["customer.created", *["customer.updated"] * 3, "customer.deleted"]
    assert events[1].to_dict()["data"]["previous_attributes"] == {"phone": None, "metadata": {"subscriber": "7"}}


def test_what_is_not_there_is_a_404(client: stripe.StripeClient) -> None:
    for find in (
        client.v1.customers.retrieve,
        client.v1.payment_intents.retrieve,
        client.v1.payment_methods.retrieve,
        client.v1.setup_intents.retrieve,
        client.v1.checkout.sessions.retrieve,
        client.v1.charges.retrieve,
        client.v1.refunds.retrieve,
        client.v1.disputes.retrieve,
        client.v1.events.retrieve,
        client.v1.balance_transactions.retrieve,
        client.v1.webhook_endpoints.retrieve,
        client.v1.accounts.retrieve,
    ):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            find("nobody_1")
        assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")


def test_the_own_account_is_ready_to_take_cards(client: stripe.StripeClient) -> None:
    own = client.v1.accounts.retrieve_current()
    assert own.charges_enabled
    assert client.v1.accounts.retrieve(own.id).id == own.id


def test_cards_are_attached_listed_and_detached_for_good(client: stripe.StripeClient, webhooks: Receiver) -> None:
    customer = client.v1.customers.create()
    other = client.v1.customers.create()
    card = client.v1.payment_methods.create(
        params={
            "type": "card",
            "card": {"number": "4242 4242 4242 4242", "exp_month": 12, "exp_year": 2040, "cvc": "123"},
            "billing_details": {"name": "Ada", "address": {"country": "NO"}},
        }
    )
    assert (card.customer, card.card.last4, card.card.brand, card.card.exp_year) == (None, "4242", "visa", 2040)
    client.v1.payment_methods.attach(card.id, params={"customer": customer.id})
    again = client.v1.payment_methods.attach("pm_card_visa", params={"customer": customer.id})
    assert again.id != card.id
    assert again.card.fingerprint == card.card.fingerprint, "the same number is recognised"
    client.v1.customers.update(customer.id, params={"invoice_settings": {"default_payment_method": again.id}})
    listed = client.v1.payment_methods.list(params={"customer": customer.id, "type": "card"})
    assert [one.id for one in listed] == [again.id, card.id]
    assert [one.id for one in client.v1.customers.payment_methods.list(customer.id)] == [again.id, card.id]
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_methods.attach(card.id, params={"customer": other.id})
    assert client.v1.payment_methods.detach(again.id).customer is None
    left = client.v1.customers.retrieve(customer.id).invoice_settings
    assert left.default_payment_method is None
    for deed in (
        lambda: client.v1.payment_methods.detach(again.id),
        lambda: client.v1.payment_methods.attach(again.id, params={"customer": customer.id}),
    ):
        with pytest.raises(stripe.InvalidRequestError):
            deed()
    webhooks.wait("payment_method.attached", "payment_method.detached")


@pytest.mark.parametrize(
    ("card", "code", "param"),
    [
        ({"number": "4242424242424241"}, "incorrect_number", "number"),
        ({"number": "not a number"}, "incorrect_number", "number"),
        ({"number": "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢"}, "incorrect_number", "number"),
        ({"exp_month": 13}, "invalid_expiry_month", "exp_month"),
        ({"exp_year": 2020}, "invalid_expiry_year", "exp_year"),
        ({"cvc": "12"}, "invalid_cvc", "cvc"),
        ({"number": "378282246310005", "cvc": "123"}, "invalid_cvc", "cvc"),
    ],
)
def test_a_mistyped_card_is_a_card_error(
    client: stripe.StripeClient, card: dict[str, object], code: str, param: str
) -> None:
    good = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"}
    with pytest.raises(stripe.CardError) as refused:
        client.v1.payment_methods.create(params={"type": "card", "card": {**good, **card}})
    assert (refused.value.http_status, refused.value.code, refused.value.param) == (402, code, param)


def test_a_card_that_is_not_a_test_card_is_refused_and_not_kept(
    client: stripe.StripeClient, emulator: Emulator
) -> None:
    number = "4556737586899855"  # a valid check digit, in no table of Stripe's
    with pytest.raises(stripe.CardError, match="test mode") as refused:
        client.v1.payment_methods.create(
            params={"type": "card", "card": {"number": number, "exp_month": 12, "exp_year": 2040}}
        )
    assert refused.value.error.decline_code == "test_mode_live_card"
    for file in emulator.config.data.iterdir():
        assert number.encode() not in file.read_bytes()


def test_lists_go_newest_first_in_pages(client: stripe.StripeClient, emulator: Emulator) -> None:
    made = []
    for number in range(7):
        emulator.ahead = number * 100.0
        made.append(client.v1.customers.create(params={"email": f"{number % 2}@example.com"}))
    ids = [one.id for one in reversed(made)]
    first = client.v1.customers.list(params={"limit": 3})
    assert ([one.id for one in first], first.has_more) == (ids[:3], True)
    last = client.v1.customers.list(params={"limit": 3, "starting_after": ids[3]})
    assert ([one.id for one in last], last.has_more) == (ids[4:], False)
    before = client.v1.customers.list(params={"limit": 2, "ending_before": ids[4]})
    assert ([one.id for one in before], before.has_more) == (ids[2:4], True)
    assert [one.id for one in client.v1.customers.list(params={"limit": 2}).auto_paging_iter()] == ids
    assert [one.id for one in client.v1.customers.list(params={"email": "1@example.com"})] == ids[1::2]
    since = client.v1.customers.list(params={"created": {"gte": made[5].created}})
    assert [one.id for one in since] == ids[:2]
    exactly = client.v1.customers.list(params={"created": made[3].created})
    assert [one.id for one in exactly] == [made[3].id]
    for wrong in ({"starting_after": "cus_no"}, {"limit": 0}, {"limit": 101}):
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.customers.list(params=wrong)


def test_search_finds_by_metadata(client: stripe.StripeClient) -> None:
    made = [
        client.v1.payment_intents.create(
            params={
                "amount": 100 + n,
                "currency": "usd",
                "metadata": {"attempt": str(n % 2), "it's": "x", "odd \"'": "y"},
            }
        )
        for n in range(5)
    ]
    find = client.v1.payment_intents.search
    found = find(params={"query": "metadata['attempt']:'1'"})
    assert [one.id for one in found] == [made[3].id, made[1].id]
    assert find(params={"query": 'metadata["attempt"]:"7"'}).data == []
    both = find(params={"query": 'metadata["attempt"]:"0" AND status:"requires_payment_method"', "limit": 2})
    assert both.has_more
    assert [one.id for one in both.auto_paging_iter()] == [made[4].id, made[2].id, made[0].id]
    for nonsense in ("amount>100", "metadata['a']:'b' OR status:'x'", "'; DROP TABLE objects --"):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            find(params={"query": nonsense})
        assert refused.value.param == "query"


def test_ids_are_expanded_on_request(client: stripe.StripeClient) -> None:
    customer = client.v1.customers.create()
    paid = client.v1.payment_intents.create(
        params={
            "amount": 1000,
            "currency": "usd",
            "customer": customer.id,
            "payment_method": "pm_card_visa",
            "confirm": True,
            "expand": ["customer", "latest_charge.balance_transaction"],
        }
    )
    assert isinstance(paid.customer, stripe.Customer)
    assert isinstance(paid.latest_charge, stripe.Charge)
    movement = paid.latest_charge.balance_transaction
    assert isinstance(movement, stripe.BalanceTransaction)
    assert (movement.amount, movement.fee, movement.net) == (1000, 59, 941)
    (listed,) = client.v1.payment_intents.list(params={"expand": ["data.payment_method"]})
    assert isinstance(listed.payment_method, stripe.PaymentMethod)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        client.v1.payment_intents.retrieve(paid.id, params={"expand": ["amount"]})


def test_a_refused_request_takes_back_what_it_began(client: stripe.StripeClient, emulator: Emulator) -> None:
    before = emulator.state()["objects"]
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.create(
            params={
                "amount": 1000,
                "currency": "usd",
                "payment_method": "pm_card_visa",
                "confirm": True,
                "expand": ["nonsense"],
            }
        )
    assert emulator.state()["objects"] == before


def test_a_connected_account_has_objects_of_its_own(emulator: Emulator, webhooks: Receiver) -> None:
    own, connected = connect(emulator), connect(emulator, stripe_account="acct_connected")
    theirs = connected.v1.customers.create()
    assert connected.v1.customers.retrieve(theirs.id).id == theirs.id
    assert connected.v1.accounts.retrieve_current().id == "acct_connected"
    assert own.v1.customers.list().data == []
    with pytest.raises(stripe.InvalidRequestError):
        own.v1.customers.retrieve(theirs.id)
    (event,) = webhooks.wait("customer.created")
    assert event.account == "acct_connected"
