"""Runs the sandbox's Stripe as a server of its own, on 127.0.0.1 only."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from sandbox.stripe.app import Config, create_app
from sandbox.stripe.store import Store
from sandbox.stripe.webhooks import Courier

STOP_WITHIN = 2.0
"""Seconds that a delivery under way has to end when the server stops."""


class Handler(WSGIRequestHandler):
    """Answers quietly: what happened stands on the front page; only mistakes are logged."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Running:
    """A started server."""

    url: str
    _server: BaseWSGIServer
    _thread: threading.Thread
    _courier: Courier
    _store: Store
    _stopping: threading.Event

    def stop(self) -> None:
        """End the server and its threads; what was not delivered is tried again after the next start."""
        self._stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if self._courier.stop(STOP_WITHIN):
            self._store.close()


def start(config: Config, offset: Callable[[], float] | None = None) -> Running:
    """Start a server in threads of this process; OSError when the port is taken."""
    listener = socket.create_server((config.host, config.port))
    port = listener.getsockname()[1]
    app = create_app(config, offset)
    server = make_server(config.host, port, app, threaded=True, request_handler=Handler, fd=listener.fileno())
    listener.close()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="stripe-sandbox", daemon=True)
    courier: Courier = app.extensions["courier"]
    thread.start()
    courier.start()
    return Running(
        f"http://{config.host}:{port}", server, thread, courier, app.extensions["store"], app.extensions["stopping"]
    )


def serve(config: Config, offset: Callable[[], float] | None = None) -> None:
    """Run until SIGTERM or SIGINT."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    running = start(config, offset)
    print(f"Stripe sandbox: {running.url}", flush=True)
    ended.wait()
    running.stop()
