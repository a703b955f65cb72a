"""The radius process itself: real sockets, a real journal, a real database, and what happens without each of them."""

import socket
import stat
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, insert, select, text

from base.access import AccessLevel
from base.database import raw_connection, transaction
from base.tables import drop_count, login_log, policy, radius_node, sandbox_clock, session, usage_daily
from billing.services import set_staff_order
from radius.packet import Code, request
from radius.snapshot import restore
from tests.radius.nas import SECRET, account, pap
from tests.radius.node import Node, ask, wait_for
from tests.radius.provider import provide

ANN = pap("ann", "pw-ann")
NOWHERE = {"TOLLKEEPER_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}


@pytest.fixture
def node(database, tmp_path):
    provide(database.engine, database.vault, "ann", "bob")
    with Node(database.environment(tmp_path), tmp_path / "data") as node:
        yield node


def is_answered(datagram, port):
    try:
        return bool(ask(datagram, port, tries=1))
    except AssertionError:
        return False


def rows(database, query):
    with database.engine.begin() as tx:
        return tx.execute(query).all()


def test_a_login_is_answered_logged_and_reported(database, node):
    node.radius.start()
    node.ingest.start()
    assert ask(ANN, node.auth_port)[0] == Code.ACCESS_ACCEPT
    assert ask(pap("ann", "wrong", identifier=2), node.auth_port)[0] == Code.ACCESS_REJECT
    for service in (node.auth_port, node.acct_port):
        assert ask(request(Code.STATUS_SERVER, 3, b"", SECRET), service)[0] in (2, 5)
    wait_for(lambda: len(rows(database, select(login_log))) == 2)
    logged = rows(database, select(login_log.c.login, login_log.c.result, login_log.c.reason).order_by(login_log.c.id))
    assert logged == [("ann", "accept", "ok"), ("ann", "reject", "wrong_password")]
    wait_for(lambda: rows(database, select(radius_node.c.counters))[0][0].get("accept") == 1)
    assert node.radius.stop() == 0
    assert node.ingest.stop() == 0
    assert "rror" not in node.radius.log() + node.ingest.log()
    assert "pw-ann" not in node.radius.log()


def test_a_change_is_obeyed_within_a_second(database, node):
    node.radius.start()
    assert ask(ANN, node.auth_port)[0] == Code.ACCESS_ACCEPT
    with transaction(database.engine) as tx:
        service_id = tx.scalar(select(policy.c.service_id).where(policy.c.login == "ann"))
        set_staff_order(tx, database.vault, "staff:1", service_id, "blocked", "")
    began, identifier = time.monotonic(), 10
    while ask(pap("ann", "pw-ann", identifier=identifier % 256), node.auth_port)[0] != Code.ACCESS_REJECT:
        identifier += 1
        assert time.monotonic() - began < 1
    position = rows(database, select(radius_node.c.feed_position))
    wait_for(lambda: rows(database, select(radius_node.c.feed_position)) > position)
    assert node.radius.stop() == 0
    kept = restore(node.folder / "radius" / "snapshot", database.vault)
    assert {each.login: each.level for each in kept.policies} == {"ann": AccessLevel.BLOCKED, "bob": AccessLevel.FULL}


def test_the_first_packet_carries_the_time_of_the_pretend_provider(database, tmp_path):
    provide(database.engine, database.vault, "ann")
    pretend = {"TOLLKEEPER_SANDBOX": "true", "TOLLKEEPER_RADIUS_HOSTS": "127.0.0.1"}
    with Node({**database.environment(tmp_path), **pretend}, tmp_path / "data") as node:
        node.radius.start()
        ask(ANN, node.auth_port)
        node.radius.stop()
        with database.engine.begin() as tx:
            tx.execute(insert(sandbox_clock).values(id=1, offset_seconds=86_400 * 40))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waiting:
            waiting.sendto(account("Start"), ("127.0.0.1", node.acct_port))  # it lies in the buffer before the start
            node.radius.start()
            node.ingest.start()
            wait_for(lambda: rows(database, select(session)))
    (began,) = rows(database, select(session.c.started_at))
    assert (began.started_at - datetime.now(UTC)).days >= 39


def test_after_a_kill_9_it_knows_what_changed_meanwhile(database, node):
    node.radius.start()
    assert ask(ANN, node.auth_port)[0] == Code.ACCESS_ACCEPT
    wait_for((node.folder / "radius" / "snapshot").exists)
    node.radius.kill()
    with transaction(database.engine) as tx:
        service_id = tx.scalar(select(policy.c.service_id).where(policy.c.login == "ann"))
        set_staff_order(tx, database.vault, "staff:1", service_id, "blocked", "")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.sendto(pap("ann", "pw-ann", identifier=9), ("127.0.0.1", node.auth_port))  # it lies in the buffer
        node.radius.start()
        assert sock.recv(4096)[0] == Code.ACCESS_REJECT


def test_it_starts_and_answers_without_the_database(database, node, tmp_path):
    node.radius.start()
    ask(ANN, node.auth_port)
    snapshot = node.folder / "radius" / "snapshot"
    wait_for(snapshot.exists)
    assert stat.S_IMODE(snapshot.stat().st_mode) == 0o600
    assert node.radius.stop() == 0
    with Node({**database.environment(tmp_path), **NOWHERE}, node.folder) as alone:
        alone.radius.start()
        assert ask(ANN, alone.auth_port)[0] == Code.ACCESS_ACCEPT
        assert ask(account("Start"), alone.acct_port)[0] == Code.ACCOUNTING_RESPONSE
        assert alone.radius.stop() == 0
        assert "database.away" in alone.radius.log()


def test_while_the_database_is_away_it_answers_and_afterwards_it_reads_anew(database, node):
    node.radius.start()
    ask(ANN, node.auth_port)
    name = database.engine.url.database
    with raw_connection(database.engine.url.set(database="postgres").render_as_string(hide_password=False)) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        wait_for(lambda: "database.away" in node.radius.log())
        assert ask(pap("bob", "pw-bob", identifier=2), node.auth_port)[0] == Code.ACCESS_ACCEPT
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    with transaction(database.engine) as tx:
        tx.execute(text("UPDATE policy SET level = 3, obeyed = jsonb_set(obeyed, '{level}', '3')"))  # and no bell
    identifiers = iter(range(3, 256))
    wait_for(lambda: ask(pap("ann", "pw-ann", identifier=next(identifiers)), node.auth_port)[0] == Code.ACCESS_REJECT)


def test_a_disk_that_refuses_is_said_and_nothing_is_acknowledged(database, tmp_path):
    provide(database.engine, database.vault, "ann")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); "
    with Node(database.environment(tmp_path), tmp_path / "data", first=limit) as node:
        node.radius.start()
        ask(account("Start", "first"), node.acct_port)
        more = ("NAS-Identifier", "x" * 200)
        told = {f"s{number}": account("Start", f"s{number}", "ann", more) for number in range(14)}
        acknowledged = {session_id for session_id, each in told.items() if is_answered(each, node.acct_port)}
        assert len(acknowledged) < len(told)
        wait_for(lambda: "journal_not_written" in node.radius.log())
        assert ask(ANN, node.auth_port)[0] == Code.ACCESS_ACCEPT
        node.ingest.start()
        wait_for(lambda: acknowledged <= {row.acct_session_id for row in rows(database, select(session))})


