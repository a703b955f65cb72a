"""What an open session needs so that it obeys the current policy.

Rule 1: nothing here reads a clock, a setting, a socket or a database.
Rule 2: the least disruptive step that reaches the desired policy; where nobody can tell what the session has, it is
asked to come back (Disconnect), for a redial gets the truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum

from base.access import AccessLevel, AccessPolicy
from radius.dialects import Pairs, SessionIdentity, change, identify


class Act(Enum):
    """What to do on the wire."""

    NOTHING = "nothing"
    COA = "coa"
    DISCONNECT = "disconnect"


class Priority(IntEnum):
    """Who goes first to one device: whoever just paid, then what a person ordered, then the rest."""

    RESTORE = 0
    ORDER = 1
    RESTRICT = 2


@dataclass(frozen=True, slots=True)
class Step:
    """One request to send, or none."""

    act: Act
    pairs: Pairs
    "Identification, and for a CoA what changes; empty for NOTHING."


NOTHING = Step(Act.NOTHING, [])


def decide_step(
    kind: str, identity: SessionIdentity, applied: Mapping[str, object] | None, policy: AccessPolicy | None
) -> Step:
    """The step from what a session has (`applied`: AccessPolicy.obeyed(), None when unknown) to what it should have.

    `policy` is None when its service is gone.
    """
    who = identify(kind, identity)
    if policy is None or policy.level >= AccessLevel.BLOCKED or applied is None:
        return Step(Act.DISCONNECT, who)
    changes = change(kind, dict(applied), policy)
    if changes is None:
        return Step(Act.DISCONNECT, who)
    return Step(Act.COA, who + changes) if changes else NOTHING


def fall_back(kind: str, identity: SessionIdentity) -> Step:
    """What to do when a CoA was refused: the session comes back by itself and gets the current policy."""
    return Step(Act.DISCONNECT, identify(kind, identity))


def priority(applied: Mapping[str, object] | None, policy: AccessPolicy | None, *, ordered: bool) -> Priority:
    """How urgent a step is."""
    if ordered:
        return Priority.ORDER
    level = None if applied is None else applied.get("level")
    if policy is not None and isinstance(level, int) and policy.level < level:
        return Priority.RESTORE
    return Priority.RESTRICT
