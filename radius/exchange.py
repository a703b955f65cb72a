"""A login on one page: datagram in, outcome out. No I/O, no clock, no lock.

    NAS by source address → framing → Message-Authenticator → duplicate? the same bytes again
    → credentials → decide_login → dialect → sign → reply

Rule 1: nothing is ever accepted by default; what goes wrong is dropped and counted by name.
Rule 2: a packet that is not proven authentic touches nothing, not even the cache of duplicates.
"""

from dataclasses import dataclass
from typing import Literal

from base.access import AccessLevel
from radius.book import Book, Entry, Nas
from radius.credentials import check_chap, check_pap
from radius.packet import (
    MAX_PACKET,
    MIN_PACKET,
    Code,
    Malformed,
    MalformedName,
    Packet,
    check_message_authenticator,
    check_request_authenticator,
    parse,
    reply,
    reveal_password,
)

# Looked up once: on the way of a login an enum's attribute takes as long as a dictionary's ten.
_ACCESS_REQUEST, _ACCESS_ACCEPT, _ACCESS_REJECT = Code.ACCESS_REQUEST, Code.ACCESS_ACCEPT, Code.ACCESS_REJECT
_ACCOUNTING_REQUEST, _ACCOUNTING_RESPONSE = Code.ACCOUNTING_REQUEST, Code.ACCOUNTING_RESPONSE
_STATUS_SERVER, _BLOCKED = Code.STATUS_SERVER, AccessLevel.BLOCKED

USER_NAME, USER_PASSWORD, CHAP_PASSWORD, CALLING_STATION, PROXY_STATE = 1, 2, 3, 31, 33
CHAP_CHALLENGE, ARAP_PASSWORD, EAP_MESSAGE = 60, 70, 79

_SIGNATURE = 18  # octets of a Message-Authenticator

REMEMBERED = 10.0  # seconds; an answer is repeated for 10 to 20 s (RFC 5080 section 2.2.2: 5 to 30)

Service = Literal["auth", "acct"]

Fault = Literal[
    "no_snapshot",  # nothing is known yet, so nobody can be answered
    "unknown_nas",
    "too_long",  # more than 4096 octets received
    "unexpected_code",  # a packet that belongs to the other port, or to nobody
    "missing_message_authenticator",
    "bad_message_authenticator",
    "bad_authenticator",  # of an Accounting-Request: in practice another secret
    "eap_with_password",
    "reply_too_long",  # so much Proxy-State that no answer can carry it
]


# One of each is made per login, and a frozen dataclass takes four times as long to make.
@dataclass(slots=True)
class Login:
    """One answered login, for the log."""

    nas_id: int
    login: str
    service_id: int | None
    accepted: bool
    reason: str
    "'ok', or the stable name of why not: a key of REJECTIONS."
    calling_station: str


@dataclass(slots=True)
class Send:
    """Send these octets back; `login` is there when a login was decided just now."""

    reply: bytes
    login: Login | None = None


@dataclass(frozen=True, slots=True)
class SaveThenSend:
    """Make the request durable; only then send the reply, and call `Exchange.answered` with `key`."""

    nas: Nas
    request: bytes
    reply: bytes
    key: "Key"


@dataclass(frozen=True, slots=True)
class Drop:
    """Answer nothing; count it under this name."""

    name: Fault | MalformedName


Outcome = Send | SaveThenSend | Drop
Key = tuple[Service, str, int, int, bytes]

REJECTIONS: dict[str, str] = {
    "unknown_login": "There is no service with this login.",
    "wrong_password": "The password is wrong.",
    "no_password": "The request carried no password that can be checked (PAP or CHAP is needed).",
    "blocked": "The service is blocked: see its access.",
}


