"""Reading a journal folder: nothing that is whole is missed, nothing that is damaged passes in silence."""

import os
import struct
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from radius.journal_folder import (
    JournalLocked,
    NoJournal,
    create_segment,
    delete_before,
    list_segments,
    make_folder,
    read_node_id,
    segment_path,
    settle_node_id,
    take_lock,
)
from radius.journal_format import (
    FORMAT,
    HEADER_SIZE,
    MAX_PAYLOAD,
    START,
    JournalError,
    NewerFormat,
    Position,
    Record,
    RecordKind,
    encode_header,
    encode_record,
)
from radius.journal_reader import ForeignSegment, Gap, GapCause, PositionAhead, read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "journal"
    make_folder(folder)
    settle_node_id(folder)
    return folder


def login(number: int) -> Record:
    return Record(RecordKind.LOGIN, number, b"payload %d" % number)


def write_segment(folder: Path, number: int, *records: Record) -> Path:
    node = read_node_id(folder)
    descriptor = create_segment(folder, node, number)
    os.write(descriptor, b"".join(encode_record(node, record) for record in records))
    os.close(descriptor)
    return segment_path(folder, number)


def read_all(folder: Path, position: Position = START) -> tuple[list[Record], list[Gap]]:
    items = [item for item, _ in read(folder, position)]
    return [i for i in items if isinstance(i, Record)], [i for i in items if isinstance(i, Gap)]


def begins(folder: Path, *records: Record) -> list[int]:
    """Offsets at which the records of a segment begin, and at which the last ends."""
    offsets = [HEADER_SIZE]
    for record in records:
        offsets.append(offsets[-1] + len(encode_record(read_node_id(folder), record)))
    return offsets


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x40
    path.write_bytes(data)


def test_reading_goes_on_from_every_position(folder: Path) -> None:
    write_segment(folder, 1, login(1), login(2))
    write_segment(folder, 2)
    write_segment(folder, 3, login(3))
    items = list(read(folder, START))
    assert [item for item, _ in items] == [login(1), login(2), login(3)]
    for index, (_, position) in enumerate(items):
        assert list(read(folder, position)) == items[index + 1 :]
    assert sorted(position for _, position in items) == [position for _, position in items]


def test_following_sees_what_was_added(folder: Path) -> None:
    path = write_segment(folder, 1)
    position = START
    for number in range(5):
        assert list(read(folder, position)) == []
        with path.open("ab") as file:
            file.write(encode_record(read_node_id(folder), login(number)))
        [(item, position)] = read(folder, position)
        assert item == login(number)
    write_segment(folder, 2, login(5))
    assert [item for item, _ in read(folder, position)] == [login(5)]


def test_an_unfinished_end_of_the_newest_segment_is_not_yet(folder: Path) -> None:
    path = write_segment(folder, 1, login(1), login(2), login(3))
    whole = path.read_bytes()
    last = begins(folder, login(1), login(2))[-1]
    for size in range(last, len(whole)):
        path.write_bytes(whole[:size])
        items = list(read(folder, START))
        assert [item for item, _ in items] == [login(1), login(2)]
        path.write_bytes(whole)
        assert [item for item, _ in read(folder, items[-1][1])] == [login(3)]


def test_an_unfinished_end_of_an_older_segment_is_cut_and_counted(folder: Path) -> None:
    path = write_segment(folder, 1, login(1), login(2), login(3))
    write_segment(folder, 2, login(4))
    whole = path.read_bytes()
    last = begins(folder, login(1), login(2))[-1]
    for size in range(last + 1, len(whole)):
        path.write_bytes(whole[:size])
        records, gaps = read_all(folder)
        assert records == [login(1), login(2), login(4)]
        assert gaps == [Gap(GapCause.TORN_TAIL, Position(1, last), size - last)]
    path.write_bytes(whole[:last])
    assert read_all(folder) == ([login(1), login(2), login(4)], [])


def test_zeros_at_the_end_are_a_torn_tail(folder: Path) -> None:
    path = write_segment(folder, 1, login(1))
    write_segment(folder, 2, login(2))
    with path.open("ab") as file:
        file.write(bytes(5000))
    records, gaps = read_all(folder)
    assert records == [login(1), login(2)]
    assert [(gap.cause, gap.left_out) for gap in gaps] == [(GapCause.TORN_TAIL, 5000)]


@pytest.mark.parametrize("is_newest", [True, False])
def test_a_damaged_record_is_named_and_the_others_are_read(folder: Path, is_newest: bool) -> None:
    written = [login(1), login(2), login(3)]
    path = write_segment(folder, 1, *written)
    if not is_newest:
        write_segment(folder, 2, login(4))
    whole, [_, begin, end, _] = path.read_bytes(), begins(folder, *written)
    for offset in range(begin, end):
        flip(path, offset)
        items = list(read(folder, START))
        assert [item for item, _ in items][:3] == [
            login(1),
            Gap(GapCause.CORRUPT, Position(1, begin), end - begin),
            login(3),
        ]
        assert list(read(folder, items[1][1])) == items[2:]
        path.write_bytes(whole)


def test_a_damaged_header_loses_no_record(folder: Path) -> None:
    path = write_segment(folder, 1, login(1), login(2))
    flip(path, 3)
    gap = Gap(GapCause.CORRUPT, Position(1, 0), HEADER_SIZE)
    assert [item for item, _ in read(folder, START)] == [gap, login(1), login(2)]
    write_segment(folder, 2, login(3))
    for left in (b"", b"TOLL"):
        path.write_bytes(left)
        gap = Gap(GapCause.CORRUPT, Position(1, 0), len(left))
        assert [item for item, _ in read(folder, START)] == [gap, login(3)]


