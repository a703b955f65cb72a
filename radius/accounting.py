"""What an Accounting-Request says: its octets in, a change of one session (or of all of a device) out. Pure.

Octets and seconds are cumulative within a session. Input is what the NAS received from the subscriber (upload),
Output what it sent to the subscriber. Sources: RFC 2866, RFC 2869 (Gigawords, Event-Timestamp, Interim-Update).
"""

from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import cache
from typing import NamedTuple

from base.dictionary import load
from radius.dialects import read_class
from radius.packet import Malformed, parse

USER_NAME, NAS_ADDRESS, NAS_PORT, FRAMED_ADDRESS, CLASS, CALLING_STATION = 1, 4, 5, 8, 25, 31
NAS_IDENTIFIER, STATUS_TYPE, DELAY_TIME, INPUT_OCTETS, OUTPUT_OCTETS, SESSION_ID = 32, 40, 41, 42, 43, 44
SESSION_TIME, TERMINATE_CAUSE, INPUT_GIGAWORDS, OUTPUT_GIGAWORDS, EVENT_TIMESTAMP, NAS_PORT_ID = 46, 49, 52, 53, 55, 87

# A NAS whose clock was never set says 1970; one that was away for long may deliver what it kept.
OLDEST, NEWEST = timedelta(days=30), timedelta(days=1)
"How far before and after its arrival a record may claim to have happened."

MOST_OCTETS = 1 << 56
"Ten years at 1.8 Tbit/s: more is a fault of the NAS, and sums of it would not fit the tables."


class Status(IntEnum):
    """What happened to a session (Acct-Status-Type)."""

    START = 1
    STOP = 2
    INTERIM = 3


# Made by the hundred thousand: tuples are made three times as fast as frozen dataclasses.
class SessionChange(NamedTuple):
    """One session began, goes on or ended."""

    nas_id: int
    device: str
    "Source address of the record."
    acct_session_id: str
    login: str
    status: Status
    at: datetime
    "When it happened, UTC."
    stamped: bool
    "`at` is the NAS's own Event-Timestamp; otherwise it is the arrival, which moves when a record is repeated."
    octets_in: int
    octets_out: int
    seconds: int
    terminate_cause: str
    "Name of RFC 2866 section 5.10, or the number where there is none."
    framed_address: str | None
    calling_station: str
    nas_identifier: str
    nas_port_id: str
    nas_address: str | None
    accepted: tuple[int, int] | None
    "Service and policy version that the session was accepted with, from a Class of ours."

    @property
    def key(self) -> tuple[int, str, str, str]:
        """What a NAS tells its sessions apart by; it may come back after the session's end."""
        return self.nas_id, self.device, self.acct_session_id, self.login


class DeviceReset(NamedTuple):
    """A device began or stopped to account (Accounting-On, -Off): its sessions from before are over."""

    nas_id: int
    device: str
    at: datetime
    nas_identifier: str
    nas_address: str | None


class NotUnderstood(NamedTuple):
    """A record that says nothing we know; counted under this name."""

    name: str


def understand(
    nas_id: int, source: str, datagram: bytes, arrived_at: datetime
) -> SessionChange | DeviceReset | NotUnderstood:
    """Read an Accounting-Request that came from `source` and whose authenticator has been checked."""
    try:
        packet = parse(datagram)
    except Malformed:
        return NotUnderstood("accounting_malformed")
    values = dict(reversed(packet.attributes))  # the first of each type counts
    status = _number(values, STATUS_TYPE)
    if status in (7, 8):
        at, _ = _event_time(values, arrived_at)
        return DeviceReset(nas_id, source, at, _text(values, NAS_IDENTIFIER), _address(values, NAS_ADDRESS))
    if status not in (1, 2, 3):
        return NotUnderstood("accounting_unknown_status")
    session_id = _text(values, SESSION_ID)
    if not session_id:
        return NotUnderstood("accounting_without_session_id")
    at, stamped = _event_time(values, arrived_at)
    return SessionChange(
        nas_id=nas_id,
        device=source,
        acct_session_id=session_id,
        login=_text(values, USER_NAME),
        status=Status(status),
        at=at,
        stamped=stamped,
        octets_in=_octets(values, INPUT_GIGAWORDS, INPUT_OCTETS),
        octets_out=_octets(values, OUTPUT_GIGAWORDS, OUTPUT_OCTETS),
        seconds=_number(values, SESSION_TIME),
        terminate_cause=_cause(_number(values, TERMINATE_CAUSE)) if status == Status.STOP else "",
        framed_address=_address(values, FRAMED_ADDRESS),
        calling_station=_text(values, CALLING_STATION),
        nas_identifier=_text(values, NAS_IDENTIFIER),
        nas_port_id=_text(values, NAS_PORT_ID) or (str(_number(values, NAS_PORT)) if NAS_PORT in values else ""),
        nas_address=_address(values, NAS_ADDRESS),
        accepted=next(filter(None, map(read_class, packet.all(CLASS))), None) if CLASS in values else None,
    )


def clean(text: str) -> str:
    """Text as PostgreSQL takes it: without NUL."""
    return text.replace("\0", "")


def _event_time(values: dict[int, bytes], arrived_at: datetime) -> tuple[datetime, bool]:
    stamp = _number(values, EVENT_TIMESTAMP)
    if stamp:
        at = datetime.fromtimestamp(stamp, UTC)
        if arrived_at - OLDEST <= at <= arrived_at + NEWEST:
            return at, True
    return max(arrived_at - timedelta(seconds=_number(values, DELAY_TIME)), arrived_at - OLDEST), False


def _number(values: dict[int, bytes], kind: int) -> int:
    """An integer attribute; one that is missing, or not four octets long, is 0."""
    octets = values.get(kind)
    return int.from_bytes(octets, "big") if octets is not None and len(octets) == 4 else 0


def _octets(values: dict[int, bytes], gigawords: int, octets: int) -> int:
    """A 64-bit counter; one that no line can have moved is as good as none."""
    count = _number(values, gigawords) << 32 | _number(values, octets)
    return count if count <= MOST_OCTETS else 0


def _text(values: dict[int, bytes], kind: int) -> str:
    return clean(values.get(kind, b"").decode(errors="backslashreplace"))


def _address(values: dict[int, bytes], kind: int) -> str | None:
    octets = values.get(kind)
    if octets is None or len(octets) != 4 or octets == b"\0\0\0\0" or octets[:3] == b"\xff\xff\xff":
        return None  # 255.255.255.254 and .255 leave the choice to others (RFC 2865 section 5.8)
    return f"{octets[0]}.{octets[1]}.{octets[2]}.{octets[3]}"


def _cause(number: int) -> str:
    return _causes().get(number, str(number)) if number else ""


@cache
def _causes() -> dict[int, str]:
    return {number: name for name, number in load().by_name["Acct-Terminate-Cause"].values.items()}
