"""What coa reads and writes, as SQL beside their writer: open sessions that differ from their policy, and attempts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from base import sessions
from base.access import AccessPolicy
from base.crypto import Vault
from base.policies import read_policies
from base.tables import coa_attempt, enforcement, wire_request
from coa.decide import Step
from coa.exchange import Ack, Answer, Nak
from radius.dialects import SessionIdentity

LIVE = timedelta(seconds=2)  # a radius node that reported within this is alive
SESSION_UNKNOWN = 503  # Error-Cause: the NAS has no such session (any more)


@dataclass(frozen=True, slots=True)
class Target:
    """One open session with everything a step needs."""

    session_id: int
    identity: SessionIdentity
    nas_id: int
    kind: str
    host: str
    port: int
    secret: bytes
    applied: dict[str, Any] | None
    "AccessPolicy.obeyed() of the version that the session has; None when nobody can tell."
    policy: AccessPolicy | None
    committed_at: datetime | None
    "Real time at which the current version was written."
    feed_xid: int | None
    "The feed position that a node must have passed to know the current version."
    failures: int

    def __repr__(self) -> str:
        """Without the secret."""
        return f"<Target session={self.session_id} {self.kind} {self.host}:{self.port}>"


# What a session has: the version that coa applied, or the one its Access-Accept carried; with neither (a NAS that
# returns no Class) the one that was current when it began.
_SESSIONS = """
SELECT s.id, s.login, s.acct_session_id, s.framed_address, s.calling_station, s.nas_identifier, s.nas_address,
       s.service_id, s.device, n.id AS nas_id, n.kind, n.coa_port, n.secret, p.version,
       coalesce(e.failures, 0) AS failures, h.obeyed AS applied,
       (SELECT real_at FROM access_history c WHERE c.service_id = p.service_id AND c.version = p.version
        ORDER BY c.id LIMIT 1) AS committed_at,
       (SELECT max(xid) FROM change_feed f WHERE f.kind = 'policy' AND f.subject_id = p.service_id) AS feed_xid
