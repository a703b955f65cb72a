"""The lease keeper: jobs that run in this process stay its own; when it dies, they are due again within a lease."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from base import jobs
from base.database import DatabaseUnavailable, transaction
from base.log import alarm, logger
from billing.pump import LEASE

RENEWAL = 5.0  # seconds

log = logger()


class Leases:
    """Knows which jobs run in this process and renews their leases; `run` is the work of one thread."""

    def __init__(self) -> None:
        self._held: set[int] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @contextmanager
    def hold(self, job_id: int) -> Iterator[bool]:
        """Keep the job's lease during the block; False when this process is running it already."""
        with self._lock:
            fresh = job_id not in self._held
            self._held.add(job_id)
        try:
            yield fresh
        finally:
            if fresh:
                with self._lock:
                    self._held.discard(job_id)

    @property
    def held(self) -> set[int]:
        """The jobs that run now."""
        with self._lock:
            return set(self._held)

    def stop(self) -> None:
        """Have `run` end; any thread may call it."""
        self._stopping.set()

    def run(self) -> None:
        """Renew until `stop` is called; while the database is away, try more often."""
        pause = RENEWAL
        while not self._stopping.wait(pause):
            pause = RENEWAL
            held = self.held
            if not held:
                continue
            try:
                with transaction() as tx:
                    jobs.renew(tx, held, LEASE)
            except (SQLAlchemyError, DatabaseUnavailable) as error:
                pause = 1.0
                log.warning("leases.not_renewed", jobs=sorted(held), because=str(error).partition("\n")[0])
            except Exception:
                alarm("leases_failed")
