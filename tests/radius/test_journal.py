"""Writing a journal: on disk before acknowledged, in the order of arrival, in segments, by one process."""

import asyncio
import os
import queue
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import uvloop

from radius.journal import GATHER, Callback, Journal, JournalState
from radius.journal_folder import JournalLocked, delete_before, list_segments, segment_path
from radius.journal_format import MAX_PAYLOAD, START, Position, Record, RecordKind, encode_json
from radius.journal_reader import read

Posted = queue.SimpleQueue[list[Callback]]


@pytest.fixture
def posted() -> Posted:
    return queue.SimpleQueue()


@pytest.fixture
def journal(tmp_path: Path, posted: Posted) -> Iterator[Journal]:
    with Journal(tmp_path / "journal", posted.put) as journal:
        yield journal


def records_of(folder: Path, position: Position = START) -> list[object]:
    return [item for item, _ in read(folder, position)]


def append_and_wait(journal: Journal, posted: Posted, number: int, size: int = 250) -> Record:
    record = Record(RecordKind.ACCOUNTING, number, bytes([number % 256]) * size)
    assert journal.append(*record, on_durable=lambda: None)
    assert len(posted.get(timeout=10)) == 1
    return record


def test_an_acknowledged_record_is_there(journal: Journal, posted: Posted, tmp_path: Path) -> None:
    for number in range(20):
        record = append_and_wait(journal, posted, number)
        assert records_of(tmp_path / "journal")[-1] == record
    assert journal.state() == JournalState(
        segment=1, buffered_bytes=0, durable=20, refused=0, abandoned=0, failures=0, failed=None
    )


def test_what_arrives_together_is_acknowledged_together_and_in_order(tmp_path: Path) -> None:
    batches: list[int] = []
    called: list[int] = []
    reached, go_on = threading.Event(), threading.Event()

    def post(callbacks: list[Callback]) -> None:
        batches.append(len(callbacks))
        for callback in callbacks:
            callback()
        reached.set()
        go_on.wait(10)

    with Journal(tmp_path / "journal", post) as journal:
        journal.append(RecordKind.LOGIN, 0, b"", partial(called.append, 0))
        assert reached.wait(10)
        for number in range(1, 51):  # the writing thread is busy: these gather
            journal.append(RecordKind.LOGIN, number, b"", partial(called.append, number))
        journal.append(RecordKind.DROPS, 51, encode_json({"dropped": 3}))
        go_on.set()
    assert batches == [1, 50]
    assert called == list(range(51))
    arrivals = [item.at_us for item in records_of(tmp_path / "journal") if isinstance(item, Record)]
    assert arrivals == list(range(52))


def test_an_event_loop_is_told(tmp_path: Path) -> None:
    async def serve() -> list[int]:
        loop = asyncio.get_running_loop()
        durable: list[int] = []

        def acknowledge(callbacks: list[Callback]) -> None:
            assert asyncio.get_running_loop() is loop
            for callback in callbacks:
                callback()

        journal = Journal(tmp_path / "journal", lambda done: loop.call_soon_threadsafe(acknowledge, done))
        for number in range(1000):
            assert journal.append(RecordKind.LOGIN, number, b"{}", partial(durable.append, number))
            if number % 10 == 0:
                await asyncio.sleep(0)
        await loop.run_in_executor(None, journal.close)
        await asyncio.sleep(0)
        return durable

    assert uvloop.run(serve()) == list(range(1000))
    assert len(records_of(tmp_path / "journal")) == 1000


def test_closing_makes_durable_what_was_appended(tmp_path: Path, posted: Posted) -> None:
    with Journal(tmp_path / "journal", posted.put, min_interval=5) as journal:
        for number in range(300):
            journal.append(RecordKind.LOGIN, number, b"", lambda: None)
    assert len(records_of(tmp_path / "journal")) == 300
    assert sum(len(posted.get_nowait()) for _ in range(posted.qsize())) == 300
    assert not journal.append(RecordKind.LOGIN, 1, b"")
    assert "journal" not in {thread.name for thread in threading.enumerate()}


def test_what_nobody_waits_for_gathers_until_somebody_does(journal: Journal, posted: Posted, tmp_path: Path) -> None:
    for number in range(3):
        journal.append(RecordKind.LOGIN, number, b"")
    deadline = time.monotonic() + 10
    while len(records_of(tmp_path / "journal")) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    took = []
    for number in range(3, 23):
        journal.append(RecordKind.LOGIN, number, b"")
        time.sleep(0.003)  # it is seen, and waits
        began = time.monotonic()
        append_and_wait(journal, posted, number)
        took.append(time.monotonic() - began)
    assert sorted(took)[5] < GATHER / 2
    assert journal.state().durable == 43


def test_every_start_opens_a_new_segment_of_the_same_node(tmp_path: Path, posted: Posted) -> None:
    nodes, expected = set(), []
    for number in range(1, 4):
        with Journal(tmp_path / "journal", posted.put) as journal:
            nodes.add(journal.node_id)
            assert journal.state().segment == number
            expected.append(append_and_wait(journal, posted, number))
    assert len(nodes) == 1
    assert list_segments(tmp_path / "journal") == [1, 2, 3]
    assert records_of(tmp_path / "journal") == expected


