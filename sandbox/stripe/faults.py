"""Faults on order: what goes wrong with the next calls and the next webhooks. Kept in memory; a restart forgets them.

Calls:
  error_500_before, error_429   nothing happened, and that is said
  timeout_before, cut_before    nothing happened; `seconds` of silence (or none), then the line is cut
  error_500_after               it happened, then 500, which the idempotency key keeps
  timeout_after, cut_after      it happened; `seconds` of silence (or none), then the line is cut: the answer is lost
  delay                         `seconds`, then as usual
  hold_before, hold_after       it waits, before or after it happens, until it is released (then as usual) or cut
Webhooks:
  drop, duplicate               never sent; sent twice
  twin                          a second event with an id of its own about the same thing
  hold                          kept until released
  delay                         sent `seconds` of the sandbox's clock later
  wrong_signature               the first try is signed with another secret
  reverse, shuffle              the next `times` of them are gathered, and sent last first or as `seed` mixes them
`probability` (0 to 1) lets a fault strike only some of those it fits, drawn by `seed`; `times` counts the strikes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from sandbox.stripe.errors import Json, invalid

CALLS = (
    "error_500_before",
    "error_429",
    "timeout_before",
    "cut_before",
    "error_500_after",
    "timeout_after",
    "cut_after",
    "delay",
    "hold_before",
    "hold_after",
)
HOLDS = ("hold_before", "hold_after")
WEBHOOKS = ("drop", "duplicate", "twin", "hold", "delay", "wrong_signature", "reverse", "shuffle")


@dataclass
class Fault:
    """One order; `times` counts down."""

    kind: str
    method: str = "*"
    path: str = "*"
    """Calls: which, with * as in file names, such as /v1/payment_intents*."""
    type: str = ""
    """Webhooks: which events, such as payment_intent.*; "": this order is about calls, if its kind can be."""
    times: int = 1
    seconds: float = 30.0
    probability: float = 1.0
    seed: int = 0
    gathered: list[int] = field(default_factory=list)
    """The deliveries that a `reverse` or a `shuffle` keeps so far."""
    dice: Random = field(default_factory=Random, repr=False)
    let_go: str = ""
    """Of a `hold_…`: "go" when what it holds may go on, "cut" when its line is to be cut."""

    def __post_init__(self) -> None:
        self.dice = Random(self.seed)

    @property
    def calls(self) -> bool:
        """Whether it strikes calls; otherwise webhooks."""
        return self.kind in CALLS and not self.type


def read_fault(given: Json) -> Fault:
    """Understand an order; raises a 400 that says what is wrong with it."""
    kind = given.get("kind")
    if kind not in CALLS + WEBHOOKS:
        raise invalid(f"kind must be one of {', '.join(dict.fromkeys(CALLS + WEBHOOKS))}", "kind")
    number = (int, float)
    fits: dict[str, Any] = {"kind": str, "times": int, "seconds": number, "probability": number, "seed": int}
    if kind in CALLS and not (kind in WEBHOOKS and "type" in given):
        fits |= {"method": str, "path": str}
    if kind in WEBHOOKS:
        fits |= {"type": str}
    for name, value in given.items():
        if name not in fits:
            raise invalid(f"{kind} takes {', '.join(fits)}", name)
        if not isinstance(value, fits[name]) or isinstance(value, bool):
            raise invalid(f"{name} has the wrong type", name)
    for name, least, most in (("times", 1, 1e9), ("seconds", 0, 1e9), ("probability", 0, 1)):
        if not least <= given.get(name, least) <= most:
            raise invalid(f"{name} is from {least} to {most:g}", name)
    if kind not in CALLS:
        given = {"type": "*"} | given
    return Fault(**given)


class Faults:
    """The orders that are still open, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[Fault] = []
        self._holding: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Take an order."""
        with self._lock:
            self._open.append(fault)

    def clear(self) -> None:
        """Forget all orders, and let go of the calls that are held."""
        self.release()
        with self._lock:
            self._open.clear()

    def release(self, how: str = "go") -> int:
        """Let go of the calls that are held, or "cut" their lines; returns how many orders held one."""
        with self._lock:
            holding, self._holding = self._holding, []
        for fault in holding:
            fault.let_go = how
        return len(holding)

    @property
    def holding(self) -> int:
        """How many orders hold a call just now."""
        return len(self._holding)

    def shown(self) -> list[Json]:
        """The open orders, for people and tests."""
        hidden = ("gathered", "dice", "let_go")
        with self._lock:
            return [{k: v for k, v in vars(one).items() if k not in hidden} for one in self._open]

    def for_call(self, method: str, path: str) -> Fault | None:
        """What is to go wrong with this call, and count it."""
        return self._take(lambda f: f.calls and fnmatchcase(method, f.method) and fnmatchcase(path, f.path))

    def for_webhook(self, type: str) -> Fault | None:
        """What is to go wrong with this delivery, and count it."""
        return self._take(lambda f: not f.calls and fnmatchcase(type, f.type))

    def _take(self, fits: Callable[[Fault], bool]) -> Fault | None:
        if not self._open:
            return None
        with self._lock:
            for fault in self._open:
                if fits(fault) and (fault.probability >= 1 or fault.dice.random() < fault.probability):
                    fault.times -= 1
                    if fault.times <= 0:
                        self._open.remove(fault)
                    if fault.kind in HOLDS and all(fault is not other for other in self._holding):
                        self._holding.append(fault)
                    return fault
        return None
