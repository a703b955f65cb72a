"""Events reach whoever asked, signed, in order, again when they must, and badly when a test orders it."""

import hashlib
import hmac
import time

import pytest
import stripe

from sandbox.stripe.objects_site import API_VERSION
from sandbox.stripe.webhooks import sign
from tests.sandbox.emulator import Emulator, Receiver, wait_until


def pay(client: stripe.StripeClient, **params: object) -> stripe.PaymentIntent:
    given = {"amount": 500, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True, **params}
    return client.v1.payment_intents.create(params=given)


PAID = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


def test_the_signature_is_the_documented_one() -> None:
    body, secret = '{"id": "evt_1", "name": "Zoë"}', "whsec_x"
    digest = hmac.new(secret.encode(), f"1700000000.{body}".encode(), hashlib.sha256).hexdigest()
    assert sign(body, secret, 1700000000) == f"t=1700000000,v1={digest}"
    assert stripe.WebhookSignature.generate_signature_header(body, secret, 1700000000) == sign(body, secret, 1700000000)


def test_an_event_arrives_verified_and_can_be_fetched(client: stripe.StripeClient, webhooks: Receiver) -> None:
    made = client.v1.customers.create(params={"name": "Zoë 李"})
    (event,) = webhooks.wait("customer.created")
    assert (event.object, event.api_version, event.livemode, event.pending_webhooks) == ("event", API_VERSION, False, 1)
    assert (event.data.object["id"], event.data.object["name"]) == (made.id, "Zoë 李")
    assert "Zoë 李".encode() in webhooks.bodies[0]
    fetched = client.v1.events.retrieve(event.id)
    assert fetched.data.to_dict() == event.data.to_dict()
    wait_until(lambda: client.v1.events.retrieve(event.id).pending_webhooks == 0)


