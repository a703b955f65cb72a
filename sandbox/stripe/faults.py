"""Faults on order: what goes wrong with the next calls and the next webhooks. Kept in memory; a restart forgets them.

Calls: error_500_before (nothing happened, 500), error_500_after (it happened, then 500, which the idempotency key
keeps), timeout_after (it happened, then `seconds` of silence and a cut line), delay (`seconds`, then as usual).
Webhooks: drop (never sent), duplicate (sent twice), hold (kept until released), reverse (the next `times` of them are
gathered and then sent last first).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from sandbox.stripe.errors import Json, invalid

CALLS = ("error_500_before", "error_500_after", "timeout_after", "delay")
WEBHOOKS = ("drop", "duplicate", "hold", "reverse")


@dataclass
class Fault:
    """One order; `times` counts down."""

    kind: str
    method: str = "*"
    path: str = "*"
    """Calls: which, with * as in file names, such as /v1/payment_intents*."""
    type: str = "*"
    """Webhooks: which events, such as payment_intent.*."""
    times: int = 1
    seconds: float = 30.0
    gathered: list[int] = field(default_factory=list)
    """The deliveries that a `reverse` keeps so far."""


def read_fault(given: Json) -> Fault:
    """Understand an order; raises a 400 that says what is wrong with it."""
    kind = given.get("kind")
    if kind not in CALLS + WEBHOOKS:
        raise invalid(f"kind must be one of {', '.join(CALLS + WEBHOOKS)}", "kind")
    fits: dict[str, type | tuple[type, ...]] = {"kind": str, "times": int, "seconds": (int, float)}
    fits |= {"method": str, "path": str} if kind in CALLS else {"type": str}
    for name, value in given.items():
        if name not in fits:
            raise invalid(f"{kind} takes {', '.join(fits)}", name)
        if not isinstance(value, fits[name]) or isinstance(value, bool):
            raise invalid(f"{name} has the wrong type", name)
    return Fault(**given)


class Faults:
    """The orders that are still open, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Take an order."""
        with self._lock:
            self._open.append(fault)

    def clear(self) -> None:
        """Forget all orders."""
        with self._lock:
            self._open.clear()

    def shown(self) -> list[Json]:
        """The open orders, for people and tests."""
        with self._lock:
            return [{k: v for k, v in vars(fault).items() if k != "gathered"} for fault in self._open]

    def for_call(self, method: str, path: str) -> Fault | None:
        """What is to go wrong with this call, and count it."""
        return self._take(lambda f: f.kind in CALLS and fnmatchcase(method, f.method) and fnmatchcase(path, f.path))

    def for_webhook(self, type: str) -> Fault | None:
        """What is to go wrong with this delivery, and count it."""
        return self._take(lambda f: f.kind in WEBHOOKS and fnmatchcase(type, f.type))

    def _take(self, fits: Callable[[Fault], bool]) -> Fault | None:
        with self._lock:
            for fault in self._open:
                if fits(fault):
                    fault.times -= 1
                    if fault.times <= 0:
                        self._open.remove(fault)
                    return fault
        return None
