"""A worker process whose handlers leave a row in table `effect`.

`python -m tests.billing.worker_process urgent,mail beat`
"""

import os
import sys
import time

from sqlalchemy import Connection, text

from base import clock, log
from base.database import transaction
from base.jobs import Job, Kind, Lane
from base.settings import settings
from billing import tasks, worker

TABLE = (
    "CREATE TABLE effect (job bigint, kind text, pid int, began timestamptz, ended timestamptz, business timestamptz)"
)


def leave(tx: Connection, job: Job) -> None:
    """The effect, after payload['seconds']."""
    began = clock.real()
    time.sleep(job.payload.get("seconds", 0))
    tx.execute(
        text("INSERT INTO effect VALUES (:job, :kind, :pid, :began, clock_timestamp(), :business)"),
        {"job": job.id, "kind": job.kind.value[0], "pid": os.getpid(), "began": began, "business": clock.now()},
    )


def handle(job: Job) -> None:
    """The same effect as a handler with transactions of its own."""
    with transaction() as tx:
        leave(tx, job)


if __name__ == "__main__":
    log.configure(settings(), "worker")
    for kind in Kind:
        tasks.HANDLERS[kind] = handle
    tasks.HANDLERS[Kind.REVIEW_ACCESS] = tasks.in_one_transaction(leave)
    tasks.HANDLERS[Kind.TICK] = tasks.one_at_a_time(handle)
    worker.main([Lane(name) for name in sys.argv[1].split(",") if name], "beat" in sys.argv[2:])
