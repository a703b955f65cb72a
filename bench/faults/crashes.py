"""Workers that are killed (SIGKILL, processes of their own): at a commit, or at a named point.

At a named point the pretend Stripe holds the worker's call, before or after it did what it was asked, or the database
holds a table that the worker is about to write; nothing in the product knows of it. Meanwhile something else may
happen. The worker is either this process forked, doing one job after the other, or billing.worker as `console worker`
runs it: Celery, pump, leases and all.
"""

import ctypes
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import event, func, select, text, update

from base.database import engine, transaction
from base.jobs import KINDS, Kind, Lane
from base.process import PR_SET_PDEATHSIG
from base.tables import job
from bench.faults.stage import Sequence, Stage, pause, work
from billing import worker
from billing.gateway import client

CALLS = {
    "making an intent": ("POST", "/v1/payment_intents"),
    "confirming an intent": ("POST", "/v1/payment_intents/*/confirm"),
    "cancelling an intent": ("POST", "/v1/payment_intents/*/cancel"),
    "reading an intent": ("GET", "/v1/payment_intents/*"),
    "reading a page": ("GET", "/v1/checkout/sessions/*"),
    "closing a page": ("POST", "/v1/checkout/sessions/*/expire"),
    "making a refund": ("POST", "/v1/refunds"),
    "reading refunds": ("GET", "/v1/refunds*"),
    "reading a dispute": ("GET", "/v1/disputes/*"),
    "reading cards": ("GET", "/v1/customers/*"),
}
TABLES = ("payment", "attempt", "collected", "gone_back", "posting", "allocation", "policy", "message")
CHARGING = ("making an intent", "making an intent", "confirming an intent", "confirming an intent", "closing a page")
LED_TO = {
    Kind.CHARGE_CARD: CHARGING,
    Kind.REFUND: ("making a refund", "making a refund", "reading refunds"),
    Kind.END_COLLECTION: ("cancelling an intent",),
    Kind.CLOSE_PAGES: ("closing a page",),
    Kind.ASK_PAYMENT: ("reading an intent",),
    Kind.ASK_PAGE: ("reading a page",),
    Kind.ASK_DISPUTE: ("reading a dispute", "reading an intent"),
    Kind.STRIPE_EVENT: tuple(name for name in CALLS if name.startswith("reading")),
}
"""The points that jobs come to."""
_LIBC = ctypes.CDLL(None)
PATIENCE = 15.0  # seconds for a worker to come to its point, or to an end


def work_and_die(_stage: Stage, play: Sequence, chance: random.Random) -> str:
    """A worker is killed at one of its commits, before or after it."""
    point = chance.randint(1, 14)
    if not _due():
        return ""

    def act() -> None:
        left = [point]

        def maybe_die(*_: Any) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(engine(), "commit", maybe_die)
        event.listen(engine(), "checkin", maybe_die)
        work(1)

    died = os.WIFSIGNALED(os.waitpid(_fork(act), 0)[1])
    let_leases_run_out()
    play.seen["killed at a commit"] += died
    return f"killed at its commit {point}" if died else "lived"


def die_at_call(stage: Stage, play: Sequence, chance: random.Random, meanwhile: Callable[[], str] | None = None) -> str:
    """A worker is killed while Stripe holds its call, or goes on after something else happened meanwhile."""
    points = [name for kind in sorted(_due(), key=lambda kind: kind.name) for name in LED_TO.get(kind, ())]
    if not points:
        return ""
    name = chance.choice(points)
    when, celery = chance.choice(["before", "after"]), chance.random() < 0.15
    end = chance.choice(["killed", "killed and lost", "went on"] + ["went on"] * (meanwhile is not None))
    leases = chance.random() < 0.3
    method, path = CALLS[name]
    stage.control("faults", kind=f"hold_{when}", method=method, path=path)
    pid = _fork(_serve if celery else partial(work, 1))
    said = ""
    try:
        come = _wait(pid, stage.holding, celery)
        if come:
            if leases:
                let_leases_run_out()
            said = "" if meanwhile is None else f", meanwhile {meanwhile()}"
            if end == "went on":
                stage.control("faults", kind="release")
                _wait(pid, lambda: False, celery)
    finally:
        _kill(pid)
        stage.control("faults", kind="cut" if end == "killed and lost" else "release")
        stage.forget_faults("hold")
    let_leases_run_out()
    if not come:
        return f"never came to {name}"
    play.seen[f"{'went on' if end == 'went on' else 'killed'} {when} {name}"] += 1
    play.seen["Celery workers killed at a call"] += celery
    return f"{end} {when} {name}{' (Celery)' if celery else ''}{said}"


def die_at_table(_stage: Stage, play: Sequence, chance: random.Random) -> str:
    """A worker is killed while it is about to write a table."""
    table = chance.choice(TABLES)
    if not _due():
        return ""
    with _held(table):
        pid = _fork(partial(work, 1))
        try:
            come = _wait(pid, _somebody_waits, celery=False)
        finally:
            _kill(pid)
    let_leases_run_out()
    if not come:
        return f"never wrote {table}"
    play.seen[f"killed writing {table}"] += 1
    return f"killed writing {table}"


def let_leases_run_out() -> None:
    """Nobody renews the leases of a worker that is dead, or thought to be."""
    with transaction() as tx:
        tx.execute(update(job).where(job.c.state == "sent").values(lease_until=func.clock_timestamp()))


def _fork(act: Callable[[], Any]) -> int:
    """A process like this one that does something and ends; it shares no connection with us."""
    pid = os.fork()
    if pid == 0:
        try:
            _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # it never outlives us
            engine().dispose(close=False)  # the connections are its parent's
            client._client.cache_clear()
            act()
        finally:
            os._exit(0)
    return pid


def _serve() -> None:
    worker.main([Lane.URGENT, Lane.CHARGES], beat=False)


def _wait(pid: int, come: Callable[[], bool], celery: bool) -> bool:
    """Whether it came to its point, and not to its end (a worker of Celery's has none: it is when nothing is due)."""
    until = time.monotonic() + PATIENCE
    idle = 0
    while time.monotonic() < until:
        if come():
            return True
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return False
        if celery:
            idle = 0 if _due() else idle + 1
            if idle > 20:
                return False
        pause()
    return False


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _due() -> set[Kind]:
    """The kinds of the jobs that a worker would do now, or does."""
    lanes = (Lane.URGENT.value, Lane.CHARGES.value)
    due = (job.c.state == "sent") | ((job.c.state == "ready") & (job.c.run_after <= func.clock_timestamp()))
    with transaction() as tx:
        return {KINDS[kind] for kind in tx.scalars(select(job.c.kind).where(job.c.lane.in_(lanes), due).distinct())}


def _somebody_waits() -> bool:
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND database IN (SELECT oid FROM pg_database "
                 "WHERE datname = current_database())")  # fmt: skip
    with transaction() as tx:
        return bool(tx.scalar(waits))


@contextmanager
def _held(table: str) -> Iterator[None]:
    """Nobody can write a table meanwhile."""
    with engine().connect() as connection:
        connection.execute(text(f"LOCK TABLE {table} IN SHARE MODE"))
        yield
        connection.rollback()
