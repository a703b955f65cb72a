"""A convoy: threads that come at the same moment have their deed done by one of them, in one transaction.

Who comes alone goes at once, and whoever comes meanwhile goes together afterwards. Where many come, each convoy waits
a moment for company, because a transaction costs more than it takes along.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

MANY = 4  # in the convoy before
LINGER = 0.006  # seconds

T = TypeVar("T")
R = TypeVar("R")


class _Traveller(Generic[T, R]):
    """What one thread brings, and what it takes home."""

    def __init__(self, brought: T) -> None:
        self.brought = brought
        self.outcome: R | Exception | None = None
        self.called = threading.Event()


class Convoy(Generic[T, R]):
    """Call it with what is to be done; returns what `act` returned for it, in the order of what `act` was given.

    Where `act` raises for several, each is done by itself, so that a bad one keeps back nobody else.
    """

    def __init__(self, act: Callable[[Sequence[T]], Sequence[R]]) -> None:
        self._act = act
        self._lock = threading.Lock()
        self._waiting: list[_Traveller[T, R]] = []
        self._under_way = False
        self._before = 0

    def __call__(self, brought: T) -> R:
        """Return the outcome, or raise what was raised for it."""
        own = _Traveller[T, R](brought)
        with self._lock:
            self._waiting.append(own)
            leads, self._under_way = not self._under_way, True
        if not leads:
            own.called.wait()
        if own.outcome is None:
            self._lead()
        if isinstance(own.outcome, Exception):
            raise own.outcome
        assert own.outcome is not None
        return own.outcome

    def _lead(self) -> None:
        if self._before >= MANY:
            time.sleep(LINGER)
        with self._lock:
            together, self._waiting = self._waiting, []
        self._before = len(together)
        for each, outcome in zip(together, self._do([each.brought for each in together]), strict=True):
            each.outcome = outcome
        with self._lock:
            self._under_way = bool(self._waiting)
            if self._waiting:
                self._waiting[0].called.set()  # it leads the next
        for each in together:
            each.called.set()

    def _do(self, brought: Sequence[T]) -> Sequence[R | Exception]:
        try:
            return self._act(brought)
        except Exception as error:
            return [error] if len(brought) == 1 else [self._do([each])[0] for each in brought]
