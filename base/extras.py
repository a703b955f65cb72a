"""Attributes that a plan sends besides ours: which may be, by which kinds of NAS, and when."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from base.dictionary import BadAttribute, check_extra

WHEN = ("full", "reduced", "walled", "always")
MOST = 20
LONGEST = 2000  # octets of all of a plan together: an answer has 4096 at most (RFC 2865 section 3)

SENT: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "mikrotik": {"Mikrotik-Rate-Limit": (), "Mikrotik-Address-List": (), "Framed-IP-Address": (), "Framed-Pool": ()},
    "wispr": {
        "WISPr-Bandwidth-Max-Up": (),
        "WISPr-Bandwidth-Max-Down": (),
        "Framed-IP-Address": (),
        "Framed-Pool": (),
        "Filter-Id": (),
    },
    "cisco": {
        "Service-Type": (),
        "Framed-Protocol": (),
        "Framed-IP-Address": (),
        "Filter-Id": (),
        "Cisco-AVPair": ("subscriber:sub-qos-policy-in=", "subscriber:sub-qos-policy-out=", "ip:addr-pool="),
    },
}
"""What each kind of NAS is sent anyway: attributes, and of those that say many things how the value begins."""

_SENT_TO_ALL = {"Session-Timeout", "Acct-Interim-Interval"}
_SECRET = {"Mikrotik-Wireless-PSK", "Cisco-Subscriber-Password", "Configuration-Token"}
_NAMES_A_SESSION = {
    "User-Name", "NAS-IP-Address", "NAS-IPv6-Address", "NAS-Identifier", "NAS-Port", "NAS-Port-Id", "NAS-Port-Type",
    "Called-Station-Id", "Calling-Station-Id", "Connect-Info", "Error-Cause",
}  # fmt: skip


def check_extras(given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The extra attributes of a plan as they are kept: name, value (text), when (of WHEN) and kinds (empty: all).

    Raises BadAttribute with a sentence for the first that cannot be sent, is sent by ourselves or carries a secret.
    """
    if len(given) > MOST:
        raise BadAttribute(f"A plan has at most {MOST} extra attributes, these are {len(given)}.")
    kept, octets = [], 0
    for each in given:
        name, value, when, kinds = each["name"], str(each["value"]), each.get("when", "always"), each.get("kinds", ())
        if when not in WHEN:
            raise BadAttribute(f"{name} is sent {', '.join(WHEN[:-1])} or {WHEN[-1]}, not “{when}”.")
        octets += 8 + len(_check(name, value, kinds))
        kept.append({"name": name, "value": value, "when": when, "kinds": sorted(set(kinds))})
    if octets > LONGEST:
        raise BadAttribute(f"The extra attributes of a plan take at most {LONGEST} bytes, these take {octets}.")
    return kept


def _check(name: str, value: str, kinds: Collection[str]) -> bytes:
    for kind in kinds:
        if kind not in SENT:
            raise BadAttribute(f"There is no kind of NAS “{kind}”; the kinds are {', '.join(SENT)}.")
    octets = check_extra(name, value)
    if name in _SENT_TO_ALL:
        raise BadAttribute(f"{name} is sent by Tollkeeper itself and cannot be added.")
    if name in _NAMES_A_SESSION or name.startswith("Acct-"):
        raise BadAttribute(f"{name} is what a NAS reports about a session; it cannot be told to it.")
    if name in _SECRET:
        raise BadAttribute(f"{name} carries a secret; what a plan sends is shown to staff and kept in its history.")
    ours = [kind for kind in (kinds or SENT) if _sends(kind, name, value)]
    if ours:
        others = [kind for kind in SENT if not _sends(kind, name, value)]
        way_out = f" Name the kinds that get it: {', '.join(others)}." if others and not kinds else ""
        raise BadAttribute(f"{name} with this value is sent by Tollkeeper itself to {', '.join(ours)}.{way_out}")
    return octets


def _sends(kind: str, name: str, value: str) -> bool:
    beginnings = SENT[kind].get(name)
    return beginnings is not None and (not beginnings or value.startswith(beginnings))
