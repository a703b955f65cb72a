"""What coa reads: open sessions that differ from their policy, what people ask for, how far radius nodes are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select, text

from base.access import AccessLevel, AccessPolicy
from base.policies import to_policy
from base.tables import session
from coa.barrier import Node
from radius.dialects import SessionIdentity

LIVE = timedelta(seconds=2)  # a radius node that reported within this is alive
LINGER = timedelta(seconds=60)  # a session that is open so long after its Disconnect was acknowledged has not ended

_FROM = """
FROM session s
JOIN nas n ON n.id = s.nas_id
LEFT JOIN policy p ON p.service_id = s.service_id
LEFT JOIN enforcement e ON e.session_id = s.id
"""
# The version that a session has: the one of the last acknowledged request, else the one that its Access-Accept carried.
_KNOWN = "coalesce(e.applied_version, s.accepted_version)"
_DIFFERENT = f"""
SELECT s.id, host(s.device) AS host, n.coa_port AS port, p.level, h.level AS applied_level
{_FROM}
LEFT JOIN LATERAL (
    SELECT level FROM access_history a WHERE a.service_id = s.service_id AND a.version = {_KNOWN} ORDER BY id LIMIT 1
) h ON true
WHERE s.stopped_at IS NULL AND s.service_id IS NOT NULL
AND ({_KNOWN} IS DISTINCT FROM coalesce(p.version, 0) OR e.disconnected_at < statement_timestamp() - :linger)
AND (e.next_try_at IS NULL OR e.next_try_at <= statement_timestamp() OR e.tried_version <> coalesce(p.version, 0))
"""  # noqa: S608 - no values
_ANYWHERE = "AND NOT s.id = ANY(CAST(:busy AS bigint[])) ORDER BY p.level, s.id LIMIT :limit"
_TOUCHED = "AND (s.service_id = ANY(CAST(:services AS bigint[])) OR s.id > :newest)"
# A NAS that returns no Class: the version that was current when the session began.
_TARGETS = f"""
SELECT s.id, s.login AS session_login, s.acct_session_id, host(s.framed_address) AS framed_address, s.calling_station,
       s.nas_identifier, host(s.nas_address) AS nas_address, host(s.device) AS host, n.coa_port AS port, n.kind,
       n.secret, coalesce(e.in_doubt, false) AS in_doubt,
       CASE WHEN e.tried_version = p.version THEN e.failures ELSE 0 END AS failures,
       p.service_id, p.version, p.login, NULL AS password, p.obeyed,
       CASE WHEN e.disconnected_at IS NULL THEN h.obeyed END AS applied,
       (e.disconnected_at >= statement_timestamp() - :linger AND e.applied_version = coalesce(p.version, 0))
           OR (e.next_try_at > statement_timestamp() AND e.tried_version = coalesce(p.version, 0)) AS rests,
       (SELECT CASE WHEN c.at > s.started_at THEN c.real_at END FROM access_history c
        WHERE c.service_id = p.service_id AND c.version = p.version ORDER BY c.id LIMIT 1) AS committed_at,
       (SELECT max(xid) FROM change_feed f WHERE f.kind = 'policy' AND f.subject_id = p.service_id) AS feed_xid
{_FROM}
LEFT JOIN LATERAL (
    SELECT obeyed FROM access_history a
    WHERE a.service_id = s.service_id
    AND CASE WHEN {_KNOWN} IS NULL THEN a.at <= s.started_at ELSE a.version = {_KNOWN} END
    ORDER BY a.id DESC LIMIT 1
) h ON true
WHERE s.stopped_at IS NULL AND s.id = ANY(CAST(:ids AS bigint[]))
"""  # noqa: S608 - no values


@dataclass(frozen=True, slots=True)
class Different:
    """An open session that does not have its policy, as far as is needed to queue it."""

    session_id: int
    host: str
    port: int
    applied: AccessLevel | None
    wanted: AccessLevel | None


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for and nobody has answered yet."""

    id: int
    act: str
    session_id: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Target:
    """One open session with everything a step needs."""

    session_id: int
    identity: SessionIdentity
    kind: str
    host: str
    port: int
    secret: bytes
    "Locked."
    applied: Mapping[str, object] | None
    "AccessPolicy.obeyed() of the version that the session has; None when nobody can tell."
    in_doubt: bool
    "It may have been told more than that: a CoA left, and no acknowledgement is known."
    policy: AccessPolicy | None
    committed_at: datetime | None
    "Real time at which the current version was written; None when the session began after that."
    feed_xid: int | None
    "The transaction that a radius node must have read to know the current version."
    failures: int
    rests: bool
    "Its NAS acknowledged a Disconnect for this very version a moment ago, or refused it and has a pause now."

    @property
    def version(self) -> int:
        """The version that the session should have; 0: its service has no policy."""
        return 0 if self.policy is None else self.policy.version


