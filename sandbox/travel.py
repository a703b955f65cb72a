"""Time travel: one row moves the business clock of every process, forward only, and a bell tells them at once."""

import math
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from base import clock
from base.business import FIELDS
from base.database import follow_sandbox_clock, notify
from base.settings import settings
from base.tables import business_setting, sandbox_clock

_ROW = 1


class CannotTravel(ValueError):
    """Time cannot be moved like this; the message is a sentence for people."""


def travel(tx: Connection, *, days: int = 0, to: date | None = None) -> datetime:
    """Move the sandbox's clock by `days` of the provider's calendar, or to a local date, at the same time of day.

    Returns the new business time, which other processes believe in from the commit on and this one at once. Raises
    CannotTravel outside the sandbox and into the past.
    """
    if not settings().sandbox:
        raise CannotTravel("Time travel needs the sandbox; this is not a pretend provider.")
    tx.execute(insert(sandbox_clock).values(id=_ROW, offset_seconds=0).on_conflict_do_nothing())
    tx.execute(select(sandbox_clock).with_for_update())
    zone = _zone(tx)
    before = now(tx).astimezone(zone)
    target = (to or before.date()) + timedelta(days=days)
    if target < before.date():
        raise CannotTravel(f"It is {before.date()} already; time goes forward only.")
    if target > before.date():
        after = datetime.combine(target, before.time(), zone).astimezone(UTC)
        offset = math.ceil((after - clock.real()).total_seconds())
        tx.execute(update(sandbox_clock).values(offset_seconds=offset))
        notify(tx, clock.CHANNEL)
    return now(tx)


def now(tx: Connection) -> datetime:
    """The sandbox's business time, read from its row; this process's clock shows it too from here on."""
    follow_sandbox_clock(tx)
    return clock.now()


def _zone(tx: Connection) -> ZoneInfo:
    stored = tx.scalar(select(business_setting.c.value).where(business_setting.c.key == "time_zone"))
    return ZoneInfo(str(stored or FIELDS["time_zone"].default))
