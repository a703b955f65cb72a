"""The tables that ingest writes: loading what a batch of records is about, and storing what became of it.

One statement per kind and batch: columns travel as arrays. Rows are locked in the order of their ids, and not against
references (coa writes rows that refer to sessions).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from base.database import notify
from base.sessions import CHANNEL, NAS_REBOOT, close
from radius.accounting import DeviceReset, SessionChange
from radius.caps import ask_for_reviews
from radius.folding import SessionState
from radius.tally import Tally

_TYPES = {
    "id": "bigint",
    "service_id": "bigint",
    "nas_id": "bigint",
    "device": "inet",
    "acct_session_id": "text",
    "login": "text",
    "nas_identifier": "text",
    "framed_address": "inet",
    "calling_station": "text",
    "nas_port_id": "text",
    "nas_address": "inet",
    "started_at": "timestamptz",
    "updated_at": "timestamptz",
    "stopped_at": "timestamptz",
    "terminate_cause": "text",
    "octets_in": "bigint",
    "octets_out": "bigint",
    "seconds": "bigint",
    "accepted_version": "bigint",
}
assert tuple(_TYPES) == SessionState._fields
_FIXED = {"id", "nas_id", "device", "acct_session_id", "login", "started_at"}


def arrays(types: dict[str, str]) -> str:
    """`unnest(…) AS given(…)`: rows out of one array parameter per column."""
    parameters = ", ".join(f"%({name})s::{kind}[]" for name, kind in types.items())
    return f"unnest({parameters}) AS given({', '.join(types)})"


def columns(types: Iterable[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    """The parameters for `arrays`."""
    return {name: [row[index] for row in rows] for index, name in enumerate(types)}


_KEY = {name: _TYPES[name] for name in ("nas_id", "device", "acct_session_id", "login")}
_PLACE = {name: _TYPES[name] for name in ("nas_id", "device", "framed_address")}
_SELECT = "SELECT " + ", ".join(f"host(s.{name})" if kind == "inet" else f"s.{name}" for name, kind in _TYPES.items())
_BY_KEY = f"""{_SELECT} FROM session s WHERE s.id IN (
    SELECT newest.id FROM {arrays(_KEY)} CROSS JOIN LATERAL (
        SELECT id FROM session s WHERE {" AND ".join(f"s.{name} = given.{name}" for name in _KEY)}
        ORDER BY started_at DESC LIMIT 1
    ) newest
) ORDER BY s.id FOR NO KEY UPDATE"""  # noqa: S608 - names of columns, no values
_BY_PLACE = f"""{_SELECT} FROM session s JOIN {arrays(_PLACE)} USING ({", ".join(_PLACE)})
WHERE s.stopped_at IS NULL ORDER BY s.id FOR NO KEY UPDATE OF s"""
_INSERTED = {name: kind for name, kind in _TYPES.items() if name != "id"}
_INSERT = f"""INSERT INTO session ({", ".join(_INSERTED)}) SELECT * FROM {arrays(_INSERTED)}"""  # noqa: S608
_UPDATED = {name: kind for name, kind in _TYPES.items() if name == "id" or name not in _FIXED}
_UPDATE = f"""UPDATE session s SET {", ".join(f"{name} = given.{name}" for name in _UPDATED if name != "id")}
FROM {arrays(_UPDATED)} WHERE s.id = given.id"""  # noqa: S608
_USAGE = {"service_id": "bigint", "day": "date", "octets_in": "bigint", "octets_out": "bigint", "seconds": "bigint"}
_ADD_USAGE = f"""INSERT INTO usage_daily AS old ({", ".join(_USAGE)}) SELECT * FROM {arrays(_USAGE)}
ORDER BY service_id, day ON CONFLICT (service_id, day) DO UPDATE SET octets_in = old.octets_in + excluded.octets_in,
octets_out = old.octets_out + excluded.octets_out, seconds = old.seconds + excluded.seconds"""  # noqa: S608
_SERVICES = """SELECT login, id FROM service WHERE login = ANY(%(logins)s) OR id = ANY(%(ids)s::bigint[])"""
# A name that either side leaves out contradicts nothing: several NASes may share an address behind NAT.
_BEFORE_RESET = """SELECT id FROM session WHERE stopped_at IS NULL AND nas_id = %(nas_id)s AND device = %(device)s
AND started_at < %(at)s AND updated_at <= %(at)s
AND (%(identifier)s = '' OR nas_identifier IN ('', %(identifier)s))
AND (%(address)s::inet IS NULL OR nas_address IS NULL OR nas_address = %(address)s::inet)
ORDER BY id FOR NO KEY UPDATE"""


def take_records(
    tx: Connection, records: Iterable[SessionChange | DeviceReset], zone: ZoneInfo
) -> Counter[tuple[str, str]]:
    """Take records into the tables, in their order; returns (name, device) of what is worth counting."""
    remarks: Counter[tuple[str, str]] = Counter()
    moved = False
    waiting: list[SessionChange] = []
    used: set[int] = set()

    def take_waiting() -> bool:
        if not waiting:
            return False
        tally = _take_changes(tx, waiting, zone)
        remarks.update(tally.remarks)
        used.update(service_id for service_id, _ in tally.usage)
        waiting.clear()
        return tally.moved

    for record in records:
        if isinstance(record, SessionChange):
            waiting.append(record)
        else:
            moved |= take_waiting() | bool(_reset(tx, record))
    moved |= take_waiting()
    if used:
        ask_for_reviews(tx, used)
    if moved:
        notify(tx, CHANNEL)
    return remarks


def _take_changes(tx: Connection, changes: list[SessionChange], zone: ZoneInfo) -> Tally:
    ids = {change.accepted[0] for change in changes if change.accepted is not None}
    logins = {change.login for change in changes}
    services = tx.exec_driver_sql(_SERVICES, {"logins": list(logins), "ids": list(ids)}).all()
    tally = Tally(dict(services), [row.id for row in services], zone)
    keys = columns(_KEY, list({change.key for change in changes}))
    for row in tx.exec_driver_sql(_BY_KEY, keys):
        tally.load(SessionState(*row))
    places = tally.places_of(changes)
    if places:
        for row in tx.exec_driver_sql(_BY_PLACE, columns(_PLACE, list(places))):
            tally.load(SessionState(*row))
    for change in changes:
        tally.take(change)
    if opened := tally.opened():
        tx.exec_driver_sql(_INSERT, columns(_INSERTED, [state[1:] for state in opened]))
    if changed := tally.changed():
        pick = [SessionState._fields.index(name) for name in _UPDATED]
        tx.exec_driver_sql(_UPDATE, columns(_UPDATED, [[state[index] for index in pick] for state in changed]))
    if tally.usage:
        rows = [(*key, usage.octets_in, usage.octets_out, usage.seconds) for key, usage in tally.usage.items()]
        tx.exec_driver_sql(_ADD_USAGE, columns(_USAGE, rows))
    return tally


def _reset(tx: Connection, reset: DeviceReset) -> int:
    """Close what a device had open before it started anew."""
    given = {
        "nas_id": reset.nas_id,
        "device": reset.device,
        "at": reset.at,
        "identifier": reset.nas_identifier,
        "address": reset.nas_address,
    }
    return close(tx, tx.exec_driver_sql(_BEFORE_RESET, given).scalars().all(), reset.at, NAS_REBOOT)
