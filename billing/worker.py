"""The worker process: a Celery worker in this process, the pump that feeds it, the lease keeper, and beat.

Rows are the truth (base.jobs); the broker carries only (job id, which claim of it). With memory:// everything is in one
process; with redis:// any number of processes run `worker` and one runs `beat`. Processes that serve urgent jobs serve
the same lanes, so that the slot each keeps free for urgent jobs is free where they arrive.
"""

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from celery import Celery
from celery.beat import Scheduler, Service
from celery.exceptions import CPendingDeprecationWarning
from celery.signals import setup_logging
from celery.worker.request import Request
from kombu.entity import Exchange, Queue

from base import pulse
from base.database import address
from base.jobs import Job, Lane
from base.log import alarm, logger
from base.settings import Settings, WrongSetting, settings
from base.stop import stop_at
from billing import documents, tasks
from billing.leases import Leases
from billing.pump import BrokerAway, Pump

TICK_SECONDS = 5.0
GRACE = 1.5  # seconds that running jobs have to end after SIGTERM
TURN = 0.0005  # seconds that a busy thread keeps the others waiting: a payment beside a bill run has many waits
NICE = 10  # of documents: whoever is waited for goes first

log = logger()
leases = Leases()
_pumps: list[Pump] = []  # the one of this process, once it runs


def configuration(config: Settings) -> dict[str, Any]:
    """Celery's settings: no results, no acknowledgements, no more messages taken than free threads, our own logs."""
    broker = config.broker_url.get_secret_value()
    if _in_process(config):
        broker = "memory://localhost"  # Celery warns about an address without a host
        transport: dict[str, Any] = {"polling_interval": 0.02}
    else:
        transport = {
            "global_keyprefix": "tollkeeper:",
            "socket_connect_timeout": 3,
            "socket_timeout": 10,
            "socket_keepalive": True,
            "max_retries": 1,
        }
    return {
        "broker_url": broker,
        "broker_transport_options": transport,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_ignore_result": True,
        "task_queues": [Queue(lane.value, Exchange(lane.value), routing_key=lane.value, no_ack=True) for lane in Lane],
        "task_serializer": "json",
        "accept_content": ["json"],
        "worker_disable_prefetch": not _in_process(config),  # in one process the pump sees to it
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_enable_remote_control": False,
        "timezone": "UTC",
        "beat_schedule": {
            "tick": {
                "task": "tollkeeper.ask_for_tick",
                "schedule": TICK_SECONDS,
                "options": {"queue": Lane.CHARGES.value, "expires": TICK_SECONDS},
            }
        },
    }


app = Celery("tollkeeper")
app.add_defaults(lambda: configuration(settings()))


@setup_logging.connect
def keep_our_logs(**_: object) -> None:
    """Celery sets up no logs where somebody says that he does; base.log has."""


class Bell(Request):
    """A message that is gone once it is taken, and never acknowledged: the row has a lease.

    Celery's threads would acknowledge on the connection that its consumer is reading from.
    """

    def acknowledge(self) -> None:
        """Nothing to say to the broker."""
        self.acknowledged = True


@app.task(name="tollkeeper.run_job", Request=Bell)
def run_job(job_id: int, tries: int) -> None:
    """Run the job whose claim number `tries` this is."""
    try:
        with leases.hold(job_id) as fresh:
            if fresh:
                tasks.perform(job_id, tries, leases.hold)
    finally:
        for pump in _pumps:
            pump.wake()


@app.task(name="tollkeeper.ask_for_tick", Request=Bell)
def ask_for_tick() -> None:
    """What beat sends every few seconds; one that fails is made up for by the next."""
    try:
        tasks.ask_for_tick()
    except Exception as error:
        log.warning("tick.not_asked", because=str(error).partition("\n")[0])


def travel() -> None:
    """The sandbox's clock was moved: what has become due meanwhile is done now."""
    tasks.ask_for_tick(at_once=True)


def publish(job: Job) -> None:
    """Hand a claimed job's id to the queue of its lane, or raise BrokerAway."""
    try:
        run_job.apply_async((job.id, job.tries), queue=job.kind.lane.value, retry=False)
    except Exception as error:
        raise BrokerAway(f"the broker does not take messages: {error}") from error


def reach_broker() -> None:
    """Return when the broker answers, or raise BrokerAway."""
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
    except Exception as error:
        raise BrokerAway(f"the broker does not answer: {error}") from error


def declare_queues() -> None:
    """Declare every lane's queue before any thread does.

    The memory transport looks for an exchange and then makes it: two threads that do so at once make it twice, the
    second over the first, and the queue that was bound in between never gets a message again.
    """
    with app.connection_for_write() as connection:
        for lane in Lane:
            app.amqp.queues[lane.value].bind(connection.default_channel).declare()