def test_a_missing_segment_is_named(folder: Path) -> None:
    for number in range(1, 7):
        write_segment(folder, number, login(number))
    position = next(position for item, position in read(folder, START) if item == login(2))
    segment_path(folder, 4).unlink()
    records, gaps = read_all(folder, position)
    assert records == [login(3), login(5), login(6)]
    assert gaps == [Gap(GapCause.MISSING, Position(4, 0), 0)]
    segment_path(folder, 2).unlink()
    segment_path(folder, 3).unlink()
    records, gaps = read_all(folder, position)
    assert records == [login(5), login(6)]
    assert gaps == [Gap(GapCause.MISSING, Position(2, 0), 0)]
    assert gaps[0].cause.loses_acknowledged


def test_a_reader_without_a_position_starts_at_the_oldest_segment(folder: Path) -> None:
    assert read_all(folder) == ([], [])
    write_segment(folder, 8, login(8))
    assert read_all(folder) == ([login(8)], [])


def test_a_position_that_a_power_cut_took_away(folder: Path) -> None:
    path = write_segment(folder, 1, login(1), login(2))
    *_, (_, position) = read(folder, START)
    shorter = begins(folder, login(1))[-1] + 3
    os.truncate(path, shorter)
    assert read_all(folder, position) == ([], [])  # the node is not up again
    write_segment(folder, 2, login(2), login(3))
    records, gaps = read_all(folder, position)
    assert records == [login(2), login(3)]
    assert gaps == [Gap(GapCause.SHORTENED, Position(1, shorter), position.offset - shorter)]
    assert not gaps[0].cause.loses_acknowledged


def test_a_position_ahead_of_all_segments_is_refused(folder: Path) -> None:
    with pytest.raises(PositionAhead, match="position 1/38, newest segment 0"):
        list(read(folder, Position(1, 38)))
    write_segment(folder, 1, login(1))
    with pytest.raises(PositionAhead):
        list(read(folder, Position(2, 0)))


def test_a_segment_of_another_node_is_refused(folder: Path) -> None:
    write_segment(folder, 1, login(1))
    write_segment(folder, 2, login(2)).write_bytes(encode_header(uuid4(), 2))
    items = read(folder, START)
    assert next(items)[0] == login(1)
    with pytest.raises(ForeignSegment, match="0000000000000002"):
        next(items)
    segment_path(folder, 2).write_bytes(segment_path(folder, 1).read_bytes())
    with pytest.raises(ForeignSegment):
        list(read(folder, START))


def test_a_newer_segment_is_refused_by_name_after_the_older_ones(folder: Path) -> None:
    write_segment(folder, 1, login(1))
    path = write_segment(folder, 2, login(2))
    data = path.read_bytes()
    path.write_bytes(data[:8] + struct.pack(">H", FORMAT + 1) + data[10:])
    items = read(folder, START)
    assert next(items)[0] == login(1)
    with pytest.raises(NewerFormat, match=r"0000000000000002\.journal: journal format 2"):
        next(items)


def test_records_across_the_chunks_that_are_read_at_a_time(folder: Path) -> None:
    sizes = [MAX_PAYLOAD, 1, MAX_PAYLOAD - 7, *[4099] * 900, MAX_PAYLOAD]
    written = [Record(RecordKind.DROPS, n, bytes([n % 256]) * size) for n, size in enumerate(sizes)]
    path = write_segment(folder, 1, *written)
    assert read_all(folder) == (written, [])
    offsets = begins(folder, *written)
    flip(path, offsets[500])
    records, [gap] = read_all(folder)
    assert records == written[:500] + written[501:]
    assert gap == Gap(GapCause.CORRUPT, Position(1, offsets[500]), offsets[501] - offsets[500])


def test_deleting_leaves_the_newest_and_what_is_not_read(folder: Path) -> None:
    for number in range(1, 5):
        write_segment(folder, number, login(number))
    assert delete_before(folder, START) == []
    assert delete_before(folder, Position(3, 60)) == [1, 2]
    assert list_segments(folder) == [3, 4]
    assert read_all(folder, Position(3, 0)) == ([login(3), login(4)], [])
    assert delete_before(folder, Position(9, 0)) == [3]


def test_a_folder_without_a_node(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(NoJournal, match="has not started yet"):
        list(read(tmp_path, START))
    write_segment(folder, 1, login(1))
    (folder / "node-id").write_text("router 7\n")
    with pytest.raises(JournalError, match="'router 7' is no uuid"):
        settle_node_id(folder)
    (folder / "node-id").unlink()
    with pytest.raises(JournalError, match="node-id is missing, but segments"):
        settle_node_id(folder)


def test_the_node_keeps_its_id_in_a_private_folder(folder: Path) -> None:
    node = UUID((folder / "node-id").read_text().strip())
    assert settle_node_id(folder) == read_node_id(folder) == node
    path = write_segment(folder, 1)
    assert [p.stat().st_mode & 0o777 for p in (folder, folder / "node-id", path)] == [0o700, 0o600, 0o600]


def test_one_reader_per_folder(folder: Path) -> None:
    with take_lock(folder, "reader"):
        with take_lock(folder, "writer"):
            with pytest.raises(JournalLocked, match=f"already has a reader: process {os.getpid()}$"):
                take_lock(folder, "reader")
    take_lock(folder, "reader").close()
