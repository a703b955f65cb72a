"""What a record makes of a session: pure, and tolerant of repetition, reordering and loss.

    Start    opens a session, or tells again what is known; closes an older one under the same id, whose Stop was lost
    Interim  raises the counters; opens a session that nobody told us about; does not reopen one that stopped
    Stop     closes; of a session that nobody told us about it leaves a closed one

Counters never go down. Which session a record belongs to is decided by when that session began and ended, because a
NAS may use an id again, after a reboot for instance.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from base.sessions import INFERRED, REPLACED
from radius.accounting import SessionChange, Status

DOUBT = timedelta(seconds=30)
"How late a repetition may come, and how far a NAS's times of one session may contradict each other."

COUNTER_RESET = "accounting_counter_reset"
OLDER_SESSION = "accounting_of_older_session"


class SessionState(NamedTuple):
    """A row of the table `session`; `id` is None until it is stored."""

    id: int | None
    service_id: int | None
    nas_id: int
    device: str
    acct_session_id: str
    login: str
    nas_identifier: str
    framed_address: str | None
    calling_station: str
    nas_port_id: str
    nas_address: str | None
    started_at: datetime
    updated_at: datetime
    "When the NAS last told about it."
    stopped_at: datetime | None
    terminate_cause: str
    octets_in: int
    octets_out: int
    seconds: int
    accepted_version: int | None

    @property
    def key(self) -> tuple[int, str, str, str]:
        """As `SessionChange.key`."""
        return self.nas_id, self.device, self.acct_session_id, self.login


class Folded(NamedTuple):
    """What became of a session, and of one before it under the same id."""

    session: SessionState
    ended: SessionState | None = None
    "The session known so far, when the record turned out to be of another one and closed it."
    is_another: bool = False
    "`session` is not the one known so far."
    remark: str | None = None
    "Something to count."


def fold(state: SessionState | None, change: SessionChange, service_id: int | None) -> Folded:
    """Take a record in. `state`: the newest session known under its key; `service_id`: the one its login has now."""
    if state is None:
        return Folded(_open(change, service_id), is_another=True)
    if _is_another(state, change):
        ended = None if state.stopped_at else end(state, change.at, REPLACED)
        return Folded(_open(change, service_id), ended, is_another=True)
    if state.stopped_at is None and change.status != Status.START and change.at + DOUBT < state.started_at:
        return Folded(state, remark=OLDER_SESSION)
    fell = 0 < change.octets_in < state.octets_in or 0 < change.octets_out < state.octets_out
    remark = COUNTER_RESET if fell and change.at > state.updated_at else None
    return Folded(_merge(state, change, service_id), remark=remark)


def end(state: SessionState, at: datetime, cause: str) -> SessionState:
    """The session, closed by inference."""
    return state._replace(stopped_at=at, terminate_cause=cause)


def is_superseded(state: SessionState, newer: SessionState) -> bool:
    """Whether an open session must be over because a newer one of the same device has its address.

    Not when it was heard of since, nor when the two name different NASes (several may share an address behind NAT).
    """
    if differ(state.nas_identifier, newer.nas_identifier) or differ(state.nas_address, newer.nas_address):
        return False
    return state.started_at < newer.started_at and state.updated_at <= newer.started_at


def differ(one: str | None, other: str | None) -> bool:
    """Whether both are named, and not the same."""
    return bool(one and other and one != other)


def _is_another(state: SessionState, change: SessionChange) -> bool:
    """Whether a record under the key of `state` belongs to a later session that uses the id again."""
    if change.status == Status.START:
        if state.stopped_at is None:
            return change.at > state.updated_at + DOUBT
        return change.at > state.stopped_at + (timedelta() if change.stamped else DOUBT)
    # A counted time that began after the known end can only be another session's, whose Start was lost.
    began_after = state.stopped_at is not None and change.at - timedelta(seconds=change.seconds) > state.stopped_at
    return began_after and change.stamped and change.seconds > 0


def _open(change: SessionChange, service_id: int | None) -> SessionState:
    is_start, is_stop = change.status == Status.START, change.status == Status.STOP
    return SessionState(
        id=None,
        service_id=service_id,
        nas_id=change.nas_id,
        device=change.device,
        acct_session_id=change.acct_session_id,
        login=change.login,
        nas_identifier=change.nas_identifier,
        framed_address=change.framed_address,
        calling_station=change.calling_station,
        nas_port_id=change.nas_port_id,
        nas_address=change.nas_address,
        started_at=change.at if is_start else change.at - timedelta(seconds=change.seconds),
        updated_at=change.at,
        stopped_at=change.at if is_stop else None,
        terminate_cause=change.terminate_cause,
        octets_in=change.octets_in,
        octets_out=change.octets_out,
        seconds=change.seconds,
        accepted_version=_accepted_version(change, service_id),
    )


def _merge(state: SessionState, change: SessionChange, service_id: int | None) -> SessionState:
    fresh = change.at >= state.updated_at
    service_id = service_id if state.service_id is None else state.service_id
    stopped_at, cause = _ending(state, change)
    version = state.accepted_version
    if change.status == Status.START:
        version = _accepted_version(change, service_id) or version
    return state._replace(
        service_id=service_id,
        nas_identifier=(fresh and change.nas_identifier) or state.nas_identifier or change.nas_identifier,
        framed_address=(fresh and change.framed_address) or state.framed_address or change.framed_address,
        calling_station=(fresh and change.calling_station) or state.calling_station or change.calling_station,
        nas_port_id=(fresh and change.nas_port_id) or state.nas_port_id or change.nas_port_id,
        nas_address=(fresh and change.nas_address) or state.nas_address or change.nas_address,
        updated_at=max(state.updated_at, change.at),
        stopped_at=stopped_at,
        terminate_cause=cause,
        octets_in=max(state.octets_in, change.octets_in),
        octets_out=max(state.octets_out, change.octets_out),
        seconds=max(state.seconds, change.seconds),
        accepted_version=version,
    )


def _ending(state: SessionState, change: SessionChange) -> tuple[datetime | None, str]:
    """When and why the session ended, as known after the record."""
    inferred = state.terminate_cause in INFERRED
    later = state.stopped_at is None or change.at > state.stopped_at
    if change.status == Status.STOP and (later or inferred):
        return change.at, change.terminate_cause
    if change.status == Status.INTERIM and inferred and later and change.stamped:
        return None, ""  # the NAS counts on after the moment at which we believed it gone: it lives, and must obey
    return state.stopped_at, state.terminate_cause


def _accepted_version(change: SessionChange, service_id: int | None) -> int | None:
    if change.accepted is None or change.accepted[0] != service_id:
        return None
    return change.accepted[1]
