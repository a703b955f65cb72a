"""The folder of a node's journal: who the node is, which segments lie there, who may write and who may read.

node-id                     the node's uuid, made on the first start; moving the folder moves the node
0000000000000001.journal    segments, numbered without gaps, oldest first
writer.lock reader.lock     held while one process writes, one reads; each names its process
"""

import fcntl
import os
import re
from io import FileIO
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid4

from radius.journal_format import JournalError, Position, encode_header

_SEGMENT = re.compile(r"[0-9]{16}\.journal")


class JournalLocked(JournalError):
    """Another process holds the folder."""


class NoJournal(JournalError):
    """No node has started in this folder yet."""


def segment_path(folder: Path, number: int) -> Path:
    """Name the file of a segment."""
    return folder / f"{number:016}.journal"


def list_segments(folder: Path) -> list[int]:
    """List the numbers of the segments that lie in the folder, oldest first. The last may be being written."""
    return sorted(int(name[:16]) for name in os.listdir(folder) if _SEGMENT.fullmatch(name))


def make_folder(folder: Path) -> None:
    """Make the folder (0700), durably, where it is not there yet."""
    if not folder.is_dir():
        folder.mkdir(parents=True, mode=0o700)
        sync_folder(folder.parent)


def settle_node_id(folder: Path) -> UUID:
    """Give the node's id, and make one on the first start; for the holder of the writer's lock.

    Raises JournalError when segments lie there without their node's id: a new one would disown them.
    """
    try:
        return read_node_id(folder)
    except NoJournal:
        if list_segments(folder):
            raise JournalError(f"{folder}: node-id is missing, but segments of a node lie there") from None
    node = uuid4()
    os.close(_create_durably(folder / "node-id", f"{node}\n".encode()))
    return node


def read_node_id(folder: Path) -> UUID:
    """Give the id of the node whose journal this is.

    Raises NoJournal where no node has started yet, JournalError when node-id holds no uuid.
    """
    path = folder / "node-id"
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        raise NoJournal(f"{path}: not there; the node has not started yet") from None
    try:
        return UUID(text)
    except ValueError:
        raise JournalError(f"{path}: {text[:64]!r} is no uuid") from None


def create_segment(folder: Path, node: UUID, number: int) -> int:
    """Make a segment that holds its header, durably, and give its descriptor, open for writing behind it."""
    return _create_durably(segment_path(folder, number), encode_header(node, number))


def delete_before(folder: Path, position: Position) -> list[int]:
    """Delete the segments that end before `position`, and give their numbers; the newest always stays.

    Call it when the position is committed. Oldest first, so that a crash half-way leaves no hole.
    """
    deleted = [number for number in list_segments(folder)[:-1] if number < position.segment]
    for number in deleted:
        segment_path(folder, number).unlink()
    return deleted


def take_lock(folder: Path, role: Literal["writer", "reader"]) -> FileIO:
    """Hold the folder as its one writer or its one reader until the file that is given back is closed.

    Raises JournalLocked with the process id of the holder. The lock dies with the process, the file stays.
    """
    path = folder / f"{role}.lock"
    lock = FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = lock.read(20).decode("ascii", "replace").strip() or "unknown"
        lock.close()
        raise JournalLocked(f"{folder} already has a {role}: process {holder}") from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n".encode())
    return lock


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, however many calls it takes: a disk that fills up takes a part before it refuses."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create_durably(path: Path, data: bytes) -> int:
    """Make a file (0600) that is there with all of `data` or not at all, and give its open descriptor."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
        temporary.rename(path)
        sync_folder(path.parent)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
