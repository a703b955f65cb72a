"""What the tests of the sandbox's Stripe share: the running server, and somebody who receives its webhooks."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests
import stripe

from sandbox.stripe.app import Config
from sandbox.stripe.server import Running, start

KEY = "sk_test_for_tests_only"
SECRET = "whsec_for_tests_only"
stripe.enable_telemetry = False  # else the first call writes into the home folder
stripe.HTTPClient.INITIAL_DELAY = 0.02  # seconds before the library's own retries; how often it tries is the same


@dataclass
class Receiver:
    """A webhook endpoint that verifies what comes in and keeps it; `statuses` are given first, then always 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    secret: str = SECRET
    requests: list[stripe.Event] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    pause: float = 0.0
    """Seconds that it thinks before it answers."""

    def take(self, body: bytes, signature: str | None) -> int:
        time.sleep(self.pause)
        try:
            event = stripe.Webhook.construct_event(body, signature, self.secret)
        except stripe.SignatureVerificationError as error:
            self.faults.append(str(error))
            return 400
        self.requests.append(event)
        self.bodies.append(body)
        return self.statuses.pop(0) if self.statuses else 200

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.requests]

    def wait(self, *types: str, seconds: float = 5.0) -> list[stripe.Event]:
        """Return the events received once each of these types is among them."""
        wait_until(lambda: set(types) <= set(self.types), seconds, lambda: f"{types} not in {self.types}")
        assert not self.faults
        return self.requests

    def of(self, type: str) -> Any:
        """The object of the one event of this type."""
        (event,) = [event for event in self.requests if event.type == type]
        return event.data.object


def wait_until(holds: Callable[[], bool], seconds: float = 5.0, why: Callable[[], str] = lambda: "") -> None:
    """Look every 10 ms until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, why() or "waited too long"
        time.sleep(0.01)


@dataclass
class Emulator:
    """The running sandbox, with a clock that tests may move and a way to start it again."""

    config: Config
    ahead: float = 0.0
    running: Running = field(init=False)

    def __post_init__(self) -> None:
        self.running = start(self.config, lambda: self.ahead)

    @property
    def url(self) -> str:
        return self.running.url

    def restart(self) -> None:
        self.running.stop()
        self.running = start(self.config, lambda: self.ahead)

    def order(self, **fault: Any) -> Any:
        """Order a fault."""
        answer = requests.post(f"{self.url}/sandbox/faults", json=fault, timeout=5)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def control(self, path: str, **given: Any) -> Any:
        """One control call; its answer."""
        answer = requests.post(f"{self.url}/sandbox/{path}", json=given, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def state(self) -> Any:
        return requests.get(f"{self.url}/sandbox/state", timeout=5).json()

    def call(self, method: str, path: str, headers: dict[str, str] | None = None, **params: Any) -> requests.Response:
        """One raw API call, as the library would send it, with an answer to look at."""
        bodies = {"params": params} if method == "GET" else {"data": params}
        return requests.request(method, self.url + path, auth=(KEY, ""), headers=headers, timeout=5, **bodies)


def connect(emulator: Emulator, **options: Any) -> stripe.StripeClient:
    return stripe.StripeClient(KEY, base_addresses={"api": emulator.url}, **options)
