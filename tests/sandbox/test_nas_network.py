"""The demo's network as a process of its own, against the real radius and ingest processes and a real database."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from base.database import transaction
from base.money import Money
from base.nas import add_nas
from base.settings import settings
from base.tables import change_feed, login_log, radius_node, session
from billing.plans import add_plan
from billing.services import add_service, add_subscriber, set_staff_order
from radius.packet import Code
from sandbox.nas import Nas, NoAnswer, Rejected, Session
from sandbox.travel import travel
from tests.conftest import Database
from tests.sandbox.responder import Sender

ROOT = Path(__file__).parents[2]
SECRETS = {"mikrotik": "one secret", "wispr": "another secret", "cisco": "a third secret"}


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def until(what: Callable[[], Any], patience: float = 30.0) -> Any:
    """The first true value of `what`."""
    deadline = time.monotonic() + patience
    while not (found := what()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


class Provider:
    """Three NAS rows and a few services, and the processes that serve them."""

    def __init__(self, database: Database, tmp_path: Path) -> None:
        self.database, self._log = database, tmp_path / "log"
        self.ports = (free_port(), free_port())
        self.coa_port = free_port()
        self.environment = database.environment(tmp_path / "var") | {
            "TOLLKEEPER_SANDBOX": "true",
            "TOLLKEEPER_RADIUS_HOSTS": "127.0.0.1",
            "TOLLKEEPER_RADIUS_AUTH_PORT": str(self.ports[0]),
            "TOLLKEEPER_RADIUS_ACCT_PORT": str(self.ports[1]),
            "TOLLKEEPER_SANDBOX_COA_PORT": str(self.coa_port),
        }
        self._plan = 0

    def address(self, kind: str) -> str:
        """Where the NAS of a kind is; of this test process alone."""
        return f"127.{1 + os.getpid() % 200}.4.{1 + list(SECRETS).index(kind)}"

    def open(self, prefix: str) -> None:
        """Make the NASes, named with this prefix, and a plan."""
        with self.tx() as tx:
            self._plan = add_plan(
                tx, "system", name="Home", price=Money(2990, "EUR"), rate_down=100_000_000, rate_up=20_000_000
            )
            for kind, secret in SECRETS.items():
                add_nas(
                    tx, self.database.vault, "system", name=f"{prefix} {kind}", network=self.address(kind),
                    secret=secret, kind=kind, message_authenticator="yes", coa_port=self.coa_port,
                )  # fmt: skip

    def tx(self) -> Any:
        return transaction(self.database.engine)

    def add(self, login: str) -> int:
        """A subscriber with a service."""
        with self.tx() as tx:
            payer = add_subscriber(tx, self.database.vault, "system", name=login)
            return add_service(
                tx, self.database.vault, "system", subscriber_id=payer, plan_id=self._plan, login=login, password="pw"
            )

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments], cwd=ROOT, env={**os.environ, **self.environment},
                stdout=log, stderr=log,
            )  # fmt: skip
        try:
            yield process
            assert process.poll() is None, self._log.read_text()
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert time.monotonic() - began < 3
        finally:
            process.kill()
            process.wait()

    def is_read(self) -> bool:
        """Whether radius has read everything that changed; it would start from what it kept of an earlier reading."""
        newest = select(func.max(change_feed.c.xid)).scalar_subquery()
        with self.database.engine.connect() as tx:
            return bool(tx.scalar(select(radius_node.c.feed_position > newest)))

    def online(self) -> dict[str, str]:
        """Open sessions: login → address."""
        with self.database.engine.connect() as tx:
            rows = tx.execute(select(session).where(session.c.stopped_at.is_(None)))
            return {row.login: str(row.framed_address) for row in rows}


@pytest.fixture
def provider(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    made = Provider(database, tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    yield made
    settings.cache_clear()


def test_our_server_satisfies_the_judge(provider: Provider) -> None:
    provider.open("Test")
    provider.add("anna")
    blocked = provider.add("berta")
    walled = provider.add("carla")
    with provider.tx() as tx:
        set_staff_order(tx, provider.database.vault, "system", blocked, "blocked", "")
        set_staff_order(tx, provider.database.vault, "system", walled, "suspended", "")
    with provider.running("console", "radius"):
        for kind, secret in SECRETS.items():
            with Nas(
                provider.address(kind), secret.encode(), kind, f"test-{kind}", ("127.0.0.1", *provider.ports), 0
            ) as nas:
                until(lambda nas=nas: not isinstance(nas.login("anna", "pw"), NoAnswer))
                for method in ("pap", "chap"):
                    session = nas.login("anna", "pw", method)
                    assert isinstance(session, Session)
                    assert session.rates == (20_000_000, 100_000_000)
                    assert session.class_ is not None
                    assert session.address_list is None
                    shut_in = nas.login("carla", "pw", method)
                    assert isinstance(shut_in, Session)
                    assert shut_in.rates == (1_000_000, 1_000_000)
                    assert shut_in.address_list == "walled"
                    assert shut_in.address is not None
                    assert shut_in.address.startswith("100.65.")
                    assert isinstance(nas.login("anna", "wrong", method), Rejected)
                    assert isinstance(nas.login("berta", "pw", method), Rejected)
                    assert isinstance(nas.login("nobody", "pw", method), Rejected)
                assert nas.interim(session)
                assert nas.stop(session)
                assert nas.reboot()
                assert nas.events.named("dropped") == []
                if kind == "mikrotik":
                    assert session.rate_limit == "20M/100M"
            with Nas(
                provider.address(kind), b"not it", kind, f"test-{kind}", ("127.0.0.1", *provider.ports), 0, waits=(0.2,)
            ) as stranger:
                assert stranger.login("anna", "pw") == NoAnswer(())


def test_the_demo_network_keeps_everybody_online(provider: Provider) -> None:
    provider.open("Demo")
    logins = {f"line{number}": provider.add(f"line{number}") for number in range(4)}
    with (
        provider.running("console", "radius"),
        provider.running("console", "ingest"),
        provider.running("sandbox.nas"),
    ):
        until(lambda: set(provider.online()) == set(logins))
        assert len(set(provider.online().values())) == 4

        # a new line comes online by itself
        provider.add("late")
        until(lambda: "late" in provider.online())

        # whoever is disconnected comes back
        kind = list(SECRETS)[logins["line0"] % 3]
        with provider.database.engine.connect() as tx:
            row = tx.execute(select(session).where(session.c.login == "line0")).one()
        with provider.tx() as tx:
            arrived = travel(tx, days=40)
        time.sleep(1)  # until every process has heard of it
        sender = Sender(provider.address(kind), provider.coa_port, SECRETS[kind].encode())
        try:
            identity = [("User-Name", "line0"), ("Acct-Session-Id", row.acct_session_id)]
            assert until(lambda: sender.ask(Code.DISCONNECT_REQUEST, identity)) == (Code.DISCONNECT_ACK, None)
        finally:
            sender.close()
        until(lambda: provider.online().get("line0") not in (None, str(row.framed_address)))

        def ended() -> Any:
            with provider.database.engine.connect() as tx:
                return tx.execute(
                    select(session).where(session.c.id == row.id, session.c.stopped_at.is_not(None))
                ).all()

        (old,) = until(ended)
        assert old.terminate_cause == "Admin-Reset"
        assert abs(old.stopped_at - arrived).total_seconds() < 60
        assert old.octets_out > 0

        # whoever is blocked is turned away politely
        with provider.tx() as tx:
            set_staff_order(tx, provider.database.vault, "system", logins["line1"], "blocked", "")
        with provider.database.engine.connect() as tx:
            rejected = tx.scalar(select(func.count()).where(login_log.c.result == "reject"))
        assert rejected == 0
        until(provider.is_read)
    with provider.running("sandbox.nas"), provider.running("console", "radius"), provider.running("console", "ingest"):
        # a second run closes the sessions of the first, also that of a line which is now turned away
        until(lambda: set(provider.online()) == {*logins, "late"} - {"line1"})
        time.sleep(0.5)
        with provider.database.engine.connect() as tx:
            rejected = tx.scalar(select(func.count()).where(login_log.c.result == "reject"))
            assert tx.scalar(text("SELECT count(*) FROM session WHERE terminate_cause = 'NAS-Reboot'")) == 5
        assert 1 <= rejected <= 4


def test_the_network_runs_only_in_the_sandbox(provider: Provider) -> None:
    environment = {**os.environ, **provider.environment, "TOLLKEEPER_SANDBOX": "false"}
    ended = subprocess.run(
        [sys.executable, "-m", "sandbox.nas"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("tollkeeper: The simulated NASes run only in the sandbox")


def test_a_taken_coa_port_is_named(provider: Provider) -> None:
    provider.open("Demo")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as squatter:
        squatter.bind((provider.address("mikrotik"), provider.coa_port))
        ended = subprocess.run(
            [sys.executable, "-m", "sandbox.nas"], cwd=ROOT, env={**os.environ, **provider.environment},
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
    assert ended.returncode == 2
    assert f"UDP port {provider.coa_port}" in ended.stderr
    assert "sandbox_coa_port" in ended.stderr
