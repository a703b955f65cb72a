"""Data caps in ingest: a crossing asks for one review, whatever happens in between; ingest itself decides nothing."""

import threading
import time
from datetime import date, timedelta

import pytest
from sqlalchemy import insert, select, text, update

from base.tables import job, policy, usage_daily
from radius.caps import ask_for_reviews
from tests.radius.node import wait_for
from tests.radius.test_ingest import NOW, House, at

SINCE = (NOW - timedelta(days=10)).date()


@pytest.fixture
def house(database, tmp_path):
    return House(database, tmp_path / "data" / "radius" / "journal")


def watch(house: House, login: str, threshold: int | None, counts: str = "total", since: date = SINCE) -> None:
    """What billing writes into the policy row."""
    with house.engine.begin() as tx:
        tx.execute(
            update(policy)
            .where(policy.c.service_id == house.services[login])
            .values(usage_from=since, usage_threshold=threshold, usage_counts=counts)
        )


def reviews(house: House) -> list[tuple[list[int], str]]:
    rows = house.rows(select(job.c.payload, job.c.key).where(job.c.kind == "review_access").order_by(job.c.id))
    return [(payload["service_ids"], key) for payload, key in rows]


def used(journal, login: str, seconds: int, down: int, up: int = 0) -> None:
    counters = (("Acct-Session-Time", seconds), ("Acct-Output-Octets", down), ("Acct-Input-Octets", up))
    journal.account("Interim-Update", f"of {login}", login, *counters, at=at(seconds))


def test_a_crossing_asks_once_however_many_batches_follow(house):
    ann = house.services["ann"]
    watch(house, "ann", 1000)
    with house.journal() as journal:
        used(journal, "ann", 60, 900, 99)
        house.ingest()
        assert reviews(house) == []
        used(journal, "ann", 120, 900, 100)
        used(journal, "bob", 120, 50_000)
        house.ingest()
        assert reviews(house) == [([ann], f"usage:{ann}:{SINCE}:total:1000")]
        for seconds in range(180, 480, 60):
            used(journal, "ann", seconds, 900 + seconds, 100)
            house.ingest()
        assert len(reviews(house)) == 1
        watch(house, "ann", 2000)
        used(journal, "ann", 600, 2500, 100)
    house.ingest()
    assert [key.rpartition(":")[2] for _, key in reviews(house)] == ["1000", "2000"]


@pytest.mark.parametrize(("counts", "expected"), [("total", 1), ("down", 0), ("up", 1)])
def test_only_what_counts_is_counted(house, counts, expected):
    watch(house, "ann", 500, counts)
    with house.journal() as journal:
        used(journal, "ann", 60, 499, 500)
    house.ingest()
    assert len(reviews(house)) == expected


def test_days_before_the_period_do_not_count(house):
    with house.engine.begin() as tx:
        rows = {"service_id": house.services["ann"], "octets_in": 0, "octets_out": 600, "seconds": 1}
        for days in (1, -1):
            tx.execute(insert(usage_daily).values(**rows, day=SINCE - timedelta(days=days)))
    watch(house, "ann", 1000)
    with house.journal() as journal:
        used(journal, "ann", 60, 399)
        house.ingest()
        assert reviews(house) == []
        used(journal, "ann", 120, 400)
    house.ingest()
    assert len(reviews(house)) == 1


def test_killed_at_any_moment_it_asks_once_for_each_who_crossed(house):
    for login in ("ann", "bob"):
        watch(house, login, 100_000)
    with house.journal() as journal:
        for number in range(4000):
            used(journal, "ann", number, number * 50)
            used(journal, "bob", number, number * 20)
    kills = 0
    while house.offset != house.end:
        process = house.start()
        before = house.offset
        wait_for(lambda: house.offset != before)  # noqa: B023
        time.sleep(0.013 * (kills % 5))
        process.kill()
        process.wait()
        process.stdout.close()
        kills += 1
    assert kills > 1
    ann = house.services["ann"]
    assert reviews(house) == [([ann], f"usage:{ann}:{SINCE}:total:100000")]


def test_a_threshold_that_billing_is_just_moving_is_waited_for(house):
    """Both thresholds are crossed while billing, which has seen only the first, writes the second."""
    ann = house.services["ann"]
    watch(house, "ann", 1000)
    with house.engine.begin() as tx:
        tx.execute(insert(usage_daily).values(service_id=ann, day=SINCE, octets_in=0, octets_out=1200, seconds=1))
        ask_for_reviews(tx, [ann])

    def ingest() -> None:
        with house.engine.begin() as tx:
            tx.execute(update(usage_daily).values(octets_out=3000))
            ask_for_reviews(tx, [ann])

    with house.engine.begin() as billing:
        billing.execute(text("SELECT id FROM service WHERE id = :id FOR NO KEY UPDATE"), {"id": ann})
        assert billing.scalar(select(usage_daily.c.octets_out)) == 1200
        thread = threading.Thread(target=ingest)
        thread.start()
        time.sleep(0.3)
        billing.execute(update(policy).where(policy.c.service_id == ann).values(usage_threshold=2000))
    thread.join(10)
    assert not thread.is_alive()
    assert [key.rpartition(":")[2] for _, key in reviews(house)] == ["1000", "2000"]
