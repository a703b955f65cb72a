"""A running sandbox Stripe, the official library pointed at it, and somebody who receives its webhooks."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import stripe

from sandbox.stripe.app import Config
from tests.sandbox.emulator import KEY, SECRET, Emulator, Receiver, connect
from tests.sandbox.stripe_types import everything, strangers


@pytest.fixture
def webhooks() -> Iterator[Receiver]:
    """Somebody who receives webhooks on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(receiver.take(body, self.headers["Stripe-Signature"]))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/stripe/webhook"
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def emulator(tmp_path: Path, webhooks: Receiver) -> Iterator[Emulator]:
    """The sandbox's Stripe on a free port; its webhooks go to `webhooks` and are tried again quickly."""
    config = Config(
        data=tmp_path / "stripe",
        api_key=KEY,
        webhook_url=webhooks.url,
        webhook_secret=SECRET,
        retry_pauses=(0.05, 0.05, 0.05),
    )
    made = Emulator(config)
    yield made
    made.running.stop()
    file = config.data / "stripe.sqlite"
    wrong = {said for one in everything(file) for said in strangers(one)}
    assert wrong == set(), "every object and event has the shape that Stripe gives it"


@pytest.fixture
def client(emulator: Emulator) -> stripe.StripeClient:
    """The official library, pointed at the sandbox."""
    return connect(emulator)
