"""How many mails leave per minute, all workers together: each mail that is due gets a turn in one row of the database.

Times here are real, never the sandbox's.
"""

import random
import time
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from base import clock
from base.database import transaction
from billing.tables import mail_pace, message
from billing.tasks import Retry

HORIZON = timedelta(minutes=10)  # that turns are given ahead: a changed limit is felt after that time at the latest
NAP = 0.5  # seconds that a worker waits for a turn instead of doing something else


def wait_for_turn(message_id: int, per_minute: int) -> None:
    """Return when the message's turn has come (at once when 0: not limited), or raise Retry until then."""
    if not per_minute:
        return
    with transaction() as tx:
        turn = _turn(tx, message_id, per_minute, clock.real())
    if turn is None:
        raise Retry(random.uniform(0.5, 1.0) * HORIZON.total_seconds(), "more mails wait than may leave in ten minutes")
    wait = (turn - clock.real()).total_seconds()
    if wait > NAP:
        raise Retry(wait, f"it is this mail's turn at {turn:%H:%M:%S} UTC: mails_per_minute is {per_minute}")
    if wait > 0:
        time.sleep(wait)


def _turn(tx: Connection, message_id: int, per_minute: int, now: datetime) -> datetime | None:
    """The instant at which the message may leave, kept for it; None when all turns within the horizon are given."""
    had: datetime | None = tx.scalar(select(message.c.turn_at).where(message.c.id == message_id))
    if had is not None and had > now - HORIZON:
        return had
    turn: datetime = max(_next(tx, now), now)
    if turn > now + HORIZON:
        return None
    tx.execute(update(mail_pace).values(next_at=turn + timedelta(minutes=1) / per_minute))
    tx.execute(update(message).where(message.c.id == message_id).values(turn_at=turn))
    return turn


def _next(tx: Connection, now: datetime) -> datetime:
    """The first turn that is not given away yet, under lock."""
    query = select(mail_pace.c.next_at).where(mail_pace.c.id == 1).with_for_update()
    found: datetime | None = tx.scalar(query)
    if found is None:
        tx.execute(insert(mail_pace).values(id=1, next_at=now).on_conflict_do_nothing())
        found = tx.scalar(query)
    assert found is not None
    return found
