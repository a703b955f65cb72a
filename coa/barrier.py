"""Before a Disconnect: every live radius node must know the policy that the redial will be answered with.

A node that has not reported for 2 s is not waited for (it is stale, and reads everything anew before it counts again).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

POLL = 0.01  # seconds between two looks at the nodes


@dataclass(frozen=True, slots=True)
class Node:
    """How far a live radius node has read the change feed (base.feed.Cursor)."""

    position: int
    ahead: frozenset[int]

    def has_read(self, xid: int) -> bool:
        """Whether what this transaction changed is known to the node."""
        return xid < self.position or xid in self.ahead


class Barrier:
    """One reader of the nodes for everybody who waits."""

    def __init__(self, read: Callable[[], Awaitable[Sequence[Node]]]) -> None:
        self._read = read
        self._nodes: Sequence[Node] = ()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._reader: asyncio.Task[None] | None = None

    def has_passed(self, xid: int) -> bool:
        """Whether it is known already that every live node has read this transaction."""
        return bool(self._nodes) and all(node.has_read(xid) for node in self._nodes)

    async def wait(self, xid: int, seconds: float) -> bool:
        """Wait until every live node has read this transaction; False when it takes longer."""
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((xid, passed))
        if self._reader is None:
            self._reader = asyncio.create_task(self._watch())
        try:
            await asyncio.wait_for(passed, seconds)
        except TimeoutError:
            return False
        return True

    async def _watch(self) -> None:
        try:
            while self._waiting:
                self._nodes = await self._read()
                for xid, passed in self._waiting:
                    if not passed.done() and all(node.has_read(xid) for node in self._nodes):
                        passed.set_result(None)
                self._waiting = [(xid, passed) for xid, passed in self._waiting if not passed.done()]
                if self._waiting:
                    await asyncio.sleep(POLL)
        finally:
            self._reader = None
