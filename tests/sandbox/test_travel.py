"""Time travel moves the business clock of every process, forward only, and only in the sandbox."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from base import clock
from base.business import set_business
from base.clock import CHANNEL
from base.database import raw_connection, transaction
from base.settings import settings
from base.tables import sandbox_clock
from sandbox.travel import CannotTravel, now, travel
from tests.conftest import Database


@pytest.fixture
def sandbox(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setenv("TOLLKEEPER_SANDBOX", "true")
    monkeypatch.setenv("TOLLKEEPER_RADIUS_HOSTS", "127.0.0.1")
    settings.cache_clear()
    yield database
    settings.cache_clear()
    clock.travel_to_offset(timedelta())


def close(one: datetime, other: datetime) -> bool:
    return abs(one - other) < timedelta(seconds=5)


def test_days_add_up_and_every_transaction_feels_them(sandbox: Database) -> None:
    with transaction(sandbox.engine) as tx:
        assert close(travel(tx), datetime.now(UTC))
        travel(tx, days=10)
        arrived = travel(tx, days=30)
        assert close(arrived, datetime.now(UTC) + timedelta(days=40))
    clock.travel_to_offset(timedelta())  # as another process is, until its next transaction
    with transaction(sandbox.engine) as tx:
        assert close(clock.now(), arrived)
        assert close(now(tx), arrived)
        assert len(tx.execute(select(sandbox_clock)).all()) == 1


def test_a_journey_to_a_date_arrives_on_it_at_the_same_local_time(sandbox: Database) -> None:
    zone = ZoneInfo("Pacific/Auckland")
    with transaction(sandbox.engine) as tx:
        set_business(tx, sandbox.vault, "system", time_zone="Pacific/Auckland")
        for months in range(1, 14):  # across both changes of the clocks
            before = now(tx).astimezone(zone)
            target = (before + timedelta(days=31)).date()
            arrived = travel(tx, to=target).astimezone(zone)
            assert arrived.date() == target, months
            wanted = datetime.combine(target, before.time(), zone)
            assert timedelta() <= arrived - wanted < timedelta(seconds=5)


def test_nobody_travels_back(sandbox: Database) -> None:
    with transaction(sandbox.engine) as tx:
        arrived = travel(tx, days=3)
        for back in ({"days": -1}, {"to": arrived.date() - timedelta(days=2)}, {"to": date(1999, 1, 1)}):
            with pytest.raises(CannotTravel, match="forward only"):
                travel(tx, **back)
        assert close(travel(tx, to=arrived.date()), arrived)


def test_a_bell_rings_at_the_commit(sandbox: Database) -> None:
    with raw_connection(sandbox.url) as listening:
        listening.execute(f"LISTEN {CHANNEL}")
        with transaction(sandbox.engine) as tx:
            travel(tx, days=1)
            assert list(listening.notifies(timeout=0.05)) == []
        assert [note.channel for note in listening.notifies(timeout=5, stop_after=1)] == [CHANNEL]


def test_outside_the_sandbox_time_cannot_be_moved(database: Database) -> None:
    settings.cache_clear()
    with transaction(database.engine) as tx:
        with pytest.raises(CannotTravel, match="sandbox"):
            travel(tx, days=1)
        assert tx.execute(select(sandbox_clock)).all() == []
