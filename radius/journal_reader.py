"""Reads a node's journal from a position on, also while another process writes it.

A record is handed out as soon as it is whole, synced or not. That is harmless: until it is synced nobody was
told that it is safe, so the NAS sends it again and the reader has to know duplicates anyway. When a power cut
takes bytes that were read already, the position lies beyond the end of its segment. Nothing can be overwritten
there, since a writer always starts with a new segment, so reading goes on with the next one.

What cannot be read is never passed over in silence: it comes as a Gap among the records, with the position
behind it, and can be counted in the transaction that stores the position.
"""

import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple
from uuid import UUID
from zlib import crc32

from radius.journal_folder import list_segments, read_node_id, segment_path
from radius.journal_format import (
    HEADER_SIZE,
    MAX_RECORD,
    JournalError,
    NewerFormat,
    Position,
    Record,
    decode_header,
    decode_record,
    find_record,
)

_CHUNK = 2 * MAX_RECORD
"""Bytes read at a time; above one record, so that what a full chunk cannot show whole is damaged."""


class ForeignSegment(JournalError):
    """A segment in the folder was written by another node or under another number."""


class PositionAhead(JournalError):
    """The position lies in a segment that is not written yet: the folder has lost its segments."""


class GapCause(Enum):
    TORN_TAIL = "the end of a segment was not written whole; what was not whole was not acknowledged"
    CORRUPT = "bytes that were whole once are damaged; acknowledged records are lost"
    MISSING = "segments are not there; acknowledged records are lost"
    SHORTENED = "a power cut took what was read before it was durable; none of that was acknowledged"

    @property
    def loses_acknowledged(self) -> bool:
        """Whether records are lost that a NAS was told are safe; that is worth an alarm."""
        return self in (GapCause.CORRUPT, GapCause.MISSING)


class Gap(NamedTuple):
    """Bytes that cannot be read."""

    cause: GapCause
    begin: Position
    left_out: int
    """Bytes left out; for MISSING 0, since nobody knows; for SHORTENED those that were read and then lost."""


def read(folder: Path, position: Position) -> Iterator[tuple[Record | Gap, Position]]:
    """Yield what lies behind `position`, each with the position after it, and end at what is not written yet.

    To follow the writer, call it again with the last position (START at first); that costs a look at the
    folder and at one file. An unfinished end is 'not yet' in the newest segment and a gap in all others.

    Raises NewerFormat, ForeignSegment and PositionAhead, each after everything before it was yielded.
    """
    node = read_node_id(folder)
    numbers = list_segments(folder)
    newest = numbers[-1] if numbers else 0
    if position.segment > newest:
        raise PositionAhead(f"{folder}: position {position.segment}/{position.offset}, newest segment {newest}")
    expected = position.segment or min(numbers, default=0)
    for number in numbers:
        if number < position.segment:
            continue
        if number > expected:
            yield Gap(GapCause.MISSING, Position(expected, 0), 0), Position(number, 0)
        offset = position.offset if number == position.segment else 0
        yield from _read_segment(folder, node, Position(number, offset), is_newest=number == newest)
        expected = number + 1


def _read_segment(
    folder: Path, node: UUID, position: Position, *, is_newest: bool
) -> Iterator[tuple[Record | Gap, Position]]:
    """Yield what lies behind `position` in its segment."""
    number, offset = position
    path = segment_path(folder, number)
    seed = crc32(node.bytes)
    with path.open("rb", buffering=0) as file:
        descriptor = file.fileno()
        header = _read_header(path, os.pread(descriptor, HEADER_SIZE, 0))
        if header not in (None, (node, number)):
            raise ForeignSegment(f"{path}: written by another node or under another number")
        # Without a whole header offset 0 is a damaged place like any other, and is treated as one below.
        if header is not None:
            offset = max(offset, HEADER_SIZE)
        size = os.fstat(descriptor).st_size
        if offset > size and not is_newest:
            yield Gap(GapCause.SHORTENED, Position(number, size), offset - size), Position(number + 1, 0)
            return
        while True:
            data = os.pread(descriptor, _CHUNK, offset)
            end = 0
            while found := decode_record(data, end, seed):
                record, end = found
                yield record, Position(number, offset + end)
            offset += end
            if len(data) == _CHUNK and end:
                continue  # the last record of a chunk is seldom whole; the next chunk begins with it
            rest = os.pread(descriptor, max(os.fstat(descriptor).st_size - offset, 0), offset)
            skip = find_record(rest, 0, seed)
            if skip is None:
                # A segment has its name only since its header is durable: without it, it was damaged later.
                cause = GapCause.TORN_TAIL if offset else GapCause.CORRUPT
                if not is_newest and (rest or not offset):
                    yield Gap(cause, Position(number, offset), len(rest)), Position(number + 1, 0)
                return
            if skip:  # 0: the writer has just finished it
                yield Gap(GapCause.CORRUPT, Position(number, offset), skip), Position(number, offset + skip)
            offset += skip


def _read_header(path: Path, data: bytes) -> tuple[UUID, int] | None:
    try:
        return decode_header(data)
    except NewerFormat as error:
        raise NewerFormat(f"{path}: {error}") from None
