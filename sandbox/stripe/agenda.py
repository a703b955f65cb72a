"""What happens later, by the sandbox's clock: each entry is done once, in the order of time, as of its own time.

So a clock that leaps over a month brings thirty days of payouts with thirty days' dates.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from sandbox.stripe import charging, payouts, refunds, sessions
from sandbox.stripe.errors import Json
from sandbox.stripe.store import Call, Store, Transaction

DEEDS: dict[str, Callable[[Transaction, str, Json], None]] = {
    "expire_session": sessions.expire_when_due,
    "settle_payment": charging.settle_later,
    "settle_refund": refunds.settle_later,
    "pay_out": payouts.pay_out_when_due,
    "payout_arrives": payouts.arrive,
}


def catch_up(store: Store) -> None:
    """Do everything whose time has come; costs nothing when there is nothing."""
    while store.soonest <= (now := store.now()):
        with store.transaction(Call(), at=min(now, store.soonest)) as tx:
            row = tx.db.execute("SELECT id, account, deed, about, said FROM agenda ORDER BY due, id LIMIT 1").fetchone()
            if row is not None:
                tx.db.execute("DELETE FROM agenda WHERE id = ?", (row[0],))
                tx.account = row[1]
                DEEDS[row[2]](tx, row[3], json.loads(row[4]))
            store.look_ahead()
