"""The words of the house: what a service may have (AccessLevel), why (Reason), and what a NAS needs to know.

A subscriber pays; a subscriber has services; a service has one login, one plan and any number of sessions.
Billing writes a Decision and an AccessPolicy; radius and coa obey them without asking anybody.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import datetime
from enum import Enum, IntEnum
from functools import lru_cache
from typing import Any, NamedTuple


class AccessLevel(IntEnum):
    """Ordered from best to worst, so that the worst of several rules is their maximum."""

    FULL = 0
    "The plan as bought."
    REDUCED = 1
    "Online, slower."
    WALLED = 2
    "Only the portal and the payment pages: a subscriber who is rejected cannot pay."
    BLOCKED = 3
    "Rejected."


class Reason(Enum):
    """Why a service does not have its full plan; value = stable name stored in rows and metrics."""

    DEBT = "debt"
    DEBT_SLOWED = "debt_slowed"
    STAFF_SUSPENDED = "staff_suspended"
    STAFF_BLOCKED = "staff_blocked"
    PAUSED = "paused"
    PREPAID_OVER = "prepaid_over"
    NOT_ACTIVE_YET = "not_active_yet"
    ENDED = "ended"
    CAP_REACHED = "cap_reached"

    @property
    def for_subscriber(self) -> str:
        """One plain sentence for the person who is affected."""
        return _SENTENCES[self][0]

    @property
    def for_staff(self) -> str:
        """One plain sentence for the support agent who is asked why."""
        return _SENTENCES[self][1]


_SENTENCES: dict[Reason, tuple[str, str]] = {
    Reason.DEBT: (
        "An invoice is overdue. As soon as it is paid you are back online at full speed, by itself.",
        "An invoice is overdue, and the day that the notice named has come.",
    ),
    Reason.DEBT_SLOWED: (
        "An invoice is overdue, so your line is slower. As soon as it is paid it is as fast as before, by itself.",
        "An invoice is overdue, and the day that the notice named for going slower has come.",
    ),
    Reason.STAFF_SUSPENDED: (
        "Your service is suspended. Please contact us.",
        "A member of staff suspended this service; it stays walled until somebody restores it.",
    ),
    Reason.STAFF_BLOCKED: (
        "Your service is blocked. Please contact us.",
        "A member of staff blocked this service; its logins are rejected until somebody restores it.",
    ),
    Reason.PAUSED: (
        "Your service is paused, and you do not pay for these days. You can end the pause at any time.",
        "The service is paused and not billed meanwhile.",
    ),
    Reason.PREPAID_OVER: (
        "The time that you paid for is over. Top up or enter a voucher, and you are back online at once, by itself.",
        "The time that was paid in advance is over, and it was not renewed.",
    ),
    Reason.NOT_ACTIVE_YET: (
        "Your service has not started yet.",
        "The service's first day is still to come.",
    ),
    Reason.ENDED: (
        "Your service has ended.",
        "The service has ended; its logins are rejected.",
    ),
    Reason.CAP_REACHED: (
        "The data of this period is used up. When the next period begins you are back at full speed, by itself.",
        "The service has used up the data that its plan has per period; it comes back by itself with the next one.",
    ),
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What billing decided for one service at one instant."""

    level: AccessLevel
    reasons: tuple[Reason, ...]
    "Every reason that holds, worst first; empty when the level is FULL."
    review_at: datetime | None
    "The instant (UTC) at which time alone will change the decision; None when it will not."


class Extra(NamedTuple):
    """One attribute that a plan sends besides ours, as staff typed it."""

    name: str
    value: str
    kinds: tuple[str, ...] = ()
    "The kinds of NAS that are told; empty: all."


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Everything radius and coa need to know about one service, without asking anybody."""

    service_id: int
    version: int
    "Rises only when something that an open session must obey changed."
    level: AccessLevel
    login: str
    "As typed on the router, compared byte for byte."
    password: str | None
    "Cleartext, needed for CHAP; encrypted wherever it is stored; None when the service cannot log in."
    rate_down: int
    "bit/s towards the subscriber; 0 = not limited."
    rate_up: int
    "bit/s from the subscriber; 0 = not limited."
    pool: str | None
    "Name of an address pool that the NAS knows."
    address: str | None
    "Fixed IPv4 address; wins over the pool."
    address_list: str | None
    "Name of the address list (MikroTik) or filter that walls the session in."
    session_timeout: int | None
    "Seconds until the NAS ends the session by itself."
    interim_interval: int
    "Seconds between interim accounting records."
    burst_rate_down: int = 0
    "bit/s towards the subscriber for a moment, where the average stays below the threshold; 0 = no burst."
    burst_rate_up: int = 0
    burst_threshold_down: int = 0
    "bit/s; 0 = the rate itself."
    burst_threshold_up: int = 0
    burst_seconds_down: int = 0
    "Seconds over which the average is taken; 0 = one."
    burst_seconds_up: int = 0
    extras: tuple[Extra, ...] = ()
    "What the plan sends besides, at this level."

    def __repr__(self) -> str:
        """Name the service, never its password."""
        return f"<AccessPolicy service={self.service_id} v{self.version} {self.level.name} {self.login!r}>"

    def obeyed(self) -> dict[str, Any]:
        """The part that an open session must obey, as JSON keeps it: when it differs, the version rises.

        A field that came later is left out where it says nothing, so that rows of the release before it do not differ.
        """
        given = {name: getattr(self, name) for name in OBEYED}
        given["extras"] = [[each.name, each.value, list(each.kinds)] for each in self.extras]
        return without_defaults(given)


OBEYED = tuple(f.name for f in fields(AccessPolicy) if f.name not in {"service_id", "version", "login", "password"})
_LATER = {f.name: f.default for f in fields(AccessPolicy) if f.default is not MISSING}


def without_defaults(obeyed: Mapping[str, Any]) -> dict[str, Any]:
    """The same without the fields that came later and say nothing."""
    return {name: value for name, value in obeyed.items() if name not in _LATER or value}


def read_obeyed(kept: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON kept, as arguments of AccessPolicy: fields that it does not know are not guessed at.

    Fields that are missing get their defaults; a field of a newer release that runs beside this one is passed over.
    """
    given = {name: value for name, value in kept.items() if name in _NAMES}
    given["level"] = AccessLevel(given["level"])
    if "extras" in given:
        given["extras"] = read_extras(given["extras"])
    return given


def read_extras(kept: Any) -> tuple[Extra, ...]:
    """The extras of AccessPolicy.obeyed(), or of none."""
    return _shared(tuple(Extra(name, value, tuple(kinds)) for name, value, kinds in kept or ()))


_NAMES = frozenset(f.name for f in fields(AccessPolicy))


@lru_cache(10_000)
def _shared(extras: tuple[Extra, ...]) -> tuple[Extra, ...]:
    """One tuple for all services of a plan: there may be a hundred thousand of them."""
    return extras
