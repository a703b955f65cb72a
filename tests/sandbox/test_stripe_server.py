"""The server as a process: its command line, its address, kill -9, and its data after a restart."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe

from sandbox.stripe.app import Config, create_app
from sandbox.stripe.server import start
from sandbox.stripe.store import Store
from tests.sandbox.emulator import KEY, SECRET, Emulator, Receiver, wait_until

PREFIX = "TOLLKEEPER_SANDBOX_STRIPE_"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def command(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return subprocess.Popen(
        [sys.executable, "-m", "sandbox.stripe", *arguments],
        env={**clean, **{PREFIX + name: value for name, value in environment.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def served(*arguments: str, **environment: str) -> Iterator[tuple["subprocess.Popen[str]", stripe.StripeClient]]:
    process = command(*arguments, **environment)
    try:
        url = process.stdout.readline().strip().removeprefix("Stripe sandbox: ")
        yield process, stripe.StripeClient(KEY, base_addresses={"api": url})
    finally:
        process.kill()
        process.communicate()


def test_it_starts_from_options_or_the_environment_and_ends_on_a_signal(tmp_path: Path) -> None:
    port = free_port()
    with served("--port", str(port), DATA=str(tmp_path / "new" / "data"), API_KEY=KEY) as (process, client):
        assert client.v1.accounts.retrieve_current().charges_enabled
        assert (tmp_path / "new" / "data").stat().st_mode & 0o777 == 0o700
        process.send_signal(signal.SIGTERM)
        assert process.wait(3) == 0
        _, told = process.communicate()
        assert told == "", "a quiet server"


def test_kill_9_loses_nothing_that_was_answered(tmp_path: Path, webhooks: Receiver) -> None:
    environment = {
        "PORT": str(free_port()),
        "DATA": str(tmp_path),
        "API_KEY": KEY,
        "WEBHOOK_URL": webhooks.url,
        "WEBHOOK_SECRET": SECRET,
    }
    params: Any = {"amount": 500, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    options: Any = {"idempotency_key": "a"}
    with served(**environment) as (process, client):
        requests.post(
            f"http://127.0.0.1:{environment['PORT']}/sandbox/faults", json={"kind": "hold", "times": 9}, timeout=5
        )
        paid = client.v1.payment_intents.create(params=params, options=options)
        process.kill()
        process.wait()
    with served(**environment) as (_, client):
        assert client.v1.payment_intents.create(params=params, options=options).id == paid.id
        assert len(client.v1.charges.list().data) == 1
        requests.post(f"http://127.0.0.1:{environment['PORT']}/sandbox/faults", json={"kind": "release"}, timeout=5)
        webhooks.wait("payment_intent.succeeded")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"PORT": ""}, "--port or TOLLKEEPER_SANDBOX_STRIPE_PORT is needed"),
        ({"PORT": "soon"}, "soon"),
        ({"API_KEY": ""}, "TOLLKEEPER_SANDBOX_STRIPE_API_KEY is needed"),
        ({"API_KEY": "sk_live_1234567890"}, "must be a test key"),
        ({"HOST": "0.0.0.0"}, "127.0.0.1 only"),
        ({"WEBHOOK_URL": "http://127.0.0.1:1/"}, "must start with whsec_"),
        ({"WEBHOOK_URL": "http://192.0.2.1/", "WEBHOOK_SECRET": "whsec_x"}, "of this machine only"),
    ],
)
def test_wrong_options_are_named_and_end_with_2(tmp_path: Path, changed: dict[str, str], says: str) -> None:
    process = command(**{"PORT": str(free_port()), "DATA": str(tmp_path), "API_KEY": KEY, **changed})
    _, told = process.communicate(timeout=10)
    assert (process.returncode, says in told) == (2, True), told
    assert "Traceback" not in told


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = command("--port", port, "--data", str(tmp_path), API_KEY=KEY)
        _, told = process.communicate(timeout=10)
    assert process.returncode == 2
    assert f"port {port}" in told


def test_secrets_stand_in_no_repr(tmp_path: Path) -> None:
    shown = repr(Config(tmp_path, KEY, webhook_url="http://127.0.0.1/", webhook_secret=SECRET))
    assert KEY not in shown
    assert SECRET not in shown


def test_it_listens_on_loopback_only(emulator: Emulator) -> None:
    port = int(emulator.url.rsplit(":", 1)[1])
    with pytest.raises(ConnectionRefusedError):  # who listens on every address would answer here
        socket.create_connection(("127.0.0.3", port), timeout=1)


def test_everything_is_there_after_a_restart(
    emulator: Emulator, client: stripe.StripeClient, webhooks: Receiver
) -> None:
    customer = client.v1.customers.create(params={"name": "Ada"})
    card = client.v1.payment_methods.attach("pm_card_authenticationRequired", params={"customer": customer.id})
    account = client.v1.accounts.retrieve_current()
    (endpoint,) = client.v1.webhook_endpoints.list()
    wait_until(lambda: emulator.state()["deliveries"] == {"delivered": 2})
    emulator.restart()
    client = stripe.StripeClient(KEY, base_addresses={"api": emulator.url})
    assert client.v1.customers.retrieve(customer.id).name == "Ada"
    assert client.v1.accounts.retrieve_current().id == account.id
    assert [one.id for one in client.v1.webhook_endpoints.list()] == [endpoint.id]
    assert emulator.state()["deliveries"] == {"delivered": 2}, "nothing is sent twice"
    with pytest.raises(stripe.CardError):  # what a card does is remembered too
        client.v1.payment_intents.create(
            params={
                "amount": 500,
                "currency": "usd",
                "customer": customer.id,
                "payment_method": card.id,
                "confirm": True,
                "off_session": True,
            }
        )


def test_a_file_of_another_format_is_refused_by_name(tmp_path: Path) -> None:
    store = Store(tmp_path / "stripe.sqlite", lambda: 0.0)
    with store.transaction() as tx:
        tx.db.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(ValueError, match="has format 99"):
        create_app(Config(tmp_path, KEY))


def test_a_stop_ends_answers_that_wait(tmp_path: Path) -> None:
    running = start(Config(tmp_path, KEY))
    requests.post(f"{running.url}/sandbox/faults", json={"kind": "timeout_after", "seconds": 60}, timeout=5)
    with pytest.raises(requests.Timeout):
        requests.get(f"{running.url}/v1/account", auth=(KEY, ""), timeout=0.2)
    running.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(running.url, timeout=1)


def test_a_mistake_of_ours_is_a_500_in_stripes_words(emulator: Emulator) -> None:
    with closing(sqlite3.connect(emulator.config.data / "stripe.sqlite")) as db:
        db.execute("ALTER TABLE objects RENAME TO gone")
    answer = emulator.call("GET", "/v1/customers")
    with closing(sqlite3.connect(emulator.config.data / "stripe.sqlite")) as db:
        db.execute("ALTER TABLE gone RENAME TO objects")
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "api_error")
