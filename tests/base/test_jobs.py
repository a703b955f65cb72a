"""Jobs as rows: who takes them, who keeps them, and how they end."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from base import jobs
from base.jobs import Job, Kind, Lane
from tests.conftest import Database

LEASE = timedelta(seconds=15)


@pytest.fixture
def engine(database: Database) -> Engine:
    return database.engine


def enqueue(engine: Engine, *kinds: Kind, key: str | None = None) -> None:
    with engine.begin() as tx:
        for kind in kinds:
            jobs.enqueue(tx, kind, {}, key=key)


def claim(engine: Engine, limit: int = 10, lanes: tuple[Lane, ...] = tuple(Lane)) -> list[Job]:
    with engine.begin() as tx:
        return jobs.claim(tx, lanes, limit, LEASE)


def row(engine: Engine, job_id: int) -> tuple[str, int, str, float]:
    """State, tries, last error, seconds until it is due again."""
    query = "SELECT state, tries, last_error, extract(epoch FROM run_after - clock_timestamp()) FROM job WHERE id = :id"
    with engine.begin() as tx:
        found = tx.execute(text(query), {"id": job_id}).one()
    return found[0], found[1], found[2], float(found[3])


def test_a_key_is_taken_once_ever(engine: Engine) -> None:
    enqueue(engine, Kind.TICK, key="tick:1")
    enqueue(engine, Kind.TICK, key="tick:1")
    (job,) = claim(engine)
    with engine.begin() as tx:
        jobs.finish(tx, job.id)
    enqueue(engine, Kind.TICK, key="tick:1")
    assert claim(engine) == []


def test_many_at_once_are_as_one_by_one(engine: Engine) -> None:
    with engine.begin() as tx:
        jobs.enqueue(tx, Kind.SEND_MESSAGE, {"message_id": 1}, key="message:1")
        jobs.enqueue_all(tx, Kind.SEND_MESSAGE, {f"message:{n}": {"message_id": n} for n in (1, 2, 3)})
        jobs.enqueue_all(tx, Kind.SEND_MESSAGE, {})
    taken = claim(engine, lanes=(Lane.MAIL,))
    assert [job.payload for job in taken] == [{"format": 1, "message_id": n} for n in (1, 2, 3)]


def test_claims_take_urgent_jobs_first_and_keep_to_lanes_and_limit(engine: Engine) -> None:
    enqueue(engine, *[Kind.SEND_MESSAGE] * 3, Kind.RENDER_DOCUMENT, Kind.STRIPE_EVENT)
    lanes = (Lane.URGENT, Lane.MAIL)
    assert sorted(job.kind.name for job in claim(engine, 2, lanes)) == ["SEND_MESSAGE", "STRIPE_EVENT"]
    assert [job.kind for job in claim(engine, 10, lanes)] == [Kind.SEND_MESSAGE] * 2
    assert claim(engine, 10, lanes) == []


def test_two_who_claim_at_once_never_get_the_same(engine: Engine) -> None:
    enqueue(engine, *[Kind.SEND_MESSAGE] * 10)
    with engine.begin() as one, engine.begin() as other:
        mine = jobs.claim(one, [Lane.MAIL], 4, LEASE)
        theirs = jobs.claim(other, [Lane.MAIL], 10, LEASE)
    assert (len(mine), len(theirs)) == (4, 6)
    assert not {job.id for job in mine} & {job.id for job in theirs}


def test_kinds_of_a_newer_release_are_left_alone(engine: Engine) -> None:
    enqueue(engine, Kind.SEND_MESSAGE)
    with engine.begin() as tx:
        tx.execute(text("INSERT INTO job (kind, lane, payload) VALUES ('levitate', 'mail', '{}')"))
    assert [job.kind for job in claim(engine)] == [Kind.SEND_MESSAGE]


def test_a_lease_that_ran_out_makes_it_due_again_and_the_old_claim_void(engine: Engine) -> None:
    enqueue(engine, Kind.SEND_MESSAGE)
    (old,) = claim(engine)
    assert claim(engine) == []
    with engine.begin() as tx:
        tx.execute(text("UPDATE job SET lease_until = clock_timestamp() - interval '1 second'"))
    (new,) = claim(engine)
    assert (new.id, new.tries) == (old.id, 2)
    with engine.begin() as tx:
        assert jobs.outstanding(tx, {old.id: old.tries}) == set()
        assert jobs.outstanding(tx, {new.id: new.tries}) == {new.id}
        assert not jobs.fail(tx, old.id, "too late", old.tries)
        jobs.postpone(tx, {old.id: old.tries}, timedelta(), "too late")
    assert row(engine, new.id)[:3] == ("sent", 2, "")


def test_failures_are_tried_again_ever_later_and_then_left_to_a_person(engine: Engine) -> None:
    enqueue(engine, Kind.SEND_MESSAGE)
    delays = []
    for tries in range(1, jobs.MAX_TRIES + 1):
        (job,) = claim(engine)
        with engine.begin() as tx:
            assert jobs.fail(tx, job.id, "no route", job.tries) == (tries == jobs.MAX_TRIES)
        state, _, error, delay = row(engine, job.id)
        delays.append(round(delay))
        assert (state, error) == ("dead" if tries == jobs.MAX_TRIES else "ready", "no route")
        assert claim(engine) == []
        with engine.begin() as tx:
            tx.execute(text("UPDATE job SET run_after = clock_timestamp()"))
    assert delays[:5] == [1, 2, 4, 8, 16]
    assert claim(engine) == []


def test_to_postpone_is_no_failure(engine: Engine) -> None:
    enqueue(engine, Kind.SEND_MESSAGE)
    (job,) = claim(engine)
    with engine.begin() as tx:
        jobs.postpone(tx, {job.id: job.tries}, timedelta(seconds=30), "not yet")
    state, tries, error, delay = row(engine, job.id)
    assert (state, tries, error, round(delay)) == ("ready", 0, "not yet", 30)


def test_a_lease_is_renewed_except_where_somebody_holds_the_row(engine: Engine) -> None:
    enqueue(engine, Kind.SEND_MESSAGE, Kind.SEND_MESSAGE)
    held, free = claim(engine)
    with engine.begin() as worker, engine.begin() as keeper:
        assert jobs.load(worker, held.id) == held
        jobs.renew(keeper, {held.id, free.id}, timedelta(hours=1))
    with engine.begin() as tx:
        long = tx.scalars(text("SELECT id FROM job WHERE lease_until > clock_timestamp() + interval '1 minute'")).all()
    assert long == [free.id]


def test_to_load_waits_for_whoever_ends_the_job(engine: Engine) -> None:
    enqueue(engine, Kind.SEND_MESSAGE)
    (job,) = claim(engine)
    loaded: list[Job | None] = []

    def load() -> None:
        with engine.begin() as tx:
            loaded.append(jobs.load(tx, job.id))

    other = threading.Thread(target=load)
    with engine.begin() as tx:
        assert jobs.load(tx, job.id) == job
        other.start()
        other.join(0.2)
        assert loaded == []
        jobs.finish(tx, job.id)
    other.join(5)
    assert loaded == [None]


def test_older_jobs_of_the_same_kind_are_seen(engine: Engine) -> None:
    enqueue(engine, Kind.TICK, Kind.TICK)
    first, second = claim(engine)
    with engine.begin() as tx:
        assert jobs.has_older(tx, second)
        assert not jobs.has_older(tx, first)
        jobs.finish(tx, first.id)
        assert not jobs.has_older(tx, second)
