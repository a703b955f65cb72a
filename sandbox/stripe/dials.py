"""How the sandbox is set while it runs: one frozen table of dials, turned by a control call and kept over restarts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from sandbox.stripe.errors import Json, invalid

RETRY_PAUSES = (1.0, 5.0, 25.0)


@dataclass(frozen=True)
class Dials:
    """The dials, as they stand when nobody turned them."""

    clock: float = 0.0
    """Seconds by which the sandbox's clock runs ahead (POST /sandbox/clock moves it)."""
    delay: float = 0.0
    """Seconds that every API call takes before it does anything."""
    rate: float = 0.0
    """API calls per second above which the answer is 429; 0: no limit."""
    search_lag: float = 0.0
    """Seconds until a new object can be found by search."""
    retry_pauses: tuple[float, ...] = RETRY_PAUSES
    """Seconds of the sandbox's clock before each further try of a webhook."""
    deliveries: int = 16
    """Webhooks that may be under way at the same time."""
    shuffle_seed: int = 0
    """Seed of a disorder of webhooks; 0: those about one customer or payment come in order."""
    shuffle_seconds: float = 0.2
    """How late a shuffled webhook may be."""
    fee_percent: float = 2.9
    """What Stripe keeps of a payment, in per cent …"""
    fee_fixed: int = 30
    """… and in minor units."""
    dispute_fee: int = 1500
    """What a dispute costs, in minor units; 0: nothing."""
    settles_in: str = ""
    """Currency into which payments in others are exchanged as they come, such as eur; "": none is."""
    exchange_rate: float = 1.0
    """Minor units of it for one minor unit of the other."""
    available_days: int = 2
    """Days until money of a payment is available."""
    payouts: str = "daily"
    """daily or manual."""
    payout_failure: str = ""
    """Why payouts fail when they should have arrived, such as account_closed; "": they arrive."""
    arrival_days: int = 2
    """Days until a payout has arrived at the bank."""
    refund_seconds: float = 86400.0
    """How long a pending refund waits, and after how long a failing one fails."""
    charges_enabled: bool = True
    """What the account says of itself."""
    country: str = "US"
    """Country of the account."""
    default_currency: str = "usd"
    """Currency of the account."""

    def shown(self) -> Json:
        """The dials as JSON."""
        return asdict(self) | {"retry_pauses": list(self.retry_pauses)}


def turn(dials: Dials, given: Json) -> Dials:
    """Return the dials with some of them turned; raises a 400 that says what is wrong."""
    changed: Json = {}
    for name, value in given.items():
        if name not in _KINDS:
            raise invalid(f"there is no dial {name}; there are {', '.join(_KINDS)}", name)
        changed[name] = _read(name, _KINDS[name], value)
    return replace(dials, **changed)


def _read(name: str, kind: type, value: Any) -> Any:
    if kind is tuple:
        if not isinstance(value, list) or not all(_number(each) for each in value):
            raise invalid(f"{name} is a list of seconds", name)
        return tuple(float(each) for each in value)
    if kind is float:
        if not _number(value) or (value < 0 and name != "clock"):
            raise invalid(f"{name} is a number that is not negative", name)
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise invalid(f"{name} is of the wrong type; {kind.__name__} is expected", name)
    if isinstance(value, int) and kind is int and value < (1 if name == "deliveries" else 0):
        raise invalid(f"{name} is too small", name)
    if name == "payouts" and value not in ("daily", "manual"):
        raise invalid("payouts is daily or manual", name)
    return value


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value and abs(value) < 1e12


_KINDS: dict[str, type] = {one.name: type(one.default) for one in fields(Dials)}
