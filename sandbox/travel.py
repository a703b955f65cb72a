"""Time travel: one row moves the business clock of every process, forward only, and a bell tells them at once."""

import json
import math
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from base import clock, jobs
from base.business import FIELDS
from base.database import follow_sandbox_clock, notify, transaction
from base.settings import settings
from base.tables import business_setting, job, sandbox_clock

_ROW = 1
PATIENCE = 20  # seconds that a day waits for its work
AWAITED = (jobs.Kind.SEND_MESSAGE, jobs.Kind.CHARGE_CARD, jobs.Kind.STRIPE_EVENT)


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


def live(days: int, progress: Callable[[int, int], None] = lambda done, of: None) -> bool:
    """Move the clock day by day, and wait each day until the workers have done what it brought.

    Dunning takes a step a day, as life does; a leap would skip them. False when no worker took up the first day: then
    the clock is moved all the same. Raises CannotTravel as `travel` does.
    """
    for done in range(days):
        with transaction() as tx:
            arrived = travel(tx, days=1)
            key = f"travel:{arrived.isoformat()}"
            jobs.enqueue(tx, jobs.Kind.TICK, {}, key=key)
            pretend_stripe = _setting(tx, "stripe_api_base")
        if pretend_stripe:
            _move_stripe(pretend_stripe, arrived)
        if not _settled(key):
            with transaction() as tx:
                travel(tx, days=days - done - 1)
            return False
        progress(done + 1, days)
    return True


def _settled(key: str) -> bool:
    """Wait for the day's tick and its mails; False when nobody does them."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with transaction() as tx:
            ticked = tx.scalar(select(job.c.state).where(job.c.key == key)) in ("done", "dead")
            kinds = [kind.value[0] for kind in AWAITED]
            left = tx.scalar(select(func.count()).where(job.c.kind.in_(kinds), job.c.state.in_(["ready", "sent"])))
        if ticked and not left:
            return True
        time.sleep(0.05)
    return ticked


def now(tx: Connection) -> datetime:
    """The sandbox's business time, read from its row; this process's clock shows it too from here on."""
    follow_sandbox_clock(tx)
    return clock.now()


def _zone(tx: Connection) -> ZoneInfo:
    return ZoneInfo(_setting(tx, "time_zone"))


def _setting(tx: Connection, key: str) -> str:
    stored = tx.scalar(select(business_setting.c.value).where(business_setting.c.key == key))
    return str(stored or FIELDS[key].default)


def _move_stripe(address: str, instant: datetime) -> None:
    """Have the pretend Stripe believe in the same time; one that is not there has none."""
    body = json.dumps({"now": int(instant.timestamp())}).encode()
    headers = {"Content-Type": "application/json"}
    wish = urllib.request.Request(f"{address}/sandbox/clock", body, headers)  # noqa: S310 - http, of this machine
    with suppress(OSError):
        urllib.request.urlopen(wish, timeout=5).close()  # noqa: S310 - as above
