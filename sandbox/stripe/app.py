"""Puts the sandbox's Stripe together: the API, the hosted pages, the operator's page, the control calls."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from flask import Flask
from werkzeug.wrappers import Response

from sandbox.stripe.api import Api
from sandbox.stripe.control import control
from sandbox.stripe.dials import RETRY_PAUSES, Dials, turn
from sandbox.stripe.faults import Faults
from sandbox.stripe.front import front
from sandbox.stripe.keys import Keys
from sandbox.stripe.pages import pages
from sandbox.stripe.receivers import keep_endpoint
from sandbox.stripe.store import Store

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Config:
    """What one sandbox needs to know."""

    data: Path
    """Folder of its file; made if it is not there."""
    api_key: str = field(repr=False)
    """The secret key that callers must name; a test key."""
    port: int = 0
    """Port on 127.0.0.1; 0 takes a free one."""
    host: str = "127.0.0.1"
    """Only 127.0.0.1 is accepted; banks ask their customers on 127.0.0.2."""
    webhook_url: str | None = None
    """Who hears of every event, on this machine; None: only endpoints made through the API."""
    webhook_secret: str | None = field(default=None, repr=False)
    """Signs what goes to webhook_url."""
    retry_pauses: tuple[float, ...] = RETRY_PAUSES
    """Seconds before each further try of a delivery."""

    def __post_init__(self) -> None:
        if self.host != "127.0.0.1":
            raise ValueError(f"host is {self.host}, but the sandbox listens on 127.0.0.1 only")
        if not self.api_key.startswith("sk_test_") or len(self.api_key) < 16:
            raise ValueError("api_key must be a test key: sk_test_ and at least 8 more characters")
        if self.webhook_url and not (self.webhook_secret or "").startswith("whsec_"):
            raise ValueError("webhook_secret must start with whsec_ when webhook_url is set")


def create_app(config: Config, offset: Callable[[], float] | None = None) -> Flask:
    """Return the WSGI application of the pages; `offset` gives the seconds by which its time runs ahead.

    `app.extensions` holds what goes with it: "store", "faults", "keys" and "api", which answers the calls under /v1.
    """
    config.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = Store(config.data / "stripe.sqlite", lambda: time.time() + (offset() if offset else 0))
    faults = Faults()
    with store.transaction() as tx:
        store.dials = turn(Dials(retry_pauses=config.retry_pauses), json.loads(tx.fact("dials", lambda: "{}")))
        keys = Keys(config.api_key, tx.fact("keys", lambda: ""))
        if config.webhook_url:
            keep_endpoint(tx, config.webhook_url, config.webhook_secret or "")
    app = Flask(__name__, static_folder=None)
    app.extensions |= {"store": store, "faults": faults, "keys": keys, "api": Api(store, faults, keys)}
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.register_blueprint(pages(store))
    app.register_blueprint(front(store, faults))
    app.register_blueprint(control(store, faults, keys))

    @app.after_request
    def dress(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response

    return app
