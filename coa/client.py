"""The socket side of CoA: source ports whose identifiers are never reused within the receiver's replay window.

At most 256 requests leave per source port; then a new port is opened, and the old one rests until nobody remembers its
identifiers (RFC 5176 section 2.3: Event-Timestamp window, 300 s by default).
"""

import asyncio
import contextlib
import itertools
import socket
import time
from collections import Counter
from collections.abc import Callable
from random import Random

from base import clock
from base.log import logger
from coa.exchange import Answer, Silence, Transaction, Waits
from radius.dialects import Pairs, encode_pairs
from radius.packet import Code, request

REMEMBERED = 300.0  # seconds for which a receiver may remember an identifier
IDENTIFIERS = 256
_MOST_OCTETS = 4096


class _Port:
    """One source port towards one device; each of its identifiers is used once."""

    def __init__(self, local_host: str | None, host: str, port: int, drops: Counter[tuple[str, str]]) -> None:
        self.used = 0
        self.last_used = time.monotonic()
        self.waiting: dict[int, tuple[Transaction, asyncio.Event]] = {}
        self._host, self._drops = host, drops
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if local_host is not None:
                self._socket.bind((local_host, 0))
            self._socket.connect((host, port))  # the kernel then drops what comes from anybody else
        except OSError:
            self._socket.close()
            raise
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def rests(self, now: float) -> bool:
        """Whether nobody waits here any more, nor remembers what was sent."""
        return not self.waiting and now - self.last_used > REMEMBERED

    def send(self, octets: bytes) -> bool:
        """Send, and say whether it left this machine."""
        for _ in range(2):  # an ICMP error for an earlier datagram fails the call that comes next, once
            try:
                self._socket.send(octets)
            except OSError:
                self._count("unreachable")
            else:
                return True
        return False

    def close(self) -> None:
        """Give the port back."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        try:
            while True:
                self._take(self._socket.recv(_MOST_OCTETS))
        except BlockingIOError:
            pass
        except OSError:
            self._count("unreachable")  # ICMP; the retransmissions go on: the NAS may be restarting

    def _take(self, datagram: bytes) -> None:
        identifier = datagram[1] if len(datagram) > 1 else IDENTIFIERS
        if identifier not in self.waiting:
            self._count("late_answer" if identifier < self.used else "unexpected_answer")
            return
        transaction, answered = self.waiting[identifier]
        fault = transaction.on_datagram(datagram)
        if fault is None:
            answered.set()
        else:
            self._count(fault)

    def _count(self, name: str) -> None:
        self._drops[name, self._host] += 1


class Client:
    """Sends requests and returns their answers; what came back and was no answer is counted by name and device.

    When `allowed` says no, nothing leaves any more: another process may be sending.
    """

    def __init__(
        self, local_host: str | None, waits: Waits | None = None, allowed: Callable[[], bool] = lambda: True
    ) -> None:
        self.drops: Counter[tuple[str, str]] = Counter()
        self._local_host, self._waits, self._allowed = local_host, waits or Waits(), allowed
        self._ports: dict[tuple[str, int], list[_Port]] = {}
        self._jitter = Random()

    async def send(self, code: Code, pairs: Pairs, secret: bytes, host: str, port: int) -> tuple[Answer, int]:
        """Send to host:port until answered or given up; returns the answer and how many datagrams left.

        Event-Timestamp and Message-Authenticator are added here, once: a retransmission is identical.
        """
        attributes = encode_pairs([*pairs, ("Event-Timestamp", int(clock.now().timestamp()))])
        try:
            source = self._source(host, port)
        except OSError as error:
            logger().warning("coa.not_sent", target=f"{host}:{port}", error=str(error))
            return Silence(), 0
        identifier = source.used
        source.used += 1
        datagram = request(code, identifier, attributes, secret)
        transaction = Transaction(code, datagram, secret, time.monotonic(), self._jitter, self._waits)
        answered = asyncio.Event()
        source.waiting[identifier] = (transaction, answered)
        sends = 0
        try:
            while transaction.answer is None:
                octets = transaction.on_timer(time.monotonic())
                if octets is not None:
                    if not self._allowed():
                        transaction.give_up()
                        continue
                    sends += source.send(octets)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(answered.wait(), max(0.0, transaction.next_at - time.monotonic()))
        finally:
            del source.waiting[identifier]
            source.last_used = time.monotonic()
        return transaction.answer, sends

    def _source(self, host: str, port: int) -> _Port:
        """A source port with an identifier to spare."""
        ports = self._ports.setdefault((host, port), [])
        if not ports or ports[-1].used == IDENTIFIERS:
            self._close_rested()
            ports.append(_Port(self._local_host, host, port, self.drops))
        return ports[-1]

    def _close_rested(self) -> None:
        now = time.monotonic()
        for ports in self._ports.values():
            for rested in [each for each in ports if each.rests(now)]:
                ports.remove(rested)
                rested.close()

    def give_up(self) -> None:
        """Wait no longer for any answer."""
        for port in itertools.chain.from_iterable(self._ports.values()):
            for transaction, answered in port.waiting.values():
                transaction.give_up()
                answered.set()

    def close(self) -> None:
        """Close every port."""
        for port in itertools.chain.from_iterable(self._ports.values()):
            port.close()
        self._ports.clear()