FROM session s
JOIN nas n ON n.id = s.nas_id
LEFT JOIN policy p ON p.service_id = s.service_id
LEFT JOIN enforcement e ON e.session_id = s.id
LEFT JOIN LATERAL (
    SELECT version, obeyed FROM access_history a
    WHERE a.service_id = s.service_id AND CASE
        WHEN coalesce(e.applied_version, s.accepted_version) IS NOT NULL
        THEN a.version = greatest(coalesce(e.applied_version, 0), coalesce(s.accepted_version, 0))
        ELSE a.at <= s.started_at END
    ORDER BY a.id DESC LIMIT 1
) h ON true
WHERE s.stopped_at IS NULL
"""
_DIFFERENT = """
AND s.service_id IS NOT NULL AND h.version IS DISTINCT FROM p.version
AND (e.next_try_at IS NULL OR e.next_try_at <= clock_timestamp())
"""


def read_different(
    tx: Connection, vault: Vault, service_ids: Sequence[int] | None, busy: Sequence[int], limit: int = 5000
) -> list[Target]:
    """Open sessions that do not have their current policy; of these services, or of all."""
    query, values = _SESSIONS + _DIFFERENT + "AND NOT s.id = ANY(:busy)", {"busy": list(busy), "limit": limit}
    if service_ids is not None:
        query += " AND s.service_id = ANY(:services)"
        values["services"] = list(service_ids)
    rows = tx.execute(text(query + " ORDER BY p.level, s.id LIMIT :limit"), values).all()
    return _targets(tx, vault, rows)


def read_session(tx: Connection, vault: Vault, session_id: int) -> Target | None:
    """One session as it is now; None when it has ended."""
    rows = tx.execute(text(_SESSIONS + " AND s.id = :id"), {"id": session_id}).all()
    return next(iter(_targets(tx, vault, rows)), None)


def _targets(tx: Connection, vault: Vault, rows: Sequence[Any]) -> list[Target]:
    services = sorted({row.service_id for row in rows if row.service_id is not None})
    policies = {policy.service_id: policy for policy in read_policies(tx, None, services)} if services else {}
    secrets = {row.nas_id: bytes(row.secret) for row in rows}
    unlocked = {nas_id: vault.unlock(secret) for nas_id, secret in secrets.items()}
    return [
        Target(
            session_id=row.id,
            identity=SessionIdentity(
                login=row.login,
                acct_session_id=row.acct_session_id,
                framed_address=None if row.framed_address is None else str(row.framed_address),
                calling_station=row.calling_station,
                nas_identifier=row.nas_identifier,
                nas_address=None if row.nas_address is None else str(row.nas_address),
            ),
            nas_id=row.nas_id,
            kind=row.kind,
            host=str(row.device),
            port=row.coa_port,
            secret=unlocked[row.nas_id],
            applied=row.applied,
            policy=policies.get(row.service_id),
            committed_at=row.committed_at,
            feed_xid=row.feed_xid,
            failures=row.failures,
        )
        for row in rows
    ]


def nodes_have_read(tx: Connection, xid: int) -> bool:
    """Whether every live radius node has read the feed past this transaction."""
    behind = tx.scalar(
        text(
            "SELECT count(*) FROM radius_node WHERE seen_at > clock_timestamp() - :live "
            "AND feed_position <= :xid AND NOT :xid = ANY(feed_ahead)"
        ),
        {"live": LIVE, "xid": xid},
    )
    return not behind


def record(
    tx: Connection,
    target: Target,
    step: Step,
    answer: Answer,
    sends: int,
    sent_at: datetime,
    answered_at: datetime,
    now: datetime,
    *,
    wire_request_id: int | None = None,
) -> None:
    """Keep the attempt, and move the session's applied version when the NAS did what was asked.

    `sent_at`, `answered_at` are real times, `now` is business time. A session that its NAS does not know is closed.
    """
    answered = isinstance(answer, Ack | Nak)
    version = target.policy.version if target.policy else 0
    tx.execute(
        insert(coa_attempt).values(
            session_id=target.session_id,
            wire_request_id=wire_request_id,
            version=version,
            step=step.act.value,
            target=f"{target.host}:{target.port}",
            request=[[name, shown(value)] for name, value in step.pairs],
            result="not_sent" if not sends else type(answer).__name__.lower(),
            error_cause=answer.error_cause if isinstance(answer, Nak) else None,
            sends=sends,
            sent_at=sent_at,
            answered_at=answered_at if answered else None,
            milliseconds=_ms(sent_at, answered_at) if answered else None,
            commit_to_answer_ms=_ms(target.committed_at, answered_at) if answered and target.committed_at else None,
        )
    )
    if isinstance(answer, Ack):
        settle(tx, target.session_id, version)
    elif isinstance(answer, Nak) and answer.error_cause == SESSION_UNKNOWN:
        sessions.close(tx, [target.session_id], now, "Session-Unknown-To-NAS")
    else:
        postpone(tx, target)


def settle(tx: Connection, session_id: int, version: int) -> None:
    """The session now has this version."""
    row = {"applied_version": version, "failures": 0, "next_try_at": None}
    statement = upsert(enforcement).values(session_id=session_id, **row)
    tx.execute(statement.on_conflict_do_update(index_elements=["session_id"], set_=row))


def postpone(tx: Connection, target: Target) -> None:
    """Try again later: after 5, 10, 20 … s, at most every 5 minutes."""
    failures = target.failures + 1
    wait = timedelta(seconds=min(300, 5 * 2 ** min(target.failures, 10)))
    row = {"failures": failures, "next_try_at": func.clock_timestamp() + wait}
    statement = upsert(enforcement).values(session_id=target.session_id, **row)
    tx.execute(statement.on_conflict_do_update(index_elements=["session_id"], set_=row))


def open_requests(tx: Connection) -> Sequence[Any]:
    """What people asked for and nobody has answered yet."""
    query = select(wire_request.c.id, wire_request.c.act, wire_request.c.session_id)
    return tx.execute(query.where(wire_request.c.answered_at.is_(None)).order_by(wire_request.c.id)).all()


def answer_request(tx: Connection, request_id: int, result: str) -> None:
    """Tell the person what came of it."""
    tx.execute(
        wire_request.update()
        .where(wire_request.c.id == request_id)
        .values(answered_at=func.clock_timestamp(), result=result)
    )


def shown(value: object) -> object:
    """A value as it is kept with the attempt."""
    return value.hex() if isinstance(value, bytes) else value


def _ms(start: datetime, end: datetime) -> int:
    return round((end - start).total_seconds() * 1000)
