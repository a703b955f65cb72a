"""A small provider with open lines: policies as billing makes them, sessions as ingest stores them."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Row, insert, select, text, update

from base import clock, wire
from base.database import transaction
from base.money import Money
from base.nas import add_nas
from base.offers import plan
from base.tables import access_history, change_feed, coa_attempt, policy, session
from billing.apply import refresh_access
from billing.plans import add_plan
from billing.services import add_service, add_subscriber, set_staff_order
from coa.client import Client
from coa.exchange import Waits
from coa.reconcile import Reconciler
from tests.coa.device import SECRET, Device
from tests.conftest import Database

ROOT = Path(__file__).parents[2]
QUICK = Waits(first=0.2, longest=0.4, sends=2, life=1.0)


class Line(NamedTuple):
    """One service with one open session."""

    service_id: int
    session_id: int
    acct_session_id: str


class Isp:
    """A provider with one plan of 100 down, 20 up."""

    def __init__(self, database: Database) -> None:
        self.database, self.engine, self.vault = database, database.engine, database.vault
        with transaction(self.engine) as tx:
            self.plan_id = add_plan(
                tx, "system", name="Home", price=Money(2999, "EUR"), rate_down=100_000_000, rate_up=20_000_000
            )
            self.subscriber_id = add_subscriber(tx, self.vault, "system", name="Anna")
        self.lines: list[Line] = []

    def nas(self, peer: Device, kind: str = "mikrotik") -> int:
        """Make a device of ours known."""
        return self.nas_at(peer.host, peer.port, SECRET, kind)

    def nas_at(self, host: str, port: int, secret: bytes, kind: str) -> int:
        """Make a NAS known."""
        with transaction(self.engine) as tx:
            return add_nas(
                tx, self.vault, "system", name=host, network=host, secret=secret.decode(), kind=kind, coa_port=port
            )

    def line(self, nas_id: int, host: str, **more: Any) -> Line:
        """A service with an open session that has its current version, unless said otherwise."""
        return self.some_lines(1, nas_id, host, **more)[0]

    def some_lines(self, number: int, nas_id: int, host: str, **more: Any) -> list[Line]:
        """The same, several."""
        with transaction(self.engine) as tx:
            made = [self._line(tx, nas_id, host, more) for _ in range(number)]
        self.lines += made
        return made

    def _line(self, tx: Any, nas_id: int, host: str, more: dict[str, Any]) -> Line:
        number = (tx.scalar(text("SELECT count(*) FROM service")) or 0) + 1
        service_id = add_service(
            tx, self.vault, "system",
            subscriber_id=self.subscriber_id, plan_id=self.plan_id, login=f"line{number}", password="secret",
        )  # fmt: skip
        return Line(service_id, *self.session(tx, nas_id, host, service_id, f"line{number}", more))

    def session(
        self, tx: Any, nas_id: int, host: str, service_id: int, login: str, more: dict[str, Any]
    ) -> tuple[int, str]:
        """A session as ingest stores it: its id and Acct-Session-Id."""
        now = clock.now()
        values = {
            "service_id": service_id,
            "nas_id": nas_id,
            "device": host,
            "nas_identifier": "tower-1",
            "acct_session_id": f"8100{service_id:04x}",
            "login": login,
            "framed_address": "100.64.0.7",
            "started_at": now,
            "updated_at": now,
            "accepted_version": 1,
            **more,
        }
        session_id = tx.scalar(insert(session).values(values).returning(session.c.id))
        return session_id, values["acct_session_id"]

    def suspend(self, lines: Sequence[Line]) -> None:
        """Wall these in, in one transaction."""
        self._order(lines, "suspended")

    def restore(self, lines: Sequence[Line]) -> None:
        """Give these back what they bought."""
        self._order(lines, "none")

    def _order(self, lines: Sequence[Line], order: str) -> None:
        with transaction(self.engine) as tx:
            for line in lines:
                set_staff_order(tx, self.vault, "staff:1", line.service_id, order, "")

    def set_rates(self, down: int, up: int) -> None:
        """Make the plan another speed, for everybody."""
        with transaction(self.engine) as tx:
            tx.execute(update(plan).values(rate_down=down, rate_up=up))
            refresh_access(tx, self.vault, [line.service_id for line in self.lines], clock.now(), "staff:1")

    def ask(self, act: wire.Act, line: Line) -> int:
        """Ask for something as staff do."""
        with transaction(self.engine) as tx:
            return wire.ask(tx, act, line.session_id, "staff:1")

    def answer(self, request_id: int) -> str | None:
        """What the person who asked reads."""
        with transaction(self.engine) as tx:
            return tx.scalar(text("SELECT result FROM wire_request WHERE id = :id"), {"id": request_id})

    def feed_xid(self, line: Line) -> int:
        """The transaction that changed this line's policy last."""
        query = select(change_feed.c.xid).where(
            change_feed.c.subject_id == line.service_id, change_feed.c.kind == "policy"
        )
        with transaction(self.engine) as tx:
            return tx.scalar(query.order_by(change_feed.c.xid.desc()).limit(1))

    def state(self, line: Line) -> Row[Any]:
        """How far the line was brought."""
        query = text(
            "SELECT s.stopped_at, s.terminate_cause, e.applied_version, e.failures, e.next_try_at, e.disconnected_at, "
            "e.next_try_at - clock_timestamp() AS pause, p.version, "
            "coalesce(e.applied_version, s.accepted_version) = p.version AS in_line "
            "FROM session s LEFT JOIN enforcement e ON e.session_id = s.id JOIN policy p USING (service_id) "
            "WHERE s.id = :id"
        )
        with transaction(self.engine) as tx:
            return tx.execute(query, {"id": line.session_id}).one()

    def attempts(self, line: Line | None = None) -> list[Row[Any]]:
        """Every attempt, oldest first."""
        query = select(coa_attempt).order_by(coa_attempt.c.id)
        with transaction(self.engine) as tx:
            return list(tx.execute(query if line is None else query.where(coa_attempt.c.session_id == line.session_id)))

    def behind(self) -> int:
        """How many open sessions do not have their policy."""
        query = text(
            "SELECT count(*) FROM session s LEFT JOIN enforcement e ON e.session_id = s.id JOIN policy p "
            "USING (service_id) WHERE s.stopped_at IS NULL "
            "AND coalesce(e.applied_version, s.accepted_version) IS DISTINCT FROM p.version"
        )
        with transaction(self.engine) as tx:
            return tx.scalar(query)

    def execute(self, statement: str, **values: Any) -> None:
        """Whatever else happens to a database."""
        with transaction(self.engine) as tx:
            tx.execute(text(statement), values)

    def change_silently(self, line: Line) -> None:
        """Wall a line in with a notification that gets lost."""
        with transaction(self.engine) as tx:
            found = tx.execute(select(policy).where(policy.c.service_id == line.service_id)).one()
            obeyed = {**found.obeyed, "level": 2, "pool": "walled", "address_list": "walled"}
            values = {"version": found.version + 1, "level": 2, "obeyed": obeyed}
            tx.execute(update(policy).where(policy.c.service_id == line.service_id).values(values))
            tx.execute(
                insert(access_history).values(
                    service_id=line.service_id, reasons=[], because="staff:1", at=clock.now(), **values
                )
            )
            tx.execute(insert(change_feed).values(kind="policy", subject_id=line.service_id))

    def reconcile(self, *, waits: Waits = QUICK, looks: int = 1) -> None:
        """What a process does that starts, looks, does everything it found and ends."""

        async def run() -> None:
            client = Client(None, waits)
            reconciler = Reconciler(self.engine, self.vault, client)
            for _ in range(looks):
                await reconciler.look()
                await reconciler.finish(20)
                await reconciler.sweep()
                await reconciler.finish(20)
            client.close()

        asyncio.run(run())


class Process:
    """The real thing: `python -m console coa`."""

    def __init__(self, isp: Isp, folder: Path, name: str = "coa") -> None:
        self.log = folder / f"{name}.log"
        environment = {**os.environ, **isp.database.environment(folder), "TOLLKEEPER_LOG_FORMAT": "json"}
        with self.log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "console", "coa"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> "Process":
        """Return when it runs."""
        wait_for(lambda: "coa.ready" in self.output() or self._process.poll() is not None, 30)
        assert self._process.poll() is None, self.output()
        return self

    def output(self) -> str:
        """Its log so far."""
        return self.log.read_text()

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        self._process.wait()

    def end(self) -> tuple[int, float]:
        """Ask it to end: exit code and seconds."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(20)
        return code, time.monotonic() - began

    def close(self) -> None:
        """Leave nothing behind."""
        if self._process.poll() is None:
            self.kill()


def wait_for(condition: Callable[[], object], seconds: float = 20) -> float:
    """Wait until it holds; returns how many seconds that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.01)
    return time.monotonic() - began
