"""How often Stripe is called for charges, all workers together: turns are taken from one row of the database.

Times here are real, never the sandbox's.
"""

import random
import time
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from base import clock
from base.database import transaction
from billing.collect.tables import gateway_pace
from billing.tasks import Retry

NAP = timedelta(seconds=1)  # that a worker waits for its turn instead of doing something else
BUSY = 10.0  # seconds after which it asks again, where all turns of the next second are taken


def take_turns(per_second: int, calls: int, wanted: int) -> list[float]:
    """Seconds until each of up to `wanted` turns of `calls` calls; all 0 where calls are not limited (0 per second).

    Fewer than were wanted: the turns of the next second are taken; who got none asks `later`.
    """
    if not per_second:
        return [0.0] * wanted
    with transaction() as tx:
        now = clock.real()
        tx.execute(insert(gateway_pace).values(id=1, next_at=now).on_conflict_do_nothing())
        turn = max(tx.execute(select(gateway_pace.c.next_at).with_for_update()).scalar_one(), now)
        turns: list[float] = []
        while len(turns) < wanted and turn - now <= NAP:
            turns.append((turn - now).total_seconds())
            turn += timedelta(seconds=calls / per_second)
        if turns:
            tx.execute(update(gateway_pace).values(next_at=turn))
    return turns


def later(per_second: int) -> Retry:
    """What is said to a charge that got no turn."""
    return Retry(random.uniform(0.1, 1) * BUSY, f"Stripe is called {per_second} times a second at most")


def wait_for_turn(per_second: int, calls: int) -> None:
    """Return when `calls` calls may be made (at once when 0 per second: not limited), or raise Retry: later."""
    for seconds in take_turns(per_second, calls, 1):
        time.sleep(seconds)
        return
    raise later(per_second)
