"""A journal under real disasters: killed writers, full disks, failing syncs, power cuts."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from radius.journal import Journal
from radius.journal_folder import JournalLocked, delete_before, list_segments
from radius.journal_format import START, Record, RecordKind
from radius.journal_reader import read

ROOT = Path(__file__).parents[2]
CHILD = [sys.executable, str(Path(__file__).with_name("journal_child.py"))]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@contextmanager
def writer(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([*CHILD, "write", folder], stdout=subprocess.PIPE, env=ENVIRONMENT)
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        assert child.stdout
        child.stdout.close()


def acknowledged_lines(child: subprocess.Popen[bytes], count: int) -> list[int]:
    assert child.stdout
    return [int(child.stdout.readline()) for _ in range(count)]


def play(mode: str, folder: Path, *arguments: str, namespace: bool = False) -> dict[str, Any]:
    if namespace and not (which("unshare") and which("mkfs.ext4")):
        pytest.skip("needs unshare and mkfs.ext4")
    folder.mkdir()
    own_mounts = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    command = [*(own_mounts if namespace else []), *CHILD, mode, str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    refused = [line for line in done.stderr.splitlines() if line.startswith(("unshare:", "mount:"))]
    if namespace and done.returncode and refused:
        pytest.skip(f"no mounts here: {refused[0]}")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def assert_failed_closed_and_recovered(result: dict[str, Any], error: str) -> None:
    acknowledged, [failed_at] = result["acknowledged"], result["failed_at"]
    segments = dict(result["read"])
    assert error in result["failed"]["failed"]
    assert failed_at > 10
    assert acknowledged[:failed_at] == list(range(failed_at))
    assert failed_at not in acknowledged
    assert set(acknowledged) <= set(segments)
    failed_segment = result["failed"]["segment"]
    assert {segments[number] for number in acknowledged if number < failed_at} == {failed_segment}
    after = [number for number in acknowledged if number > failed_at]
    assert len(after) >= 20
    assert all(segments[number] > failed_segment for number in after)
    end = result["end"]
    assert end["failures"] >= 1
    assert end["abandoned"] >= 1
    assert end["durable"] == len(acknowledged)
    assert end["buffered_bytes"] == 0
    assert all(cause == "TORN_TAIL" for cause, _ in result["gaps"])


def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    acknowledged = -1
    for _ in range(4):
        with writer(folder) as child:
            begun = acknowledged_lines(child, 300)
            os.kill(child.pid, signal.SIGKILL)
            assert child.stdout
            lines = child.stdout.readlines()  # acknowledged before the kill, too
            acknowledged = int(lines[-1]) if lines and lines[-1].endswith(b"\n") else begun[-1]
        runs: list[list[int]] = []
        for item, _ in read(folder, START):
            assert isinstance(item, Record) or item.cause.name == "TORN_TAIL"
            if isinstance(item, Record):
                if item.at_us == 0:
                    runs.append([])
                runs[-1].append(item.at_us)
        assert runs[-1] == list(range(len(runs[-1])))
        assert len(runs[-1]) > acknowledged


def test_a_reader_follows_a_writer_in_another_process(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    with writer(folder) as child:
        acknowledged_lines(child, 1)
        position = START
        numbers: list[int] = []
        while len(numbers) < 3000:
            for item, reached in read(folder, position):
                assert isinstance(item, Record)
                numbers.append(item.at_us)
                position = reached
            delete_before(folder, position)
            assert child.stdout
            os.read(child.stdout.fileno(), 1 << 16)  # a full pipe would stop the writer
        assert numbers == list(range(len(numbers)))
        assert list_segments(folder)[0] > 1


def test_a_second_writer_fails_and_names_the_process(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    with writer(folder) as child:
        acknowledged_lines(child, 1)
        with pytest.raises(JournalLocked, match=f"already has a writer: process {child.pid}$"):
            Journal(folder, lambda callbacks: None)
    with Journal(folder, lambda callbacks: None) as journal:  # the lock died with its process
        assert journal.append(RecordKind.LOGIN, 0, b"")


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    result = play("limited", tmp_path / "disk", "64500")
    assert_failed_closed_and_recovered(result, "File too large")
    assert result["gaps"] == [["TORN_TAIL", 1]]


def test_a_full_disk(tmp_path: Path) -> None:
    result = play("tmpfs", tmp_path / "disk", namespace=True)
    assert_failed_closed_and_recovered(result, "No space left on device")


@pytest.mark.skipif(os.geteuid() != 0, reason="loop devices are root's")
def test_a_sync_that_fails_once(tmp_path: Path) -> None:
    result = play("loop", tmp_path / "disk", namespace=True)
    assert_failed_closed_and_recovered(result, "OSError")


@pytest.mark.skipif(os.geteuid() != 0, reason="loop devices are root's")
def test_a_power_cut(tmp_path: Path) -> None:
    result = play("power", tmp_path / "disk", namespace=True)
    assert len(result["acknowledged"]) >= 600
    assert result["read"][: len(result["acknowledged"])] == result["acknowledged"]
    assert set(result["gaps"]) <= {"TORN_TAIL"}
