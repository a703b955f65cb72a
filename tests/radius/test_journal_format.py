"""The bytes of a journal: everything comes back as it went in, and nothing else comes back."""

import json
import struct
from datetime import UTC, datetime
from ipaddress import ip_address
from uuid import UUID, uuid4
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radius import journal_format
from radius.journal_format import (
    HEADER_SIZE,
    MAX_PAYLOAD,
    Accounting,
    NewerFormat,
    Record,
    RecordKind,
    decode_accounting,
    decode_header,
    decode_json,
    decode_record,
    encode_accounting,
    encode_header,
    encode_json,
    encode_login,
    encode_record,
    find_record,
    pack_address,
)

NODE = UUID("0d7cf0f0-7a39-4d5b-8a34-0f7c2a6b9c11")
SEED = crc32(NODE.bytes)

records = st.builds(Record, st.sampled_from(RecordKind), st.integers(0, 2**64 - 1), st.binary(max_size=600))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


@given(st.lists(records, max_size=8))
def test_records_come_back_as_they_went_in(written: list[Record]) -> None:
    data = b"".join(encode_record(NODE, record) for record in written)
    read, offset = [], 0
    while found := decode_record(data, offset, SEED):
        record, offset = found
        read.append(record)
    assert read == written
    assert offset == len(data)


@given(records, records)
def test_a_record_cut_anywhere_is_no_record(first: Record, last: Record) -> None:
    whole, cut = encode_record(NODE, first), encode_record(NODE, last)
    for size in range(len(cut)):
        assert decode_record(whole + cut[:size], 0, SEED) == (first, len(whole))
        assert decode_record(whole + cut[:size], len(whole), SEED) is None


@given(records, st.data())
def test_a_record_with_one_wrong_bit_is_no_record(record: Record, data: st.DataObject) -> None:
    damaged = bytearray(encode_record(NODE, record))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert decode_record(bytes(damaged), 0, SEED) is None


@given(st.binary(max_size=80) | st.text("\x00\x01\x05").map(str.encode), records, st.binary(max_size=80))
def test_a_record_is_found_behind_damaged_bytes(before: bytes, record: Record, behind: bytes) -> None:
    assert find_record(before + encode_record(NODE, record) + behind, 0, SEED) == len(before)


def test_a_record_that_a_subscriber_typed_is_not_found() -> None:
    forged = encode_record(uuid4(), Record(RecordKind.LOGIN, 1, b"{}"))
    outer = encode_record(NODE, Record(RecordKind.ACCOUNTING, 1, b"user=" + forged + b"!"))
    assert find_record(outer, 1, SEED) is None


def test_zeros_are_no_record() -> None:
    assert decode_record(bytes(100), 0, SEED) is None
    assert find_record(bytes(1 << 20), 0, SEED) is None


def test_a_kind_that_is_not_known_is_no_record() -> None:
    body = struct.pack(">BQ", max(RecordKind) + 1, 1)
    assert decode_record(struct.pack(">II", len(body), crc32(body, SEED)) + body, 0, SEED) is None


def test_a_payload_may_be_large_but_not_larger() -> None:
    largest = Record(RecordKind.DROPS, 1, bytes(MAX_PAYLOAD))
    assert decode_record(encode_record(NODE, largest), 0, SEED)
    assert find_record(b"?" + encode_record(NODE, largest), 0, SEED) == 1
    with pytest.raises(ValueError, match="1048577 bytes; at most 1048576"):
        encode_record(NODE, largest._replace(payload=bytes(MAX_PAYLOAD + 1)))


def test_arrival_is_an_instant_in_utc() -> None:
    record = Record(RecordKind.LOGIN, 1_772_323_200_000_001, b"")
    assert record.at == datetime(2026, 3, 1, 0, 0, 0, 1, tzinfo=UTC)


@given(st.uuids(), st.integers(0, 2**64 - 1))
def test_headers_come_back_as_they_went_in(node: UUID, segment: int) -> None:
    header = encode_header(node, segment)
    assert len(header) == HEADER_SIZE
    assert decode_header(header) == (node, segment)
    assert decode_header(header[:-1]) is None


def test_a_header_with_a_wrong_byte_is_none() -> None:
    header = encode_header(NODE, 7)
    for at in (*range(8), *range(10, HEADER_SIZE)):  # 8 and 9 are the format number
        assert decode_header(header[:at] + bytes([header[at] ^ 1]) + header[at + 1 :]) is None


def test_a_newer_segment_format_is_refused_by_name() -> None:
    header = bytearray(encode_header(NODE, 7))
    header[8:10] = struct.pack(">H", journal_format.FORMAT + 1)
    with pytest.raises(NewerFormat, match="journal format 2; this version reads up to 1"):
        decode_header(bytes(header))


@given(st.integers(0, 2**64 - 1), st.ip_addresses(), st.integers(0, 65535), st.binary(max_size=4096))
def test_accounting_comes_back_as_it_went_in(nas_id: int, address: object, port: int, datagram: bytes) -> None:
    written = Accounting(nas_id, pack_address(str(address)), port, datagram)
    read = decode_accounting(encode_accounting(written))
    assert read == written
    mapped = getattr(address, "ipv4_mapped", None)
    assert read.address == (mapped or address)


def test_addresses_take_16_bytes_and_no_zone() -> None:
    assert pack_address("192.0.2.1") == bytes(10) + b"\xff\xff\xc0\x00\x02\x01"
    assert pack_address("fe80::1%eth0") == ip_address("fe80::1").packed


def test_a_short_accounting_payload_is_refused() -> None:
    with pytest.raises(ValueError, match="25 bytes; at least 26"):
        decode_accounting(bytes(25))


@given(st.dictionaries(st.text().filter(lambda key: key != "v"), json_values, max_size=4))
def test_json_comes_back_with_its_format(values: dict[str, object]) -> None:
    assert decode_json(encode_json(values)) == {**values, "v": 1}


def test_newer_json_is_refused_by_name() -> None:
    with pytest.raises(NewerFormat, match="payload format 2; this version reads up to 1"):
        decode_json(b'{"v":2}')


@pytest.mark.parametrize("payload", [b"{}", b"[]", b'{"v":"1"}', b'{"v":true}', b'{"v":0}', b"{", b"\xff"])
def test_json_without_a_format_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError):
        decode_json(payload)


def test_json_is_as_typed() -> None:
    assert json.loads(encode_json({"login": "Zoë <b>"})) == {"login": "Zoë <b>", "v": 1}


@given(st.integers(1, 2**63 - 1), st.text(), st.none() | st.integers(1, 2**63 - 1), st.booleans(), st.text(), st.text())
def test_a_login_is_written_as_json_would_be(
    nas: int, login: str, service: int | None, accepted: bool, why: str, station: str
) -> None:
    facts = {"nas": nas, "login": login, "service": service, "ok": accepted, "why": why, "from": station}
    assert encode_login(nas, login, service, accepted, why, station) == encode_json(facts)
