"""What `./run bench faults` plays on: a forgetful PostgreSQL of its own, and a process for every stage."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from base import pgembed
from base.database import connect
from base.process import die_with_parent
from bench.process import Broken
from console.schema import migrate

TEMPLATE = "stage"
PREFIX = "TOLLKEEPER_"


@dataclass(slots=True)
class Ground:
    """A server with a migrated template, in a folder that goes away."""

    folder: Path
    cluster: pgembed.Cluster
    running: set[subprocess.Popen[bytes]] = field(default_factory=set)
    "The processes of stages."
    lock: threading.Lock = field(default_factory=threading.Lock)

    def play(self, name: str, first: int, count: int) -> list[dict[str, Any]]:
        """Play seeds on a stage of their own, until one fails; what came of each. Raises Broken."""
        folder = self.folder / name
        folder.mkdir()
        self._administer(f'CREATE DATABASE "{name}" TEMPLATE {TEMPLATE}')
        try:
            results = folder / "results"
            with (folder / "log").open("wb") as log:
                stage = [sys.executable, "-m", "bench.faults", str(results), str(first), str(count)]
                argv = die_with_parent(stage)
                process = subprocess.Popen(argv, stdout=log, stderr=log, env=self._environment(name, folder))
            with self.lock:
                self.running.add(process)
            process.wait()
            with self.lock:
                self.running.discard(process)
            told = results.read_text().splitlines() if results.exists() else []
            if not told:
                raise Broken("\n".join((folder / "log").read_text(errors="replace").splitlines()[-12:]))
            return [json.loads(line) for line in told]
        finally:
            self._administer(f'DROP DATABASE "{name}" WITH (FORCE)')

    def end(self) -> None:
        """End the stages that are being played."""
        with self.lock:
            playing = list(self.running)
        for process in playing:
            process.terminate()

    def _administer(self, statement: str) -> None:
        with psycopg.connect(pgembed.dsn(self.cluster, "postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _environment(self, name: str, folder: Path) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
            f"{PREFIX}DATA_DIR": str(folder),
            f"{PREFIX}DATABASE_URL": pgembed.url(self.cluster, name).replace("postgresql+psycopg:", "postgresql:"),
            f"{PREFIX}KEYS_FILE": str(folder / "keys"),
            f"{PREFIX}SANDBOX": "true",
            f"{PREFIX}RADIUS_HOSTS": "127.0.0.1",
        }


@contextmanager
def prepare() -> Iterator[Ground]:
    """Make it, in memory where there is room (and no TMPDIR), and take it all away at the end."""
    memory = Path("/dev/shm")
    place = str(memory) if "TMPDIR" not in os.environ and os.access(memory, os.W_OK) else None
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="tollkeeper-faults-", dir=place)))
        folder.chmod(0o711)
        cluster = pgembed.prepare(folder / "pg", durable=False, state_dir=folder / "state")
        with (folder / "postgres.log").open("wb") as log:
            argv = die_with_parent(pgembed.command(cluster), signal.SIGQUIT)
            postgres = subprocess.Popen(argv, stdout=log, stderr=log, env=pgembed.environment(), cwd="/")
        held.callback(postgres.wait)
        held.callback(postgres.send_signal, signal.SIGQUIT)
        pgembed.wait_ready(cluster, alive=lambda: postgres.poll() is None)
        pgembed.create_database(cluster, TEMPLATE)
        engine = connect(pgembed.url(cluster, TEMPLATE))
        migrate(engine)
        engine.dispose()
        yield Ground(folder, cluster)
