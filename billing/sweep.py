"""Much work in small transactions: many ids at a time, and one at a time where a bad one is among them."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from base.database import transaction
from base.log import alarm

T = TypeVar("T")


class Unfinished(Exception):
    """Some of the work failed, each with an alarm of its own; everything else is done and committed."""

    def __init__(self, what: str, failures: dict[int, Exception], done: list[Any]) -> None:
        first, error = next(iter(failures.items()))
        super().__init__(f"{what}: {len(failures)} failed; the first is {first}: {error}")
        self.failures = failures
        self.done = done


def sweep(what: str, ids: Sequence[int], act: Callable[[Connection, list[int]], list[T]], *, size: int) -> list[T]:
    """Call `act` for `size` ids to a transaction and return all that it returned, or raise Unfinished at the end.

    Where a transaction fails, its ids are done again one by one, so that one bad row keeps back only itself. A
    database that has gone away ends the sweep at once.
    """
    done: list[T] = []
    failures: dict[int, Exception] = {}
    for begin in range(0, len(ids), size):
        chunk = list(ids[begin : begin + size])
        try:
            done += _commit(act, chunk)
        except Exception:
            for each in chunk:
                try:
                    done += _commit(act, [each])
                except OperationalError:
                    raise
                except Exception as error:
                    alarm("sweep_failed", what=what, id=each)
                    failures[each] = error
    if failures:
        raise Unfinished(what, failures, done)
    return done


def _commit(act: Callable[[Connection, list[int]], list[T]], ids: list[int]) -> list[T]:
    with transaction() as tx:
        return act(tx, ids)


def sweep_or_say(
    what: str, ids: Sequence[int], act: Callable[[Connection, list[int]], list[T]], failed: dict[int, Exception]
) -> list[T]:
    """The same in one transaction; what failed is added to `failed` by its id."""
    try:
        return sweep(what, ids, act, size=max(1, len(ids)))
    except Unfinished as rest:
        failed |= rest.failures
        return rest.done
