"""The bytes of a node's journal: segment header, records and payloads; pure, no file is opened here.

    segment   header record record …               (all numbers big-endian)
    header    magic 8s, format u16, node id 16s, segment number u64, CRC32 u32 of all before it
    record    length u32, CRC32 u32, kind u8, arrival u64, payload
              length counts kind, arrival and payload; arrival is in microseconds UTC since 1970;
              the CRC runs over node id, kind, arrival and payload

The node id in every CRC makes a record of another node, or one that a subscriber typed as a user name, no
record here, so that the search for whole records behind damaged bytes cannot be led astray.
A new kind or another layout raises FORMAT: the older is read, a newer is refused by name.
"""

import json
import re
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from json.encoder import encode_basestring as _quote
from typing import Any, NamedTuple
from uuid import UUID
from zlib import crc32

FORMAT = 1
"""The segment format that this version writes, and the newest that it reads."""
JSON_FORMAT = 1
"""The 'v' of JSON payloads that this version writes, and the newest that it reads."""
MAX_PAYLOAD = 1 << 20
"""Bytes of the largest payload; a RADIUS packet has at most 4096."""

MAGIC = b"TOLLJRNL"
_HEADER = struct.Struct(">8sH16sQ")
_CRC = struct.Struct(">I")
_FRAME = struct.Struct(">II")
_MARK = struct.Struct(">BQ")
_ACCOUNTING = struct.Struct(">Q16sH")
HEADER_SIZE = _HEADER.size + _CRC.size
FRAME_SIZE = _FRAME.size
MAX_RECORD = FRAME_SIZE + _MARK.size + MAX_PAYLOAD


class JournalError(Exception):
    """Something about a journal that a person has to look at; the sentence says what."""


class NewerFormat(JournalError):
    """Written by a newer version of the program than this one."""


class RecordKind(IntEnum):
    """What a record tells; ACCOUNTING carries `Accounting`, all others JSON with a format number."""

    ACCOUNTING = 1
    LOGIN = 2
    DROPS = 3
    UNKNOWN_NAS = 4
    NAS_FLAGS = 5


# Records and positions pass by the hundred thousand: tuples are made three times as fast as frozen dataclasses.
class Record(NamedTuple):
    kind: RecordKind
    at_us: int
    """Arrival, microseconds UTC since 1970."""
    payload: bytes

    @property
    def at(self) -> datetime:
        """Arrival as an aware datetime in UTC."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.at_us)


class Position(NamedTuple):
    """A place between two records: segment number and byte offset. Positions compare in reading order."""

    segment: int
    offset: int


START = Position(0, 0)
"""Before the oldest segment there is, whatever its number."""


class Accounting(NamedTuple):
    """An Accounting-Request as it came, already verified."""

    nas_id: int
    """The NAS row that it was verified with."""
    source: bytes
    """Source address, 16 bytes; IPv4 is mapped (::ffff:a.b.c.d, RFC 4291 section 2.5.5.2)."""
    port: int
    datagram: bytes

    @property
    def address(self) -> IPv4Address | IPv6Address:
        """The source address in its own family."""
        address = IPv6Address(self.source)
        return address.ipv4_mapped or address


@lru_cache(maxsize=8192)
def pack_address(text: str) -> bytes:
    """Give the 16 bytes of an IPv4 (mapped) or IPv6 address; a zone after % is left out."""
    address = ip_address(text.partition("%")[0])
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def encode_header(node: UUID, segment: int) -> bytes:
    """Give the first HEADER_SIZE bytes of a segment."""
    fields = _HEADER.pack(MAGIC, FORMAT, node.bytes, segment)
    return fields + _CRC.pack(crc32(fields))


def decode_header(data: bytes) -> tuple[UUID, int] | None:
    """Read node id and segment number, or None when these bytes are no whole header.

    Raises NewerFormat. That is looked at before the CRC, because a newer format may keep it elsewhere.
    """
    if len(data) < HEADER_SIZE:
        return None
    magic, number, node, segment = _HEADER.unpack_from(data)
    if magic != MAGIC:
        return None
    if number > FORMAT:
        raise NewerFormat(f"journal format {number}; this version reads up to {FORMAT}")
    if _CRC.unpack_from(data, _HEADER.size)[0] != crc32(data[: _HEADER.size]):
        return None
    return UUID(bytes=node), segment


def encode_record(node: UUID, record: Record) -> bytes:
    """Give the bytes of one record. Raises ValueError when the payload is above MAX_PAYLOAD."""
    return seal(crc32(node.bytes), record.kind, record.at_us, record.payload)


def seal(seed: int, kind: RecordKind, at_us: int, payload: bytes) -> bytes:
    """Give the bytes of one record; `seed` is the CRC32 of the node id. The writer's hot path."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a journal payload of {len(payload)} bytes; at most {MAX_PAYLOAD} are allowed")
    body = _MARK.pack(kind, at_us) + payload
    return _FRAME.pack(len(body), crc32(body, seed)) + body


