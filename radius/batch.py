"""One batch of a journal: its records are sorted by kind, understood and written in the caller's transaction.

Law: everything written here is in the transaction that also moves the journal's offset; nothing is written elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from base import clock
from radius.accounting import DeviceReset, NotUnderstood, SessionChange, clean, understand
from radius.journal_format import Record, RecordKind, decode_accounting, decode_json
from radius.journal_reader import Gap
from radius.session_rows import arrays, columns, take_records

NOBODY = "0.0.0.0"  # noqa: S104 - the source of what has none, or too many
KEEP_LOGINS = timedelta(days=30)
MOST_SOURCES = 10_000
"Rows of drop_count; what is older is added up per name, so that forged addresses cannot fill the table."

_LOGIN = {
    "at": "timestamptz",
    "nas_id": "bigint",
    "login": "text",
    "service_id": "bigint",
    "result": "text",
    "reason": "text",
    "calling_station": "text",
}
_ADD_LOGINS = f"INSERT INTO login_log ({', '.join(_LOGIN)}) SELECT * FROM {arrays(_LOGIN)}"  # noqa: S608
_DROP = {"name": "text", "source": "inet", "count": "bigint", "last_at": "timestamptz"}
_SUM_UP = """ON CONFLICT (name, source) DO UPDATE SET count = old.count + excluded.count,
last_at = greatest(old.last_at, excluded.last_at)"""
_ADD_DROPS = f"""INSERT INTO drop_count AS old ({", ".join(_DROP)})
SELECT * FROM {arrays(_DROP)} ORDER BY name, source {_SUM_UP}"""  # noqa: S608
_PRUNE_DROPS = f"""WITH gone AS (
    DELETE FROM drop_count WHERE (name, source) IN (
        SELECT name, source FROM drop_count WHERE source <> '{NOBODY}'
        ORDER BY last_at DESC, name, source OFFSET {MOST_SOURCES}
    ) RETURNING name, count, last_at
) INSERT INTO drop_count AS old (name, source, count, last_at)
SELECT name, '{NOBODY}', sum(count), max(last_at) FROM gone GROUP BY name {_SUM_UP}"""  # noqa: S608
_PRUNE_LOGINS = """DELETE FROM login_log WHERE id IN (
    SELECT id FROM login_log WHERE at < %(before)s ORDER BY at LIMIT %(limit)s
)"""


@dataclass(slots=True)
class _Sorted:
    """The contents of a batch by kind."""

    sessions: list[SessionChange | DeviceReset] = field(default_factory=list)
    logins: list[tuple[Any, ...]] = field(default_factory=list)
    drops: dict[tuple[str, str], tuple[int, datetime]] = field(default_factory=dict)

    def count(self, name: str, source: str, count: int, at: datetime) -> None:
        before, last = self.drops.get((name, source), (0, at))
        self.drops[name, source] = before + count, max(last, at)


def store(tx: Connection, items: Sequence[Record | Gap], zone: ZoneInfo) -> None:
    """Write what these records say; `zone` is the one whose days usage is counted by.

    Raises NewerFormat for a record of a newer release, and whatever the database has against the data.
    """
    found = _Sorted()
    for item in items:
        if isinstance(item, Gap):
            found.count(f"journal_{item.cause.name.lower()}", NOBODY, 1, clock.now())
        elif item.kind == RecordKind.ACCOUNTING:
            _sort_accounting(found, item)
        elif item.kind == RecordKind.LOGIN:
            found.logins.append(_login(item))
        elif item.kind == RecordKind.DROPS:
            for name, source, count in decode_json(item.payload)["drops"]:
                found.count(name, source, count, item.at)
        else:
            found.count(f"record_{item.kind.name.lower()}_not_used", NOBODY, 1, item.at)
    for (name, device), count in take_records(tx, found.sessions, zone).items():
        found.count(name, device, count, clock.now())
    if found.logins:
        tx.exec_driver_sql(_ADD_LOGINS, columns(_LOGIN, found.logins))
    add_drops(tx, found.drops)


def add_drops(tx: Connection, drops: dict[tuple[str, str], tuple[int, datetime]]) -> None:
    """Add to the counters: (name, source) → (count, last time)."""
    if drops:
        rows = [(*key, *value) for key, value in drops.items()]
        tx.exec_driver_sql(_ADD_DROPS, columns(_DROP, rows))


def prune(tx: Connection, limit: int) -> None:
    """Delete up to `limit` logins that are too old, and keep the counters few."""
    tx.exec_driver_sql(_PRUNE_LOGINS, {"before": clock.now() - KEEP_LOGINS, "limit": limit})
    tx.exec_driver_sql(_PRUNE_DROPS)


def _sort_accounting(found: _Sorted, record: Record) -> None:
    at = record.at
    told = decode_accounting(record.payload)
    source = _address(told.source)
    understood = understand(told.nas_id, source, told.datagram, at)
    if isinstance(understood, NotUnderstood):
        found.count(understood.name, source, 1, at)
    else:
        found.sessions.append(understood)


def _login(record: Record) -> tuple[Any, ...]:
    facts = decode_json(record.payload)
    return (
        record.at,
        facts["nas"],
        clean(facts["login"]),
        facts["service"],
        "accept" if facts["ok"] else "reject",
        facts["why"],
        clean(facts["from"]),
    )


@lru_cache(maxsize=8192)
def _address(packed: bytes) -> str:
    address = IPv6Address(packed)
    return str(address.ipv4_mapped or address)
