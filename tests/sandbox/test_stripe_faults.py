"""What goes wrong on demand goes wrong as ordered, with calls and with webhooks, and no other way."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.emulator import KEY, Emulator, Receiver, connect, wait_until

CHARGE = {"amount": "4599", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"}
PAID = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


def charge(emulator: Emulator, key: str) -> requests.Response:
    return emulator.call("POST", "/v1/payment_intents", {"Idempotency-Key": key}, **CHARGE)


def charges(emulator: Emulator) -> Any:
    return emulator.state()["charges"].get("guest", {}).get("succeeded", 0)


@pytest.mark.parametrize(
    ("kind", "seconds", "happened"),
    [("cut_before", 0, 0), ("timeout_before", 0.1, 0), ("cut_after", 0, 1), ("timeout_after", 0.1, 1)],
)
def test_the_line_is_cut_before_or_after_the_work(emulator: Emulator, kind: str, seconds: float, happened: int) -> None:
    emulator.order(kind=kind, seconds=seconds, method="POST", path="/v1/payment_intents")
    with pytest.raises(requests.ConnectionError):
        charge(emulator, "a")
    assert charges(emulator) == happened
    again = charge(emulator, "a")
    assert again.status_code == 200
    assert ("Idempotent-Replayed" in again.headers) == bool(happened)
    assert charges(emulator) == 1


@pytest.mark.parametrize(
    ("kind", "meanwhile", "end", "status", "afterwards"),
    [
        ("hold_before", 0, "release", 200, 1),
        ("hold_after", 1, "release", 200, 1),
        ("hold_before", 0, "cut", None, 0),
        ("hold_after", 1, "cut", None, 1),
    ],
)
def test_a_call_is_held_until_it_is_let_go(
    emulator: Emulator, kind: str, meanwhile: int, end: str, status: int | None, afterwards: int
) -> None:
    def ask() -> int | None:
        try:
            return charge(emulator, "a").status_code
        except requests.ConnectionError:
            return None

    def holding() -> bool:
        return bool(requests.get(f"{emulator.url}/sandbox/faults", timeout=5).json()["holding"] == 1)

    emulator.order(kind=kind, method="POST", path="/v1/payment_intents")
    with ThreadPoolExecutor() as others:
        answer = others.submit(ask)
        wait_until(holding)
        assert charges(emulator) == meanwhile
        assert not answer.done()
        assert emulator.order(kind=end) in ({"released": 1}, {"cut": 1})
        assert answer.result(5) == status
    assert charges(emulator) == afterwards


def test_the_library_rides_out_a_lost_answer_by_the_same_key(emulator: Emulator) -> None:
    emulator.order(kind="cut_after", path="/v1/payment_intents", times=2)
    patient = connect(emulator, max_network_retries=3)
    params: Any = dict(CHARGE)
    assert patient.v1.payment_intents.create(params=params).status == "succeeded"
    assert charges(emulator) == 1


def test_too_many_requests_on_demand_are_not_kept(emulator: Emulator) -> None:
    emulator.order(kind="error_429", path="/v1/payment_intents")
    refused = charge(emulator, "a")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit")
    assert charge(emulator, "a").status_code == 200
    emulator.order(kind="error_429", path="/v1/customers")
    with pytest.raises(stripe.RateLimitError):
        connect(emulator).v1.customers.list()


def strikes(emulator: Emulator, seed: int) -> list[int]:
    emulator.order(kind="error_500_before", path="/v1/customers", times=10**6, probability=0.5, seed=seed)
    seen = [emulator.call("GET", "/v1/customers").status_code for _ in range(24)]
    requests.delete(f"{emulator.url}/sandbox/faults", timeout=5)
    return seen


def test_a_fault_strikes_some_calls_and_the_same_ones_for_the_same_seed(emulator: Emulator) -> None:
    first = strikes(emulator, 1)
    assert set(first) == {200, 500}
    assert strikes(emulator, 1) == first
    assert strikes(emulator, 2) != first


def pay(client: stripe.StripeClient, **params: Any) -> stripe.PaymentIntent:
    given = {"amount": 500, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True, **params}
    return client.v1.payment_intents.create(params=given)


def test_a_twin_is_a_second_event_about_the_same(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    emulator.order(kind="twin", type="payment_intent.succeeded")
    pay(client)
    wait_until(lambda: webhooks.types.count("payment_intent.succeeded") == 2)
    first, second = (one for one in webhooks.requests if one.type == "payment_intent.succeeded")
    assert first.id != second.id
    assert first.data.object["id"] == second.data.object["id"]
    assert client.v1.events.retrieve(second.id).type == "payment_intent.succeeded"


def test_a_wrong_signature_is_right_at_the_next_try(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    emulator.order(kind="wrong_signature", type="charge.*")
    pay(client)
    wait_until(lambda: sorted(webhooks.types) == sorted(PAID))
    assert len(webhooks.faults) == 1
    assert "No signatures found matching" in webhooks.faults[0]


def test_a_delayed_webhook_comes_by_the_sandboxs_clock_and_lets_others_pass(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    emulator.order(kind="delay", type="payment_intent.created", seconds=3600)
    pay(client)
    wait_until(lambda: webhooks.types == PAID[1:])
    time.sleep(0.3)
    assert webhooks.types == PAID[1:]
    emulator.control("clock", advance=3601)
    webhooks.wait("payment_intent.created")


@pytest.mark.parametrize("seed", [1, 2])
def test_gathered_webhooks_are_mixed_by_a_seed(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver, seed: int
) -> None:
    orders = []
    for _ in range(2):
        emulator.order(kind="shuffle", times=6, seed=seed)
        webhooks.requests.clear()
        pay(client)
        pay(client)
        wait_until(lambda: len(webhooks.requests) == 6)
        happened = [one.id for one in reversed(client.v1.events.list(params={"limit": 6}).data)]
        orders.append([happened.index(one.id) for one in webhooks.requests])
    assert orders[0] == orders[1] != sorted(orders[0])


def test_all_webhooks_come_in_disorder_while_the_dial_says_so(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    emulator.control("dials", shuffle_seed=5, shuffle_seconds=0.4)
    for _ in range(6):
        pay(client)
    wait_until(lambda: len(webhooks.requests) == 18)
    assert webhooks.types != PAID * 6
    assert sorted(webhooks.types) == sorted(PAID * 6)
    by_intent: dict[str, list[str]] = {}
    for one in webhooks.requests:
        about = one.data.object
        intent = about["id"] if about["object"] == "payment_intent" else about["payment_intent"]
        by_intent.setdefault(intent, []).append(one.type)
    assert any(types != PAID for types in by_intent.values()), "not even one payment's own events keep their order"


def test_deliveries_go_side_by_side_but_one_customers_in_order(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    emulator.order(kind="hold", times=10**6)
    customers = [client.v1.customers.create().id for _ in range(8)]
    for customer in customers:
        for name in ("a", "b", "c"):
            client.v1.customers.update(customer, params={"name": name})
    wait_until(lambda: emulator.state()["deliveries"] == {"held": 32})
    requests.delete(f"{emulator.url}/sandbox/faults", timeout=5)
    webhooks.pause = 0.2
    begun = time.monotonic()
    emulator.order(kind="release")
    wait_until(lambda: len(webhooks.requests) == 32, 20)
    assert time.monotonic() - begun < 32 * 0.2 / 2, "eight lanes, each four deliveries long"
    for customer in customers:
        names = [one.data.object["name"] for one in webhooks.requests if one.data.object["id"] == customer]
        assert names == [None, "a", "b", "c"]


def test_a_retry_waits_by_the_sandboxs_clock(emulator: Emulator, webhooks: Receiver) -> None:
    emulator.control("dials", retry_pauses=[3600, 7200])
    webhooks.statuses = [500, 500]
    connect(emulator).v1.customers.create()
    wait_until(lambda: len(webhooks.requests) == 1)
    time.sleep(0.3)
    assert len(webhooks.requests) == 1
    for number, pause in ((2, 3601), (3, 7201)):
        emulator.control("clock", advance=pause)
        wait_until(lambda number=number: len(webhooks.requests) == number)  # type: ignore[misc]
    wait_until(lambda: emulator.state()["deliveries"] == {"delivered": 1})
    (event,) = connect(emulator).v1.events.list(params={"delivery_success": True}).data
    assert event.type == "customer.created"
    assert connect(emulator).v1.events.list(params={"delivery_success": False}).data == []


def test_a_line_that_is_no_http_is_refused(emulator: Emulator) -> None:
    host, port = emulator.url.removeprefix("http://").split(":")
    for spoken, status in (
        (b"hello\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"GET /" + b"x" * 70_000, b"431"),
    ):
        with socket.create_connection((host, int(port)), timeout=5) as line:
            line.sendall(spoken)
            assert status in line.recv(100).split(b"\r\n")[0]
    assert requests.get(f"{emulator.url}/v1/account", auth=(KEY, ""), timeout=5).status_code == 200