def read_different(
    tx: Connection,
    *,
    services: Sequence[int] = (),
    newest: int | None = None,
    busy: Sequence[int] = (),
    limit: int = 10_000,
) -> list[Different]:
    """Open sessions that do not have their policy and are due.

    With `newest` those of `services` and those whose id is above it; else all but the `busy` ones, best level first.
    """
    values: dict[str, Any] = {"linger": LINGER}
    if newest is None:
        where, values["busy"], values["limit"] = _ANYWHERE, list(busy), limit
    else:
        where, values["services"], values["newest"] = _TOUCHED, list(services), newest
    return [
        Different(row.id, row.host, row.port, _level(row.applied_level), _level(row.level))
        for row in tx.execute(text(_DIFFERENT + where), values)
    ]


def read_newest(tx: Connection) -> int:
    """The highest id of a session so far."""
    return tx.scalar(select(func.max(session.c.id))) or 0


def read_requests(tx: Connection) -> list[Request]:
    """What people asked for and nobody has answered yet, oldest first."""
    query = text(
        "SELECT w.id, w.act, w.session_id, host(s.device) AS host, n.coa_port AS port FROM wire_request w "
        "JOIN session s ON s.id = w.session_id JOIN nas n ON n.id = s.nas_id WHERE w.answered_at IS NULL ORDER BY w.id"
    )
    return [Request(*row) for row in tx.execute(query)]


def read_targets(tx: Connection, session_ids: Sequence[int]) -> list[Target | None]:
    """These sessions as they are now, in this order; None for those that have ended."""
    found = {row.id: row for row in tx.execute(text(_TARGETS), {"ids": list(session_ids), "linger": LINGER})}
    return [None if id not in found else _target(found[id]) for id in session_ids]


def _target(row: Any) -> Target:
    return Target(
        session_id=row.id,
        identity=SessionIdentity(
            login=row.session_login,
            acct_session_id=row.acct_session_id,
            framed_address=row.framed_address,
            calling_station=row.calling_station,
            nas_identifier=row.nas_identifier,
            nas_address=row.nas_address,
        ),
        kind=row.kind,
        host=row.host,
        port=row.port,
        secret=bytes(row.secret),
        applied=row.applied,
        in_doubt=row.in_doubt,
        policy=None if row.service_id is None else to_policy(row, None),
        committed_at=row.committed_at,
        feed_xid=row.feed_xid,
        failures=row.failures,
        rests=bool(row.rests),
    )


def read_nodes(tx: Connection, asked: Sequence[None]) -> list[list[Node]]:
    """The radius nodes that are alive, for each who asks."""
    query = text("SELECT feed_position, feed_ahead FROM radius_node WHERE seen_at > clock_timestamp() - :live")
    nodes = [Node(row.feed_position, frozenset(row.feed_ahead)) for row in tx.execute(query, {"live": LIVE})]
    return [nodes] * len(asked)


def _level(stored: int | None) -> AccessLevel | None:
    return None if stored is None else AccessLevel(stored)