class Exchange:
    """Answers datagrams from a book; one per node and process."""

    def __init__(self, book: Book) -> None:
        self._book = book
        # A key's authenticator stands beside the answer: who reuses an identifier has heard the answer before it, so
        # there are never more answers than identifiers in use, however many logins there are.
        self._answers: dict[tuple[object, ...], tuple[bytes, bytes]] = {}
        self._older_answers: dict[tuple[object, ...], tuple[bytes, bytes]] = {}
        self._turned_at = 0.0

    def receive(self, service: Service, datagram: bytes, address: str, port: int, monotonic: float) -> Outcome:
        """Say what to do with a datagram that came to the `auth` or `acct` port from address:port."""
        if not self._book.filled:
            return Drop("no_snapshot")
        nas = self._book.find_nas(address)
        if nas is None:
            return Drop("unknown_nas")
        if len(datagram) > MAX_PACKET:
            return Drop("too_long")
        try:
            packet = parse(datagram)
            fault = _authenticity_fault(service, packet, nas)
            if fault is not None:
                return Drop(fault)
            # The authenticator belongs to the key: another request under a reused identifier is a new one.
            key: Key = (service, address, port, packet.identifier, packet.authenticator)
            known = self._recall(key, monotonic)
            if known is not None:
                return Send(known)
            if packet.code is _STATUS_SERVER:
                answer = _ACCESS_ACCEPT if service == "auth" else _ACCOUNTING_RESPONSE
                return Send(reply(answer, packet.identifier, packet.authenticator, b"", nas.secret))
            if service == "acct":
                answer_octets = _accounting_response(packet, nas)
                return SaveThenSend(nas, packet.raw, answer_octets, key)
            outcome = self._login(packet, nas)
        except Malformed as error:
            return Drop(error.name)
        if isinstance(outcome, Send):
            self.answered(key, outcome.reply)
        return outcome

    def answered(self, key: Key, octets: bytes) -> None:
        """Remember the reply to a request: a repetition gets the same bytes."""
        self._answers[key[:4]] = key[4], octets

    def _login(self, packet: Packet, nas: Nas) -> Send | Drop:
        name = packet.first(USER_NAME) or b""
        entry = self._book.find_login(name)
        reason = decide_login(entry, packet, nas.secret)
        accepted = reason == "ok"
        proxied = _proxy_state(packet)
        attributes = entry.answer(nas.kind) + proxied if accepted and entry is not None else proxied
        if MIN_PACKET + _SIGNATURE + len(attributes) > MAX_PACKET:
            return Drop("reply_too_long")
        code = _ACCESS_ACCEPT if accepted else _ACCESS_REJECT
        octets = reply(code, packet.identifier, packet.authenticator, attributes, nas.secret)
        station = packet.first(CALLING_STATION) or b""
        return Send(
            octets,
            Login(
                nas_id=nas.id,
                login=name.decode(errors="backslashreplace"),
                service_id=None if entry is None else entry.policy.service_id,
                accepted=accepted,
                reason=reason,
                calling_station=station.decode(errors="backslashreplace"),
            ),
        )

    def _recall(self, key: Key, monotonic: float) -> bytes | None:
        if monotonic - self._turned_at > REMEMBERED:
            stale = monotonic - self._turned_at > 2 * REMEMBERED
            self._older_answers = {} if stale else self._answers
            self._answers, self._turned_at = {}, monotonic
        place = key[:4]
        found = self._answers.get(place) or self._older_answers.get(place)
        return found[1] if found is not None and found[0] == key[4] else None


def decide_login(entry: Entry | None, packet: Packet, secret: bytes) -> str:
    """'ok', or the name of the rejection (a key of REJECTIONS). The default is no."""
    if entry is None:
        return "unknown_login"
    if not entry.password:
        return "blocked"
    hidden, chap = packet.first(USER_PASSWORD), packet.first(CHAP_PASSWORD)
    if hidden is not None and chap is None:
        proven = check_pap(entry.password, reveal_password(hidden, secret, packet.authenticator))
    elif chap is not None and hidden is None:
        challenge = packet.first(CHAP_CHALLENGE) or packet.authenticator
        proven = check_chap(entry.password, chap, challenge)
    else:
        return "no_password"
    if not proven:
        return "wrong_password"
    return "blocked" if entry.policy.level >= _BLOCKED else "ok"


def _authenticity_fault(service: Service, packet: Packet, nas: Nas) -> Fault | None:
    """The name under which a packet is dropped because it does not prove where it comes from; None when it does.

    RFC 2869 section 5.14, RFC 3579 section 3.2, RFC 5997 section 2 and the answer to CVE-2024-3596 (BlastRADIUS).
    """
    expected = _ACCESS_REQUEST if service == "auth" else _ACCOUNTING_REQUEST
    if packet.code is not expected and packet.code is not _STATUS_SERVER:
        return "unexpected_code"
    signed = check_message_authenticator(packet, nas.secret)
    if signed == "invalid":
        return "bad_message_authenticator"
    if packet.code is _STATUS_SERVER:
        return None if signed == "valid" else "missing_message_authenticator"
    if service == "acct":
        return None if check_request_authenticator(packet, nas.secret) else "bad_authenticator"
    if EAP_MESSAGE in packet and (USER_PASSWORD in packet or CHAP_PASSWORD in packet or ARAP_PASSWORD in packet):
        return "eap_with_password"
    if signed == "absent":
        # 'auto' still refuses where an attacker in between could profit: RFC 3579 demands it for EAP, and the attack
        # needs a Proxy-State to hide its collision in.
        dangerous = EAP_MESSAGE in packet or (nas.message_authenticator == "auto" and PROXY_STATE in packet)
        if dangerous or nas.message_authenticator == "yes":
            return "missing_message_authenticator"
    return None


def _proxy_state(packet: Packet) -> bytes:
    """Every Proxy-State goes back unchanged and in order (RFC 2865 section 5.33)."""
    if PROXY_STATE not in packet:
        return b""
    return b"".join(bytes((PROXY_STATE, len(value) + 2)) + value for value in packet.all(PROXY_STATE))


def _accounting_response(packet: Packet, nas: Nas) -> bytes:
    return reply(
        _ACCOUNTING_RESPONSE,
        packet.identifier,
        packet.authenticator,
        _proxy_state(packet),
        nas.secret,
        message_authenticator=False,
    )
