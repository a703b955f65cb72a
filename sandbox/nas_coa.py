"""What a simulated NAS makes of an authentic CoA- or Disconnect-Request: obey, or refuse with an Error-Cause.

RFC 5176 section 3 and what the manuals say of each kind: every attribute is mandatory, so one that the kind does not
take refuses the whole request.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

from base.dictionary import BadAttribute, Value
from radius.packet import Code, Packet
from sandbox.nas_session import Session, parse_rate_limit
from sandbox.nas_wire import decode

UNSUPPORTED_ATTRIBUTE, MISSING_ATTRIBUTE, NAS_MISMATCH, UNSUPPORTED_SERVICE = 401, 402, 403, 405
INVALID_VALUE, PROHIBITED, SESSION_NOT_FOUND, SEVERAL_SESSIONS = 407, 501, 503, 508

_STANDARD = frozenset({"User-Name", "Acct-Session-Id", "Calling-Station-Id"})
# By kind. What identifies a session: hostapd, the model for WISPr, refuses Framed-IP-Address.
_IDENTIFIES = {
    "mikrotik": _STANDARD | {"Framed-IP-Address"},
    "wispr": _STANDARD,
    "cisco": _STANDARD | {"Framed-IP-Address"},
}
_NAMES_THE_NAS = frozenset({"NAS-Identifier", "NAS-IP-Address"})
_ENVELOPE = frozenset({"Message-Authenticator", "Event-Timestamp"})
# What RouterOS changes in an open session: exactly this (its manual, RADIUS); no address, pool or address list.
_CHANGES = frozenset(
    {
        "Mikrotik-Group",
        "Mikrotik-Recv-Limit",
        "Mikrotik-Xmit-Limit",
        "Mikrotik-Rate-Limit",
        "Mikrotik-Mark-Id",
        "Mikrotik-Advertise-URL",
        "Mikrotik-Advertise-Interval",
        "Filter-Id",
        "Session-Timeout",
        "Idle-Timeout",
        "Port-Limit",
    }
)
_NO_COA = {"wispr": UNSUPPORTED_SERVICE, "cisco": PROHIBITED}

KINDS = tuple(_IDENTIFIES)


@dataclass(frozen=True, slots=True)
class Order:
    """Do this: change the session, or with nothing to change end it."""

    session: Session
    changes: list[tuple[str, Value]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Answer with a NAK."""

    error_cause: int


def understand(
    kind: str, identifier: str, address: str, packet: Packet, sessions: Iterable[Session]
) -> Order | Refusal:
    """What to do with a request to the NAS of this kind, NAS-Identifier and NAS-IP-Address."""
    try:
        pairs = [pair for pair in decode(packet) if pair[0] not in _ENVELOPE]
    except BadAttribute:
        return Refusal(INVALID_VALUE)
    mine = {"NAS-Identifier": identifier, "NAS-IP-Address": IPv4Address(address)}
    if any(mine[name] != value for name, value in pairs if name in _NAMES_THE_NAS):
        return Refusal(NAS_MISMATCH)
    coa = packet.code == Code.COA_REQUEST
    if coa and kind in _NO_COA:
        return Refusal(_NO_COA[kind])
    who = [pair for pair in pairs if pair[0] in _IDENTIFIES[kind]]
    changes = [pair for pair in pairs if pair not in who and pair[0] not in _NAMES_THE_NAS]
    if any(not coa or name not in _CHANGES for name, _ in changes):
        return Refusal(UNSUPPORTED_ATTRIBUTE)
    if not who or (coa and not changes):
        return Refusal(MISSING_ATTRIBUTE)
    rates = [value for name, value in changes if name == "Mikrotik-Rate-Limit"]
    if any(parse_rate_limit(str(value)) is None for value in rates):
        return Refusal(INVALID_VALUE)
    found = [session for session in sessions if all(_is(session, name, value) for name, value in who)]
    if len(found) != 1:
        return Refusal(SEVERAL_SESSIONS if found else SESSION_NOT_FOUND)
    return Order(found[0], changes)


def _is(session: Session, name: str, value: Value) -> bool:
    """Whether an identifying attribute is this session's, octet for octet."""
    return {
        "User-Name": session.username,
        "Acct-Session-Id": session.id,
        "Calling-Station-Id": session.dial.calling_station,
        "Framed-IP-Address": session.address,
    }[name] == (str(value) if isinstance(value, IPv4Address) else value)
