"""Deeds of many in few transactions: together in a rush, alone at once, none hurt by another's fault."""

import asyncio
import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError

from coa.batch import MOST, Batch


def run(work):
    return asyncio.run(asyncio.wait_for(work, 20))


def test_a_rush_shares_transactions_and_everybody_gets_the_own_result(database):
    sizes = []

    def double(tx, items):
        sizes.append(len(items))
        tx.execute(text("SELECT pg_sleep(0.02)"))
        return [2 * item for item in items]

    async def work():
        batch = Batch(database.engine, double)
        return await asyncio.gather(*(batch.do(number) for number in range(3 * MOST)))

    assert run(work()) == [2 * number for number in range(3 * MOST)]
    assert sizes == [MOST] * 3


def test_what_is_urgent_goes_into_the_next_transaction(database):
    done, gate = [], threading.Event()

    def note(tx, items):
        done.extend(items)
        gate.wait(10)
        return items

    async def work():
        batch = Batch(database.engine, note)
        rush = asyncio.gather(*(batch.do(number) for number in range(3 * MOST)))
        while not done:
            await asyncio.sleep(0.01)
        urgent = asyncio.create_task(batch.do(-1, urgent=True))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(rush, urgent)

    run(work())
    assert done.index(-1) == MOST


def test_the_fault_of_one_is_not_the_others(database):
    def invert(tx, items):
        return [tx.scalar(text("SELECT 100 / CAST(:number AS int)"), {"number": number}) for number in items]

    async def work():
        batch = Batch(database.engine, invert)
        return await asyncio.gather(*(batch.do(number) for number in (1, 0, 4)), return_exceptions=True)

    one, fault, four = run(work())
    assert (one, four) == (100, 25)
    assert isinstance(fault, DataError)


def test_what_one_did_is_undone_when_it_is_done_again_alone(database):
    def insert(tx, items):
        for item in items:
            tx.execute(text("INSERT INTO drop_count VALUES (:name, '192.0.2.1', 1, now())"), {"name": item})
        return items

    async def work():
        batch = Batch(database.engine, insert)
        return await asyncio.gather(*(batch.do(name) for name in ("a", "b", "a")), return_exceptions=True)

    assert [isinstance(each, Exception) for each in run(work())] == [False, False, True]
    with database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM drop_count")) == 2


def test_while_the_database_is_away_deeds_wait(database):
    failures = []

    def sometimes(tx, items):
        if len(failures) < 3:
            failures.append(1)
            tx.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return items

    async def work():
        return await Batch(database.engine, sometimes).do("done")

    assert run(work()) == "done"
    assert len(failures) == 3


def test_it_goes_on_after_a_fault(database):
    def fail(tx, items):
        if items == ["bad"]:
            raise ValueError("bad")
        return items

    async def work():
        batch = Batch(database.engine, fail)
        with pytest.raises(ValueError, match="bad"):
            await batch.do("bad")
        return await batch.do("good")

    assert run(work()) == "good"
