"""From a journal on a real disk into real tables: once each, whatever happens in between."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from structlog.testing import capture_logs

from base import clock
from base.database import raw_connection, transaction
from base.sessions import CHANNEL
from base.tables import drop_count, journal_offset, login_log, service, session, usage_daily
from radius import batch
from radius.dialects import class_value
from radius.ingest import Ingest
from radius.journal import Callback, Journal
from radius.journal_folder import read_node_id, segment_path
from radius.journal_format import START, Accounting, Position, RecordKind, encode_accounting, encode_json, pack_address
from radius.journal_reader import read
from tests.radius.nas import account
from tests.radius.node import wait_for
from tests.radius.provider import provide

NOW = datetime.now(UTC).replace(microsecond=0)
RUN = "from base.settings import settings; from radius.ingest import run; run(settings())"


class House:
    """A journal, a database, and an ingest between them that runs when it is told to."""

    def __init__(self, database, folder: Path) -> None:
        self.engine, self.vault, self.folder = database.engine, database.vault, folder
        self.nas_id = provide(self.engine, self.vault, "ann", "bob")
        self.services = dict(self.rows(select(service.c.login, service.c.id)))
        self.environment = {**os.environ, **database.environment(folder.parent.parent)}

    @contextmanager
    def journal(self, segment_bytes: int = 64 << 20) -> Iterator["Written"]:
        with Journal(self.folder, run_all, segment_bytes=segment_bytes) as journal:
            self._written = Written(journal, self.nas_id)
            yield self._written

    @property
    def end(self) -> Position:
        return max((position for _, position in read(self.folder, START)), default=START)

    @property
    def offset(self) -> Position | None:
        row = self.rows(select(journal_offset.c.segment, journal_offset.c.offset))
        return Position(*row[0]) if row else None

    def rows(self, query) -> list:
        with self.engine.begin() as tx:
            return tx.execute(query).all()

    @contextmanager
    def running(self, tidy_every: float = 5.0) -> Iterator[None]:
        stop = threading.Event()
        ingest = Ingest(self.folder, read_node_id(self.folder), self.engine, self.vault, stop, tidy_every)
        thread = threading.Thread(target=ingest.run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(5)
            assert not thread.is_alive()

    def ingest(self) -> None:
        """Take in all that is written."""
        wait_for(lambda: self._written.appended == self._written.durable)
        with self.running():
            wait_for(lambda: self.offset == self.end)

    def start(self) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-c", RUN], env=self.environment, stdout=subprocess.PIPE)


class Written:
    """Appends records as a radius node does."""

    def __init__(self, journal: Journal, nas_id: int) -> None:
        self.node_id, self._journal, self._nas_id = journal.node_id, journal, nas_id
        self.appended = self.durable = 0

    def account(self, *about: object, source: str = "127.0.0.1", nas_id: int | None = None, **more: object) -> None:
        self.datagram(account(*about, **more), source, nas_id)

    def datagram(self, octets: bytes, source: str = "127.0.0.1", nas_id: int | None = None) -> None:
        told = Accounting(nas_id or self._nas_id, pack_address(source), 1813, octets)
        self._append(RecordKind.ACCOUNTING, encode_accounting(told))

    def login(self, login: str, ok: bool = True) -> None:
        facts = {
            "nas": 1,
            "login": login,
            "service": None,
            "ok": ok,
            "why": "ok" if ok else "wrong_password",
            "from": "aa",
        }
        self._append(RecordKind.LOGIN, encode_json(facts))

    def drops(self, *drops: tuple[str, str, int]) -> None:
        self._append(RecordKind.DROPS, encode_json({"drops": drops}))

    def _append(self, kind: RecordKind, payload: bytes) -> None:
        self.appended += 1
        while not self._journal.append(kind, int(clock.now().timestamp() * 1e6), payload, self._is_durable):
            time.sleep(0.01)

    def _is_durable(self) -> None:
        self.durable += 1


def run_all(callbacks: list[Callback]) -> None:
    for callback in callbacks:
        callback()


@pytest.fixture
def house(database, tmp_path):
    return House(database, tmp_path / "data" / "radius" / "journal")


def at(seconds: float) -> datetime:
    return NOW - timedelta(hours=1) + timedelta(seconds=seconds)


def test_a_session_from_start_to_stop(house):
    service_id = house.services["ann"]
    with house.journal() as journal:
        about = ("s1", "ann", ("Framed-IP-Address", "10.0.0.9"), ("Class", class_value(service_id, 3)))
        journal.account("Start", *about, ("Calling-Station-Id", "aa:bb"), source="127.0.0.3", at=at(0))
        journal.account(
            "Interim-Update", *about, ("Acct-Session-Time", 60), ("Acct-Input-Octets", 7), source="127.0.0.3", at=at(60)
        )
        house.ingest()
        (row,) = house.rows(select(session))
        assert (row.stopped_at, row.octets_in, row.seconds, row.accepted_version) == (None, 7, 60, 3)
        counters = (("Acct-Session-Time", 90), ("Acct-Output-Gigawords", 1), ("Acct-Terminate-Cause", "Idle-Timeout"))
        journal.account("Stop", *about, *counters, source="127.0.0.3", at=at(90))
    house.ingest()
    (row,) = house.rows(select(session))
    assert (row.service_id, row.nas_id, str(row.device), str(row.framed_address)) == (
        service_id,
        house.nas_id,
        "127.0.0.3",
        "10.0.0.9",
    )
    assert (row.started_at, row.stopped_at, row.updated_at) == (at(0), at(90), at(90))
    assert (row.terminate_cause, row.octets_in, row.octets_out, row.seconds) == ("Idle-Timeout", 7, 1 << 32, 90)
    assert row.calling_station == "aa:bb"
    used = house.rows(
        select(func.sum(usage_daily.c.octets_in), func.sum(usage_daily.c.octets_out), func.sum(usage_daily.c.seconds))
    )
    assert used == [(7, 1 << 32, 90)]


def test_days_are_those_of_the_provider(house):
    from base.business import set_business

    with transaction(house.engine) as tx:
        set_business(tx, house.vault, "test", time_zone="Pacific/Kiritimati")  # UTC+14
    noon = (NOW - timedelta(days=2)).replace(hour=12, minute=0, second=0)
    with house.journal() as journal:
        journal.account("Interim-Update", "s1", "ann", ("Acct-Session-Time", 60), at=noon)
    house.ingest()
    assert house.rows(select(usage_daily.c.day)) == [((noon + timedelta(days=1)).date(),)]


def test_logins_drops_and_what_is_not_understood_are_counted(house):
    with house.journal() as journal:
        journal.login("ann")
        journal.login("a\0nn\u2028ü", ok=False)
        journal.drops(("unknown_nas", "192.0.2.1", 3), ("too_short", "2001:db8::1", 1))
        journal.drops(("unknown_nas", "192.0.2.1", 4))
        journal.account("Start", None)
        journal.datagram(b"\x04", "::1")
    house.ingest()
    assert house.rows(select(login_log.c.login, login_log.c.result, login_log.c.reason).order_by(login_log.c.id)) == [
        ("ann", "accept", "ok"),
        ("ann\u2028ü", "reject", "wrong_password"),
    ]
    counted = house.rows(select(drop_count.c.name, func.host(drop_count.c.source), drop_count.c.count))
    assert sorted(counted) == [
        ("accounting_malformed", "::1", 1),
        ("accounting_without_session_id", "127.0.0.1", 1),
        ("too_short", "2001:db8::1", 1),
        ("unknown_nas", "192.0.2.1", 7),
    ]


def test_a_device_that_starts_over_has_no_older_sessions(house):
    with house.journal() as journal:
        journal.account("Start", "old", "ann", at=at(0))
        journal.account("Start", "alive", "ann", at=at(10))
        journal.account("Interim-Update", "alive", "ann", ("Acct-Session-Time", 110), at=at(120))
        journal.account("Start", "elsewhere", "ann", source="127.0.0.2", at=at(0))
        journal.account("Start", "behind NAT", "bob", ("NAS-Identifier", "b"), at=at(0))
        journal.account("Accounting-On", None, None, ("NAS-Identifier", "a"), at=at(100))
        journal.account("Start", "new", "ann", at=at(110))
        journal.account("Stop", "old", "ann", ("Acct-Session-Time", 80), at=at(80))
    house.ingest()
    rows = house.rows(select(session.c.acct_session_id, session.c.stopped_at).order_by(session.c.id))
    assert dict(rows) == {"old": at(80), "alive": None, "elsewhere": None, "behind NAT": None, "new": None}


def test_sessions_that_a_reboot_ended_say_so(house):
    with house.journal() as journal:
        journal.account("Start", "old", "ann", at=at(0))
        house.ingest()
        journal.account("Accounting-Off", None, None, at=at(100))
    house.ingest()
    assert house.rows(select(session.c.stopped_at, session.c.terminate_cause)) == [(at(100), "NAS-Reboot")]


def test_a_newer_session_takes_the_address_of_one_stored_before(house):
    with house.journal() as journal:
        journal.account("Start", "old", "ann", ("Framed-IP-Address", "10.0.0.9"), at=at(0))
        house.ingest()
        journal.account("Start", "new", "bob", ("Framed-IP-Address", "10.0.0.9"), at=at(100))
        journal.account("Start", "other", "bob", ("Framed-IP-Address", "10.0.0.9"), at=at(50), source="127.0.0.2")
    house.ingest()
    rows = house.rows(select(session.c.acct_session_id, session.c.stopped_at, session.c.terminate_cause))
    assert sorted(rows) == [("new", None, ""), ("old", at(100), "Replaced"), ("other", None, "")]


def test_the_bell_rings_for_sessions_that_open_or_close_only(house):
    with raw_connection(house.engine.url.render_as_string(hide_password=False)) as bell:
        bell.execute(f"LISTEN {CHANNEL}")
        with house.journal() as journal:
            for status, rings in (("Start", 1), ("Interim-Update", 0), ("Stop", 1)):
                journal.account(status, "s1", "ann", ("Acct-Session-Time", 1))
                house.ingest()
                assert len(list(bell.notifies(timeout=0.2 if not rings else 5, stop_after=1))) == rings


def test_what_the_database_refuses_is_skipped_and_kept_in_the_log(house):
    with house.journal() as journal:
        for number in range(20):
            journal.account("Start", f"before {number}", "ann")
        journal.account("Start", "of a NAS that is gone", "ann", nas_id=house.nas_id + 1)
        for number in range(20):
            journal.account("Start", f"after {number}", "ann")
    with capture_logs() as logs:
        house.ingest()
    (alarm,) = [entry for entry in logs if entry.get("alarm")]
    assert alarm["alarm"] == "record_skipped"
    assert b"of a NAS that is gone".hex() in alarm["raw"]
    assert "fk_session_nas_id_nas" in alarm["reason"]
    assert house.rows(select(func.count()).select_from(session)) == [(40,)]
    assert house.rows(select(drop_count.c.name, drop_count.c.count)) == [("record_skipped", 1)]


def test_damage_in_the_journal_is_said_and_the_rest_is_read(house):
    with house.journal() as journal:
        for number in range(10):
            journal.account("Start", f"session {number}", "ann")
    path = segment_path(house.folder, 1)
    octets = path.read_bytes()
    path.write_bytes(octets.replace(b"session 4", b"SESSION 4"))
    with house.journal(), capture_logs() as logs:
        house.ingest()
    assert [entry["alarm"] for entry in logs if "alarm" in entry] == ["journal_corrupt"]
    assert house.rows(select(func.count()).select_from(session)) == [(9,)]
    assert house.rows(select(drop_count.c.name, drop_count.c.count)) == [("journal_corrupt", 1)]


def test_a_journal_that_lost_its_segments_is_read_from_its_beginning(house):
    with house.journal() as journal:
        journal.account("Start", "s1", "ann")
        with house.engine.begin() as tx:
            tx.execute(insert(journal_offset).values(node_id=journal.node_id, segment=5, offset=100))
    with capture_logs() as logs:
        house.ingest()
    assert [entry["alarm"] for entry in logs if "alarm" in entry] == ["journal_lost"]
    assert house.rows(select(func.count()).select_from(session)) == [(1,)]


def test_segments_of_another_node_are_passed_over(house):
    with house.journal() as journal:
        journal.account("Start", "of the other node", "ann")
    (house.folder / "node-id").write_text("5f0c1d5e-0000-4000-8000-000000000000\n")
    with house.journal() as journal:
        journal.account("Start", "ours", "ann")
    with capture_logs() as logs, house.running():
        wait_for(lambda: house.rows(select(session.c.acct_session_id)))
    assert [entry["alarm"] for entry in logs if "alarm" in entry] == ["journal_of_another_node"]
    assert house.rows(select(session.c.acct_session_id)) == [("ours",)]


def test_segments_are_deleted_when_they_are_stored(house):
    with house.journal(segment_bytes=2000) as journal, house.running(tidy_every=0.0):
        for number in range(60):
            journal.account("Start", f"s{number}", "ann")
            time.sleep(0.002)
        wait_for(lambda: len(list(house.folder.glob("*.journal"))) == 1)
        wait_for(lambda: house.rows(select(func.count()).select_from(session)) == [(60,)])


def test_old_logins_are_deleted_and_counters_kept_few(house):
    now = clock.now()
    logins = [
        {"at": now - timedelta(days=days), "nas_id": 1, "login": "x", "result": "accept", "reason": "ok"}
        for days in (29, 31, 32, 33)
    ]
    with transaction(house.engine) as tx:
        tx.execute(insert(login_log), logins)
        rows = [
            {"name": "n", "source": f"10.0.{i // 256}.{i % 256}", "count": 2, "last_at": at(i)}
            for i in range(batch.MOST_SOURCES + 5)
        ]
        tx.execute(insert(drop_count), rows)
        batch.prune(tx, 2)
        assert tx.scalar(select(func.count()).select_from(login_log)) == 2
        batch.prune(tx, 2)
        assert tx.scalar(select(func.min(login_log.c.at))) == now - timedelta(days=29)
        assert tx.scalar(select(func.count()).select_from(drop_count)) == batch.MOST_SOURCES + 1
        assert tx.scalar(select(func.sum(drop_count.c.count))) == 2 * (batch.MOST_SOURCES + 5)
        assert tx.scalar(select(drop_count.c.count).where(drop_count.c.source == "0.0.0.0")) == 10


def test_nothing_is_lost_while_the_database_is_away(house):
    name = house.engine.url.database
    with raw_connection(house.engine.url.set(database="postgres").render_as_string(hide_password=False)) as admin:
        with house.journal() as journal, house.running(), capture_logs() as logs:
            journal.account("Start", "before", "ann")
            wait_for(lambda: house.rows(select(session.c.acct_session_id)))
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            journal.account("Start", "meanwhile", "ann")
            wait_for(lambda: any(entry["event"] == "database.away" for entry in logs))
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
            wait_for(lambda: len(house.rows(select(session.c.acct_session_id))) == 2)
    assert not [entry for entry in logs if "alarm" in entry]


def test_killed_at_any_moment_it_stores_everything_once(house):
    """Logins and drops have no identity, so a batch stored twice or left out would show in their numbers."""
    total = 4000
    with house.journal() as journal:
        for number in range(total):
            journal.login(f"login {number}")
            if number % 10 == 0:
                journal.drops(("unknown_nas", "192.0.2.1", 1))
            about = (
                "Interim-Update",
                f"s{number % 50}",
                "ann",
                ("Acct-Session-Time", number),
                ("Acct-Input-Octets", number),
            )
            journal.account(*about, at=at(number / 10))
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
    assert house.rows(select(func.count(), func.count(login_log.c.login.distinct())).select_from(login_log)) == [
        (total, total)
    ]
    assert house.rows(select(drop_count.c.count)) == [(total // 10,)]
    assert house.rows(select(func.count()).select_from(session)) == [(50,)]
    octets = sum(range(total - 50, total))
    assert house.rows(select(func.sum(session.c.octets_in))) == [(octets,)]
    assert house.rows(select(func.sum(usage_daily.c.octets_in))) == [(octets,)]


def test_it_ends_when_told_and_only_one_can_read(house):
    with house.journal() as journal:
        journal.account("Start", "s1", "ann")
        first = house.start()
        try:
            wait_for(lambda: house.rows(select(session.c.id)))
            second = subprocess.run(
                [sys.executable, "-c", RUN], env=house.environment, capture_output=True, text=True, timeout=20
            )
            assert second.returncode != 0
            assert f"already has a reader: process {first.pid}" in second.stderr
            began = time.monotonic()
            first.send_signal(signal.SIGTERM)
            assert first.wait(10) == 0
            assert time.monotonic() - began < 5, "two shared cores; alone it takes a fifth of a second"
        finally:
            first.kill()
            first.wait()
            first.stdout.close()


def test_before_the_node_has_ever_started_it_waits(house):
    process = house.start()
    try:
        time.sleep(0.5)
        assert process.poll() is None
        with house.journal() as journal:
            journal.account("Start", "s1", "ann")
        wait_for(lambda: house.rows(select(session.c.id)))
    finally:
        process.terminate()
        assert process.wait(10) == 0
        process.stdout.close()


def test_a_session_closed_by_others_meanwhile_keeps_its_end(house):
    with house.journal() as journal:
        journal.account("Start", "s1", "ann", at=at(0))
        house.ingest()
        with house.engine.begin() as tx:
            tx.execute(update(session).values(stopped_at=at(500), terminate_cause="Session-Unknown-To-NAS"))
        journal.account("Interim-Update", "s1", "ann", ("Acct-Session-Time", 300), ("Acct-Input-Octets", 5), at=at(300))
    house.ingest()
    assert house.rows(select(session.c.stopped_at, session.c.octets_in)) == [(at(500), 5)]


def test_a_service_that_is_gone_leaves_its_sessions_without_one(house):
    with house.journal() as journal:
        journal.account("Start", "s1", "nobody", ("Class", class_value(999, 1)))
        journal.account("Stop", "s1", "nobody", ("Acct-Session-Time", 5), ("Acct-Input-Octets", 5))
    house.ingest()
    assert house.rows(select(session.c.service_id, session.c.accepted_version, session.c.octets_in)) == [
        (None, None, 5)
    ]
    assert house.rows(select(usage_daily)) == []


def test_an_offset_that_somebody_else_moved_stops_the_batch(house):
    """A second reader on another host could have the same journal on a shared disk."""
    with house.journal() as journal, house.running(), capture_logs() as logs:
        journal.account("Start", "s1", "ann")
        wait_for(lambda: house.rows(select(session.c.id)))
        with house.engine.begin() as tx:
            tx.execute(delete(session))
            tx.execute(delete(journal_offset))
        journal.account("Start", "s2", "ann")
        wait_for(lambda: len(house.rows(select(session.c.id))) == 2)
    assert [entry["alarm"] for entry in logs if "alarm" in entry] == ["ingest_failed"]


def test_a_lock_held_elsewhere_only_delays(house):
    """coa holds rows for a moment; ingest waits for it, in one order."""
    with house.journal() as journal:
        journal.account("Start", "s1", "ann")
        house.ingest()
        with house.engine.begin() as tx:
            tx.execute(text("SELECT id FROM session FOR KEY SHARE"))  # as a row that refers to it does
            journal.account("Stop", "s1", "ann", ("Acct-Session-Time", 5))
            house.ingest()
    assert house.rows(select(session.c.stopped_at.is_(None))) == [(False,)]
