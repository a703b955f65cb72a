"""The house under measurement: a durable embedded PostgreSQL of its own, and the processes that ./run would start."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Engine, select

from base import pgembed
from base.crypto import Vault, open_vault
from base.database import DATABASE, connect
from base.settings import PREFIX
from base.tables import journal_offset, radius_node
from bench.process import Process, wait_for
from bench.provider import fill
from console.ports import bind_udp
from console.schema import migrate
from radius.journal_format import START, Position


class House:
    """A provider with `services` services in `folder`, from `with` to the end of its block.

    radius runs on one core, everything else on another; None: on all.
    """

    def __init__(self, folder: Path, services: int, server_core: int | None, other_core: int | None) -> None:
        self.services, self.folder = services, folder / "data"
        self.journal, self.snapshot = self.folder / "radius" / "journal", self.folder / "radius" / "snapshot"
        self._log, self._server_core, self._other_core = folder, server_core, other_core
        self._cluster_folder = folder / "postgres"
        self._held = ExitStack()

    def __enter__(self) -> Self:
        with self._held:
            self._start_database()
            self._auth, self._acct = (self._held.enter_context(bind_udp("127.0.0.1", 0, "")) for _ in range(2))
            self.auth_port, self.acct_port = self._auth.getsockname()[1], self._acct.getsockname()[1]
            self._held = self._held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    @contextmanager
    def radius(self) -> Iterator[Process]:
        """The radius process on the servers' core, with its sockets handed down as the supervisor does."""
        sockets: tuple[socket.socket, ...] = (self._auth, self._acct)
        descriptors = [sock.fileno() for sock in sockets]
        handed = {f"{PREFIX}SOCKETS": "auth:{},acct:{}".format(*descriptors)}
        argv = [sys.executable, "-m", "console", "radius"]
        with Process(
            argv,
            self._server_core,
            self._log / "radius.log",
            environment=self.environment | handed,
            descriptors=descriptors,
        ) as process:
            yield process

    @contextmanager
    def ingest(self) -> Iterator[Process]:
        """The ingest process, which shares the other core with the database and the load."""
        argv = [sys.executable, "-m", "console", "ingest"]
        with Process(argv, self._other_core, self._log / "ingest.log", environment=self.environment) as process:
            yield process

    def wait_until_settled(self, radius: Process) -> None:
        """Return when radius has read the database and written what it read to its disk."""
        wait_for(lambda: self._reported(radius), 120, "radius' first whole reading", radius)

    def stored(self) -> Position:
        """How far the journal is in the tables."""
        with self._engine.connect() as connection:
            row = connection.execute(select(journal_offset.c.segment, journal_offset.c.offset)).one_or_none()
        return START if row is None else Position(*row)

    def _reported(self, radius: Process) -> bool:
        # The heartbeat follows the reading, and the snapshot file follows the first heartbeat.
        with self._engine.connect() as connection:
            seen = connection.scalar(select(radius_node.c.seen_at))
        if seen is None or seen.timestamp() < radius.started_at or not self.snapshot.exists():
            return False
        return self.snapshot.stat().st_mtime > radius.started_at

    def _start_database(self) -> None:
        cluster = pgembed.prepare(self._cluster_folder)
        self._held.callback(pgembed.erase, self._cluster_folder)
        postgres = self._held.enter_context(
            Process(
                pgembed.command(cluster),
                self._other_core,
                self._log / "postgres.log",
                environment=pgembed.environment(),
                stop_signal=signal.SIGINT,
            )
        )
        pgembed.wait_ready(cluster, alive=postgres.alive)
        pgembed.create_database(cluster, DATABASE)
        url = pgembed.url(cluster, DATABASE)
        keys = self.folder / "secrets" / "keys"
        self.environment: dict[str, str] = {
            **{name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
            f"{PREFIX}DATA_DIR": str(self.folder),
            f"{PREFIX}DATABASE_URL": url.replace("postgresql+psycopg:", "postgresql:"),
            f"{PREFIX}KEYS_FILE": str(keys),
        }
        self._engine: Engine = connect(url)
        self._held.callback(self._engine.dispose)
        vault: Vault = open_vault(keys)
        migrate(self._engine)
        fill(self._engine, vault, self.services)
