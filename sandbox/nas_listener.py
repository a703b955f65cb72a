"""The CoA port of a simulated NAS: who may ask, duplicates, and how obedient it is today (RFC 5176)."""

import re
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime

from base import clock
from radius.packet import (
    Code,
    Malformed,
    Packet,
    check_message_authenticator,
    check_request_authenticator,
    parse,
    reply,
)
from sandbox.nas_coa import Order, Refusal
from sandbox.nas_events import Events
from sandbox.nas_wire import encode

WINDOW = 300  # seconds that Event-Timestamp may be off, and that an identifier is remembered (RFC 5176 section 6.3)
OBEDIENCE = re.compile(r"obey|silent|ack_but_ignore|refuse:\d{1,4}|slow:\d+(\.\d+)?")

_EVENT_TIMESTAMP = 55
_ACK = {Code.COA_REQUEST: Code.COA_ACK, Code.DISCONNECT_REQUEST: Code.DISCONNECT_ACK}
_NAK = {Code.COA_REQUEST: Code.COA_NAK, Code.DISCONNECT_REQUEST: Code.DISCONNECT_NAK}

Key = tuple[str, int, int, bytes]


class Listener:
    """Answers from a thread of its own until closed.

    `understand` says what a request means, `prepare` changes a session before it is acknowledged, `finish` does what
    comes after the answer.
    """

    def __init__(
        self,
        address: str,
        port: int,
        secret: bytes,
        events: Events,
        understand: Callable[[Packet], Order | Refusal],
        prepare: Callable[[Order], object],
        finish: Callable[[Order], object],
    ) -> None:
        self._secret, self._events = secret, events
        self._understand, self._prepare, self._finish = understand, prepare, finish
        self._obedience = "obey"
        self._answers: dict[Key, tuple[float, bytes | None]] = {}
        "When a request came, and its answer; None while it is being worked on or was not answered."
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((address, port))
        except OSError:
            self._socket.close()
            raise
        self._socket.settimeout(0.2)
        self.port: int = self._socket.getsockname()[1]
        self._closing = threading.Event()
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._run, name=f"coa {address}", daemon=True)
        self._thread.start()

    @property
    def obedience(self) -> str:
        """obey, silent, ack_but_ignore, refuse:<Error-Cause> (0: none) or slow:<seconds>."""
        return self._obedience

    @obedience.setter
    def obedience(self, value: str) -> None:
        if not OBEDIENCE.fullmatch(value):
            raise ValueError(f"{value!r} is none of obey, silent, ack_but_ignore, refuse:<cause>, slow:<seconds>")
        self._obedience = value

    def close(self) -> None:
        """Stop answering."""
        self._closing.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                datagram, source = self._socket.recvfrom(65535)
            except (TimeoutError, ConnectionRefusedError):
                continue
            with self._lock:
                self._receive(datagram, source)

    def _receive(self, datagram: bytes, source: tuple[str, int]) -> None:
        packet = self._authentic(datagram)
        if isinstance(packet, str):
            self._events.record("dropped", detail=packet)
            return
        now = time.monotonic()
        self._answers = {key: kept for key, kept in self._answers.items() if now - kept[0] < WINDOW}
        key: Key = (*source, packet.identifier, packet.authenticator)
        if key in self._answers:
            answer = self._answers[key][1]
            self._events.record("repeated" if answer else "dropped", detail="duplicate")
            if answer:
                self._socket.sendto(answer, source)
            return
        self._answers[key] = (now, None)
        self._events.record("coa_received" if packet.code == Code.COA_REQUEST else "disconnect_received")
        mode, _, value = self._obedience.partition(":")
        if mode == "slow":
            later = threading.Timer(float(value), self._answer, (packet, source, key, "obey"))
            later.daemon = True
            later.start()
        elif mode != "silent":
            self._answer(packet, source, key, self._obedience)

    def _authentic(self, datagram: bytes) -> Packet | str:
        """The request, or why it is silently discarded (RFC 5176 sections 2.3, 3.5, 6.1 and 6.3)."""
        try:
            packet = parse(datagram)
        except Malformed as error:
            return error.name
        if packet.code not in _ACK:
            return "unexpected_code"
        if not check_request_authenticator(packet, self._secret):
            return "bad_authenticator"
        if check_message_authenticator(packet, self._secret) == "invalid":
            return "bad_message_authenticator"
        stamp = packet.first(_EVENT_TIMESTAMP)
        if stamp is None or len(stamp) != 4:
            return "missing_event_timestamp"
        if abs(int.from_bytes(stamp, "big") - _seconds(clock.now())) > WINDOW:
            return "stale_event_timestamp"
        return packet

    def _answer(self, packet: Packet, source: tuple[str, int], key: Key, obedience: str) -> None:
        order = self._understand(packet)
        if obedience.startswith("refuse:"):
            order = Refusal(int(obedience.removeprefix("refuse:")))
        obeyed = isinstance(order, Order) and obedience != "ack_but_ignore"
        if isinstance(order, Order):
            code, attributes = _ACK[packet.code], b""
            if obeyed:
                self._prepare(order)
        else:
            code = _NAK[packet.code]
            attributes = encode([("Error-Cause", order.error_cause)]) if order.error_cause else b""
        answer = reply(code, packet.identifier, packet.authenticator, attributes, self._secret)
        with self._lock:
            if self._closing.is_set():
                return
            self._answers[key] = (time.monotonic(), answer)
            # recorded first: whoever has the answer finds the event
            if isinstance(order, Order):
                self._events.record("ack_sent", order.session.username, order.session.id)
            else:
                self._events.record("nak_sent", detail=str(order.error_cause))
            self._socket.sendto(answer, source)
        if isinstance(order, Order) and obeyed:
            self._finish(order)


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())
