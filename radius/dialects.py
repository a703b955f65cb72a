"""How each kind of NAS is told what a session may have: attributes for a login, for a change, for identification.

A dialect is a row of a table. Names and values are for people (the why panel, the attempt log); `encode` makes the
same into octets. Upload and download are always the subscriber's. Pure.
"""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from base.access import OBEYED, AccessLevel, AccessPolicy, Extra, read_extras
from base.dictionary import Attribute, encode_value, load
from radius.packet import attribute, vendor_attribute

Pairs = list[tuple[str, object]]

_CLASS = struct.Struct(">2sBQQ")  # mark, format, service, version
_CLASS_MARK, _CLASS_FORMAT = b"TK", 1
_MAX_U32 = 2**32 - 1

_SEPARATE = {AccessLevel.WALLED, AccessLevel.BLOCKED}
_AT_NEXT_LOGIN = {"level", "interim_interval"}  # of no consequence to a NAS, or not worth a dropped session
_BURSTS = frozenset(name for name in OBEYED if name.startswith("burst_"))
_SPEED = frozenset({"rate_down", "rate_up"}) | _BURSTS


@dataclass(frozen=True, slots=True)
class SessionIdentity:
    """What identifies an open session to its NAS, as the NAS itself reported it."""

    login: str
    acct_session_id: str
    framed_address: str | None
    calling_station: str
    nas_identifier: str
    nas_address: str | None


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of NAS."""

    title: str
    rates: Callable[[AccessPolicy], Pairs]
    "What sets the speed, in a login and in a change."
    place: Callable[[AccessPolicy], Pairs]
    "Where the session is put: address or pool, and the wall."
    in_place: frozenset[str]
    "Fields of AccessPolicy.obeyed() that a CoA-Request can change; most other differences need a Disconnect."
    knows_bursts: bool
    "Whether bursts are sent at all."
    extras_in_place: frozenset[str]
    "Extra attributes that a CoA-Request may carry; of all others the NAS learns at the next login."
    wants_framed_address: bool
    "Whether Framed-IP-Address helps to identify a session (others answer it with NAK 401)."


def _mikrotik_rates(policy: AccessPolicy) -> Pairs:
    # rx is what the router receives, so the subscriber's upload comes first (RouterOS manual, RADIUS).
    rates = f"{_short(policy.rate_up)}/{_short(policy.rate_down)}"
    if policy.burst_rate_up or policy.burst_rate_down:
        up = _burst(policy.burst_rate_up, policy.burst_threshold_up or policy.rate_up, policy.burst_seconds_up)
        down = _burst(
            policy.burst_rate_down, policy.burst_threshold_down or policy.rate_down, policy.burst_seconds_down
        )
        rates = " ".join([rates, *(f"{mine}/{theirs}" for mine, theirs in zip(up, down, strict=True))])
    return [("Mikrotik-Rate-Limit", rates)]


def _burst(rate: int, threshold: int, seconds: int) -> tuple[str, str, str]:
    """Rate, threshold and time of one direction; zeros where it has no burst, as RouterOS shows a queue without."""
    return (_short(rate), _short(threshold), str(seconds or 1)) if rate else ("0", "0", "0")


def _mikrotik_place(policy: AccessPolicy) -> Pairs:
    wall: Pairs = [("Mikrotik-Address-List", policy.address_list)] if policy.address_list else []
    return _address_or_pool(policy) + wall


def _wispr_rates(policy: AccessPolicy) -> Pairs:
    limits = (("WISPr-Bandwidth-Max-Up", policy.rate_up), ("WISPr-Bandwidth-Max-Down", policy.rate_down))
    return [(name, min(rate, _MAX_U32)) for name, rate in limits if rate]


def _cisco_rates(policy: AccessPolicy) -> Pairs:
    # Policies are defined on the router, named by their speed; "in" is what the router receives.
    limits = (("in", policy.rate_up), ("out", policy.rate_down))
    return [("Cisco-AVPair", f"subscriber:sub-qos-policy-{way}=tk-{_short(rate)}") for way, rate in limits if rate]


def _cisco_place(policy: AccessPolicy) -> Pairs:
    pairs: Pairs = [("Service-Type", "Framed-User"), ("Framed-Protocol", "PPP")]
    if policy.address:
        pairs.append(("Framed-IP-Address", policy.address))
    elif policy.pool:
        pairs.append(("Cisco-AVPair", f"ip:addr-pool={policy.pool}"))
    return pairs + _filter(policy)


def _wispr_place(policy: AccessPolicy) -> Pairs:
    return _address_or_pool(policy) + _filter(policy)


# What the RouterOS manual (RADIUS, Change of Authorization) lists, but for what we send ourselves.
_ROUTEROS_CHANGES = frozenset({
    "Mikrotik-Group", "Mikrotik-Recv-Limit", "Mikrotik-Xmit-Limit", "Mikrotik-Mark-Id", "Mikrotik-Advertise-URL",
    "Mikrotik-Advertise-Interval", "Filter-Id", "Idle-Timeout", "Port-Limit",
})  # fmt: skip

DIALECTS: dict[str, Dialect] = {
    "mikrotik": Dialect(
        title="MikroTik RouterOS",
        rates=_mikrotik_rates,
        place=_mikrotik_place,
        in_place=_SPEED,
        knows_bursts=True,
        extras_in_place=_ROUTEROS_CHANGES,
        wants_framed_address=True,
    ),
    "wispr": Dialect(
        title="WISPr (access points, hostapd, many others)",
        rates=_wispr_rates,
        place=_wispr_place,
        in_place=frozenset(),
        knows_bursts=False,
        extras_in_place=frozenset(),
        wants_framed_address=False,
    ),
    "cisco": Dialect(
        title="Cisco IOS / IOS-XE",
        rates=_cisco_rates,
        place=_cisco_place,
        in_place=frozenset(),
        knows_bursts=False,
        extras_in_place=frozenset(),
        wants_framed_address=False,
    ),
}


def render(kind: str, policy: AccessPolicy) -> Pairs:
    """The attributes of an Access-Accept, as names and values."""
    dialect = DIALECTS[kind]
    pairs = dialect.rates(policy) + dialect.place(policy) + _told(kind, policy.extras)
    if policy.session_timeout:
        pairs.append(("Session-Timeout", policy.session_timeout))
    pairs.append(("Acct-Interim-Interval", policy.interim_interval))
    pairs.append(("Class", class_value(policy.service_id, policy.version)))
    return pairs


def encode(kind: str, policy: AccessPolicy) -> bytes:
    """The same, ready for the wire."""
    return encode_pairs(render(kind, policy))


def encode_pairs(pairs: Pairs) -> bytes:
    """Names and values as octets, in order; base.dictionary's BadAttribute for what cannot be sent."""
    names = load().by_name
    return b"".join(_octets(names[name], value) for name, value in pairs)


