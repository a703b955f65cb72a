"""Which account has paid for whom: learned from every line that is money of somebody, forgotten when it was not."""

from collections.abc import Iterable
from datetime import date

from sqlalchemy import Connection, delete, func, update
from sqlalchemy.dialects.postgresql import insert

from billing.bank.tables import payer_account


def learn(tx: Connection, paid: Iterable[tuple[str, int, date]]) -> None:
    """Accounts, as (IBAN, subscriber, day), have paid once more; one without an IBAN teaches nothing."""
    learned: dict[tuple[str, int], list[date]] = {}
    for iban, subscriber_id, day in paid:
        if iban:
            learned.setdefault((iban, subscriber_id), []).append(day)
    if not learned:
        return
    rows = [
        {"iban": iban, "subscriber_id": subscriber_id, "times": len(days), "last_on": max(days)}
        for (iban, subscriber_id), days in sorted(learned.items())
    ]
    new = insert(payer_account).values(rows)
    again = {
        "times": payer_account.c.times + new.excluded.times,
        "last_on": func.greatest(payer_account.c.last_on, new.excluded.last_on),
    }
    tx.execute(new.on_conflict_do_update(index_elements=["iban", "subscriber_id"], set_=again))


def forget(tx: Connection, iban: str, subscriber_id: int) -> None:
    """An account has paid once less for a subscriber; at none it is not known for them any more."""
    known = (payer_account.c.iban == iban, payer_account.c.subscriber_id == subscriber_id)
    tx.execute(delete(payer_account).where(*known, payer_account.c.times <= 1))
    tx.execute(update(payer_account).where(*known).values(times=payer_account.c.times - 1))
