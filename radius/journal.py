"""Writes a node's journal: what was appended together is written and synced together, then acknowledged.

    append (event loop) → buffer → one write, one fdatasync (own thread) → post(callbacks) → event loop

While a sync runs the next batch gathers. Records that nobody waits for gather for GATHER seconds, or until one comes
that somebody waits for: a sync takes as much of a core as five logins. After a failed write or sync the segment is
abandoned: what the kernel kept of it is unknown, and a second fdatasync would succeed without having written anything.
The callbacks of that batch are dropped, the NAS sends those requests again, and the next batch goes to a new segment.
So whoever calls `append` must take the same request again for as long as its callback has not run: it may never run.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from zlib import crc32

from radius.journal_folder import create_segment, list_segments, make_folder, settle_node_id, take_lock, write_all
from radius.journal_format import HEADER_SIZE, RecordKind, seal

Callback = Callable[[], object]
LONGEST_RETRY = 30.0
"""Seconds between two attempts while the disk keeps failing."""
GATHER = 0.05
"""Seconds that records without a callback may wait to be written."""


@dataclass(frozen=True)
class JournalState:
    """What the node's heartbeat shows of its journal; counts are of records since the start."""

    segment: int
    """Number of the newest segment."""
    buffered_bytes: int
    """Bytes appended and not yet durable."""
    durable: int
    refused: int
    """Not taken because the buffer was full."""
    abandoned: int
    """Taken, and given up with a segment that failed."""
    failures: int
    """Failed attempts to write, sync or make a segment."""
    failed: str | None
    """The last failure, until a batch is durable again."""


class Journal:
    """The one writer of a journal folder; open from its making until `close`.

    `post` gets lists of callbacks from the writing thread and must have them called where they belong:
    `lambda callbacks: loop.call_soon_threadsafe(run_all, callbacks)`.
    `segment_bytes`: a segment that has grown to this many bytes is followed by a new one.
    `buffer_bytes`: what may wait for the disk; more is refused.
    `min_interval`: seconds from the begin of a sync to that of the next.
    `first_retry`: seconds from a failure to the next attempt; doubles up to LONGEST_RETRY.

    Raises JournalLocked, JournalError and OSError.
    """

    def __init__(
        self,
        folder: Path,
        post: Callable[[list[Callback]], object],
        *,
        segment_bytes: int = 64 << 20,
        buffer_bytes: int = 16 << 20,
        min_interval: float = 0.001,
        first_retry: float = 1.0,
    ) -> None:
        make_folder(folder)
        self._lock = take_lock(folder, "writer")
        self._folder = folder
        self._post = post
        self._segment_bytes = segment_bytes
        self._buffer_bytes = buffer_bytes
        self._min_interval = min_interval
        self._first_retry = first_retry

        # Shared by the two threads, under `_changed`.
        self._mutex = threading.Lock()
        self._changed = threading.Condition(self._mutex)
        self._records: list[bytes] = []
        self._callbacks: list[Callback] = []
        self._buffered = 0
        self._closing = threading.Event()
        self._refused = 0

        # Of the writing thread.
        self._number = self._size = 0
        self._descriptor: int | None = None
        self._durable = self._abandoned = self._failures = 0
        self._failed: str | None = None
        try:
            self.node_id = settle_node_id(folder)
            self._seed = crc32(self.node_id.bytes)
            self._open_segment()
        except BaseException:
            self._lock.close()
            raise
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def append(self, kind: RecordKind, at_us: int, payload: bytes, on_durable: Callback | None = None) -> bool:
        """Take a record that arrived at `at_us` (microseconds UTC); its callback is posted when it is on disk.

        False, and nothing is taken: the buffer is full or the journal closed; do not acknowledge.
        Raises ValueError for a payload above MAX_PAYLOAD.
        """
        record = seal(self._seed, kind, at_us, payload)
        with self._mutex:
            if self._buffered + len(record) > self._buffer_bytes or self._closing.is_set():
                self._refused += 1
                return False
            self._records.append(record)
            self._buffered += len(record)
            if on_durable is not None:
                self._callbacks.append(on_durable)
            # The writer takes all at once, so only the first record and the first callback are news to it.
            if len(self._records) == 1 or (on_durable is not None and len(self._callbacks) == 1):
                self._changed.notify()
        return True

    def state(self) -> JournalState:
        """Give the present state."""
        return JournalState(
            segment=self._number,
            buffered_bytes=self._buffered,
            durable=self._durable,
            refused=self._refused,
            abandoned=self._abandoned,
            failures=self._failures,
            failed=self._failed,
        )

    def close(self) -> None:
        """Make durable what was appended, as far as one attempt can, and free the folder. Blocks meanwhile."""
        with self._changed:
            self._closing.set()
            self._changed.notify()
        self._thread.join()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        retry = self._first_retry
        while self._wait_for_work():
            began, last_attempt = time.monotonic(), self._closing.is_set()
            records: list[bytes] = []
            try:
                if self._descriptor is None or self._size >= self._segment_bytes:
                    self._open_segment()
                records, callbacks = self._take()
                if records:
                    self._write(records)
                    records = []
                    if callbacks:
                        self._post(callbacks)
                    self._failed = None
                    retry = self._first_retry
            except Exception as error:
                self._abandon(error, records)
                if last_attempt:
                    break
                self._closing.wait(retry)
                retry = min(2 * retry, LONGEST_RETRY)
            else:
                self._closing.wait(max(0.0, began + self._min_interval - time.monotonic()))
        self._close_segment()

    def _wait_for_work(self) -> bool:
        """Sleep until there is something to do; False when the journal is closed and nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._records or self._closing.is_set())
            self._changed.wait_for(lambda: self._callbacks or self._closing.is_set(), GATHER)
            return bool(self._records) or not self._closing.is_set()

    def _take(self) -> tuple[list[bytes], list[Callback]]:
        """Take out all that has gathered; it counts as buffered until its fate is known."""
        with self._changed:
            batch = self._records, self._callbacks
            self._records, self._callbacks = [], []
        return batch

    def _write(self, records: list[bytes]) -> None:
        """Make a batch durable in the open segment."""
        assert self._descriptor is not None
        data = b"".join(records)
        write_all(self._descriptor, data)
        os.fdatasync(self._descriptor)
        self._size += len(data)
        self._durable += len(records)
        self._release(records)

    def _abandon(self, error: Exception, records: list[bytes]) -> None:
        """Give up the segment and the batch that was meant for it."""
        self._failures += 1
        self._failed = f"{type(error).__name__}: {error}"
        self._abandoned += len(records)
        self._release(records)
        self._close_segment()

    def _release(self, records: list[bytes]) -> None:
        """Free the buffer's room that a batch took."""
        size = sum(map(len, records))
        with self._changed:
            self._buffered -= size

    def _open_segment(self) -> None:
        """Begin the segment after the newest in the folder."""
        self._close_segment()
        number = max([self._number, *list_segments(self._folder)]) + 1
        self._descriptor = create_segment(self._folder, self.node_id, number)
        self._number, self._size = number, HEADER_SIZE

    def _close_segment(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):  # what close could complain about was synced, or is given up
                os.close(descriptor)
