"""The socket side of CoA: source ports whose identifiers are never reused within the receiver's replay window.

At most 256 requests leave per source port; then a new port is opened, and the old one rests until nobody remembers its
identifiers (RFC 5176 section 2.3: Event-Timestamp window, 300 s by default).
"""

import asyncio
import time
from collections import Counter
from random import Random

from base import clock
from coa.exchange import Answer, Silence, Transaction
from radius.dialects import Pairs, encode_pairs
from radius.packet import Code, request

WINDOW = 300.0  # seconds in which a receiver may remember an identifier


class _Port(asyncio.DatagramProtocol):
    """One source port towards one device."""

    def __init__(self, drops: Counter[str]) -> None:
        self.used = 0
        self.last_used = 0.0
        self.waiting: dict[int, tuple[Transaction, asyncio.Event]] = {}
        self._drops = drops
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        waiting = self.waiting.get(data[1]) if len(data) > 1 else None
        if waiting is None:
            self._drops["unexpected_answer"] += 1
            return
        fault = waiting[0].on_datagram(data)
        if fault is None:
            waiting[1].set()
        else:
            self._drops[fault] += 1

    def error_received(self, exc: Exception) -> None:
        self._drops["port_unreachable"] += 1  # the retransmissions go on: the NAS may be restarting


class Client:
    """Sends requests and returns their answers; `drops` counts by name what came back and was no answer."""

    def __init__(self, local_host: str | None) -> None:
        self.drops: Counter[str] = Counter()
        self._local_host = local_host
        self._ports: dict[tuple[str, int], list[_Port]] = {}
        self._jitter = Random()

    async def send(self, code: Code, pairs: Pairs, secret: bytes, host: str, port: int) -> tuple[Answer, int]:
        """Send to host:port until answered or given up; returns the answer and how many datagrams it took.

        Event-Timestamp and Message-Authenticator are added here, once: a retransmission is identical.
        """
        try:
            source = await self._source(host, port)
        except OSError:
            return Silence(), 0
        identifier = source.used
        source.used += 1
        source.last_used = time.monotonic()
        stamped = [*pairs, ("Event-Timestamp", int(clock.now().timestamp()))]
        datagram = request(code, identifier, encode_pairs(stamped), secret)
        transaction = Transaction(code, datagram, secret, time.monotonic(), self._jitter)
        answered = asyncio.Event()
        source.waiting[identifier] = (transaction, answered)
        try:
            while transaction.answer is None:
                octets = transaction.on_timer(time.monotonic())
                if octets is not None and source.transport is not None:
                    source.transport.sendto(octets)
                try:
                    await asyncio.wait_for(answered.wait(), max(0.0, transaction.next_at - time.monotonic()))
                except TimeoutError:
                    continue
        finally:
            del source.waiting[identifier]
            source.last_used = time.monotonic()
        return transaction.answer, transaction.sends

    async def _source(self, host: str, port: int) -> _Port:
        """A source port with an identifier to spare; ports that have rested long enough are closed."""
        ports = self._ports.setdefault((host, port), [])
        now = time.monotonic()
        for old in [p for p in ports if p.used == 256 and not p.waiting and now - p.last_used > WINDOW]:
            ports.remove(old)
            if old.transport is not None:
                old.transport.close()
        for candidate in ports:
            if candidate.used < 256:
                return candidate
        local = None if self._local_host is None else (self._local_host, 0)
        loop = asyncio.get_running_loop()
        _, fresh = await loop.create_datagram_endpoint(
            lambda: _Port(self.drops), local_addr=local, remote_addr=(host, port)
        )
        ports.append(fresh)
        return fresh

    def close(self) -> None:
        """Close every port."""
        for ports in self._ports.values():
            for port in ports:
                if port.transport is not None:
                    port.transport.close()
