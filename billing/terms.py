"""From a decision to what the network must do: the plan's terms, or the walled profile. Pure."""

from dataclasses import dataclass
from typing import Any

from base.access import AccessLevel, Decision
from base.business import Business


@dataclass(frozen=True, slots=True)
class Line:
    """What a service bought, as far as the network cares."""

    service_id: int
    rate_down: int
    rate_up: int
    pool: str | None
    address: str | None


def build_obeyed(line: Line, decision: Decision, business: Business) -> dict[str, Any]:
    """The part of the AccessPolicy that sessions must obey (keys of AccessPolicy.obeyed()).

    A walled session gets the walled pool even where the service has a fixed address: routers match walled traffic by
    pool or by address list, and the address comes back with the restoration.
    """
    walled = decision.level == AccessLevel.WALLED
    reduced = decision.level == AccessLevel.REDUCED
    down = _slower(line.rate_down, business.reduced_rate_down) if reduced else line.rate_down
    up = _slower(line.rate_up, business.reduced_rate_up) if reduced else line.rate_up
    return {
        "level": int(decision.level),
        "rate_down": business.walled_rate_down if walled else down,
        "rate_up": business.walled_rate_up if walled else up,
        "pool": business.walled_pool if walled else line.pool,
        "address": None if walled else line.address,
        "address_list": business.walled_address_list if walled else None,
        "session_timeout": None,
        "interim_interval": business.interim_interval,
    }


def _slower(rate: int, limit: int) -> int:
    """bit/s; a rate of 0 is not limited."""
    return min(rate or limit, limit)
