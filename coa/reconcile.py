"""What makes desired and applied equal: level-triggered, so there is no message to lose.

A bell (feed, new sessions, somebody's request) makes it look at what the bell is about; a sweep looks at everything
without any bell. What it sees is only that a session's version is not its policy's; what to do is decided anew just
before sending. One request under way per session, a window per device, the most urgent first.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TypeVar

from sqlalchemy import Connection, Engine

from base import clock, feed, wire
from base.crypto import Vault
from base.database import transaction
from base.log import alarm, logger
from coa import outcomes, targets
from coa.barrier import Barrier
from coa.batch import Batch
from coa.client import Client
from coa.decide import (
    NOTHING,
    Act,
    Priority,
    Step,
    decide_again,
    decide_step,
    fall_back,
    falls_back,
    is_gone,
    priority,
)
from coa.errands import Errand, Errands
from coa.exchange import ERROR_CAUSES, Ack, Silence
from coa.outcomes import Attempt, Outcome
from coa.targets import Different, Request, Target
from radius.packet import Code

FRESH = 0.05  # seconds for which a decision holds
BARRIER = 2.0  # seconds that a Disconnect waits for radius nodes to know what the redial must be told
T = TypeVar("T")
_CODES = {Act.COA: Code.COA_REQUEST, Act.DISCONNECT: Code.DISCONNECT_REQUEST}
ENDED = "The session had ended already."
IN_LINE = "The session has everything it should have."
FAILED = "It could not be done; the log of coa says why."


class Reconciler:
    """Brings sessions in line while `leads` says that this process is the one sender."""

    def __init__(self, engine: Engine, vault: Vault, client: Client, leads: Callable[[], bool] = lambda: True) -> None:
        self._engine, self._client, self._leads = engine, client, leads
        self._unlock = lru_cache(maxsize=4096)(vault.unlock)
        self._targets = Batch(engine, targets.read_targets)
        self._doubts = Batch(engine, outcomes.doubt)
        self._outcomes = Batch(engine, outcomes.keep)
        self._replies = Batch(engine, outcomes.reply)
        self._drops = Batch(engine, outcomes.add_drops)
        self._barrier = Barrier(partial(Batch(engine, targets.read_nodes).do, None))
        self._errands = Errands()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cursor: feed.Cursor | None = None
        "Where in the feed the last look ended; None: look at everything."
        self._newest = 0
        "The highest id of a session at the last look."

    async def look(self) -> None:
        """Queue what changed since the last look (at first: everything that differs), and what people asked for."""
        cursor, self._cursor = self._cursor, None  # should this look fail, the next one is at everything
        different, requests, self._cursor = await self._in_transaction(
            partial(self._read, cursor=cursor, busy=self._errands.sessions)
        )
        taken = self._errands.wire_requests if requests else set()
        for asked in requests:
            if asked.id not in taken:
                act = wire.Act(asked.act)
                self._errands.add(Errand(asked.session_id, asked.host, asked.port, Priority.ORDER, act, asked.id))
        self._add(different)

    async def sweep(self) -> None:
        """Queue everything that differs, whether a bell rang or not."""
        busy = self._errands.sessions
        self._add(await self._in_transaction(partial(targets.read_different, busy=busy)))
        if self._client.drops:
            drops = Counter(self._client.drops)
            self._client.drops.clear()
            await self._drops.do(drops)

    def _read(
        self, tx: Connection, cursor: feed.Cursor | None, busy: list[int]
    ) -> tuple[list[Different], list[Request], feed.Cursor]:
        since, self._newest = self._newest, targets.read_newest(tx)
        at_everything = cursor is None
        cursor = cursor or feed.Cursor(feed.horizon(tx))
        services = sorted({change.subject_id for change in cursor.read(tx) if change.kind == "policy"})
        if at_everything:
            different = targets.read_different(tx, busy=busy)
        else:
            different = targets.read_different(tx, services=services, newest=since)
        return different, targets.read_requests(tx), cursor

    async def _in_transaction(self, act: Callable[[Connection], T]) -> T:
        def run() -> T:
            with transaction(self._engine) as tx:
                return act(tx)

        return await asyncio.to_thread(run)

    def _add(self, different: Sequence[Different]) -> None:
        for each in different:
            rank = priority(each.applied, each.wanted)
            self._errands.add(Errand(each.session_id, each.host, each.port, rank))
        self._begin()

    def _begin(self, device: tuple[str, int] | None = None) -> None:
        if self._leads():
            for errand in self._errands.start(device):
                task = asyncio.create_task(self._run(errand))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _run(self, errand: Errand) -> None:
        try:
            await self._bring_in_line(errand)
        except Exception:
            alarm("session_not_reconciled", session_id=errand.session_id)
            with contextlib.suppress(Exception):  # what is wrong has just been said
                await self._give_up(errand)
        finally:
            self._errands.end(errand)
            self._begin(errand.device)

    async def _bring_in_line(self, errand: Errand) -> None:
        """Send what is needed and keep what came of it; a CoA that the NAS will not do is followed by a Disconnect."""
        said: list[str] = []
        refused = False
        while True:
            target, step = await self._decide(errand, refused)
            if target is None:
                await self._reply(errand, " ".join([*said, ENDED]))
            elif target.rests and errand.act is None:
                return  # it was queued from a reading that is older than the answer
            elif step.act is Act.NOTHING:
                await self._keep(errand, Outcome(target, applied=True, reply=" ".join([*said, IN_LINE])))
            else:
                attempt = await self._send(target, step)
                said.append(describe(attempt))
                refused = falls_back(step, attempt.answer)
                applied = isinstance(attempt.answer, Ack)
                failed = not (applied or refused or is_gone(attempt.answer))
                reply = None if refused else " ".join(said)
                await self._keep(errand, Outcome(target, applied, failed, attempt, reply))
                if refused:
                    continue
            return

    async def _decide(self, errand: Errand, refused: bool) -> tuple[Target | None, Step]:
        """The session and the step that it needs now; before a Disconnect the radius nodes must know what we know."""
        loop = asyncio.get_running_loop()
        until = loop.time() + BARRIER
        known: int | None = None
        while True:
            target = await self._targets.do(errand.session_id, urgent=errand.priority < Priority.RESTRICT)
            if target is None:
                return None, NOTHING
            step, xid = _choose(target, errand.act, refused), target.feed_xid
            if step.act is not Act.DISCONNECT or xid is None or xid == known or self._barrier.has_passed(xid):
                return target, step
            known, asked_at = xid, loop.time()
            if not await self._barrier.wait(xid, until - asked_at):
                logger().warning("coa.nodes_behind", session_id=target.session_id, waited_seconds=BARRIER)
            elif loop.time() - asked_at < FRESH:
                return target, step

    async def _send(self, target: Target, step: Step) -> Attempt:
        secret = self._unlock(target.secret)
        if step.act is Act.COA and not target.in_doubt:
            await self._doubts.do(target.session_id)
        sent_at = clock.real()
        answer, sends = await self._client.send(_CODES[step.act], step.pairs, secret, target.host, target.port)
        attempt = Attempt(step, answer, sends, sent_at, clock.real())
        if not isinstance(answer, Ack):
            logger().warning("coa.not_done", session_id=target.session_id, nas=target.host, answer=describe(attempt))
        return attempt

    async def _give_up(self, errand: Errand) -> None:
        """What went wrong here may go right later."""
        target = await self._targets.do(errand.session_id)
        if target is None:
            await self._reply(errand, ENDED)
        else:
            await self._keep(errand, Outcome(target, applied=False, failed=True, reply=FAILED))

    async def _keep(self, errand: Errand, outcome: Outcome) -> None:
        await self._outcomes.do(replace(outcome, wire_request_id=errand.wire_request_id))

    async def _reply(self, errand: Errand, words: str) -> None:
        if errand.wire_request_id is not None:
            await self._replies.do((errand.wire_request_id, words))

    async def finish(self, seconds: float) -> None:
        """Wait until nothing is under way, at most so long."""
        until = asyncio.get_running_loop().time() + seconds
        while self._tasks and (left := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)


def _choose(target: Target, act: wire.Act | None, refused: bool) -> Step:
    """The step that a session needs; `refused`: its NAS will not change it in place."""
    who = target.kind, target.identity
    if act is wire.Act.DISCONNECT:
        return fall_back(*who)
    decide = decide_again if act is wire.Act.REAPPLY or target.in_doubt else decide_step
    step = decide(*who, target.applied, target.policy)
    return fall_back(*who) if refused and step.act is Act.COA else step


def describe(attempt: Attempt) -> str:
    """What came of a request, in words."""
    what = "CoA" if attempt.step.act is Act.COA else "Disconnect"
    if isinstance(attempt.answer, Ack):
        return f"{what} acknowledged after {attempt.milliseconds} ms."
    if isinstance(attempt.answer, Silence):
        return f"{what}: the NAS did not answer." if attempt.sends else f"{what}: it could not be sent."
    cause = attempt.answer.error_cause
    why = "no cause given" if cause is None else f"{ERROR_CAUSES.get(cause, 'Error-Cause')} ({cause})"
    return f"{what} refused after {attempt.milliseconds} ms: {why}."