def test_signatures_are_of_real_time_while_events_follow_the_sandbox(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    emulator.ahead = 40 * 86400.0
    client.v1.customers.create()
    (event,) = webhooks.wait("customer.created")  # construct_event refuses a signature older than five minutes
    assert abs(event.created - emulator.ahead - time.time()) < 5
    emulator.ahead = -40 * 86400.0
    client.v1.setup_intents.create()
    webhooks.wait("setup_intent.created")


def test_events_are_listed_by_type_and_time(client: stripe.StripeClient, emulator: Emulator) -> None:
    pay(client)
    emulator.ahead = 1000.0
    client.v1.customers.create()
    listed = client.v1.events.list()
    assert [one.type for one in listed] == ["customer.created", *reversed(PAID)]
    of_type = client.v1.events.list(params={"type": "charge.succeeded"})
    assert [one.type for one in of_type] == ["charge.succeeded"]
    of_types = client.v1.events.list(params={"types": ["charge.succeeded", "customer.created"]})
    assert [one.type for one in of_types] == ["customer.created", "charge.succeeded"]
    since = client.v1.events.list(params={"created": {"gt": int(time.time()) + 500}})
    assert [one.type for one in since] == ["customer.created"]


def test_they_come_in_the_order_in_which_it_happened(client: stripe.StripeClient, webhooks: Receiver) -> None:
    customer = client.v1.customers.create().id
    card = client.v1.payment_methods.attach("pm_card_visa", params={"customer": customer}).id
    for _ in range(5):
        pay(client, customer=customer, payment_method=card)
    wait_until(lambda: len(webhooks.requests) == 17)
    assert webhooks.types[2:] == PAID * 5


def test_a_receiver_that_stumbles_is_tried_again(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    webhooks.statuses = [500, 404, 301]
    client.v1.customers.create()
    wait_until(lambda: len(webhooks.requests) == 4)
    assert len({event.id for event in webhooks.requests}) == 1
    wait_until(lambda: emulator.state()["deliveries"] == {"delivered": 1})


def test_a_receiver_that_never_answers_well_is_given_up(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    webhooks.statuses = [500] * 4
    client.v1.customers.create()
    wait_until(lambda: emulator.state()["deliveries"] == {"failed": 1})
    assert len(webhooks.requests) == 4


def test_while_one_waits_for_its_next_try_the_others_go_on(client: stripe.StripeClient, webhooks: Receiver) -> None:
    webhooks.statuses = [500]
    pay(client)
    wait_until(lambda: len(webhooks.requests) == 4)
    assert webhooks.types == [PAID[0], PAID[1], PAID[2], PAID[0]]


def test_what_was_not_delivered_is_delivered_after_a_restart(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    emulator.order(kind="hold", times=1)
    client.v1.customers.create()
    wait_until(lambda: emulator.state()["deliveries"] == {"held": 1})
    emulator.restart()
    assert emulator.order(kind="release") == {"released": 1}
    webhooks.wait("customer.created")


def test_duplicate(client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver) -> None:
    emulator.order(kind="duplicate", type="charge.*")
    pay(client)
    wait_until(lambda: len(webhooks.requests) == 4)
    assert webhooks.types == [PAID[0], PAID[1], PAID[1], PAID[2]]
    assert webhooks.requests[1].id == webhooks.requests[2].id
    assert webhooks.bodies[1] == webhooks.bodies[2]


def test_drop(client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver) -> None:
    emulator.order(kind="drop", type="payment_intent.*", times=2)
    pay(client)
    wait_until(lambda: emulator.state()["deliveries"] == {"dropped": 2, "delivered": 1})
    assert webhooks.types == ["charge.succeeded"]
    assert len(client.v1.events.list().data) == 3, "who asks for the events still learns of them"


def test_hold_and_release(client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver) -> None:
    emulator.order(kind="hold", type="payment_intent.*", times=9)
    pay(client)
    wait_until(lambda: emulator.state()["deliveries"] == {"held": 2, "delivered": 1})
    assert webhooks.types == ["charge.succeeded"]
    emulator.order(kind="release")
    wait_until(lambda: len(webhooks.requests) == 3)
    assert webhooks.types == ["charge.succeeded", "payment_intent.created", "payment_intent.succeeded"]


def test_reverse(client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver) -> None:
    emulator.order(kind="reverse", times=3)
    pay(client)
    wait_until(lambda: len(webhooks.requests) == 3)
    pay(client)
    wait_until(lambda: len(webhooks.requests) == 6)
    assert webhooks.types == [*reversed(PAID), *PAID]


def test_an_endpoint_of_ones_own_hears_what_it_asked_for(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    (configured,) = client.v1.webhook_endpoints.list()
    assert (configured.url, configured.enabled_events, configured.status) == (webhooks.url, ["*"], "enabled")
    client.v1.webhook_endpoints.update(configured.id, params={"disabled": True})
    made = client.v1.webhook_endpoints.create(
        params={"url": f"{webhooks.url}?second", "enabled_events": ["charge.succeeded"], "description": "mine"}
    )
    assert made.secret
    webhooks.secret = made.secret
    assert not hasattr(client.v1.webhook_endpoints.retrieve(made.id), "secret"), "the secret is told once"
    pay(client)
    webhooks.wait("charge.succeeded")
    client.v1.webhook_endpoints.update(made.id, params={"enabled_events": ["customer.created"]})
    client.v1.customers.create()
    webhooks.wait("customer.created")
    assert client.v1.webhook_endpoints.delete(made.id).deleted
    client.v1.customers.create()
    wait_until(lambda: emulator.state()["deliveries"] == {"delivered": 2})
    assert webhooks.types == ["charge.succeeded", "customer.created"]
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.webhook_endpoints.retrieve(made.id)


def test_a_wrong_secret_is_noticed(client: stripe.StripeClient, webhooks: Receiver) -> None:
    webhooks.secret = "whsec_another"
    client.v1.customers.create()
    wait_until(lambda: len(webhooks.faults) == 4)
    assert "No signatures found matching" in webhooks.faults[0]
    assert webhooks.requests == []


def test_nothing_leaves_this_machine(client: stripe.StripeClient, webhooks: Receiver) -> None:
    (configured,) = client.v1.webhook_endpoints.list()
    for url in ("http://example.com/hook", "http://192.0.2.1/", "https://127.0.0.1/", "http://127.0.0.1.example.com/"):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.webhook_endpoints.update(configured.id, params={"url": url})
        assert refused.value.param == "url"
    assert client.v1.webhook_endpoints.retrieve(configured.id).url == webhooks.url
