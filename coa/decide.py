"""What an open session needs so that it obeys the current policy.

Rule 1: nothing here reads a clock, a setting, a socket or a database.
Rule 2: the least disruptive step that reaches the desired policy; where nobody can tell what the session has, it is
asked to come back (Disconnect), for a redial gets the truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum

from base.access import AccessLevel, AccessPolicy
from coa.exchange import RESOURCES_UNAVAILABLE, SESSION_NOT_FOUND, Answer, Nak
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
    if policy is None or policy.level >= AccessLevel.BLOCKED or applied is None:
        return fall_back(kind, identity)
    changes = change(kind, dict(applied), policy)
    if changes is None:
        return fall_back(kind, identity)
    return Step(Act.COA, identify(kind, identity) + changes) if changes else NOTHING


def decide_again(
    kind: str, identity: SessionIdentity, applied: Mapping[str, object] | None, policy: AccessPolicy | None
) -> Step:
    """The step for somebody who doubts that the session has what it should: its speed is sent once more."""
    step = decide_step(kind, identity, applied, policy)
    if step is NOTHING and policy is not None:
        return decide_step(kind, identity, {**policy.obeyed(), "rate_down": None, "rate_up": None}, policy)
    return step


def fall_back(kind: str, identity: SessionIdentity) -> Step:
    """What always works: the session is asked to come back, and gets the current policy."""
    return Step(Act.DISCONNECT, identify(kind, identity))


def is_gone(answer: Answer) -> bool:
    """Whether the NAS says that it has no such session (any more)."""
    return isinstance(answer, Nak) and answer.error_cause == SESSION_NOT_FOUND


def falls_back(step: Step, answer: Answer) -> bool:
    """Whether a Disconnect must follow, for this NAS will not change this session in place."""
    if step.act is not Act.COA or not isinstance(answer, Nak):
        return False
    return answer.error_cause not in (SESSION_NOT_FOUND, RESOURCES_UNAVAILABLE)


def priority(applied: AccessLevel | None, wanted: AccessLevel | None) -> Priority:
    """How urgent it is to bring a session from one level to another; None: not known, or no service."""
    better = applied is not None and wanted is not None and wanted < applied
    return Priority.RESTORE if better else Priority.RESTRICT
