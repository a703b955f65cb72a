"""A NAS on a UDP port of its own: it keeps what comes, and answers as it is told."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from radius.packet import (
    Code,
    Packet,
    attribute,
    check_message_authenticator,
    check_request_authenticator,
    parse,
    reply,
)

SECRET = b"between us"
POSITIVE = {Code.COA_REQUEST: Code.COA_ACK, Code.DISCONNECT_REQUEST: Code.DISCONNECT_ACK}
NEGATIVE = {Code.COA_REQUEST: Code.COA_NAK, Code.DISCONNECT_REQUEST: Code.DISCONNECT_NAK}


class Received(NamedTuple):
    """One datagram, as it came."""

    at: float
    "time.time()"
    source: int
    "Port that it came from."
    octets: bytes
    packet: Packet

    @property
    def session(self) -> str:
        """Its Acct-Session-Id."""
        return (self.packet.first(44) or b"").decode()


Answers = Callable[[Received], list[bytes]]


def ack(got: Received, secret: bytes = SECRET) -> list[bytes]:
    """The NAS does it."""
    return [reply(POSITIVE[got.packet.code], got.packet.identifier, got.packet.authenticator, b"", secret)]


def nak(cause: int | None) -> Answers:
    """The NAS refuses."""
    attributes = b"" if cause is None else attribute(101, cause.to_bytes(4, "big"))

    def answer(got: Received) -> list[bytes]:
        code = NEGATIVE[got.packet.code]
        return [reply(code, got.packet.identifier, got.packet.authenticator, attributes, SECRET)]

    return answer


def nak_coa(cause: int | None) -> Answers:
    """The NAS refuses every CoA-Request and obeys every Disconnect-Request."""
    refuse = nak(cause)
    return lambda got: refuse(got) if got.packet.code == Code.COA_REQUEST else ack(got)


def silence(_: Received) -> list[bytes]:
    """The NAS says nothing."""
    return []


class Device:
    """Runs in a thread until closed; `answers` may be changed at any time."""

    def __init__(self, answers: Answers = ack, host: str = "127.0.0.1", port: int = 0) -> None:
        self.answers = answers
        self.received: list[Received] = []
        self.faults: list[str] = []
        "What no NAS would have accepted."
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind((host, port))
        self.host, self.port = self._socket.getsockname()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            octets, source = self._socket.recvfrom(4096)
            if not octets:
                return
            packet = parse(octets)
            if not check_request_authenticator(packet, SECRET):
                self.faults.append("request authenticator")
            if check_message_authenticator(packet, SECRET) != "valid":
                self.faults.append("message authenticator")
            stamp = int.from_bytes(packet.first(55) or b"", "big")
            if abs(stamp - time.time()) > 300:
                self.faults.append(f"timestamp {stamp}")
            got = Received(time.time(), source[1], octets, packet)
            self.received.append(got)
            for answer in self.answers(got):
                self._socket.sendto(answer, source)

    def of(self, session: str) -> list[Received]:
        """What came for one session."""
        return [got for got in self.received if got.session == session]

    def close(self) -> None:
        """End."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", (self.host, self.port))
        self._thread.join(5)
        self._socket.close()
        assert self.faults == []


@contextmanager
def device(answers: Answers = ack, **place: object) -> Iterator[Device]:
    """A device that is closed at the end."""
    one = Device(answers, **place)
    try:
        yield one
    finally:
        one.close()
