"""What coa writes: attempts, how far each session was brought, answers to people; as SQL, many at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, text

from base import clock, sessions
from base.tables import coa_attempt, session
from coa.decide import Act, Step, is_gone
from coa.exchange import Ack, Answer, Nak
from coa.targets import Target

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)  # between failed attempts; it doubles

_SETTLE = """
INSERT INTO enforcement (session_id, applied_version, tried_version, failures, disconnected_at)
VALUES (:session_id, :version, :version, 0, CASE WHEN :ends THEN clock_timestamp() END)
ON CONFLICT (session_id) DO UPDATE SET applied_version = excluded.applied_version,
    tried_version = excluded.tried_version, failures = 0, next_try_at = NULL,
    disconnected_at = excluded.disconnected_at, in_doubt = false
"""
_DOUBT = """
INSERT INTO enforcement (session_id, in_doubt) VALUES (:session_id, true)
ON CONFLICT (session_id) DO UPDATE SET in_doubt = true
"""
_POSTPONE = """
INSERT INTO enforcement (session_id, tried_version, failures, next_try_at)
VALUES (:session_id, :version, :failures, clock_timestamp() + :pause)
ON CONFLICT (session_id) DO UPDATE SET tried_version = excluded.tried_version, failures = excluded.failures,
    next_try_at = excluded.next_try_at
"""
_ANSWER = "UPDATE wire_request SET answered_at = clock_timestamp(), result = :result WHERE id = :id"
_ADD_DROPS = """
INSERT INTO drop_count AS old (name, source, count, last_at) VALUES (:name, :source, :count, :at)
ON CONFLICT (name, source) DO UPDATE SET count = old.count + excluded.count, last_at = excluded.last_at
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that was sent, and what came of it. Real times."""

    step: Step
    answer: Answer
    sends: int
    sent_at: datetime
    answered_at: datetime

    @property
    def milliseconds(self) -> int:
        """From the first datagram to the answer, or to giving up."""
        return milliseconds(self.sent_at, self.answered_at)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one errand or a part of it, to be kept."""

    target: Target
    applied: bool
    "The session has its version now, or is about to end."
    failed: bool = False
    "To be tried again later."
    attempt: Attempt | None = None
    "None: nothing was sent."
    reply: str | None = None
    "The last word on the person's request that caused it."
    wire_request_id: int | None = None


def doubt(tx: Connection, session_ids: Sequence[int]) -> list[None]:
    """Before a CoA leaves: whatever becomes of us and of the answer, nobody may rely on what the session had."""
    tx.execute(text(_DOUBT), [{"session_id": session_id} for session_id in session_ids])
    return [None] * len(session_ids)


def keep(tx: Connection, outcomes: Sequence[Outcome]) -> list[None]:
    """Keep attempts, move applied versions where the NAS did what was asked, answer people.

    A session that its NAS does not know is closed; what failed is tried again after 5, 10, 20 … s, at most 5 minutes,
    or as soon as there is a newer version.
    """
    if attempts := [_attempt(each, each.attempt) for each in outcomes if each.attempt is not None]:
        tx.execute(insert(coa_attempt), attempts)
    if gone := [
        each.target.session_id for each in outcomes if each.attempt is not None and is_gone(each.attempt.answer)
    ]:
        _close(tx, gone)
    if settled := [_settled(each) for each in outcomes if each.applied]:
        tx.execute(text(_SETTLE), settled)
    if postponed := [_postponed(each.target) for each in outcomes if each.failed]:
        tx.execute(text(_POSTPONE), postponed)
    said = [(each.wire_request_id, each.reply) for each in outcomes]
    reply(tx, [(asked, words) for asked, words in said if asked is not None and words is not None])
    return [None] * len(outcomes)


def reply(tx: Connection, replies: Sequence[tuple[int, str]]) -> list[None]:
    """Tell people what came of their requests: (wire request, words)."""
    if replies:
        tx.execute(text(_ANSWER), [{"id": asked, "result": words} for asked, words in replies])
    return [None] * len(replies)


def _attempt(outcome: Outcome, attempt: Attempt) -> dict[str, object]:
    target, answer = outcome.target, attempt.answer
    answered = isinstance(answer, Ack | Nak)
    caused = target.committed_at if answered and outcome.wire_request_id is None else None
    return {
        "session_id": target.session_id,
        "wire_request_id": outcome.wire_request_id,
        "version": target.version,
        "step": attempt.step.act.value,
        "target": f"{target.host}:{target.port}",
        "request": [[name, value] for name, value in attempt.step.pairs],
        "result": type(answer).__name__.lower() if attempt.sends else "not_sent",
        "error_cause": answer.error_cause if isinstance(answer, Nak) else None,
        "sends": attempt.sends,
        "sent_at": attempt.sent_at,
        "answered_at": attempt.answered_at if answered else None,
        "milliseconds": attempt.milliseconds if answered else None,
        "commit_to_answer_ms": None if caused is None else milliseconds(caused, attempt.answered_at),
    }


def _settled(outcome: Outcome) -> dict[str, object]:
    ends = outcome.attempt is not None and outcome.attempt.step.act is Act.DISCONNECT
    return {"session_id": outcome.target.session_id, "version": outcome.target.version, "ends": ends}


def _postponed(target: Target) -> dict[str, object]:
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(target.failures, 10))
    values = {"session_id": target.session_id, "version": target.version}
    return {**values, "failures": target.failures + 1, "pause": pause}


def _close(tx: Connection, session_ids: Sequence[int]) -> None:
    ours = select(session.c.id).where(session.c.id.in_(session_ids)).order_by(session.c.id)
    tx.execute(ours.with_for_update(key_share=True))  # in the order in which ingest locks them
    sessions.close(tx, session_ids, clock.now(), sessions.UNKNOWN_TO_NAS)


def add_drops(tx: Connection, drops: Sequence[Mapping[tuple[str, str], int]]) -> list[None]:
    """Count what came back and was no answer: (name, device) → how many."""
    rows = [
        {"name": f"coa_{name}", "source": source, "count": count, "at": clock.now()}
        for each in drops
        for (name, source), count in sorted(each.items())
    ]
    tx.execute(text(_ADD_DROPS), rows)
    return [None] * len(drops)


def milliseconds(start: datetime, end: datetime) -> int:
    """Whole milliseconds from one instant to another."""
    return round((end - start).total_seconds() * 1000)