def decode_record(data: bytes, offset: int, seed: int) -> tuple[Record, int] | None:
    """Read the record at `offset` and where it ends, or None when no whole valid record stands there."""
    if offset + FRAME_SIZE > len(data):
        return None
    length, checksum = _FRAME.unpack_from(data, offset)
    start, end = offset + FRAME_SIZE, offset + FRAME_SIZE + length
    if not _MARK.size <= length <= _MARK.size + MAX_PAYLOAD or end > len(data):
        return None
    body = data[start:end]
    if crc32(body, seed) != checksum:
        return None
    kind, at_us = _MARK.unpack_from(body)
    known = _KINDS.get(kind)
    return None if known is None else (Record(known, at_us, body[_MARK.size :]), end)


_KINDS = {int(kind): kind for kind in RecordKind}
# What the first nine bytes of any record look like: the length's high byte is 0, the kind is one we know.
_CANDIDATE = re.compile(rb"(?=\x00[\x00-\x10].{2}.{4}[\x01-\x%02x])" % max(RecordKind), re.DOTALL)


def find_record(data: bytes, offset: int, seed: int) -> int | None:
    """Find the first whole valid record that starts at or after `offset`."""
    for candidate in _CANDIDATE.finditer(data, offset):
        if decode_record(data, candidate.start(), seed):
            return candidate.start()
    return None


def encode_accounting(accounting: Accounting) -> bytes:
    """Give the payload of an ACCOUNTING record: NAS u64, source 16 bytes, port u16, datagram."""
    return _ACCOUNTING.pack(accounting.nas_id, accounting.source, accounting.port) + accounting.datagram


def decode_accounting(payload: bytes) -> Accounting:
    """Read the payload of an ACCOUNTING record. Raises ValueError when it is too short to be one."""
    if len(payload) < _ACCOUNTING.size:
        raise ValueError(f"an accounting payload of {len(payload)} bytes; at least {_ACCOUNTING.size} are needed")
    nas_id, source, port = _ACCOUNTING.unpack_from(payload)
    return Accounting(nas_id, source, port, payload[_ACCOUNTING.size :])


def encode_login(nas: int, login: str, service: int | None, accepted: bool, why: str, station: str) -> bytes:
    """Give the payload of a LOGIN record: what `encode_json` would give, in a seventh of its time, once per login."""
    return (
        f'{{"nas":{nas},"login":{_quote(login)},"service":{"null" if service is None else service},'
        f'"ok":{"true" if accepted else "false"},"why":{_quote(why)},"from":{_quote(station)},"v":{JSON_FORMAT}}}'
    ).encode()


def encode_json(values: Mapping[str, Any]) -> bytes:
    """Give a JSON payload: `values` and the format number 'v', which is ours to set."""
    return json.dumps({**values, "v": JSON_FORMAT}, ensure_ascii=False, separators=(",", ":")).encode()


def decode_json(payload: bytes) -> dict[str, Any]:
    """Read a JSON payload with its 'v'. Raises NewerFormat, or ValueError when it is not such an object."""
    values = json.loads(payload)
    if not isinstance(values, dict) or type(values.get("v")) is not int or values["v"] < 1:
        raise ValueError("a journal payload without its format number 'v'")
    if values["v"] > JSON_FORMAT:
        raise NewerFormat(f"journal payload format {values['v']}; this version reads up to {JSON_FORMAT}")
    return values
