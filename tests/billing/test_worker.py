"""Real worker processes on a real PostgreSQL: what is enqueued has its effect, whoever dies or goes away meanwhile."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from base import jobs
from base.database import connect, transaction
from base.jobs import Kind
from billing import tasks
from tests.billing.provider import Provider
from tests.billing.worker_process import TABLE
from tests.patience import at_most
from tests.peers.peer import require_peer

ROOT = Path(__file__).parents[2]
ALL = "urgent,charges,mail,documents"
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(provider: Provider, tmp_path: Path) -> Iterator[Start]:
    """Start worker processes; what still runs at the end is killed, and their logs are shown when the test fails."""
    started: list[subprocess.Popen[bytes]] = []
    with transaction() as tx:
        tx.execute(text(TABLE))

    def start(lanes: str = ALL, *flags: str) -> subprocess.Popen[bytes]:
        with (tmp_path / f"log{len(started)}").open("wb") as out:
            argv = [sys.executable, "-m", "tests.billing.worker_process", lanes, *flags]
            started.append(subprocess.Popen(argv, cwd=ROOT, stdout=out, stderr=out))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
    for log in sorted(tmp_path.glob("log*")):
        print(log.name, log.read_text(), sep="\n")


def enqueue(kind: Kind, count: int = 1, **payload: object) -> None:
    with transaction() as tx:
        for _ in range(count):
            jobs.enqueue(tx, kind, payload)


def ask(query: str) -> list[tuple]:
    with transaction() as tx:
        return [tuple(row) for row in tx.execute(text(query))]


def wait(what: Callable[[], object], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, ask(
            "SELECT id, kind, state, tries, last_error FROM job WHERE state <> 'done'"
        )
        time.sleep(0.02)


def all_done() -> bool:
    return ask("SELECT count(*) FROM job WHERE state <> 'done' AND kind <> 'tick'") == [(0,)]


def effects(kind: Kind) -> list[int]:
    """How often each job of this kind had its effect."""
    name = kind.value[0]
    found = ask(
        f"SELECT count(e.job) FROM job j LEFT JOIN effect e ON e.job = j.id WHERE j.kind = '{name}' GROUP BY j.id"
    )
    return [count for (count,) in found]


def pass_time(seconds: int = 15) -> None:
    """Let leases age as if that much time had passed."""
    with transaction() as tx:
        tx.execute(text("UPDATE job SET lease_until = lease_until - make_interval(secs => :s)"), {"s": seconds})


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, which it does within three seconds."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert time.monotonic() - began < at_most(3)


def test_every_job_is_done_once(start: Start) -> None:
    enqueue(Kind.SEND_MESSAGE, 20)
    enqueue(Kind.REVIEW_ACCESS, 20, service_ids=[], because="time")
    process = start()
    wait(all_done)
    enqueue(Kind.STRIPE_EVENT, 10)
    enqueue(Kind.RENDER_DOCUMENT, 10)
    wait(all_done)
    assert effects(Kind.SEND_MESSAGE) == [1] * 20
    assert effects(Kind.REVIEW_ACCESS) == [1] * 20
    assert effects(Kind.STRIPE_EVENT) == effects(Kind.RENDER_DOCUMENT) == [1] * 10
    end(process)


def test_a_process_takes_only_its_lanes(start: Start) -> None:
    enqueue(Kind.SEND_MESSAGE)
    enqueue(Kind.RENDER_DOCUMENT)
    start("documents")
    wait(lambda: effects(Kind.RENDER_DOCUMENT) == [1])
    time.sleep(0.3)
    assert ask("SELECT state FROM job WHERE kind = 'send_message'") == [("ready",)]


def test_an_urgent_job_overtakes_slow_ones(start: Start) -> None:
    enqueue(Kind.SEND_MESSAGE, 8, seconds=20)
    start()
    wait(lambda: ask("SELECT count(*) FROM job WHERE state = 'sent'") == [(3,)])
    enqueue(Kind.STRIPE_EVENT)
    wait(lambda: effects(Kind.STRIPE_EVENT) == [1])
    assert max(effects(Kind.SEND_MESSAGE)) == 0, "the last of four slots is not for mails"


def test_killed_in_the_middle_everything_has_its_effect(start: Start) -> None:
    enqueue(Kind.SEND_MESSAGE, 2, seconds=60)
    enqueue(Kind.REVIEW_ACCESS, 1, seconds=60)
    enqueue(Kind.SEND_MESSAGE, 10)
    process = start()
    wait(lambda: ask("SELECT count(*) > 3 FROM effect") == [(True,)])
    process.kill()
    process.wait()
    assert ask("SELECT count(*) >= 3 FROM job WHERE state = 'sent'") == [(True,)]
    with transaction() as tx:
        tx.execute(text("""UPDATE job SET payload = payload || '{"seconds": 0}'"""))
    start()
    pass_time()
    wait(all_done)
    assert min(effects(Kind.SEND_MESSAGE)) == 1, "at least once"
    assert max(effects(Kind.SEND_MESSAGE)) <= 2
    assert effects(Kind.REVIEW_ACCESS) == [1], "effect and end are one commit: exactly once"


def test_a_living_process_keeps_what_it_runs(start: Start) -> None:
    enqueue(Kind.SEND_MESSAGE, 1, seconds=7)
    start()
    wait(lambda: ask("SELECT state FROM job") == [("sent",)])
    ((claimed_until,),) = ask("SELECT lease_until FROM job")
    wait(all_done)
    ((kept_until,),) = ask("SELECT lease_until FROM job")
    assert kept_until >= claimed_until + timedelta(seconds=1), "renewed every five seconds"
    assert ask("SELECT tries FROM job") == [(1,)]


def test_it_ends_in_time_although_a_job_hangs(start: Start) -> None:
    enqueue(Kind.SEND_MESSAGE, 1, seconds=60)
    process = start("charges,mail", "beat")
    wait(lambda: ask("SELECT state FROM job WHERE kind = 'send_message'") == [("sent",)])
    time.sleep(0.3)
    end(process)
    assert ask("SELECT state FROM job WHERE kind = 'send_message'") == [("sent",)], "its lease returns it"


def test_the_database_may_go_away(start: Start, provider: Provider) -> None:
    process = start()
    enqueue(Kind.SEND_MESSAGE)
    wait(all_done)
    name = provider.engine.url.database
    elsewhere = connect(provider.engine.url.set(database="postgres").render_as_string(hide_password=False))
    with elsewhere.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'))
        for _ in range(10):
            kick = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
            connection.execute(kick, {"name": name})
            time.sleep(0.1)
        connection.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'))
    elsewhere.dispose()
    enqueue(Kind.SEND_MESSAGE)
    wait(all_done)
    assert process.poll() is None
    assert effects(Kind.SEND_MESSAGE) == [1, 1]


def test_beat_asks_for_a_tick_and_time_travel_for_one_at_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLKEEPER_SANDBOX", "true")
    monkeypatch.setenv("TOLLKEEPER_RADIUS_HOSTS", "127.0.0.1")
    start("urgent,charges", "beat")
    wait(lambda: ask("SELECT count(*) FROM effect WHERE kind = 'tick'") != [(0,)])
    with transaction() as tx:
        tx.execute(
            text("INSERT INTO sandbox_clock VALUES (1, 864000) ON CONFLICT (id) DO UPDATE SET offset_seconds = 864000")
        )
        tx.execute(text("NOTIFY tollkeeper_clock"))
    at_once = "SELECT e.business > clock_timestamp() + interval '9 days' FROM effect e JOIN job j ON j.id = e.job "
    at_once += "WHERE j.key LIKE 'tick:%:__:__'"
    wait(lambda: ask(at_once) == [(True,)])


def test_a_tick_is_asked_for_once_a_minute_however_often(provider: Provider) -> None:
    for _ in range(3):
        tasks.ask_for_tick()
    tasks.ask_for_tick(at_once=True)
    keys = sorted(key for (key,) in ask("SELECT key FROM job WHERE kind = 'tick'"))
    assert 2 <= len(keys) <= 3, "3 when a minute began meanwhile"
    assert keys[-1].startswith(keys[-2])


def test_ticks_run_one_at_a_time(start: Start) -> None:
    with transaction() as tx:
        for number in range(3):
            jobs.enqueue(tx, Kind.TICK, {"seconds": 0.5}, key=f"tick:{number}")
    start("urgent,charges")
    start("urgent,charges")
    wait(all_done)
    wait(lambda: ask("SELECT count(*) FROM effect") == [(3,)])
    overlaps = (
        "SELECT count(*) FROM effect a JOIN effect b ON a.job < b.job AND a.began < b.ended AND b.began < a.ended"
    )
    assert ask(overlaps) == [(0,)]
    assert ask("SELECT DISTINCT tries FROM job") == [(1,)], "waiting is no failure"


def test_beat_alone_needs_a_broker(start: Start, tmp_path: Path) -> None:
    process = start("", "beat")
    assert process.wait(90) == 1
    assert "broker_url is memory://" in (tmp_path / "log0").read_text()


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start redis-server on a port of its own, again after it was killed; it remembers nothing."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("TOLLKEEPER_BROKER_URL", f"redis://127.0.0.1:{port}/0")
    started: list[subprocess.Popen[bytes]] = []

    def run() -> subprocess.Popen[bytes]:
        program = require_peer("redis-server")
        argv = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
        started.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.peer("redis-server")
def test_redis_and_two_workers_and_beat_lose_nothing(
    start: Start, redis: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    broker = redis()
    workers = [start("urgent,charges,mail"), start("urgent,charges,mail")]
    beat = start("", "beat")
    wait(lambda: all("ready." in (tmp_path / f"log{number}").read_text() for number in range(2)))
    enqueue(Kind.SEND_MESSAGE, 20, seconds=0.1)
    wait(all_done)
    assert effects(Kind.SEND_MESSAGE) == [1] * 20
    assert len(ask("SELECT DISTINCT pid FROM effect WHERE kind = 'send_message'")) == 2, "both did their share"
    wait(lambda: ask("SELECT count(*) FROM effect WHERE kind = 'tick'") != [(0,)])

    enqueue(Kind.SEND_MESSAGE, 20, seconds=0.1)
    wait(lambda: ask("SELECT count(*) > 25 FROM effect") == [(True,)])
    broker.kill()
    broker.wait()
    enqueue(Kind.STRIPE_EVENT, 5)
    time.sleep(1.5)
    redis()
    pass_time()
    wait(lambda: effects(Kind.STRIPE_EVENT) == [1] * 5)
    wait(all_done)
    assert min(effects(Kind.SEND_MESSAGE)) == 1

    enqueue(Kind.REVIEW_ACCESS, 20, seconds=0.2)
    wait(lambda: ask("SELECT count(*) > 4 FROM effect WHERE kind = 'review_access'") == [(True,)])
    workers[0].kill()
    time.sleep(0.3)
    pass_time()
    wait(all_done)
    assert effects(Kind.REVIEW_ACCESS) == [1] * 20
    end(workers[1])
    end(beat)