def change(kind: str, before: dict[str, object] | None, policy: AccessPolicy) -> Pairs | None:
    """What a CoA-Request carries to turn `before` (an AccessPolicy.obeyed(), None: not known) into `policy`.

    None when it takes a Disconnect: what this kind cannot change in an open session, every way into the wall or out of
    it, the end of all access, and what is not known. An empty list when the NAS has nothing to do.
    """
    if before is None:
        return None
    if policy.level != before.get("level") and _SEPARATE & {policy.level, before.get("level")}:
        return None
    dialect = DIALECTS[kind]
    after = policy.obeyed()
    different = {name for name in OBEYED if after.get(name) != before.get(name)} - _AT_NEXT_LOGIN - {"extras"}
    if not dialect.knows_bursts:
        different -= _BURSTS
    extras = _changed_extras(kind, before, policy)
    if extras is None or not different <= dialect.in_place:
        return None
    return (dialect.rates(policy) if different else []) + extras


def _changed_extras(kind: str, before: dict[str, object], policy: AccessPolicy) -> Pairs | None:
    """The extra attributes that a CoA-Request carries; None where it takes a login to have them, or to lose one.

    An attribute that is left out of a CoA-Request stays as it is, and one that is in it replaces all of its name
    (RFC 5176 section 2.3).
    """
    had, has = _told(kind, read_extras(before.get("extras"))), _told(kind, policy.extras)
    changed = {name for name, _ in had + has if [v for n, v in had if n == name] != [v for n, v in has if n == name]}
    if not changed <= DIALECTS[kind].extras_in_place & {name for name, _ in has}:
        return None
    return [(name, value) for name, value in has if name in changed]


def _told(kind: str, extras: Iterable[Extra]) -> Pairs:
    """What a kind of NAS is told of them."""
    return [(each.name, each.value) for each in extras if not each.kinds or kind in each.kinds]


def identify(kind: str, session: SessionIdentity) -> Pairs:
    """What identifies an open session: only what this kind takes, for anything more is answered with NAK 401."""
    pairs: Pairs = [("User-Name", session.login)] if session.login else []
    pairs.append(("Acct-Session-Id", session.acct_session_id))
    if session.framed_address and DIALECTS[kind].wants_framed_address:
        pairs.append(("Framed-IP-Address", session.framed_address))
    if session.nas_identifier:
        pairs.append(("NAS-Identifier", session.nas_identifier))
    elif session.nas_address:
        pairs.append(("NAS-IP-Address", session.nas_address))
    return pairs


def class_value(service_id: int, version: int) -> bytes:
    """The Class attribute: which policy an Access-Accept carried (RFC 2865 section 5.25)."""
    return _CLASS.pack(_CLASS_MARK, _CLASS_FORMAT, service_id, version)


def read_class(value: bytes) -> tuple[int, int] | None:
    """(service id, version) of a Class of ours; None for anybody else's."""
    if len(value) != _CLASS.size or value[:2] != _CLASS_MARK or value[2] != _CLASS_FORMAT:
        return None
    _, _, service_id, version = _CLASS.unpack(value)
    return service_id, version


def _address_or_pool(policy: AccessPolicy) -> Pairs:
    if policy.address:
        return [("Framed-IP-Address", policy.address)]
    return [("Framed-Pool", policy.pool)] if policy.pool else []


def _filter(policy: AccessPolicy) -> Pairs:
    return [("Filter-Id", policy.address_list)] if policy.address_list else []


def _short(rate: int) -> str:
    """20000000 → '20M', exact; units as RouterOS reads them (k = 1000, M = 1000000), and never G."""
    for factor, unit in ((1_000_000, "M"), (1_000, "k")):
        if rate and rate % factor == 0:
            return f"{rate // factor}{unit}"
    return str(rate)


def _octets(found: Attribute, value: object) -> bytes:
    octets = encode_value(found, value)
    return vendor_attribute(found.vendor, found.code, octets) if found.vendor else attribute(found.code, octets)
