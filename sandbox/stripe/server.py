"""Runs the sandbox's Stripe as a server of its own, on loopback addresses only, with everything on one event loop."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from base.stop import stop_at
from sandbox.stripe import wsgi
from sandbox.stripe.agenda import catch_up
from sandbox.stripe.api import Api
from sandbox.stripe.app import Config, create_app
from sandbox.stripe.courier import Courier
from sandbox.stripe.store import Store
from sandbox.stripe.wire import Line, Reply, Request

BANK = "127.0.0.2"
"""Where banks ask their customers: another host than the hosted pages', as it is in life."""


@dataclass(frozen=True)
class Running:
    """A started server."""

    url: str
    bank: str
    """Address of the 3-D Secure pages."""
    _loop: asyncio.AbstractEventLoop
    _thread: threading.Thread
    _over: asyncio.Event

    def stop(self) -> None:
        """End the server; what was not delivered is tried again after the next start."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()


def start(config: Config, offset: Callable[[], float] | None = None) -> Running:
    """Start a server in a thread of this process; OSError when the port is taken."""
    listener = socket.create_server((config.host, config.port), backlog=512)
    port = listener.getsockname()[1]
    bank = _bank(config, port)
    bank_host, bank_port = bank.getsockname()[:2]
    try:
        app = create_app(config, offset)
    except BaseException:
        listener.close()
        bank.close()
        raise
    loop = asyncio.new_event_loop()
    over = asyncio.Event()
    store: Store = app.extensions["store"]
    api: Api = app.extensions["api"]
    app.extensions["home_url"] = f"http://{config.host}:{port}"
    api.bank_url = app.extensions["bank_url"] = f"http://{bank_host}:{bank_port}"

    async def serve(request: Request) -> Reply:
        if request.path.startswith("/v1/"):
            return await api.serve(request)
        return wsgi.run(app, request, port)

    async def live() -> None:
        courier = Courier(store, app.extensions["faults"])

        # A commit may come from another thread, such as a test's.
        def ring() -> None:
            loop.call_soon_threadsafe(courier.ring)

        store.ring = ring
        lines: set[Line] = set()
        servers = [await loop.create_server(lambda: Line(serve, lines), sock=one) for one in (listener, bank)]
        carrying = loop.create_task(courier.run())
        ticking = loop.create_task(_tick(store))
        await over.wait()
        courier.over = True
        courier.ring()
        for server in servers:
            server.close()
        for line in list(lines):
            line.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(carrying, ticking, *others, return_exceptions=True)

    def run() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(live())
        finally:
            store.ring = lambda: None
            loop.close()
            store.close()

    thread = threading.Thread(target=run, name="stripe-sandbox", daemon=True)
    thread.start()
    return Running(f"http://{config.host}:{port}", api.bank_url, loop, thread, over)


def serve(config: Config, offset: Callable[[], float] | None = None) -> None:
    """Run until SIGTERM or SIGINT."""
    ended = stop_at(signal.SIGTERM, signal.SIGINT)
    running = start(config, offset)
    print(f"Stripe sandbox: {running.url}", flush=True)
    ended.wait()
    running.stop()


def _bank(config: Config, port: int) -> socket.socket:
    """A second address: the same port of 127.0.0.2, or where that is not to be had any port of 127.0.0.1."""
    for address in ((BANK, port), (BANK, 0)):
        try:
            return socket.create_server(address)
        except OSError:
            continue
    return socket.create_server((config.host, 0))


async def _tick(store: Store) -> None:
    """Do what time brings, even when nobody calls."""
    while True:
        catch_up(store)
        await asyncio.sleep(0.1)
