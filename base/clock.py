"""What time it is: real time, or in the sandbox real time plus the offset that time travel stored in one row.

Rules take the time as an argument; only shells call `now`. Protocol time (signatures, TLS, leases, timeouts, latency)
is `real`, always.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

CHANNEL = "tollkeeper_clock"
"""Sandbox: the bell that rings when somebody travelled in time."""
_offset = timedelta()
_standing: ContextVar[datetime | None] = ContextVar("_standing", default=None)


def now() -> datetime:
    """The instant that business rules should believe in (UTC)."""
    return _standing.get() or datetime.now(UTC) + _offset


def real() -> datetime:
    """The instant on the wall (UTC), never moved."""
    return datetime.now(UTC)


def travel_to_offset(offset: timedelta) -> None:
    """Move this process's business time; called by base.database, and only while the sandbox is on."""
    global _offset
    _offset = offset


@contextmanager
def standing(instant: datetime) -> Iterator[None]:
    """Have business time stand at an instant, for this thread or task alone: for looking at a day to come."""
    token = _standing.set(instant)
    try:
        yield
    finally:
        _standing.reset(token)