def main(lanes: Sequence[Lane], beat: bool) -> None:
    """Serve `lanes`, and with `beat` keep the tick going, until SIGTERM or SIGINT; ends within three seconds.

    No lanes: beat alone, which needs a broker that other processes reach. Raises WrongSetting, DatabaseUnavailable.
    """
    config = settings()
    if beat and _in_process(config) and Lane.CHARGES not in lanes:
        raise WrongSetting(
            "beat was asked to run apart from the worker of the charges lane, but broker_url is memory://, which does "
            "not leave this process: start both in one process, or set TOLLKEEPER_BROKER_URL to redis://…"
        )
    address(config)
    sys.setswitchinterval(TURN)
    if list(lanes) == [Lane.DOCUMENTS]:
        os.nice(NICE)
    stop = stop_at(signal.SIGTERM, signal.SIGINT)
    warnings.filterwarnings("ignore", message=".*superuser privileges")  # JSON only, so root is no danger here
    if _in_process(config):
        declare_queues()
    parts = _parts(_servable(lanes), beat, config)
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)  # Celery shows them; we chose with care
    threads = [threading.Thread(target=part.run, name=part.name, daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    log.info("worker.started", lanes=[lane.value for lane in lanes], beat=beat)
    name = _process_name(lanes)
    while not stop.wait(0.5):
        pulse.beat(config.data_dir, name)
        ended = [thread.name for thread in threads if not thread.is_alive()]
        if ended:
            alarm("worker_part_ended", parts=ended)
            _leave(1)
    _stop(parts, threads)


@dataclass(frozen=True, slots=True)
class _Part:
    """One thread of this process; `stop` makes `run` return."""

    name: str
    run: Callable[[], None]
    stop: Callable[[], None]


def _parts(lanes: Sequence[Lane], beat: bool, config: Settings) -> list[_Part]:
    """In the order in which they are stopped: first what makes work, then what does it, then what keeps the leases."""
    parts = []
    if beat:
        clockwork = Service(app, max_interval=0.25, scheduler_cls=Scheduler, remote_control=False)
        parts.append(_Part("beat", clockwork.start, clockwork.stop))
    if lanes:
        on_travel = travel if config.sandbox and Lane.CHARGES in lanes else None
        pump = Pump(lanes, config.worker_threads, publish, reach_broker, on_travel)
        _pumps.append(pump)
        worker = app.Worker(
            pool="threads",
            concurrency=config.worker_threads,
            queues=[lane.value for lane in lanes],
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            use_eventloop=False,  # one thread that waits for messages is simpler, and as quick
            quiet=True,
        )
        parts.append(_Part("pump", pump.run, pump.stop))
        parts.append(_Part("worker", worker.start, worker.stop))
        parts.append(_Part("leases", leases.run, leases.stop))
    return parts


def _stop(parts: Sequence[_Part], threads: Sequence[threading.Thread]) -> None:
    """Take no more work and give running jobs `GRACE` seconds; one that needs longer is run again by another worker."""
    # Its connection is taken away while it waits for messages, which it calls an unrecoverable error.
    logging.getLogger("celery.worker").setLevel(logging.CRITICAL + 1)
    deadline = monotonic() + GRACE
    for part, thread in zip(parts, threads, strict=True):
        stopper = threading.Thread(target=part.stop, daemon=True)  # Celery's blocks while jobs run
        stopper.start()
        for each in (stopper, thread):
            each.join(max(0.0, deadline - monotonic()))
    log.info("worker.stopped", unfinished=sorted(leases.held))
    _leave(0)  # an interpreter that ends by itself waits for every thread of a pool, also for one that hangs


def _leave(code: int) -> None:
    """End the process now, whatever its threads are doing."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def _process_name(lanes: Sequence[Lane]) -> str:
    """What `tollkeeper health` calls this process."""
    return {(): "beat", (Lane.DOCUMENTS,): "documents"}.get(tuple(lanes), "worker")


def _in_process(config: Settings) -> bool:
    return config.broker_url.get_secret_value().startswith("memory://")


def _servable(lanes: Sequence[Lane]) -> list[Lane]:
    """Without a renderer the jobs of the documents lane wait in their rows, until a process that can takes them."""
    missing = documents.available() if Lane.DOCUMENTS in lanes else None
    if missing:
        log.warning("documents.wait", because=missing)
    return [lane for lane in lanes if not (missing and lane is Lane.DOCUMENTS)]
