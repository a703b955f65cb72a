"""Many small deeds in few transactions: what is asked for while one transaction runs goes into the next.

Alone, a deed waits for nothing; in a rush a transaction does hundreds. While the database is away the deeds wait, so
that nothing that was sent is forgotten.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from base.database import transaction
from base.log import logger

MOST = 200  # deeds of one transaction
PAUSES = (0.1, 0.25, 0.5, 1.0)  # seconds between attempts while the database is away; the last one repeats

T = TypeVar("T")
R = TypeVar("R")
AWAY = (OperationalError, InterfaceError, PoolTimeout)


class Batch(Generic[T, R]):
    """Does deeds with `act`, which takes the open transaction and many of them, and returns as many results."""

    def __init__(self, engine: Engine, act: Callable[[Connection, Sequence[T]], Sequence[R]]) -> None:
        self._engine, self._act = engine, act
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._running: asyncio.Task[None] | None = None

    async def do(self, item: T, urgent: bool = False) -> R:
        """Do one deed; returns when it is committed. Raises what `act` raises, except while the database is away."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.insert(0 if urgent else len(self._waiting), (item, future))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                now, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._do_all(now)
        finally:
            self._running = None

    async def _do_all(self, deeds: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._commit([item for item, _ in deeds])
        except Exception as error:
            if len(deeds) > 1:  # one of them is at fault: the others must not suffer
                for deed in deeds:
                    await self._do_all([deed])
            elif not deeds[0][1].done():
                deeds[0][1].set_exception(error)
        else:
            for (_, future), result in zip(deeds, results, strict=True):
                if not future.done():
                    future.set_result(result)

    async def _commit(self, items: Sequence[T]) -> Sequence[R]:
        def run() -> Sequence[R]:
            with transaction(self._engine) as tx:
                return self._act(tx, items)

        attempt = 0
        while True:
            try:
                return await asyncio.to_thread(run)
            except AWAY as error:
                logger().warning("database.away", error=str(error).partition("\n")[0])
            await asyncio.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
            attempt += 1
