"""The RADIUS dictionary: what each attribute is called, which number it has and how its value is written.

The files lie in `dictionaries/`; pyrad reads them, and nothing of pyrad leaves this module. Values are encoded by
RFC 2865 section 5 and RFC 3162 section 2. The sentences of BadAttribute never repeat a value: it may be a secret.
"""

import difflib
import ipaddress
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType

from pyrad.dictionary import Dictionary as PyradDictionary
from pyrad.dictionary import ParseError

MASTER = Path(__file__).resolve().parent.parent / "dictionaries" / "dictionary"

MAX_VALUE = 253  # octets: one octet of length counts itself and the type (RFC 2865 section 5)
MAX_VENDOR_VALUE = 247  # octets: the vendor's id, type and length take six more (RFC 2865 section 5.26)
_MAX_INTEGER = 2**32 - 1
_IFID = re.compile(r"[0-9a-fA-F]{1,4}(:[0-9a-fA-F]{1,4}){3}")

# Attributes whose value belongs to one packet, and Class, which carries the policy version: an extra one typed in
# by hand would break the signature, the login or the following of sessions.
# fmt: off
_OURS_ALONE = {
    "User-Password", "CHAP-Password", "CHAP-Challenge", "ARAP-Password", "ARAP-Challenge-Response",
    "State", "Class", "Proxy-State", "EAP-Message", "Message-Authenticator", "Event-Timestamp",
    "MS-CHAP-Response", "MS-CHAP-Error", "MS-CHAP-Challenge", "MS-CHAP2-Response", "MS-CHAP2-Success",
    "MS-MPPE-Send-Key", "MS-MPPE-Recv-Key",
}
# fmt: on

Value = int | str | bytes | ipaddress.IPv4Address | ipaddress.IPv6Address | ipaddress.IPv6Network | datetime


class BadAttribute(ValueError):
    """An attribute that cannot be sent or read; the message is a sentence for people."""


class BadDictionary(ValueError):
    """A dictionary file that cannot be used; the message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of RADIUS: vendor is the vendor's number (0: none), code the type octet on the wire."""

    name: str
    vendor: int
    code: int
    type: str
    values: Mapping[str, int] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Dictionary:
    """All attributes, by name and by (vendor, code)."""

    by_name: Mapping[str, Attribute]
    by_code: Mapping[tuple[int, int], Attribute]


@cache
def load(path: Path | None = None) -> Dictionary:
    """Read a dictionary file and those that it includes, by default ours; once per process.

    Raises BadDictionary when a file is missing, cannot be parsed or has a type that we do not write.
    """
    file = path or MASTER
    try:
        source = PyradDictionary(str(file))
    except (OSError, ParseError, ValueError) as error:
        raise BadDictionary(f"The RADIUS dictionary {file} cannot be read: {error}.") from error
    by_name: dict[str, Attribute] = {}
    by_code: dict[tuple[int, int], Attribute] = {}
    for name, found in source.attributes.items():
        if found.type not in _TYPES or found.has_tag:
            raise BadDictionary(f"The RADIUS dictionary {file} gives {name} a type that cannot be written.")
        key = source.attrindex.GetForward(name)
        vendor, code = key if isinstance(key, tuple) else (0, key)
        numbers = {label: int.from_bytes(octets, "big") for label, octets in found.values.forward.items()}
        attribute = Attribute(name, vendor, code, found.type, MappingProxyType(numbers))
        by_name[name] = by_code[vendor, code] = attribute
    return Dictionary(MappingProxyType(by_name), MappingProxyType(by_code))


def encode_value(attribute: Attribute, value: object) -> bytes:
    """Return the octets of a value, given as text (as staff type it) or as what decode_value returns.

    integer: number, digits or a named value · date: UTC instant, seconds since 1970 or digits · octets: bytes, 0x
    and hex digits, or text · ipaddr, ipv6addr, ipv6prefix (with its length), ifid, string: text.
    Raises BadAttribute for a value of the wrong kind, an empty one (RFC 2865 section 5) or one too long for the wire.
    """
    kind = _TYPES[attribute.type]
    try:
        octets = kind.encode(attribute, value)
    except (ValueError, OverflowError):
        raise BadAttribute(f"{attribute.name} needs {_describe(attribute)}.") from None
    limit = MAX_VENDOR_VALUE if attribute.vendor else MAX_VALUE
    if len(octets) > limit:
        raise BadAttribute(f"{attribute.name} may be at most {limit} bytes long, this is {len(octets)}.")
    return octets


def decode_value(attribute: Attribute, octets: bytes) -> Value:
    """Return a value from the wire: int, str, bytes, an address or network of ipaddress, or a UTC datetime.

    Octets of a string that are not UTF-8 are shown as \\xNN. Raises BadAttribute when the length does not fit the type.
    """
    try:
        return _TYPES[attribute.type].decode(octets)
    except ValueError:
        raise BadAttribute(f"{attribute.name} does not hold {_describe(attribute)}.") from None


