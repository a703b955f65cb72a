"""The same key has its effect once, whatever goes wrong on the way."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.emulator import Emulator, connect, wait_until

CHARGE = {"amount": "4599", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"}


def charge(emulator: Emulator, key: str, **changed: str) -> requests.Response:
    return emulator.call("POST", "/v1/payment_intents", {"Idempotency-Key": key}, **{**CHARGE, **changed})


def charges(emulator: Emulator) -> Any:
    return emulator.state()["charges"].get("guest", {}).get("succeeded", 0)


def test_the_second_time_brings_the_first_answer(emulator: Emulator) -> None:
    first, second = charge(emulator, "a"), charge(emulator, "a")
    assert second.content == first.content
    assert second.status_code == first.status_code == 200
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert first.headers["Original-Request"] == first.headers["Request-Id"] == second.headers["Original-Request"]
    assert second.headers["Request-Id"] != first.headers["Request-Id"]
    assert charges(emulator) == 1
    charge(emulator, "b")
    assert charges(emulator) == 2


def test_a_decline_is_kept_too(emulator: Emulator) -> None:
    first = charge(emulator, "a", payment_method="pm_card_visa_chargeDeclined")
    second = charge(emulator, "a", payment_method="pm_card_visa_chargeDeclined")
    assert (first.status_code, second.status_code) == (402, 402)
    assert second.content == first.content
    assert emulator.state()["objects"]["charge"] == 1


def test_a_key_belongs_to_its_parameters_and_its_endpoint(client: stripe.StripeClient, emulator: Emulator) -> None:
    options: Any = {"idempotency_key": "a"}
    client.v1.customers.create(params={"name": "A"}, options=options)
    with pytest.raises(stripe.IdempotencyError, match="same parameters") as refused:
        client.v1.customers.create(params={"name": "B"}, options=options)
    assert (refused.value.http_status, refused.value.code) == (400, None)
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        client.v1.setup_intents.create(options=options)
    assert emulator.state()["objects"]["customer"] == 1


def test_a_connected_account_has_keys_of_its_own(emulator: Emulator) -> None:
    options: Any = {"idempotency_key": "a"}
    own = connect(emulator).v1.customers.create(options=options)
    theirs = connect(emulator, stripe_account="acct_connected").v1.customers.create(options=options)
    assert own.id != theirs.id


def test_refused_parameters_are_not_kept(emulator: Emulator) -> None:
    assert charge(emulator, "a", amount="ten").status_code == 400
    assert charge(emulator, "a").status_code == 200


def test_what_the_endpoint_refuses_is_kept(emulator: Emulator) -> None:
    first, second = (charge(emulator, "a", customer="cus_no") for _ in range(2))
    assert (first.status_code, second.status_code) == (400, 400)
    assert second.headers["Idempotent-Replayed"] == "true"


def test_a_key_may_be_255_characters_long(emulator: Emulator) -> None:
    assert charge(emulator, "k" * 255).status_code == 200
    assert charge(emulator, "k" * 256).status_code == 400


def test_a_key_lives_for_a_day(emulator: Emulator) -> None:
    first = charge(emulator, "a")
    emulator.ahead = 86399.0
    assert charge(emulator, "a").json()["id"] == first.json()["id"]
    emulator.ahead = 86402.0
    assert charge(emulator, "a").json()["id"] != first.json()["id"]


def test_a_key_survives_a_restart(emulator: Emulator) -> None:
    first = charge(emulator, "a")
    emulator.restart()
    assert charge(emulator, "a").content == first.content
    assert charges(emulator) == 1


def test_two_at_once_are_a_conflict_and_charge_once(emulator: Emulator) -> None:
    emulator.order(kind="delay", seconds=0.4, path="/v1/payment_intents")
    with ThreadPoolExecutor() as pool:
        first = pool.submit(charge, emulator, "a")
        wait_until(lambda: emulator.state()["faults"] == [])  # the first one is inside now
        second = charge(emulator, "a")
        assert second.status_code == 409
        error = second.json()["error"]
        assert (error["type"], error["code"]) == ("invalid_request_error", "idempotency_key_in_use")
        assert first.result().status_code == 200
    assert charge(emulator, "a").headers["Idempotent-Replayed"] == "true"
    assert charges(emulator) == 1


def test_many_at_once_charge_once(emulator: Emulator) -> None:
    start = threading.Barrier(8)

    def go(_: int) -> requests.Response:
        start.wait()
        return charge(emulator, "a")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(go, range(8)))
    assert {one.status_code for one in answers} <= {200, 409}
    assert len({one.json()["id"] for one in answers if one.status_code == 200}) == 1
    assert charges(emulator) == 1


def test_the_library_waits_out_a_conflict_by_itself(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.5)  # as it is outside of these tests
    emulator.order(kind="delay", seconds=0.3, path="/v1/customers")
    patient = connect(emulator, max_network_retries=2)
    options: Any = {"idempotency_key": "a"}
    with ThreadPoolExecutor() as pool:
        first = pool.submit(patient.v1.customers.create, options=options)
        wait_until(lambda: emulator.state()["faults"] == [])
        second = patient.v1.customers.create(options=options)
        assert second.id == first.result().id


def test_an_error_before_the_work_is_not_kept(client: stripe.StripeClient, emulator: Emulator) -> None:
    emulator.order(kind="error_500_before", path="/v1/payment_intents*", times=2)
    assert charge(emulator, "a").status_code == 500
    assert charges(emulator) == 0
    assert connect(emulator, max_network_retries=2).v1.payment_intents.list().data == []
    assert charge(emulator, "a").status_code == 200


def test_an_error_after_the_work_is_kept_and_the_money_is_found_by_search(emulator: Emulator) -> None:
    emulator.order(kind="error_500_after", method="POST", path="/v1/payment_intents")
    patient = connect(emulator, max_network_retries=2)
    options: Any = {"idempotency_key": "a"}
    params: Any = {**CHARGE, "metadata": {"attempt": "7"}}
    for _ in range(2):
        with pytest.raises(stripe.APIError) as failed:
            patient.v1.payment_intents.create(params=params, options=options)
        assert failed.value.http_status == 500
    assert failed.value.headers["Idempotent-Replayed"] == "true"
    (found,) = patient.v1.payment_intents.search(params={"query": "metadata['attempt']:'7'"})
    assert found.status == "succeeded"
    assert charges(emulator) == 1


def test_silence_after_the_work_is_a_timeout_and_the_same_key_tells(emulator: Emulator) -> None:
    emulator.order(kind="timeout_after", seconds=30, path="/v1/payment_intents")
    hasty = connect(emulator, http_client=stripe.RequestsClient(timeout=0.3))
    options: Any = {"idempotency_key": "a"}
    params: Any = dict(CHARGE)
    with pytest.raises(stripe.APIConnectionError):
        hasty.v1.payment_intents.create(params=params, options=options)
    assert charges(emulator) == 1
    paid = hasty.v1.payment_intents.create(params=params, options=options)
    assert paid.last_response.headers["Idempotent-Replayed"] == "true"
    assert charges(emulator) == 1


def test_after_the_silence_the_line_is_cut(emulator: Emulator) -> None:
    emulator.order(kind="timeout_after", seconds=0.05, path="/v1/payment_intents")
    with pytest.raises(requests.ConnectionError):
        charge(emulator, "a")
    assert charges(emulator) == 1


def test_a_delay_only_delays(emulator: Emulator) -> None:
    emulator.order(kind="delay", seconds=0.2, path="/v1/payment_intents")
    begun = time.monotonic()
    assert charge(emulator, "a").status_code == 200
    assert time.monotonic() - begun >= 0.2


def test_faults_fit_their_calls_and_can_be_taken_back(emulator: Emulator) -> None:
    emulator.order(kind="error_500_before", method="POST", path="/v1/payment_intents", times=3)
    assert emulator.call("GET", "/v1/payment_intents").status_code == 200
    assert emulator.call("POST", "/v1/customers").status_code == 200
    assert charge(emulator, "a").status_code == 500
    assert emulator.state()["faults"][0]["times"] == 2
    requests.delete(f"{emulator.url}/sandbox/faults", timeout=5)
    assert charge(emulator, "a").status_code == 200


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "earthquake"},
        {"kind": "cut_after", "type": "x"},
        {"kind": "drop", "path": "x"},
        {"kind": "delay", "probability": 2},
        {"kind": "delay", "seconds": -1},
        {"kind": "drop", "times": "two"},
        {"kind": "drop", "x": 1},
        [],
    ],
)
def test_an_order_that_makes_no_sense_is_refused(emulator: Emulator, fault: Any) -> None:
    answer = requests.post(f"{emulator.url}/sandbox/faults", json=fault, timeout=5)
    assert (answer.status_code, emulator.state()["faults"]) == (400, [])


def test_orders_are_json_only(emulator: Emulator) -> None:
    answer = requests.post(f"{emulator.url}/sandbox/faults", data={"kind": "drop"}, timeout=5)
    assert (answer.status_code, emulator.state()["faults"]) == (415, [])
