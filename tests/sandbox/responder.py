"""A little RADIUS server for the simulated NAS to talk to, and a sender of CoA and Disconnect."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from base import clock
from base.dictionary import decode_value, load
from radius.credentials import check_chap, check_pap
from radius.dialects import Pairs, encode_pairs
from radius.packet import (
    Code,
    Packet,
    check_message_authenticator,
    check_request_authenticator,
    check_response,
    parse,
    reply,
    request,
    reveal_password,
)

SECRET = b"between nas and server"
QUICK = (0.3, 0.3)

_CODES = {"User-Name": 1, "User-Password": 2, "CHAP-Password": 3, "CHAP-Challenge": 60}


def value_of(packet: Packet, name: str) -> Any:
    """One decoded value of a packet that this server received."""
    found = load().by_name[name]
    octets = packet.vendor(found.vendor, found.code)[:1] if found.vendor else [packet.first(found.code)]
    return decode_value(found, octets[0]) if octets and octets[0] is not None else None


@dataclass
class Responder:
    """Accepts the logins in `users`, acknowledges accounting, and keeps every packet."""

    users: dict[str, tuple[str, Pairs]] = field(default_factory=dict)
    logins: list[Packet] = field(default_factory=list)
    accounting: list[Packet] = field(default_factory=list)
    datagrams: list[bytes] = field(default_factory=list)
    ignore: int = 0
    "How many datagrams to leave unanswered from now on."
    spoil: Callable[[bytes, Packet], bytes] = lambda answer, _: answer
    "What to do to each answer before it leaves."
    ports: tuple[int, int] = (0, 0)

    def answer(self, datagram: bytes) -> bytes | None:
        """What goes back, if anything."""
        self.datagrams.append(datagram)
        if self.ignore:
            self.ignore -= 1
            return None
        packet = parse(datagram)
        if packet.code == Code.ACCOUNTING_REQUEST:
            assert check_request_authenticator(packet, SECRET)
            self.accounting.append(packet)
            answer = reply(Code.ACCOUNTING_RESPONSE, packet.identifier, packet.authenticator, b"", SECRET, False)
        else:
            assert check_message_authenticator(packet, SECRET) == "valid"
            self.logins.append(packet)
            code, attributes = self._decide(packet)
            answer = reply(code, packet.identifier, packet.authenticator, attributes, SECRET)
        return self.spoil(answer, packet)

    def _decide(self, packet: Packet) -> tuple[Code, bytes]:
        password, pairs = self.users.get(value_of(packet, "User-Name"), ("", []))
        hidden, chap = packet.first(2), packet.first(3)
        if hidden is not None:
            right = check_pap(password.encode(), reveal_password(hidden, SECRET, packet.authenticator))
        else:
            assert chap is not None
            right = check_chap(password.encode(), chap, packet.first(60) or packet.authenticator)
        if right and password:
            return Code.ACCESS_ACCEPT, encode_pairs(pairs)
        return Code.ACCESS_REJECT, encode_pairs([("Reply-Message", "Who are you?")])

    def statuses(self) -> list[tuple[str, int]]:
        """(login, Acct-Status-Type) of everything accounted."""
        return [(value_of(p, "User-Name") or "", value_of(p, "Acct-Status-Type")) for p in self.accounting]


@contextmanager
def responding(responder: Responder) -> Iterator[Responder]:
    """The server on two free ports of 127.0.0.1."""
    ending = threading.Event()
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]

    def serve(sock: socket.socket) -> None:
        while not ending.is_set():
            try:
                datagram, source = sock.recvfrom(5000)
            except TimeoutError:
                continue
            answer = responder.answer(datagram)
            if answer is not None:
                sock.sendto(answer, source)

    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.05)
    responder.ports = (sockets[0].getsockname()[1], sockets[1].getsockname()[1])
    threads = [threading.Thread(target=serve, args=(sock,)) for sock in sockets]
    for thread in threads:
        thread.start()
    try:
        yield responder
    finally:
        ending.set()
        for thread in threads:
            thread.join()
        for sock in sockets:
            sock.close()


class Sender:
    """Sends CoA and Disconnect to one NAS, always from the same port."""

    def __init__(self, address: str, port: int, secret: bytes = SECRET) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.connect((address, port))
        self._secret = secret
        self._identifier = 0

    def close(self) -> None:
        self._socket.close()

    def build(self, code: Code, pairs: Pairs, *, secret: bytes = b"", age: int = 0, signed: bool = True) -> bytes:
        """A request with an identifier of its own and an Event-Timestamp `age` seconds ago."""
        self._identifier = (self._identifier + 1) % 256
        stamped = [*pairs, ("Event-Timestamp", int(clock.now().timestamp()) - age)]
        return request(
            code, self._identifier, encode_pairs(stamped), secret or self._secret, message_authenticator=signed
        )

    def send(self, datagram: bytes, patience: float = 2.0) -> bytes | None:
        """The answer's octets, or None when none came."""
        self._socket.send(datagram)
        self._socket.settimeout(patience)
        try:
            return self._socket.recv(5000)
        except TimeoutError:
            return None

    def ask(self, code: Code, pairs: Pairs, **how: Any) -> tuple[Code, int | None] | None:
        """(code, Error-Cause) of a right answer."""
        datagram = self.build(code, pairs, **how)
        answer = self.send(datagram)
        if answer is None:
            return None
        packet = parse(answer)
        assert packet.identifier == datagram[1]
        assert check_response(packet, datagram[4:20], self._secret)
        assert check_message_authenticator(packet, self._secret, datagram[4:20]) == "valid"
        return packet.code, value_of(packet, "Error-Cause")
