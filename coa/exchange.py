"""One CoA or Disconnect request and its life: identical retransmissions, then an answer or silence. No I/O.

RFC 5176 section 2.3 (same identifier, authenticator and source port on every retransmission), RFC 5080 section 2.2.1
(how long to wait).
"""

from dataclasses import dataclass
from random import Random

from radius.packet import Code, Malformed, check_message_authenticator, check_response, parse

ERROR_CAUSE = 101
RESOURCES_UNAVAILABLE, SESSION_NOT_FOUND = 506, 503

ERROR_CAUSES: dict[int, str] = {  # RFC 5176 section 3.5, RFC 5580 section 4.9, RFC 7930 section 4
    201: "Residual session context removed",
    202: "Invalid EAP packet",
    401: "Unsupported attribute",
    402: "Missing attribute",
    403: "NAS identification mismatch",
    404: "Invalid request",
    405: "Unsupported service",
    406: "Unsupported extension",
    407: "Invalid attribute value",
    501: "Administratively prohibited",
    502: "Request not routable",
    SESSION_NOT_FOUND: "Session context not found",
    504: "Session context not removable",
    505: "Other proxy processing error",
    RESOURCES_UNAVAILABLE: "Resources unavailable",
    507: "Request initiated",
    508: "Multiple session selection unsupported",
    509: "Location info required",
    601: "Response too big",
}


@dataclass(frozen=True, slots=True)
class Waits:
    """How long and how often to ask before silence is the answer; seconds (RFC 5080 section 2.2.1)."""

    first: float = 2.0
    "IRT: until the first retransmission."
    longest: float = 16.0
    "MRT: between two retransmissions, at most."
    sends: int = 5
    "MRC: datagrams, at most."
    life: float = 30.0
    "MRD: of it all, at most."


@dataclass(frozen=True, slots=True)
class Ack:
    """The NAS did it."""


@dataclass(frozen=True, slots=True)
class Nak:
    """The NAS refused."""

    error_cause: int | None


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer to any of the retransmissions."""


Answer = Ack | Nak | Silence
_POSITIVE = {Code.COA_REQUEST: Code.COA_ACK, Code.DISCONNECT_REQUEST: Code.DISCONNECT_ACK}
_NEGATIVE = {Code.COA_REQUEST: Code.COA_NAK, Code.DISCONNECT_REQUEST: Code.DISCONNECT_NAK}


class Transaction:
    """A request on its way; times are seconds of any steady clock."""

    def __init__(self, code: Code, datagram: bytes, secret: bytes, now: float, jitter: Random, waits: Waits) -> None:
        self.datagram = datagram
        self.answer: Answer | None = None
        self.next_at = now
        "When `on_timer` has something to do."
        self._code, self._secret, self._jitter, self._waits = code, secret, jitter, waits
        self._identifier, self._authenticator = datagram[1], datagram[4:20]
        self._ends_at = now + waits.life
        self._sends = 0
        self._wait = 0.0

    def on_timer(self, now: float) -> bytes | None:
        """The datagram to send now, or None; after the last wait the answer is Silence."""
        if self.answer is not None or now < self.next_at:
            return None
        if self._sends == self._waits.sends or now >= self._ends_at:
            self.answer = Silence()
            return None
        shake = self._jitter.uniform(-0.1, 0.1)
        if self._sends == 0:
            self._wait = self._waits.first * (1 + shake)
        else:
            self._wait = min(self._wait * (2 + shake), self._waits.longest * (1 + shake))
        self._sends += 1
        self.next_at = min(now + self._wait, self._ends_at)
        return self.datagram

    def give_up(self) -> None:
        """Wait no longer."""
        self.answer = self.answer or Silence()

    def on_datagram(self, datagram: bytes) -> str | None:
        """Take an answer; the name under which it is dropped when it is not one, else None."""
        if self.answer is not None:
            return "late_answer"
        try:
            packet = parse(datagram)
        except Malformed as error:
            return error.name
        if packet.identifier != self._identifier or packet.code not in (_POSITIVE[self._code], _NEGATIVE[self._code]):
            return "unexpected_answer"
        if not check_response(packet, self._authenticator, self._secret):
            return "bad_authenticator"
        if check_message_authenticator(packet, self._secret, self._authenticator) == "invalid":
            return "bad_message_authenticator"
        if packet.code == _POSITIVE[self._code]:
            self.answer = Ack()
        else:
            cause = packet.first(ERROR_CAUSE)
            self.answer = Nak(int.from_bytes(cause, "big") if cause is not None and len(cause) == 4 else None)
        return None