def test_a_grown_segment_is_followed_by_a_new_one(tmp_path: Path, posted: Posted) -> None:
    folder = tmp_path / "journal"
    with Journal(folder, posted.put, segment_bytes=4000) as journal:
        expected = [append_and_wait(journal, posted, number) for number in range(100)]
        newest = journal.state().segment
        assert newest >= 6
        assert records_of(folder) == expected
        sizes = [segment_path(folder, number).stat().st_size for number in list_segments(folder)]
        assert all(4000 <= size < 4300 for size in sizes[:-1])
        *_, (_, position) = read(folder, START)
        delete_before(folder, position)
        assert list_segments(folder) == [newest]
        expected = [append_and_wait(journal, posted, number) for number in range(20)]
        assert records_of(folder, position) == expected


def test_a_full_buffer_refuses(tmp_path: Path) -> None:
    busy, go_on = threading.Event(), threading.Event()

    def post(callbacks: list[Callback]) -> None:
        busy.set()
        go_on.wait(10)

    with Journal(tmp_path / "journal", post, buffer_bytes=10_000) as journal:
        journal.append(RecordKind.LOGIN, 0, b"", lambda: None)
        assert busy.wait(10)
        taken = 0
        while taken < 100 and journal.append(RecordKind.LOGIN, taken, bytes(983)):  # 1000 bytes each
            taken += 1
        state = journal.state()
        go_on.set()
    assert taken == 10
    assert (state.buffered_bytes, state.refused) == (10_000, 1)
    assert len(records_of(tmp_path / "journal")) == 11
    assert journal.state().buffered_bytes == 0


def test_a_payload_that_is_too_large_is_an_error_and_nothing_else(
    journal: Journal, posted: Posted, tmp_path: Path
) -> None:
    with pytest.raises(ValueError):
        journal.append(RecordKind.DROPS, 1, bytes(MAX_PAYLOAD + 1))
    record = append_and_wait(journal, posted, 2)
    assert records_of(tmp_path / "journal") == [record]


def test_a_second_writer_fails_and_names_the_first(journal: Journal, tmp_path: Path, posted: Posted) -> None:
    with pytest.raises(JournalLocked, match=f"already has a writer: process {os.getpid()}$"):
        Journal(tmp_path / "journal", posted.put)
    append_and_wait(journal, posted, 1)
    assert list_segments(tmp_path / "journal") == [1]


def test_a_start_that_fails_frees_the_folder(tmp_path: Path, posted: Posted) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    (folder / "0000000000000001.journal.new").mkdir()
    with pytest.raises(IsADirectoryError) as failure:
        Journal(folder, posted.put)
    (folder / "0000000000000001.journal.new").rmdir()
    Journal(folder, posted.put).close()
    del failure  # until here it kept the first journal, and its lock, from being collected


def test_a_post_that_fails_is_a_failure_with_a_name(tmp_path: Path, posted: Posted) -> None:
    closed = [True, False]

    def post(callbacks: list[Callback]) -> None:
        if closed.pop(0):
            raise RuntimeError("Event loop is closed")
        posted.put(callbacks)

    with Journal(tmp_path / "journal", post, first_retry=0.01) as journal:
        journal.append(RecordKind.LOGIN, 1, b"", lambda: None)
        while journal.state().failures == 0:
            threading.Event().wait(0.001)
        assert journal.state().failed == "RuntimeError: Event loop is closed"
        append_and_wait(journal, posted, 2)
    state = journal.state()
    assert (state.durable, state.abandoned, state.failures, state.failed) == (2, 0, 1, None)
    assert state.segment == 2


def wait_for_failures(journal: Journal, count: int) -> None:
    while journal.state().failures < count:
        threading.Event().wait(0.001)


def test_what_gathers_during_a_failure_is_written_after_it(tmp_path: Path, posted: Posted) -> None:
    folder, away = tmp_path / "journal", tmp_path / "away"
    with Journal(
        folder, posted.put, first_retry=0.01, segment_bytes=1
    ) as journal:  # each batch in a segment of its own
        first = append_and_wait(journal, posted, 1)
        folder.rename(away)
        second = Record(RecordKind.LOGIN, 2, b"")
        assert journal.append(*second, on_durable=lambda: None)
        wait_for_failures(journal, 3)
        assert posted.empty()
        assert "FileNotFoundError" in (journal.state().failed or "")
        away.rename(folder)
        assert len(posted.get(timeout=10)) == 1
    assert journal.state().failed is None
    assert journal.state().abandoned == 0
    assert records_of(folder) == [first, second]


def test_closing_does_not_wait_for_a_broken_disk(tmp_path: Path, posted: Posted) -> None:
    folder = tmp_path / "journal"
    with Journal(folder, posted.put, first_retry=600, segment_bytes=1) as journal:
        append_and_wait(journal, posted, 1)
        folder.rename(tmp_path / "away")
        journal.append(RecordKind.LOGIN, 2, b"", lambda: None)
        wait_for_failures(journal, 1)
    assert posted.empty()
    assert journal.state().failures == 2
