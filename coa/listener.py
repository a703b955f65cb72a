"""A thread that holds the sender's lock and listens for bells, so that exactly one coa process sends."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import Engine

from base import feed, sessions, wire
from base.database import raw_connection
from base.log import alarm, logger

_LEADER = 0x636F61  # advisory lock 'coa': one sender at a time
# The server must notice when this host is gone without a word, or nobody else could ever lead (postgresql.conf).
_NOTICE_WHEN_GONE = ("tcp_keepalives_idle = 5", "tcp_keepalives_interval = 2", "tcp_keepalives_count = 3")


class Listener:
    """Runs until stopped; `leads` is true while this process is the sender, `ring` is called at every bell."""

    def __init__(self, engine: Engine, ring: Callable[[], Any]) -> None:
        self.leads = False
        self._url = engine.url.render_as_string(hide_password=False)
        self._ring = ring
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and let another process lead."""
        self._stop.set()
        self._thread.join(2)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with raw_connection(self._url) as connection:
                    self._lead(connection)
            except Exception as error:
                if isinstance(error, psycopg.Error):
                    logger().warning("database.away", error=str(error).partition("\n")[0])
                else:
                    alarm("listener_failed")
                self._stop.wait(0.5)

    def _lead(self, connection: psycopg.Connection) -> None:
        for setting in _NOTICE_WHEN_GONE:
            connection.execute(f"SET {setting}")
        while not self._take_lock(connection):
            if self._stop.wait(1.0):
                return
        for channel in (feed.CHANNEL, wire.CHANNEL, sessions.CHANNEL):
            connection.execute(f"LISTEN {channel}")
        try:
            self.leads = True
            self._ring()
            while not self._stop.is_set():
                for _ in connection.notifies(timeout=0.25, stop_after=1):
                    self._ring()
        finally:
            self.leads = False

    def _take_lock(self, connection: psycopg.Connection) -> bool:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LEADER,)).fetchone()
        return row is not None and bool(row[0])
