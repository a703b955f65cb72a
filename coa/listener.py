"""A thread that holds the sender's lock and listens for bells, so that exactly one coa process sends."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import Engine

from base import feed, wire
from base.database import raw_connection
from base.log import logger

SESSIONS_CHANNEL = "tollkeeper_sessions"
_LEADER = 0x636F61  # advisory lock 'coa': one sender at a time


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
            except psycopg.Error as error:
                logger().warning("database.away", error=str(error).splitlines()[0])
                self._stop.wait(0.5)
            finally:
                self.leads = False

    def _lead(self, connection: psycopg.Connection) -> None:
        while not self._stop.is_set():
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LEADER,)).fetchone()
            if row is not None and row[0]:
                break
            self._stop.wait(1.0)
        for channel in (feed.CHANNEL, wire.CHANNEL, SESSIONS_CHANNEL):
            connection.execute(f"LISTEN {channel}")
        self.leads = True
        self._ring()
        while not self._stop.is_set():
            for _ in connection.notifies(timeout=0.5, stop_after=1):
                self._ring()
