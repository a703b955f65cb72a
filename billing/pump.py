"""The job pump: claims due rows and hands their ids to the broker, never more at a time than this process can run.

The bell (NOTIFY) only makes it faster: it looks once a second anyway. Database or broker away: it waits, longer each
time up to ten seconds, and goes on by itself; what it had claimed is due again when its lease runs out.
"""

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Collection
from datetime import timedelta

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from base import clock, jobs
from base.database import DatabaseUnavailable, address, raw_connection, transaction
from base.jobs import Job, Lane
from base.log import alarm, logger
from base.settings import settings

LEASE = timedelta(seconds=15)
LOOK = 1.0  # seconds between two looks without a bell
BREATH = 0.01  # seconds between two looks however often it rings: what comes meanwhile is taken together
LONGEST_PAUSE = 10.0  # seconds
MOST_CLAIMS = 10 * jobs.MAX_TRIES  # a job claimed this often without an end takes its process down each time

log = logger()


class BrokerAway(Exception):
    """The broker does not take messages."""


class Pump:
    """Keeps the lanes of this process supplied; `run` is the work of one thread.

    `publish` hands one job to the broker and raises BrokerAway when it cannot; `reach_broker` raises it while the
    broker is not there; `on_travel` is called after the sandbox's clock was moved. `slots` jobs are in flight at most;
    where urgent jobs are served, the others together leave the last slot to them.
    """

    def __init__(
        self,
        lanes: Collection[Lane],
        slots: int,
        publish: Callable[[Job], None],
        reach_broker: Callable[[], None],
        on_travel: Callable[[], None] | None = None,
    ) -> None:
        self._lanes = list(lanes)
        self._slots = slots
        self._publish = publish
        self._reach_broker = reach_broker
        self._on_travel = on_travel
        self._in_flight: dict[int, Job] = {}
        self._broker_away = False
        self._stopping = threading.Event()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)

    def wake(self) -> None:
        """Have `run` look at once, because a slot has become free; any thread may call it."""
        with contextlib.suppress(BlockingIOError):  # so full of wakes that it is awake
            os.write(self._wake, b".")

    def stop(self) -> None:
        """Have `run` end; any thread may call it."""
        self._stopping.set()
        self.wake()

    def run(self) -> None:
        """Pump until `stop` is called."""
        pause = 0.0
        while not self._stopping.wait(pause):
            try:
                with raw_connection(address(settings())) as bell:
                    bell.execute(f"LISTEN {jobs.CHANNEL}")
                    if self._on_travel:
                        bell.execute(f"LISTEN {clock.CHANNEL}")
                    while not self._stopping.is_set():
                        self._pour()
                        if pause:
                            log.info("pump.again")
                            pause = 0.0
                        self._wait_for_bell(bell)
            except (psycopg.Error, SQLAlchemyError, DatabaseUnavailable, BrokerAway) as error:
                pause = min(LONGEST_PAUSE, max(0.25, pause * 2))
                log.warning("pump.waits", seconds=pause, because=_first_line(error))
            except Exception:
                pause = LONGEST_PAUSE
                alarm("pump_failed", seconds=pause)

    def _pour(self) -> None:
        """Claim what there is room for, and publish it."""
        if self._broker_away:
            self._reach_broker()
            self._broker_away = False
        with transaction() as tx:
            standing = jobs.outstanding(tx, {job.id: job.tries for job in self._in_flight.values()})
            self._in_flight = {job_id: job for job_id, job in self._in_flight.items() if job_id in standing}
            claimed = self._claim(tx)
        for job in claimed:
            try:
                self._publish(job)
            except BrokerAway:
                self._broker_away = True
                raise
            self._in_flight[job.id] = job

    def _claim(self, tx: Connection) -> list[Job]:
        """As many due jobs as may be in flight besides those that are."""
        room = self._slots - len(self._in_flight)
        claimed: list[Job] = []
        if room > 0 and Lane.URGENT in self._lanes:
            claimed += jobs.claim(tx, [Lane.URGENT], room, LEASE)
            patient = sum(job.kind.lane is not Lane.URGENT for job in self._in_flight.values())
            room = min(room - len(claimed), self._slots - 1 - patient)
        others = [lane for lane in self._lanes if lane is not Lane.URGENT]
        if room > 0 and others:
            claimed += jobs.claim(tx, others, room, LEASE)
        return [job for job in claimed if not _bury(tx, job)]

    def _wait_for_bell(self, bell: psycopg.Connection) -> None:
        """Return when a bell rings, when `wake` is called, or after a second."""
        time.sleep(BREATH)
        select.select([bell.fileno(), self._woken], [], [], LOOK)
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)
        rung = {notification.channel for notification in bell.notifies(timeout=0)}
        if clock.CHANNEL in rung and self._on_travel:
            self._on_travel()


def _bury(tx: Connection, job: Job) -> bool:
    """Whether the job was given up because no worker ever survived it."""
    if job.tries <= MOST_CLAIMS:
        return False
    jobs.fail(tx, job.id, f"its worker ended without a word, {MOST_CLAIMS} times", job.tries)
    alarm("job_dead", job=job.id, kind=job.kind.value[0])
    return True


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]
