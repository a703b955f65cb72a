"""The house that takes money: the pretend Stripe, the portal and the workers as `./run` starts them, on all cores."""

import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from base.database import connect
from base.settings import PREFIX
from bench.emulator import KEY, call
from bench.house import House
from bench.process import Broken, Process, wait_for

LATENCY = 0.05  # seconds in every call to Stripe
THREADS = 16  # that make customers


class Till:
    """A house with `people` subscribers, none of whom has a card yet; its processes end with `held`."""

    def __init__(self, held: ExitStack, people: int) -> None:
        place = os.environ.get("TMPDIR", "/var/tmp")
        self.folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="tollkeeper-payments-", dir=place)))
        self.folder.chmod(0o711)
        self.house = held.enter_context(House(self.folder, people, None, None))
        self.web_port, self.stripe_port, mail_port = free_port(), free_port(), free_port()
        self.house.environment |= {
            f"{PREFIX}SANDBOX": "true",
            f"{PREFIX}RADIUS_HOSTS": "127.0.0.1",
            f"{PREFIX}RADIUS_AUTH_PORT": str(self.house.auth_port),
            f"{PREFIX}RADIUS_ACCT_PORT": str(self.house.acct_port),
            f"{PREFIX}WEB_PORT": str(self.web_port),
            f"{PREFIX}PUBLIC_URL": f"http://127.0.0.1:{self.web_port}",
            f"{PREFIX}SANDBOX_STRIPE_PORT": str(self.stripe_port),
            f"{PREFIX}SANDBOX_MAIL_PORT": str(mail_port),
            f"{PREFIX}SMTP_URL": f"smtp://127.0.0.1:{mail_port}",
        }
        address = self.house.environment[f"{PREFIX}DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
        self.engine: Engine = connect(address)
        held.callback(self.engine.dispose)
        given = ["--port", str(self.stripe_port), "--data", str(self.folder / "stripe"), "--api-key", KEY]
        held.enter_context(self.process("stripe", "-m", "sandbox.stripe", *given))
        held.enter_context(self.process("web", "-m", "console", "web"))
        wait_for(lambda: _answers(self.stripe_port, "/sandbox/dials"), 60, "the pretend Stripe")
        wait_for(lambda: _answers(self.web_port, "/healthz"), 60, "the portal")
        self.deed("set_up", self.stripe_url, KEY)

    @property
    def stripe_url(self) -> str:
        """Where the pretend Stripe is."""
        return f"http://127.0.0.1:{self.stripe_port}"

    def process(self, name: str, *arguments: str) -> Process:
        """A process of the house, on all cores; its log is named after it."""
        return Process(
            [sys.executable, *arguments], None, self.folder / f"{name}.log", environment=self.house.environment
        )

    @contextmanager
    def worker(self, lanes: str = "urgent,charges") -> Iterator[Process]:
        """A worker that is ready for jobs; it never ticks by itself."""
        name = lanes.replace(",", "-")
        log = self.folder / f"{name}.log"
        before = log.read_text().count("worker.started") if log.exists() else 0
        with self.process(name, "-m", "console", "worker", "--lanes", lanes, "--no-beat") as process:
            wait_for(lambda: log.read_text().count("worker.started") > before, 60, f"the worker of {lanes}", process)
            time.sleep(1)  # its threads have found the queues
            yield process

    def deed(self, name: str, *arguments: object, seconds: float = 1800) -> Any:
        """What a function of bench.till_deeds returns, called in a process of the house."""
        argv = [sys.executable, "-m", "bench.till_deeds", name, *map(str, arguments)]
        done = subprocess.run(
            argv, env=self.house.environment, capture_output=True, text=True, timeout=seconds, check=False
        )
        if done.returncode:
            raise Broken(f"{name} ended with {done.returncode}: {done.stderr[-1500:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def ask(self, query: str, **values: object) -> Any:
        """One value of the database."""
        with self.engine.connect() as connection:
            return connection.scalar(text(query), values)

    def do(self, statement: str, **values: object) -> int:
        """A statement, committed; returns how many rows it touched."""
        with self.engine.begin() as tx:
            return tx.execute(text(statement), values).rowcount

    def dial(self, **dials: float) -> None:
        """Turn the pretend Stripe's dials."""
        wish = urllib.request.Request(
            f"{self.stripe_url}/sandbox/dials", json.dumps(dials).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(wish, timeout=10).close()

    def stripe(self, path: str, *, post: bool = False) -> Any:
        """What the pretend Stripe answers."""
        wish = urllib.request.Request(
            f"{self.stripe_url}{path}", b"" if post else None, {"Authorization": f"Bearer {KEY}"}
        )
        with urllib.request.urlopen(wish, timeout=30) as answer:
            return json.load(answer)

    def leave_cards(self, people: int) -> None:
        """Have the first `people` subscribers keep a card at the pretend Stripe, and pay by it.

        Before Stripe posts its events, so that the storm of new cards is over.
        """
        found = list(self.customers(people))
        kept = self.folder / "cards.json"
        kept.write_text(json.dumps(found))
        if self.deed("keep_cards", kept) != people:
            raise Broken("not everybody has a card")

    def customers(self, people: int) -> Iterator[tuple[str, str, str]]:
        """(customer, card, its fingerprint) of as many people, made at the pretend Stripe."""
        made: list[tuple[str, str, str]] = []
        left, lock = iter(range(people)), threading.Lock()

        def work() -> None:
            line = http.client.HTTPConnection("127.0.0.1", self.stripe_port)
            while True:
                with lock:
                    if next(left, None) is None:
                        return
                customer = call(line, "/v1/customers")["id"]
                card = call(line, "/v1/payment_methods/pm_card_visa/attach", customer=customer)
                made.append((customer, card["id"], card["card"]["fingerprint"] + secrets.token_hex(4)))

        workers = [threading.Thread(target=work) for _ in range(THREADS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        yield from made

    def issued(self) -> int:
        """How many invoices there are."""
        return int(self.ask("SELECT count(*) FROM invoice"))

    def is_issuing(self, before: int) -> bool:
        """Whether there are more than there were."""
        time.sleep(0.1)
        return self.issued() > before

    def all_understood(self) -> bool:
        """Whether nothing waits in the inbox, nor to be brought there."""
        time.sleep(0.3)
        waits = self.ask("SELECT count(*) FROM inbox WHERE processed_at IS NULL")
        return not waits and not self.stripe("/sandbox/state")["deliveries"].get("pending")

    def all_quiet(self) -> bool:
        """Whether no job is due."""
        return not self.ask("SELECT count(*) FROM job WHERE state IN ('ready', 'sent') AND run_after < now()")


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
