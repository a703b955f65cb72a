"""A line at a simulated NAS: who dials, what the Access-Accept said, and the traffic that is counted since."""

import re
import threading
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Literal, TypeVar
from zlib import crc32

from base.dictionary import Value

Method = Literal["pap", "chap"]
T = TypeVar("T")

UNLIMITED = 100_000_000  # bit/s that a line without a limit is taken to have
_UNITS = {"": 1, "k": 1_000, "M": 1_000_000}
_RATE = r"\d{1,12}[kM]?"
_PAIR = rf"{_RATE}(?:/{_RATE})?"
_TIME = r"\d{1,6}(?:/\d{1,6})?"
# Mikrotik-Rate-Limit: rate, burst rate, burst threshold, burst time, priority, least rate (RouterOS manual, RADIUS)
_RATE_LIMIT = re.compile(
    rf"({_RATE})(?:/({_RATE}))?(?: {_PAIR}(?: {_PAIR}(?: {_TIME}(?: [1-8](?: {_PAIR})?)?)?)?)?", re.ASCII
)
_POLICY = re.compile(rf"subscriber:sub-qos-policy-(in|out)=tk-({_RATE})", re.ASCII)
# An address in these is a request for one from the pool (RouterOS manual; RFC 2865 section 5.8: 255.255.255.254).
_NOT_AN_ADDRESS = (IPv4Network("127.0.0.0/8"), IPv4Network("224.0.0.0/3"))


@dataclass(frozen=True, slots=True)
class Dial:
    """How a subscriber's router logs in."""

    username: str
    password: str = field(repr=False)
    method: Method
    calling_station: str
    redial: bool
    "Whether it logs in again by itself when its session ends."


@dataclass(eq=False)
class Session:
    """An open line; what a CoA-Request changes is changed here."""

    dial: Dial
    id: str
    "Acct-Session-Id."
    nas_port: int
    attributes: list[tuple[str, Value]]
    "Everything that the Access-Accept carried, decoded, in order, with what a CoA-Request replaced since."
    started_at: datetime
    "Business time, as Event-Timestamp."
    address: str | None = None
    "Framed-IP-Address: the one received, or one from the pool named in Framed-Pool."
    ended: threading.Event = field(default_factory=threading.Event)
    terminate_cause: str = ""
    octets_in: int = 0
    "From the subscriber."
    octets_out: int = 0
    "To the subscriber."
    _counted_to: datetime | None = None

    @property
    def username(self) -> str:
        """The login."""
        return self.dial.username

    def first(self, name: str, kind: type[T]) -> T | None:
        """The first value received under this name."""
        return next((value for found, value in self.attributes if found == name and isinstance(value, kind)), None)

    @property
    def rate_limit(self) -> str | None:
        """Mikrotik-Rate-Limit as received last; None where there was none."""
        return self.first("Mikrotik-Rate-Limit", str)

    @property
    def classes(self) -> list[bytes]:
        """Every Class attribute, to be returned unchanged in accounting (RFC 2865 section 5.25)."""
        return [value for name, value in self.attributes if name == "Class" and isinstance(value, bytes)]

    @property
    def class_(self) -> bytes | None:
        """The first Class attribute."""
        return next(iter(self.classes), None)

    @property
    def interim(self) -> int | None:
        """Acct-Interim-Interval in seconds."""
        return self.first("Acct-Interim-Interval", int)

    @property
    def address_list(self) -> str | None:
        """What walls the session in: Mikrotik-Address-List, or Filter-Id at other kinds."""
        return self.first("Mikrotik-Address-List", str) or self.first("Filter-Id", str)

    @property
    def pool(self) -> str | None:
        """Framed-Pool, or what Cisco calls it."""
        pairs = [value for name, value in self.attributes if name == "Cisco-AVPair" and isinstance(value, str)]
        named = (value.removeprefix("ip:addr-pool=") for value in pairs if value.startswith("ip:addr-pool="))
        return self.first("Framed-Pool", str) or next(named, None)

    @property
    def fixed_address(self) -> str | None:
        """Framed-IP-Address, unless it asks for one from the pool."""
        given = self.first("Framed-IP-Address", IPv4Address)
        return None if given is None or any(given in network for network in _NOT_AN_ADDRESS) else str(given)

    @property
    def rates(self) -> tuple[int, int]:
        """(upload, download) in bit/s, 0 = not limited; in the words of whichever kind of NAS this is."""
        if self.rate_limit is not None:
            return parse_rate_limit(self.rate_limit) or (0, 0)
        up, down = self.first("WISPr-Bandwidth-Max-Up", int), self.first("WISPr-Bandwidth-Max-Down", int)
        found = {"in": up or 0, "out": down or 0}
        for name, value in self.attributes:
            if name == "Cisco-AVPair" and isinstance(value, str) and (policy := _POLICY.fullmatch(value)):
                found[policy[1]] = _bits(policy[2])
        return found["in"], found["out"]

    def change(self, pairs: list[tuple[str, Value]], now: datetime) -> None:
        """Obey a CoA-Request: what it carries replaces all that was there under the same names (RFC 5176 section 3)."""
        self.count(now)
        changed = {name for name, _ in pairs}
        self.attributes = [pair for pair in self.attributes if pair[0] not in changed] + pairs

    def count(self, now: datetime) -> None:
        """Let the traffic since the last call have flowed: a plausible share of the rate, always the same for a login.

        Between half a percent and two percent of the line's speed; at 100 Mbit/s that is 160 to 650 GB a month.
        """
        seconds = max(0.0, (now - (self._counted_to or self.started_at)).total_seconds())
        self._counted_to = max(now, self._counted_to or self.started_at)
        share = (5 + crc32(self.username.encode()) % 16) / 1000
        up, down = self.rates
        self.octets_in += int((up or UNLIMITED) * share / 2 * seconds / 8)
        self.octets_out += int((down or UNLIMITED) * share * seconds / 8)


def parse_rate_limit(text: str) -> tuple[int, int] | None:
    """(upload, download) in bit/s of a Mikrotik-Rate-Limit; None when RouterOS would not understand it.

    rx comes first and is what the router receives, so the subscriber's upload; alone it limits both directions.
    """
    found = _RATE_LIMIT.fullmatch(text)
    return None if found is None else (_bits(found[1]), _bits(found[2] or found[1]))


def _bits(rate: str) -> int:
    digits = rate.rstrip("kM")
    return int(digits) * _UNITS[rate[len(digits) :]]
