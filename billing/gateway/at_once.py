"""Several calls to Stripe under way at once, because each is mostly waiting; their number is bounded in a process."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import lru_cache
from typing import TypeVar

CALLERS = 24  # calls of this process that are under way at most
GATHER = 0.2  # seconds for which answers are gathered, so that those of one moment are recorded together

T = TypeVar("T")
R = TypeVar("R")


def ask_all(call: Callable[[T], R], items: Sequence[T]) -> Iterator[list[tuple[T, R | Exception]]]:
    """Call with each item; yields answers, or what was raised, as they come, those of one moment together.

    One that takes long holds nothing else up.
    """
    if len(items) == 1:
        yield [(items[0], _answer(call, items[0]))]
        return
    callers = _callers(os.getpid())
    running: dict[Future[R | Exception], T] = {callers.submit(_answer, call, each): each for each in items}
    while running:
        done, _ = wait(running, GATHER)
        if not done:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
        yield [(running.pop(each), each.result()) for each in done]


def _answer(call: Callable[[T], R], item: T) -> R | Exception:
    try:
        return call(item)
    except Exception as error:
        return error


@lru_cache(maxsize=1)
def _callers(_pid: int) -> ThreadPoolExecutor:
    """Of this process: threads are not there after a fork. They are kept, and with them their connections."""
    return ThreadPoolExecutor(CALLERS, "stripe")