def test_without_database_and_snapshot_nobody_is_answered(database, tmp_path):
    with Node({**database.environment(tmp_path), **NOWHERE}, tmp_path / "data") as node:
        node.radius.start()
        wait_for(lambda: "radius.ready" in node.radius.log())
        with pytest.raises(AssertionError, match="not answered"):
            ask(ANN, node.auth_port, tries=2)
        assert node.radius.running


@pytest.mark.parametrize(("host", "asked"), [("0.0.0.0", "127.0.0.5"), ("::1", "::1")])
def test_answers_leave_from_the_address_that_was_asked(database, tmp_path, host, asked):
    provide(database.engine, database.vault, "ann", network="::1" if ":" in host else "127.0.0.0/8")
    with Node(database.environment(tmp_path), tmp_path / "data", host) as node:
        node.radius.start()
        assert ask(ANN, node.auth_port, asked)[0] == Code.ACCESS_ACCEPT
        assert ask(account("Start"), node.acct_port, asked)[0] == Code.ACCOUNTING_RESPONSE


def test_rubbish_is_dropped_counted_and_shown(database, node):
    node.radius.start()
    node.ingest.start()
    ask(ANN, node.auth_port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for port in (node.auth_port, node.acct_port):
            for datagram in (b"", b"\1", bytes(20), bytes(5000), pap(secret=b"other"), account("Start", secret=b"x")):
                sock.sendto(datagram, ("127.0.0.1", port))
    assert ask(pap("ann", "pw-ann", identifier=2), node.auth_port)[0] == Code.ACCESS_ACCEPT
    query = select(drop_count.c.name, drop_count.c.count).where(drop_count.c.name != "no_snapshot")
    wait_for(lambda: sum(count for _, count in rows(database, query)) == 12)
    counted = dict(rows(database, query))
    assert counted == {
        "too_short": 4,
        "bad_length": 2,
        "too_long": 2,
        "bad_message_authenticator": 1,
        "bad_authenticator": 1,
        "unexpected_code": 2,
    }
    assert "rror" not in node.radius.log()


def test_an_unknown_nas_is_dropped(database, tmp_path):
    provide(database.engine, database.vault, "ann", network="127.0.0.9")
    with Node(database.environment(tmp_path), tmp_path / "data", "0.0.0.0") as node:
        node.radius.start()
        wait_for((node.folder / "radius" / "snapshot").exists)
        with pytest.raises(AssertionError, match="not answered"):
            ask(ANN, node.auth_port, tries=1)
        node.ingest.start()
        wait_for(lambda: rows(database, select(drop_count.c.name, drop_count.c.count)) == [("unknown_nas", 1)])


def test_what_was_acknowledged_survives_a_kill(database, node):
    node.radius.start()
    for number in range(20):
        ask(account("Start", f"s{number}", "ann", identifier=number), node.acct_port)
    node.radius.kill()
    node.ingest.start()
    wait_for(lambda: rows(database, select(func.count()).select_from(session)) == [(20,)])


def test_a_stream_of_accounting_goes_on_through_every_kill(database, node):
    """A NAS repeats until it is answered; what was answered is in the tables, once, whoever was killed meanwhile."""
    sessions, octets, began = 8, 60, datetime.now(UTC).replace(microsecond=0)
    failures: list[BaseException] = []
    acknowledged: list[int] = []

    def talk(number: int) -> None:
        try:
            for step in range(octets + 1):
                status = "Start" if step == 0 else "Stop" if step == octets else "Interim-Update"
                counters = [("Acct-Session-Time", step), ("Acct-Input-Octets", step)] if step else []
                login = "ann" if number % 2 else "bob"
                datagram = account(status, f"s{number}", login, *counters, at=began, identifier=step)
                assert ask(datagram, node.acct_port, tries=300, wait=0.2)[0] == Code.ACCOUNTING_RESPONSE
                acknowledged.append(number)
        except BaseException as error:
            failures.append(error)

    node.radius.start()
    node.ingest.start()
    threads = [threading.Thread(target=talk, args=(number,)) for number in range(sessions)]
    for thread in threads:
        thread.start()
    for part in range(1, 4):
        wait_for(lambda: len(acknowledged) > sessions * octets * part / 4, 60)  # noqa: B023
        node.ingest.kill()
        node.radius.kill()
        node.radius.start()
        node.ingest.start()
    for thread in threads:
        thread.join()
    assert failures == []
    closed = select(func.count(), func.sum(session.c.octets_in)).where(session.c.stopped_at.is_not(None))
    wait_for(lambda: rows(database, closed) == [(sessions, sessions * octets)])
    assert rows(database, select(func.count()).select_from(session)) == [(sessions,)]
    assert rows(database, select(func.sum(usage_daily.c.octets_in))) == [(sessions * octets,)]
    assert "alarm" not in node.radius.log() + node.ingest.log()


def test_a_port_that_is_taken_is_named(database, tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        environment = {
            **database.environment(tmp_path / "data"),
            "TOLLKEEPER_RADIUS_HOSTS": "127.0.0.1",
            "TOLLKEEPER_RADIUS_AUTH_PORT": str(port),
        }
        code = "from base.settings import settings; from radius.server import run; run(settings())"
        result = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30
        )
    assert result.returncode != 0
    assert f"WrongSetting: UDP port {port} on 127.0.0.1: Address already in use" in result.stderr
    assert "TOLLKEEPER_RADIUS_AUTH_PORT" in result.stderr


def test_it_binds_its_own_sockets_where_nobody_hands_them_down(database, tmp_path):
    provide(database.engine, database.vault, "ann")
    with Node(database.environment(tmp_path), tmp_path / "data") as node:
        node.auth.close()
        node.acct.close()
        environment = {
            "TOLLKEEPER_SOCKETS": "",
            "TOLLKEEPER_RADIUS_HOSTS": "127.0.0.1",
            "TOLLKEEPER_RADIUS_AUTH_PORT": str(node.auth_port),
            "TOLLKEEPER_RADIUS_ACCT_PORT": str(node.acct_port),
        }
        node.radius = type(node.radius)(
            "server",
            {**database.environment(node.folder), **environment},
            node.folder / "radius.log",
        )
        node.radius.start()
        assert ask(ANN, node.auth_port)[0] == Code.ACCESS_ACCEPT
        assert node.radius.stop() == 0