def check_extra(name: str, value: object) -> bytes:
    """Return the octets of an attribute that staff add to a plan or service, or raise BadAttribute saying why not."""
    dictionary = load()
    attribute = dictionary.by_name.get(name)
    if attribute is None:
        close = difflib.get_close_matches(name, dictionary.by_name, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise BadAttribute(f"No RADIUS attribute is called “{name}”.{hint}")
    if name in _OURS_ALONE:
        raise BadAttribute(f"{name} is set by Tollkeeper itself and cannot be added.")
    return encode_value(attribute, value)


def _describe(attribute: Attribute) -> str:
    names = f"one of {', '.join(attribute.values)} or " if attribute.values else ""
    return names + _TYPES[attribute.type].description


def _from_digits(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _encode_integer(attribute: Attribute, value: object) -> bytes:
    if isinstance(value, str) and value in attribute.values:
        value = attribute.values[value]
    value = _from_digits(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError
    return value.to_bytes(4, "big")


def _encode_date(attribute: Attribute, value: object) -> bytes:
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = int(value.timestamp())
    return _encode_integer(attribute, value)


def _encode_string(_: Attribute, value: object) -> bytes:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value.encode()


def _encode_octets(_: Attribute, value: object) -> bytes:
    if isinstance(value, str):
        value = bytes.fromhex(value[2:]) if value.startswith("0x") else value.encode()
    if not isinstance(value, bytes) or not value:
        raise ValueError
    return value


def _encode_ipaddr(_: Attribute, value: object) -> bytes:
    if not isinstance(value, str | ipaddress.IPv4Address):
        raise ValueError
    return ipaddress.IPv4Address(value).packed


def _encode_ipv6addr(_: Attribute, value: object) -> bytes:
    if not isinstance(value, str | ipaddress.IPv6Address) or "%" in str(value):  # no zone fits into 16 octets
        raise ValueError
    return ipaddress.IPv6Address(value).packed


def _encode_ipv6prefix(_: Attribute, value: object) -> bytes:
    if not isinstance(value, str | ipaddress.IPv6Network) or "/" not in str(value) or "%" in str(value):
        raise ValueError
    network = ipaddress.IPv6Network(value)
    return bytes((0, network.prefixlen)) + network.network_address.packed


def _encode_ifid(_: Attribute, value: object) -> bytes:
    if not isinstance(value, str) or not _IFID.fullmatch(value):
        raise ValueError
    return bytes.fromhex("".join(group.zfill(4) for group in value.split(":")))


def _fixed(octets: bytes, length: int) -> bytes:
    if len(octets) != length:
        raise ValueError
    return octets


def _decode_integer(octets: bytes) -> int:
    return int.from_bytes(_fixed(octets, 4), "big")


def _decode_ipv6prefix(octets: bytes) -> ipaddress.IPv6Network:
    if not 2 <= len(octets) <= 18:
        raise ValueError
    # The prefix may be cut after its last octet that is not zero; bits beyond its length are not its own.
    return ipaddress.IPv6Network((octets[2:].ljust(16, b"\0"), octets[1]), strict=False)


@dataclass(frozen=True, slots=True)
class _Type:
    description: str
    encode: Callable[[Attribute, object], bytes]
    decode: Callable[[bytes], Value]


_TYPES = {
    "integer": _Type(f"a whole number from 0 to {_MAX_INTEGER}", _encode_integer, _decode_integer),
    "date": _Type(
        "a moment, as seconds since 1970",
        _encode_date,
        lambda octets: datetime.fromtimestamp(_decode_integer(octets), UTC),
    ),
    "string": _Type("some text", _encode_string, lambda octets: octets.decode(errors="backslashreplace")),
    "octets": _Type("some bytes, as text or as 0x and hex digits", _encode_octets, bytes),
    "ipaddr": _Type(
        "an IPv4 address such as 192.0.2.1",
        _encode_ipaddr,
        lambda octets: ipaddress.IPv4Address(_fixed(octets, 4)),
    ),
    "ipv6addr": _Type(
        "an IPv6 address such as 2001:db8::1",
        _encode_ipv6addr,
        lambda octets: ipaddress.IPv6Address(_fixed(octets, 16)),
    ),
    "ipv6prefix": _Type("an IPv6 prefix such as 2001:db8:100::/56", _encode_ipv6prefix, _decode_ipv6prefix),
    "ifid": _Type(
        "an interface id such as 211:22ff:fe33:4455",
        _encode_ifid,
        lambda octets: "{:x}:{:x}:{:x}:{:x}".format(*struct.unpack("!4H", _fixed(octets, 8))),
    ),
}
