"""The benches measure what they say: a provider as billing would have made it, and answers that are looked at."""

import socket
import threading

import pytest
from sqlalchemy import select

from base import clock
from base.database import transaction
from base.policies import read_policies
from base.tables import policy
from bench import payments
from bench.datagrams import login_of, password_of
from bench.load import Generator
from bench.process import Broken, cores
from bench.provider import fill
from bench.report import Row, table
from billing.apply import refresh_access
from tests.radius.node import Node, wait_for


@pytest.fixture
def generator():
    with Generator(cores()[1]) as generator:
        yield generator


def test_copied_services_are_what_billing_would_have_made(database):
    fill(database.engine, database.vault, 5)
    with transaction(database.engine) as tx:
        before = tx.execute(select(policy).order_by(policy.c.service_id)).all()
        assert refresh_access(tx, database.vault, [row.service_id for row in before], clock.now(), "test") == []
        assert tx.execute(select(policy).order_by(policy.c.service_id)).all() == before
        policies = read_policies(tx, database.vault)
    logins = [login_of(number) for number in range(5)]
    assert sorted((each.login, each.password) for each in policies) == [(name, password_of(name)) for name in logins]


def test_a_node_answers_all_that_the_generator_sends(database, tmp_path, generator):
    fill(database.engine, database.vault, 30)
    with Node(database.environment(tmp_path), tmp_path / "data") as node:
        node.radius.start()
        wait_for((node.folder / "radius" / "snapshot").exists)
        for kind, port in (("login", node.auth_port), ("accounting", node.acct_port)):
            generator.build(kind, 1500, 30, 0)
            load = generator.run(port, 64, 30)
            assert (load.answered, load.lost, load.wrong) == (1500, 0, 0)
            assert 0 < load.p50_ms <= load.p99_ms <= load.worst_ms


def test_an_answer_that_is_none_is_counted(generator):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        echo.bind(("127.0.0.1", 0))
        threading.Thread(target=send_back, args=(echo, 50), daemon=True).start()
        generator.build("login", 50, 30, 0)
        load = generator.run(echo.getsockname()[1], 16, 10)
    assert (load.answered, load.wrong) == (50, 50)


def send_back(sock, times):
    for _ in range(times):
        octets, peer = sock.recvfrom(4096)
        sock.sendto(octets, peer)


def test_a_generator_that_has_ended_is_said(generator):
    generator.build("login", 1, 30, 0)
    with pytest.raises(Broken):
        generator.run(1, 1, 1)


def test_the_ratio_is_how_many_times_as_good():
    rows = [
        Row("logins per second", 20_000, 10_000, p50_ms=1.234, p99_ms=12.34),
        Row("start, s", 4.0, 1.0, more_is_better=False),
        Row("alone", 7),
    ]
    assert [row.ratio for row in rows] == [2, 0.25, None]
    assert [line.split() for line in table(rows).splitlines()[1:]] == [
        ["logins", "per", "second", "20,000", "10,000", "2.00", "1.23", "12.3"],
        ["start,", "s", "4.00", "1.00", "0.25", "-", "-"],
        ["alone", "7.00", "-", "-", "-", "-"],
    ]


@pytest.mark.story
def test_payments_are_measured_on_real_processes(tmp_path, monkeypatch):
    """Tiny, and still: what was charged, accepted and restored was looked at where it happened."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    tmp_path.chmod(0o711)
    sizes = payments.Sizes(runs=1, charges=8, webhooks=40, storm=1, invoices=160, samples=3)
    found = {row.key: row for row in payments.run(sizes)}
    assert 0.1 < found["autopay_8_s"].ours < 60, "two calls of 50 ms, one after the other"
    assert 0 < found["webhooks_per_s"].ours < 41, "it is an open loop: no more comes back than was sent"
    assert 0 < found["webhook_p99_ms"].ours < 30_000
    assert 0 <= found["webhooks_drain_s"].ours < 60
    assert 0 < found["pay_to_restore_p99_ms"].ours < 30_000
    assert 0 < found["pay_to_restore_busy_p99_ms"].ours < 30_000
