"""How a claimed job comes to its end, and what the pump takes."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import structlog
from sqlalchemy import Connection, text

from base import jobs
from base.database import transaction
from base.jobs import Job, Kind, Lane
from billing import tasks
from billing.pump import LEASE, MOST_CLAIMS, BrokerAway, Pump
from tests.billing.provider import Provider
from tests.billing.worker_process import TABLE, leave

Claimed = Callable[[Kind], Job]


@pytest.fixture
def claimed(provider: Provider) -> Claimed:
    """A job of this kind, claimed."""
    with transaction() as tx:
        tx.execute(text(TABLE))

    def claim(kind: Kind) -> Job:
        with transaction() as tx:
            jobs.enqueue(tx, kind, {})
            return jobs.claim(tx, [kind.lane], 1, LEASE)[0]

    return claim


@pytest.fixture
def logs(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """Logs are printed where this test listens, whatever an earlier test in this process configured."""
    configured = structlog.get_config()
    structlog.reset_defaults()
    vars(tasks.log).pop("bind", None)  # what it learnt at its first use
    yield capsys
    structlog.configure(**configured)


def row() -> tuple:
    with transaction() as tx:
        return tuple(tx.execute(text("SELECT state, tries, last_error FROM job")).one())


def effects() -> int:
    with transaction() as tx:
        return tx.scalar(text("SELECT count(*) FROM effect")) or 0


def test_every_kind_has_a_handler() -> None:
    assert set(tasks.HANDLERS) == set(Kind)


def test_it_is_done_after_the_handler_returns(claimed: Claimed, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Job] = []
    monkeypatch.setitem(tasks.HANDLERS, Kind.SEND_MESSAGE, seen.append)
    job = claimed(Kind.SEND_MESSAGE)
    tasks.perform(job.id, job.tries)
    tasks.perform(job.id, job.tries)
    assert seen == [job], "a message that comes twice is harmless"
    assert row() == ("done", 1, "")


def test_a_failure_leaves_one_line_and_the_alarm_comes_at_the_end(
    claimed: Claimed, monkeypatch: pytest.MonkeyPatch, logs: pytest.CaptureFixture[str]
) -> None:
    def break_down(_: Job) -> None:
        raise ValueError("no such thing\nas a second line")

    monkeypatch.setitem(tasks.HANDLERS, Kind.SEND_MESSAGE, break_down)
    job = claimed(Kind.SEND_MESSAGE)
    tasks.perform(job.id, 1)
    assert row() == ("ready", 1, "ValueError: no such thing")
    assert "alarm=job_dead" not in (first := logs.readouterr().out)
    assert "break_down" in first, "the log has the traceback"
    with transaction() as tx:
        tx.execute(text("UPDATE job SET state = 'sent', tries = :last"), {"last": jobs.MAX_TRIES})
    tasks.perform(job.id, jobs.MAX_TRIES)
    assert row()[0] == "dead"
    assert "job_dead" in logs.readouterr().out


def test_too_early_is_no_failure(claimed: Claimed, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(_: Job) -> None:
        raise tasks.Retry(3, "the PDF is not there yet")

    monkeypatch.setitem(tasks.HANDLERS, Kind.SEND_MESSAGE, wait)
    job = claimed(Kind.SEND_MESSAGE)
    tasks.perform(job.id, job.tries)
    assert row() == ("ready", 0, "the PDF is not there yet")


def test_an_older_claim_is_left_alone(claimed: Claimed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tasks.HANDLERS, Kind.SEND_MESSAGE, pytest.fail)
    job = claimed(Kind.SEND_MESSAGE)
    with transaction() as tx:
        tx.execute(text("UPDATE job SET tries = 2"))
    tasks.perform(job.id, job.tries)
    assert row()[0] == "sent"


def test_effect_and_end_are_one_commit(claimed: Claimed, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(tx: Connection, job: Job) -> None:
        leave(tx, job)
        raise RuntimeError("the second half is missing")

    job = claimed(Kind.REVIEW_ACCESS)
    monkeypatch.setitem(tasks.HANDLERS, Kind.REVIEW_ACCESS, tasks.in_one_transaction(half))
    tasks.perform(job.id, 1)
    assert (effects(), row()[0]) == (0, "ready")
    monkeypatch.setitem(tasks.HANDLERS, Kind.REVIEW_ACCESS, tasks.in_one_transaction(leave))
    with transaction() as tx:
        tx.execute(text("UPDATE job SET state = 'sent', tries = 2"))
    tasks.HANDLERS[Kind.REVIEW_ACCESS](Job(job.id, job.kind, job.payload, 2))  # and then the process dies
    assert (effects(), row()[0]) == (1, "done")
    tasks.perform(job.id, 2)
    assert effects() == 1


def test_a_claim_lost_on_the_way_leaves_the_job_to_whoever_has_it(
    claimed: Claimed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(job: Job) -> None:
        with transaction() as tx:
            tx.execute(text("UPDATE job SET tries = tries + 1"))
        tasks.in_one_transaction(leave)(job)

    job = claimed(Kind.REVIEW_ACCESS)
    monkeypatch.setitem(tasks.HANDLERS, Kind.REVIEW_ACCESS, late)
    tasks.perform(job.id, job.tries)
    assert effects() == 0
    assert row() == ("sent", 2, "")


def test_a_newer_payload_is_refused_by_name(claimed: Claimed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tasks.HANDLERS, Kind.SEND_MESSAGE, pytest.fail)
    job = claimed(Kind.SEND_MESSAGE)
    with transaction() as tx:
        tx.execute(text("""UPDATE job SET payload = '{"format": 2}'"""))
    tasks.perform(job.id, job.tries)
    assert row()[2].endswith("NewerFormat: its payload has format 2, this release reads 1")


def pour(pump: Pump) -> None:
    """One look."""
    pump._pour()


def test_the_pump_takes_what_fits_and_leaves_a_slot_for_urgent_jobs(provider: Provider) -> None:
    taken: list[Job] = []
    pump = Pump([Lane.URGENT, Lane.MAIL], 4, taken.append, lambda: None)
    with transaction() as tx:
        for _ in range(6):
            jobs.enqueue(tx, Kind.SEND_MESSAGE, {})
    pour(pump)
    assert [job.kind for job in taken] == [Kind.SEND_MESSAGE] * 3
    with transaction() as tx:
        for _ in range(3):
            jobs.enqueue(tx, Kind.STRIPE_EVENT, {})
    pour(pump)
    assert [job.kind for job in taken[3:]] == [Kind.STRIPE_EVENT]
    for job in taken:
        with transaction() as tx:
            jobs.finish(tx, job.id)
    del taken[:]
    pour(pump)
    assert sorted(job.kind.name for job in taken) == ["SEND_MESSAGE"] * 2 + ["STRIPE_EVENT"] * 2


def test_without_urgent_jobs_all_slots_are_used(provider: Provider) -> None:
    taken: list[Job] = []
    with transaction() as tx:
        for _ in range(6):
            jobs.enqueue(tx, Kind.RENDER_DOCUMENT, {})
    pour(Pump([Lane.DOCUMENTS], 4, taken.append, lambda: None))
    assert len(taken) == 4


def test_what_the_broker_did_not_take_comes_back_by_its_lease(provider: Provider) -> None:
    taken: list[Job] = []
    away = True

    def reach() -> None:
        if away:
            raise BrokerAway

    def publish(job: Job) -> None:
        reach()
        taken.append(job)

    pump = Pump([Lane.MAIL], 4, publish, reach)
    with transaction() as tx:
        for _ in range(2):
            jobs.enqueue(tx, Kind.SEND_MESSAGE, {})
    for _ in range(20):
        with pytest.raises(BrokerAway):
            pour(pump)
    with transaction() as tx:
        assert tx.execute(text("SELECT DISTINCT state, tries FROM job")).all() == [("sent", 1)], "one outage, one try"
        tx.execute(text("UPDATE job SET lease_until = lease_until - interval '15 seconds'"))
    away = False
    pour(pump)
    assert [job.tries for job in taken] == [2, 2]


def test_what_nobody_ran_in_time_takes_no_slot(provider: Provider) -> None:
    taken: list[Job] = []
    pump = Pump([Lane.MAIL], 2, taken.append, lambda: None)
    with transaction() as tx:
        for _ in range(2):
            jobs.enqueue(tx, Kind.SEND_MESSAGE, {})
    pour(pump)
    pour(pump)
    assert [job.tries for job in taken] == [1, 1]
    with transaction() as tx:
        tx.execute(text("UPDATE job SET lease_until = lease_until - interval '15 seconds'"))
    pour(pump)
    assert [job.tries for job in taken] == [1, 1, 2, 2]


def test_a_job_that_no_worker_survives_is_left_to_a_person(
    provider: Provider, logs: pytest.CaptureFixture[str]
) -> None:
    taken: list[Job] = []
    with transaction() as tx:
        jobs.enqueue(tx, Kind.RENDER_DOCUMENT, {})
        tx.execute(text("UPDATE job SET tries = :most"), {"most": MOST_CLAIMS})
    pour(Pump([Lane.DOCUMENTS], 4, taken.append, lambda: None))
    assert taken == []
    assert row()[0] == "dead"
    assert "job_dead" in logs.readouterr().out


def test_leases_are_long_enough_to_miss_a_renewal() -> None:
    from billing.leases import RENEWAL

    assert timedelta(seconds=2 * RENEWAL) < LEASE


def test_a_job_takes_along_what_came_while_the_one_before_was_under_way(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[list[int]] = []
    begun, go_on = threading.Event(), threading.Event()

    def act(together: Sequence[Job]) -> dict[int, Exception]:
        batches.append([job.payload["n"] for job in together])
        begun.set()
        assert go_on.wait(20)
        return {job.id: ValueError("odd") for job in together if job.payload["n"] == 3}

    monkeypatch.setitem(tasks.HANDLERS, Kind.STRIPE_EVENT, tasks.Together(act, 3, patience=20))

    def enqueue(*numbers: int) -> None:
        with transaction() as tx:
            for number in numbers:
                jobs.enqueue(tx, Kind.STRIPE_EVENT, {"n": number})

    def claim() -> Job:
        with transaction() as tx:
            return jobs.claim(tx, [Lane.URGENT], 1, LEASE)[0]

    with ThreadPoolExecutor(2) as threads:
        enqueue(1)
        first = claim()
        running = threads.submit(tasks.perform, first.id, first.tries)
        assert begun.wait(20)
        enqueue(2)
        second = claim()
        waiting = threads.submit(tasks.perform, second.id, second.tries)
        enqueue(3, 4, 5)
        go_on.set()
        running.result(20)
        waiting.result(20)
    assert batches == [[1], [2, 3, 4]], "three at most, and none twice"
    with transaction() as tx:
        rows = tx.execute(text("SELECT payload->>'n', state, tries, last_error FROM job ORDER BY id")).all()
    assert [tuple(row) for row in rows] == [
        ("1", "done", 1, ""),
        ("2", "done", 1, ""),
        ("3", "ready", 1, "ValueError: odd"),
        ("4", "done", 1, ""),
        ("5", "ready", 0, ""),
    ]
