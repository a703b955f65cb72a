"""Who is waiting to be brought in line, device by device: the most urgent first, one errand per session. No I/O."""

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from base.wire import Act
from coa.decide import Priority

WINDOW = 32  # errands under way per device
RESERVE = 8  # and some more for what is urgent, for when the NAS does not answer the others


@dataclass(frozen=True, slots=True)
class Errand:
    """One session to bring in line, because it differs or because a person asks."""

    session_id: int
    host: str
    port: int
    priority: Priority
    act: Act | None = None
    "What a person asked for."
    wire_request_id: int | None = None
    "The row that wants the answer."

    @property
    def device(self) -> tuple[str, int]:
        """Where it is sent."""
        return self.host, self.port


class Device:
    """The queue of one device, and how many errands are under way on it."""

    def __init__(self) -> None:
        self._queue: list[tuple[Priority, int, Errand]] = []
        self._order = itertools.count()
        self.running = 0

    def push(self, errand: Errand) -> None:
        """Queue an errand behind those that are as urgent."""
        heapq.heappush(self._queue, (errand.priority, next(self._order), errand))

    def pop(self) -> Errand | None:
        """The next errand that may begin."""
        if not self._queue:
            return None
        urgent = self._queue[0][0] < Priority.RESTRICT
        if self.running >= WINDOW + (RESERVE if urgent else 0):
            return None
        return heapq.heappop(self._queue)[2]


class Errands:
    """What waits and what is under way, on all devices."""

    def __init__(self) -> None:
        self._devices: dict[tuple[str, int], Device] = {}
        self._waiting: dict[int, Errand] = {}
        self._running: dict[int, Errand] = {}
        self._next: dict[int, Errand] = {}
        "What came up for a session while an errand for it was under way."

    @property
    def sessions(self) -> list[int]:
        """The sessions that have an errand."""
        return [*self._waiting, *self._running]

    @property
    def wire_requests(self) -> set[int]:
        """What people asked for and has been taken up."""
        everybody = itertools.chain(self._waiting.values(), self._running.values(), self._next.values())
        return {errand.wire_request_id for errand in everybody if errand.wire_request_id is not None}

    def add(self, errand: Errand) -> None:
        """Queue an errand, unless the session has one that is as good."""
        queue = self._next if errand.session_id in self._running else self._waiting
        known = queue.get(errand.session_id)
        if known is None or _outranks(errand, known):
            queue[errand.session_id] = errand
            if queue is self._waiting:
                self._devices.setdefault(errand.device, Device()).push(errand)

    def start(self, device: tuple[str, int] | None = None) -> list[Errand]:
        """Take out what may begin now, on one device or on all."""
        chosen = self._devices.values() if device is None else [self._devices[device]]
        return [errand for each in chosen for errand in self._start(each)]

    def _start(self, device: Device) -> Iterator[Errand]:
        while (errand := device.pop()) is not None:
            if self._waiting.get(errand.session_id) is errand:  # else a better one took its place
                del self._waiting[errand.session_id]
                self._running[errand.session_id] = errand
                device.running += 1
                yield errand

    def end(self, errand: Errand) -> None:
        """An errand is over; what came up meanwhile for its session is queued."""
        del self._running[errand.session_id]
        self._devices[errand.device].running -= 1
        if follower := self._next.pop(errand.session_id, None):
            self.add(follower)


def _outranks(errand: Errand, known: Errand) -> bool:
    """Whether an errand is to replace another of its session: a person's request does, and what is more urgent."""
    if (errand.wire_request_id is None) != (known.wire_request_id is None):
        return known.wire_request_id is None
    return errand.priority < known.priority
