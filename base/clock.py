"""What time it is: real time, or in the sandbox real time plus the offset that time travel stored in one row.

Rules take the time as an argument; only shells call `now`. Protocol time (signatures, TLS, leases, timeouts, latency)
is `real`, always.
"""

from datetime import UTC, datetime, timedelta

CHANNEL = "tollkeeper_clock"
"""Sandbox: the bell that rings when somebody travelled in time."""
_offset = timedelta()


def now() -> datetime:
    """The instant that business rules should believe in (UTC)."""
    return datetime.now(UTC) + _offset


def real() -> datetime:
    """The instant on the wall (UTC), never moved."""
    return datetime.now(UTC)


def travel_to_offset(offset: timedelta) -> None:
    """Move this process's business time; called by base.database, and only while the sandbox is on."""
    global _offset
    _offset = offset
