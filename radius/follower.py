"""A thread beside the event loop that keeps the book current and says so: feed, heartbeat, snapshot on disk.

Law: a position is reported only after the changes up to it are in the book, for coa drops sessions on the strength of
it. After any failure everything is read anew before the node reports again.
"""

import gc
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Engine, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from base import clock, feed
from base.crypto import Vault
from base.database import raw_connection, transaction
from base.log import alarm, logger
from base.tables import radius_node
from radius.book import Book
from radius.snapshot import Changes, difference, read_changes, read_contents, save, without_collecting

HEARTBEAT = 0.5  # seconds; coa counts a node as live for 2 s
WHOLE_READING = 60.0  # seconds between readings that need no bell
SAVE_EVERY = 5.0  # seconds between two writes of the snapshot file, when something changed; more where it takes long
LAST_SAVE = 1.5  # seconds that the end waits for it
MANY = 1000  # changed services that are not put into the book one by one: it takes the event loop a millisecond
LONGEST_PAUSE = 5.0  # seconds between two attempts while the database is away

Post = Callable[[Callable[[], None]], Any]


class Follower:
    """Follows the database for one node until stopped."""

    def __init__(
        self,
        book: Book,
        engine: Engine,
        vault: Vault,
        node_id: UUID,
        snapshot_path: Path,
        post: Post,
        counters: Callable[[], dict[str, int]],
    ) -> None:
        self._book, self._engine, self._vault, self._node_id = book, engine, vault, node_id
        self._snapshot_path, self._post, self._counters = snapshot_path, post, counters
        self.has_tried = threading.Event()
        "Set once the database was read for the first time, or could not be."
        self._stop = threading.Event()
        self._failures = 0
        self._unsaved = True  # the first reading is always kept: under the newest key, in today's format
        self._save_at = 0.0
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End within a heartbeat and the time that a last write of the snapshot takes, if that is not long."""
        self._stop.set()
        self._thread.join(2 * HEARTBEAT + LAST_SAVE)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except Exception as error:
                self.has_tried.set()
                if isinstance(error, (SQLAlchemyError, psycopg.Error)):
                    logger().warning("database.away", error=str(error).partition("\n")[0])
                else:
                    alarm("follower_failed")
                self._stop.wait(min(LONGEST_PAUSE, 0.2 * 2 ** min(self._failures, 10)))
                self._failures += 1
        if self._book.filled:  # so that the next start knows what this one knew
            self._save(at_once=True)

    def _follow(self) -> None:
        url = self._engine.url.render_as_string(hide_password=False)
        with raw_connection(url) as bell:
            for channel in (feed.CHANNEL, clock.CHANNEL):
                bell.execute(f"LISTEN {channel}")
            cursor, read_at = self._read_everything(), time.monotonic()
            self._failures = 0
            self.has_tried.set()
            while not self._stop.is_set():
                with transaction(self._engine) as tx:
                    changes = read_changes(tx, self._vault, cursor)
                if changes:
                    self._apply(partial(self._put, changes))
                    self._unsaved = True
                self._report(cursor)
                if time.monotonic() - read_at > WHOLE_READING:
                    cursor, read_at = self._read_everything(), time.monotonic()
                self._save()
                for _ in bell.notifies(timeout=HEARTBEAT, stop_after=1):
                    pass

    def _read_everything(self) -> feed.Cursor:
        with without_collecting():
            with transaction(self._engine) as tx:
                contents = read_contents(tx, self._vault)
            position, changes = contents.position, difference(self._book, contents)
            if not self._book.filled or len(changes.policies) + len(changes.services_gone) > MANY:
                self._apply(partial(self._book.adopt, Book.of(contents.policies, contents.nases)))
                gc.freeze()  # the collector never looks at them again; they are freed without it
            elif changes:  # as a rule there are none, and the answers that are encoded already stay
                self._apply(partial(self._put, changes))
            del contents
        self._unsaved = self._unsaved or bool(changes)
        return feed.Cursor(position)

    def _put(self, changes: Changes) -> None:
        self._book.put_policies(changes.policies)
        self._book.drop_policies(changes.services_gone)
        self._book.put_nases(changes.nases, gone=changes.nases_gone)

    def _apply(self, act: Callable[[], None]) -> None:
        """Have the event loop do it, and wait until it is done."""
        done = threading.Event()
        failure: list[BaseException] = []

        def run() -> None:
            try:
                act()
            except BaseException as error:
                failure.append(error)
            finally:
                done.set()

        self._post(run)
        if not done.wait(30):
            raise TimeoutError("the event loop did not take the changes within 30 s")
        if failure:
            raise failure[0]

    def _report(self, cursor: feed.Cursor) -> None:
        row = {
            "feed_position": cursor.position,
            "feed_ahead": cursor.ahead,
            "seen_at": func.clock_timestamp(),
            "counters": self._counters(),
        }
        statement = insert(radius_node).values(id=self._node_id, **row)
        with transaction(self._engine) as tx:
            tx.execute(statement.on_conflict_do_update(index_elements=["id"], set_=row))

    def _save(self, *, at_once: bool = False) -> None:
        began = time.monotonic()
        if not self._unsaved or (began < self._save_at and not at_once):
            return
        try:
            save(self._snapshot_path, self._vault, self._book.policies(), self._book.nases())
        except OSError:
            alarm("snapshot_not_written", path=str(self._snapshot_path))
        self._unsaved = False
        self._save_at = time.monotonic() + max(SAVE_EVERY, 20 * (time.monotonic() - began))
