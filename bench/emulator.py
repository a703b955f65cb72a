"""How fast the sandbox's Stripe is by itself: python -m bench.emulator; so that a bench of payments measures payments.

Saved cards are charged as autopay charges them (made unconfirmed, then confirmed), by threads that keep their
connections. The server is bound to one core and its own processor time is read from /proc, which tells the truth on a
machine that others use too. With --webhooks a receiver that answers 200 at once counts what arrives.
"""

import argparse
import http.client
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

KEY = "sk_test_of_the_bench"
CARDS = 50
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Receiver:
    """Counts webhooks."""

    url: str = ""
    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            with receiver.lock:
                receiver.count += 1

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/"
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def served(webhook_url: str) -> Iterator[tuple[int, int]]:
    """The sandbox's Stripe in a process of its own, on one core; its port and its process id."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--port", str(_free_port()), "--data", folder, "--api-key", KEY]
        if webhook_url:
            arguments += ["--webhook-url", webhook_url, "--webhook-secret", "whsec_of_the_bench"]
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox.stripe", *arguments], stdout=subprocess.PIPE, text=True
        )
        try:
            os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
            assert process.stdout is not None
            yield int(process.stdout.readline().rsplit(":", 1)[1]), process.pid
        finally:
            process.terminate()
            process.wait()


def call(line: http.client.HTTPConnection, path: str, **params: object) -> Any:
    """One POST with a key of its own."""
    headers = {**HEADERS, "Idempotency-Key": secrets.token_hex(16)}
    line.request("POST", path, urlencode(params), headers)
    answer = line.getresponse()
    body = json.loads(answer.read())
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {body}")
    return body


def charge(port: int, count: int, threads: int) -> float:
    """Charge `count` times, by so many threads; returns the seconds."""
    line = http.client.HTTPConnection("127.0.0.1", port)
    cards = []
    for _ in range(CARDS):
        customer = call(line, "/v1/customers")["id"]
        cards.append((customer, call(line, "/v1/payment_methods/pm_card_visa/attach", customer=customer)["id"]))
    left, lock = iter(range(count)), threading.Lock()

    def work() -> None:
        own = http.client.HTTPConnection("127.0.0.1", port)
        while True:
            with lock:
                number = next(left, None)
            if number is None:
                return
            customer, card = cards[number % CARDS]
            params = {"amount": 1000 + number, "currency": "eur", "customer": customer, "payment_method": card}
            made = call(own, "/v1/payment_intents", **params, **{"metadata[case]": secrets.token_hex(8)})
            call(own, f"/v1/payment_intents/{made['id']}/confirm", off_session="true")

    workers = [threading.Thread(target=work) for _ in range(threads)]
    begun = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - begun


def processor_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure once and print it."""
    parser = argparse.ArgumentParser("python -m bench.emulator", description="The sandbox's Stripe by itself.")
    parser.add_argument("--charges", type=int, default=2000, metavar="N", help="charges, of two calls each (2000)")
    parser.add_argument("--threads", type=int, default=32, metavar="N", help="callers (32)")
    parser.add_argument("--delay", type=float, default=0.0, metavar="S", help="added to every call (0)")
    parser.add_argument("--webhooks", action="store_true", help="deliver webhooks too")
    wish = parser.parse_args()
    with receiving() as receiver, served(receiver.url if wish.webhooks else "") as (port, pid):
        line = http.client.HTTPConnection("127.0.0.1", port)
        dial = json.dumps({"delay": wish.delay})
        line.request("POST", "/sandbox/dials", dial, {"Content-Type": "application/json"})
        line.getresponse().read()
        before, begun = processor_seconds(pid), time.perf_counter()
        seconds = charge(port, wish.charges, wish.threads)
        expected = 3 * wish.charges + 2 * CARDS
        while wish.webhooks and receiver.count < expected and time.perf_counter() - begun < 300:
            time.sleep(0.01)
        drained, spent = time.perf_counter() - begun, processor_seconds(pid) - before
    calls = 2 * wish.charges
    print(f"{calls / seconds:.0f} calls/s, {spent / calls * 1000:.2f} ms of processor time per call")
    if wish.webhooks:
        print(f"{receiver.count} webhooks in {drained:.1f} s, {receiver.count / drained:.0f}/s")


def _free_port() -> int:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return int(server.server_port)


if __name__ == "__main__":
    main()
