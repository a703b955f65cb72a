"""What happened at a simulated NAS, with the times that a story prints as milliseconds."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from base import clock

Name = Literal[
    "login",  # an Access-Request leaves for the first time
    "accept",  # detail: the rate as received
    "reject",
    "no_answer",
    "counted",  # accounting acknowledged; detail: Start, Interim-Update, Stop, Accounting-On
    "not_counted",  # accounting not acknowledged
    "coa_received",  # authentic and fresh
    "disconnect_received",
    "ack_sent",
    "nak_sent",  # detail: the Error-Cause
    "rate_changed",  # detail: the new rate
    "disconnected",  # the session has ended; detail: the cause
    "redialled",  # the subscriber's router is back; detail: the rate as received
    "repeated",  # a duplicate request got the same answer again
    "dropped",  # something was not answered or is no answer; detail: why
]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    name: Name
    username: str
    "Empty when it is about no session."
    session_id: str
    detail: str
    monotonic: float
    "Seconds of time.monotonic()."
    wall: datetime
    "Real time (UTC)."


class Events:
    """The last events of one NAS, oldest first."""

    def __init__(self) -> None:
        self._kept: deque[Event] = deque(maxlen=10_000)
        self._news = threading.Condition()

    def __iter__(self) -> Iterator[Event]:
        with self._news:
            return iter(list(self._kept))

    def record(self, name: Name, username: str = "", session_id: str = "", detail: str = "") -> Event:
        """Keep what happens now."""
        event = Event(name, username, session_id, detail, time.monotonic(), clock.real())
        with self._news:
            self._kept.append(event)
            self._news.notify_all()
        return event

    def named(self, name: Name, username: str | None = None, since: float = 0.0) -> list[Event]:
        """The events of a name, of one login if one is given, from monotonic time `since` on."""
        wanted = (each for each in self if each.name == name and each.monotonic >= since)
        return [each for each in wanted if username is None or each.username == username]

    def wait(self, name: Name, username: str | None = None, *, since: float = 0.0, timeout: float = 5.0) -> Event:
        """The first such event, past or to come within `timeout` seconds; TimeoutError when there is none."""
        deadline = time.monotonic() + timeout
        with self._news:
            while not (found := self.named(name, username, since)):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"no {name!r} of {username or 'anybody'} within {timeout} s")
                self._news.wait(left)
        return found[0]
