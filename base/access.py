"""The words of the house: what a service may have (AccessLevel), why (Reason), and what a NAS needs to know.

A subscriber pays; a subscriber has services; a service has one login, one plan and any number of sessions.
Billing writes a Decision and an AccessPolicy; radius and coa obey them without asking anybody.
"""

from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum, IntEnum
from typing import Any


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
    NOT_ACTIVE_YET = "not_active_yet"
    ENDED = "ended"

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
    Reason.NOT_ACTIVE_YET: (
        "Your service has not started yet.",
        "The service's first day is still to come.",
    ),
    Reason.ENDED: (
        "Your service has ended.",
        "The service has ended; its logins are rejected.",
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

    def __repr__(self) -> str:
        """Name the service, never its password."""
        return f"<AccessPolicy service={self.service_id} v{self.version} {self.level.name} {self.login!r}>"

    def obeyed(self) -> dict[str, Any]:
        """The part that an open session must obey: when it differs, the version rises."""
        return {name: getattr(self, name) for name in _OBEYED}


_OBEYED = tuple(f.name for f in fields(AccessPolicy) if f.name not in {"service_id", "version", "login", "password"})
