"""Signed webhooks as Stripe posts them, at instants that nothing delays: an open loop, each on a connection of its own.

Everything is built and signed beforehand; latency counts from the instant at which a webhook was to leave, so a
receiver that stands still is charged for everybody who waits meanwhile.
"""

import hashlib
import hmac
import json
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 30.0  # seconds that an answer may take
CORRIDOR = 0.1  # seconds before the first


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back."""

    accepted: frozenset[int]
    "Which, by their places."
    refused: int
    "How many had another answer than 200, or none."
    seconds: float
    "From the instant of the first to the last answer."
    latencies: list[float] = field(repr=False)
    "Milliseconds, sorted."
    late_ms: float = 0.0
    "How far the sender itself was behind at most."

    def share(self, part: float) -> float:
        """The latency below which this part of the answers came."""
        return self.latencies[min(len(self.latencies) - 1, int(part * len(self.latencies)))]


def build(events: Sequence[dict[str, Any]], secret: str, port: int) -> list[bytes]:
    """The requests that bring these events."""
    at = int(time.time())
    requests = []
    for event in events:
        body = json.dumps(event, indent=2).encode()
        digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        head = (
            f"POST /webhooks/stripe HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: Stripe/1.0\r\nAccept: */*\r\n"
            f"Content-Type: application/json; charset=utf-8\r\nCache-Control: no-cache\r\n"
            f"Stripe-Signature: t={at},v1={digest}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        requests.append(head.encode() + body)
    return requests


def post_all(port: int, requests: Sequence[bytes], per_second: float) -> Answers:
    """Post them evenly, whatever becomes of those before."""
    selector = selectors.DefaultSelector()
    start = time.perf_counter() + CORRIDOR
    latencies: list[float] = []
    accepted: set[int] = set()
    sent = 0
    late = 0.0
    last = start

    def close(sock: socket.socket) -> None:
        selector.unregister(sock)
        sock.close()

    while sent < len(requests) or selector.get_map():
        now = time.perf_counter()
        while sent < len(requests) and (due := start + sent / per_second) <= now:
            late = max(late, now - due)
            fresh = socket.socket()
            fresh.setblocking(False)
            fresh.connect_ex(("127.0.0.1", port))
            selector.register(fresh, selectors.EVENT_WRITE, (due, sent, requests[sent]))
            sent += 1
        due = start + sent / per_second if sent < len(requests) else now + 0.1
        for key, mask in selector.select(max(0.0, due - time.perf_counter())):
            assert isinstance(key.fileobj, socket.socket)
            sock, (began, place, octets) = key.fileobj, key.data
            try:
                if mask & selectors.EVENT_WRITE:
                    rest = octets[sock.send(octets) :]
                    selector.modify(sock, selectors.EVENT_WRITE if rest else selectors.EVENT_READ, (began, place, rest))
                    continue
                answer = sock.recv(4096)
            except OSError:
                answer = b""
            last = time.perf_counter()
            latencies.append(1000 * (last - began))
            if answer.startswith(b"HTTP/1.1 200"):
                accepted.add(place)
            close(sock)
        if last < now - PATIENCE and sent == len(requests):
            break
    for each in list(selector.get_map().values()):
        latencies.append(1000 * PATIENCE)
        assert isinstance(each.fileobj, socket.socket)
        close(each.fileobj)
    selector.close()
    refused = len(requests) - len(accepted)
    return Answers(frozenset(accepted), refused, last - start, sorted(latencies), 1000 * late)
