"""The loop that makes desired and applied equal: level-triggered, so there is no message to lose.

A bell (feed, new sessions, somebody's request) makes it look at once; a sweep looks without any bell. What it sees is
only that a session's version is not its policy's; what to do is decided anew just before sending. One request in
flight per session, a window of requests per device, the most urgent first.
"""

import asyncio
import heapq
import itertools
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from base import clock, wire
from base.crypto import Vault, open_vault
from base.database import address, connect, transaction
from base.log import alarm, logger
from base.settings import Settings
from coa import tables
from coa.client import Client
from coa.decide import NOTHING, Act, Priority, Step, decide_step, fall_back, priority
from coa.exchange import ERROR_CAUSES, Ack, Answer, Nak, Silence
from coa.listener import Listener
from radius.packet import Code

SWEEP = 2.0  # seconds between looks that need no bell
WINDOW = 32  # requests in flight to one device
BARRIER = 2.0  # seconds that a Disconnect waits for radius nodes to know what the redial must be told
BARRIER_POLL = 0.01

T = TypeVar("T")
_CODES = {Act.COA: Code.COA_REQUEST, Act.DISCONNECT: Code.DISCONNECT_REQUEST}


@dataclass(order=True, slots=True)
class Errand:
    """One session to bring in line; for a person's request, with the row that wants the answer."""

    priority: Priority
    order: int
    session_id: int = field(compare=False)
    act: wire.Act | None = field(compare=False, default=None)
    wire_request_id: int | None = field(compare=False, default=None)


class Device:
    """The queue and window of one device."""

    def __init__(self) -> None:
        self.waiting: list[Errand] = []
        self.running = 0


class Reconciler:
    """Brings sessions in line while this process is the one sender."""

    def __init__(self, engine: Engine, vault: Vault, client: Client) -> None:
        self._engine, self._vault, self._client = engine, vault, client
        self._devices: dict[tuple[str, int], Device] = {}
        self._busy: set[int] = set()  # sessions queued or in flight
        self._asked: set[int] = set()  # requests of people, queued or in flight
        self._order = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()

    async def look(self) -> None:
        """Queue every session that differs from its policy, and what people asked for."""
        targets, requests = await self._in_transaction(self._read)
        for row in requests:
            if row.id not in self._asked:
                target = await self._in_transaction(partial(self._session, session_id=row.session_id))
                self._take_request(row, target)
        for target in targets:
            if target.session_id not in self._busy:
                rank = priority(target.applied, target.policy, ordered=False)
                self._queue(target, Errand(rank, next(self._order), target.session_id))

    def _read(self, tx: Connection) -> tuple[list[tables.Target], Sequence[Any]]:
        return tables.read_different(tx, self._vault, None, sorted(self._busy)), tables.open_requests(tx)

    def _session(self, tx: Connection, session_id: int) -> tables.Target | None:
        return tables.read_session(tx, self._vault, session_id)

    def _take_request(self, row: Any, target: tables.Target | None) -> None:
        if target is None:
            self._spawn(self._answer(row.id, "The session had ended already."))
        elif row.session_id not in self._busy:
            self._asked.add(row.id)
            errand = Errand(Priority.ORDER, next(self._order), row.session_id, wire.Act(row.act), row.id)
            self._queue(target, errand)

    def _queue(self, target: tables.Target, errand: Errand) -> None:
        self._busy.add(errand.session_id)
        device = self._devices.setdefault((target.host, target.port), Device())
        heapq.heappush(device.waiting, errand)
        self._start_waiting(device)

    def _start_waiting(self, device: Device) -> None:
        while device.waiting and device.running < WINDOW:
            device.running += 1
            self._spawn(self._run(device, heapq.heappop(device.waiting)))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, device: Device, errand: Errand) -> None:
        try:
            await self._bring_in_line(errand)
        except Exception:
            alarm("session_not_reconciled", session_id=errand.session_id)
        finally:
            device.running -= 1
            self._busy.discard(errand.session_id)
            if errand.wire_request_id is not None:
                self._asked.discard(errand.wire_request_id)
            self._start_waiting(device)

    async def _bring_in_line(self, errand: Errand) -> None:
        """Decide anew, send, and keep what came of it; a refused CoA is followed by a Disconnect."""
        target = await self._in_transaction(partial(self._session, session_id=errand.session_id))
        if target is None:
            if errand.wire_request_id is not None:
                await self._answer(errand.wire_request_id, "The session had ended already.")
            return
        step = _step(target, errand)
        if step is NOTHING or step.act is Act.NOTHING:
            version = target.policy.version if target.policy else 0
            await self._in_transaction(lambda tx: tables.settle(tx, target.session_id, version))
            if errand.wire_request_id is not None:
                await self._answer(errand.wire_request_id, "The session has everything it should have.")
            return
        answer = await self._send(target, step, errand)
        refused = isinstance(answer, Nak) and answer.error_cause != tables.SESSION_UNKNOWN
        if refused and step.act is Act.COA:
            await self._send(target, fall_back(target.kind, target.identity), errand)

    async def _send(self, target: tables.Target, step: Step, errand: Errand) -> Answer:
        if step.act is Act.DISCONNECT and target.feed_xid is not None:
            await self._wait_for_nodes(target.feed_xid)
        sent_at = clock.real()
        answer, sends = await self._client.send(_CODES[step.act], step.pairs, target.secret, target.host, target.port)
        answered_at = clock.real()

        def keep(tx: Connection) -> None:
            tables.record(
                tx, target, step, answer, sends, sent_at, answered_at, clock.now(),
                wire_request_id=errand.wire_request_id,
            )  # fmt: skip
            if errand.wire_request_id is not None:
                milliseconds = round((answered_at - sent_at).total_seconds() * 1000)
                tables.answer_request(tx, errand.wire_request_id, describe(step, answer, milliseconds))

        await self._in_transaction(keep)
        log = logger().warning if isinstance(answer, Silence) else logger().info
        log("coa.answered", session=target.session_id, step=step.act.value, answer=describe(step, answer, None))
        return answer

    async def _wait_for_nodes(self, xid: int) -> None:
        """A dropped session redials at once: whoever may answer it must know the new policy by then."""
        deadline = asyncio.get_running_loop().time() + BARRIER
        while asyncio.get_running_loop().time() < deadline:
            if await self._in_transaction(lambda tx: tables.nodes_have_read(tx, xid)):
                return
            await asyncio.sleep(BARRIER_POLL)
        logger().warning("coa.nodes_behind", waited_seconds=BARRIER)

    async def _answer(self, request_id: int, result: str) -> None:
        await self._in_transaction(lambda tx: tables.answer_request(tx, request_id, result))

    async def _in_transaction(self, act: Callable[[Connection], T]) -> T:
        def run() -> T:
            with transaction(self._engine) as tx:
                return act(tx)

        return await asyncio.to_thread(run)


