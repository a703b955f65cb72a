"""Wrong codes: how many somebody may try, and how long they wait after that.

Kept in rows, so that all web processes count together and a restart forgets nothing. Wrong codes count per subscriber
and per source address (an IPv6 address by its /64, which is what one customer gets). A few are free; then each one
doubles the wait, up to a day. Nothing is looked up while somebody waits, so that waiting cannot be guessed around, and
a right code does not clear the count. It is forgotten a day after the wait is over.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from billing.prepaid.tables import voucher_guess

FREE = {"subscriber": 5, "address": 20}  # many customers of a shop or behind a router share an address
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(days=1)
FORGOTTEN = timedelta(days=1)


def keys_of(subscriber_id: int, address: str | None) -> list[str]:
    """The rows that a guess counts in, in the order in which they are locked."""
    return sorted([f"subscriber:{subscriber_id}", *([] if address is None else [f"address:{_network(address)}"])])


def wait_after(wrong: int, free: int) -> timedelta:
    """How long nothing is looked up after so many wrong codes."""
    if wrong < free:
        return timedelta()
    return min(FIRST_WAIT * (1 << min(wrong - free, 20)), LONGEST_WAIT)


def hold(tx: Connection, keys: Sequence[str], now: datetime) -> datetime | None:
    """Lock the counts until the commit, so that guesses at once are counted one by one; returns until when to wait."""
    tx.execute(upsert(voucher_guess).on_conflict_do_nothing(), [{"key": key, "next_at": now} for key in keys])
    rows = tx.execute(
        select(voucher_guess)
        .where(voucher_guess.c.key == func.any(list(keys)))
        .order_by(voucher_guess.c.key)
        .with_for_update()
    ).all()
    old = [row.key for row in rows if row.next_at + FORGOTTEN <= now]
    tx.execute(update(voucher_guess).where(voucher_guess.c.key == func.any(old)).values(wrong=0, next_at=now))
    waits = (row.next_at for row in rows if row.key not in old and wait_after(row.wrong, _free(row.key)))
    return max((until for until in waits if until > now), default=None)


def count_wrong(tx: Connection, keys: Sequence[str], now: datetime) -> datetime | None:
    """Count a wrong code in rows that are held; returns until when to wait now, None when another try is free."""
    waits = []
    for row in tx.execute(select(voucher_guess).where(voucher_guess.c.key == func.any(list(keys)))).all():
        wait = wait_after(row.wrong + 1, _free(row.key))
        tx.execute(
            update(voucher_guess).where(voucher_guess.c.key == row.key).values(wrong=row.wrong + 1, next_at=now + wait)
        )
        waits.append(wait)
    longest = max(waits)
    return now + longest if longest else None


def _free(key: str) -> int:
    return FREE[key.partition(":")[0]]


def _network(address: str) -> str:
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return str(parsed)
