"""From a decision to what the network must do: the plan's terms, or its slower or walled profile. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from base.access import AccessLevel, Decision, without_defaults
from base.business import Business

_T = TypeVar("_T", int, str)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a plan says beyond its rates; None: none, or as the business settings say."""

    burst_rate_down: int | None = None
    burst_rate_up: int | None = None
    burst_threshold_down: int | None = None
    burst_threshold_up: int | None = None
    burst_seconds_down: int | None = None
    burst_seconds_up: int | None = None
    reduced_rate_down: int | None = None
    reduced_rate_up: int | None = None
    walled_rate_down: int | None = None
    walled_rate_up: int | None = None
    walled_pool: str | None = None
    walled_address_list: str | None = None
    extra_attributes: Sequence[Mapping[str, Any]] = ()
    "As base.extras.check_extras keeps them."


@dataclass(frozen=True, slots=True)
class Line:
    """What a service bought, as far as the network cares."""

    service_id: int
    rate_down: int
    rate_up: int
    pool: str | None
    address: str | None
    profile: Profile = field(default_factory=Profile)


def build_obeyed(line: Line, decision: Decision, business: Business) -> dict[str, Any]:
    """The part of the AccessPolicy that sessions must obey (as AccessPolicy.obeyed() has it).

    A walled session gets the walled pool even where the service has a fixed address: routers match walled traffic by
    pool or by address list, and the address comes back with the restoration. Only the full plan has bursts.
    """
    own = line.profile
    walled = decision.level == AccessLevel.WALLED
    down, up = line.rate_down, line.rate_up
    if decision.level == AccessLevel.REDUCED:
        down = _slower(down, _or(own.reduced_rate_down, business.reduced_rate_down))
        up = _slower(up, _or(own.reduced_rate_up, business.reduced_rate_up))
    given = {
        "level": int(decision.level),
        "rate_down": _or(own.walled_rate_down, business.walled_rate_down) if walled else down,
        "rate_up": _or(own.walled_rate_up, business.walled_rate_up) if walled else up,
        "pool": _or(own.walled_pool, business.walled_pool) if walled else line.pool,
        "address": None if walled else line.address,
        "address_list": _or(own.walled_address_list, business.walled_address_list) if walled else None,
        "session_timeout": None,
        "interim_interval": business.interim_interval,
        "extras": _extras(own, decision.level),
    }
    if decision.level == AccessLevel.FULL:
        given |= _bursts(own)
    return without_defaults(given)


def _bursts(own: Profile) -> dict[str, int]:
    """Threshold and time belong to a rate: without one there is no burst."""
    given: dict[str, int] = {}
    for way in ("down", "up"):
        if getattr(own, f"burst_rate_{way}"):
            names = [f"burst_{what}_{way}" for what in ("rate", "threshold", "seconds")]
            given |= {name: getattr(own, name) or 0 for name in names}
    return given


def _extras(own: Profile, level: AccessLevel) -> list[list[Any]]:
    """Those of a level, in the order in which they were typed; a service that is rejected is told nothing."""
    if level == AccessLevel.BLOCKED:
        return []
    wanted = ("always", level.name.lower())
    return [[each["name"], each["value"], each["kinds"]] for each in own.extra_attributes if each["when"] in wanted]


def _or(own: _T | None, otherwise: _T) -> _T:
    return otherwise if own is None else own


def _slower(rate: int, limit: int) -> int:
    """bit/s; a rate of 0 is not limited."""
    return min(rate or limit, limit)