def _step(target: tables.Target, errand: Errand) -> Step:
    if errand.act is wire.Act.DISCONNECT:
        return fall_back(target.kind, target.identity)
    applied = None if errand.act is wire.Act.REAPPLY else target.applied
    if errand.act is wire.Act.REAPPLY and target.applied is not None and target.policy is not None:
        # Re-apply: as if the session had everything but its speed, so that what can be sent in place is sent.
        applied = {**target.policy.obeyed(), "rate_down": -1, "rate_up": -1}
    return decide_step(target.kind, target.identity, applied, target.policy)


def describe(step: Step, answer: Answer, milliseconds: int | None) -> str:
    """What came of a request, in words."""
    what = "CoA" if step.act is Act.COA else "Disconnect"
    took = "" if milliseconds is None else f" after {milliseconds} ms"
    match answer:
        case Ack():
            return f"{what} acknowledged{took}."
        case Nak(error_cause=cause):
            return f"{what} refused{took}: {ERROR_CAUSES.get(cause or 0, 'no cause given')} ({cause or 'none'})."
        case Silence():
            return f"{what}: the NAS did not answer."


def run(config: Settings) -> None:
    """Reconcile until SIGTERM or SIGINT."""
    asyncio.run(_serve(config))


async def _serve(config: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    vault = open_vault(config.secret_keys)
    engine = connect(address(config), pool_size=8)
    bell = asyncio.Event()
    listener = Listener(engine, lambda: loop.call_soon_threadsafe(bell.set))
    client = Client(config.coa_host)
    reconciler = Reconciler(engine, vault, client)
    listener.start()
    logger().info("coa.ready")
    try:
        while not stop.is_set():
            bell.clear()
            if listener.leads:
                try:
                    await reconciler.look()
                except Exception as error:
                    logger().warning("database.away", error=str(error).splitlines()[0])
                    await asyncio.sleep(0.5)
            waiting = [asyncio.ensure_future(event.wait()) for event in (bell, stop)]
            await asyncio.wait(waiting, timeout=SWEEP, return_when=asyncio.FIRST_COMPLETED)
            for each in waiting:
                each.cancel()
    finally:
        listener.stop()
        client.close()
