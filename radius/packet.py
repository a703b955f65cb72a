"""The RADIUS wire codec: datagrams to packets and back, checked and signed; no socket, no clock, no database.

A datagram goes through parse, then check_message_authenticator or check_request_authenticator; an answer leaves
through reply, with its attributes encoded beforehand. Everything here runs once or more per login, so it is plain
slices and MD5. Sources: RFC 2865, RFC 2866, RFC 2869 section 5.14, RFC 3579 section 3.2, RFC 5176, RFC 5997.
"""

import hmac
import secrets
import struct
from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from hashlib import md5
else:
    try:  # on packets this small CPython's own MD5 takes two thirds of the time of OpenSSL's; FIPS mode keeps it
        from _md5 import md5
    except ImportError:  # a Python built without it
        from hashlib import md5

MIN_PACKET = 20  # octets: code, identifier, length, authenticator (RFC 2865 section 3)
MAX_PACKET = 4096
MAX_ATTRIBUTES = 200  # in one packet; more is an attack on the parser, no NAS comes near it
MAX_PASSWORD = 128

VENDOR_SPECIFIC = 26
MESSAGE_AUTHENTICATOR = 80

_HEADER = struct.Struct("!BBH")
_ZERO = bytes(16)
_MESSAGE_AUTHENTICATOR_HEADER = bytes((MESSAGE_AUTHENTICATOR, 18))
_UNSIGNED = _MESSAGE_AUTHENTICATOR_HEADER + _ZERO


class Code(IntEnum):
    """What a packet is (RFC 2865 section 3, RFC 2866, RFC 5176 section 2, RFC 5997, RFC 7930)."""

    ACCESS_REQUEST = 1
    ACCESS_ACCEPT = 2
    ACCESS_REJECT = 3
    ACCOUNTING_REQUEST = 4
    ACCOUNTING_RESPONSE = 5
    ACCESS_CHALLENGE = 11
    STATUS_SERVER = 12
    DISCONNECT_REQUEST = 40
    DISCONNECT_ACK = 41
    DISCONNECT_NAK = 42
    COA_REQUEST = 43
    COA_ACK = 44
    COA_NAK = 45
    PROTOCOL_ERROR = 52


_CODES = {int(code): code for code in Code}
# Requests whose authenticator is random, and requests whose authenticator is a digest of the packet.
_RANDOM = frozenset((Code.ACCESS_REQUEST, Code.STATUS_SERVER))
_DIGESTED = frozenset((Code.ACCOUNTING_REQUEST, Code.DISCONNECT_REQUEST, Code.COA_REQUEST))

MalformedName = Literal[
    "too_short",  # fewer than 20 octets received
    "bad_length",  # the length field says fewer than 20
    "too_long",  # the length field says more than 4096
    "truncated",  # the length field says more than was received
    "unknown_code",
    "attribute_zero",  # no attribute has type 0
    "attribute_length",  # an attribute says that it is shorter than its own header
    "attribute_overrun",  # the last attribute does not end where the packet ends
    "too_many_attributes",
    "user_password",  # not 16 to 128 octets, or not a multiple of 16
]


class Malformed(Exception):
    """A packet that cannot be understood; name says why, in the word under which it is counted."""

    def __init__(self, name: MalformedName) -> None:
        super().__init__(name)
        self.name: MalformedName = name


class Packet:
    """A packet as received: attributes are (type, value) in order, raw ends where the length field says.

    signed_at is where in raw the value of the Message-Authenticator starts: 0 without one, -1 when it is not
    exactly one of 18 octets.
    """

    __slots__ = ("_firsts", "attributes", "authenticator", "code", "identifier", "raw", "signed_at")

    def __init__(
        self,
        code: Code,
        identifier: int,
        authenticator: bytes,
        attributes: list[tuple[int, bytes]],
        raw: bytes,
        signed_at: int,
    ) -> None:
        self.code = code
        self.identifier = identifier
        self.authenticator = authenticator
        self.attributes = attributes
        self.raw = raw
        self.signed_at = signed_at
        self._firsts = dict(reversed(attributes))

    def __contains__(self, type: int) -> bool:
        """Say whether there is an attribute of this type."""
        return type in self._firsts

    def first(self, type: int) -> bytes | None:
        """Return the value of the first attribute of this type, or None."""
        return self._firsts.get(type)

    def all(self, type: int) -> list[bytes]:
        """Return the values of all attributes of this type, in order."""
        if type not in self._firsts:
            return []
        return [value for found, value in self.attributes if found == type]

    def vendor(self, vendor_id: int, type: int) -> list[bytes]:
        """Return the values of all attributes of this vendor and type, in order (RFC 2865 section 5.26).

        A Vendor-Specific attribute may hold several; one that its parts do not fill exactly counts as absent.
        """
        prefix = vendor_id.to_bytes(4, "big")
        values = []
        for found, value in self.attributes:
            if found == VENDOR_SPECIFIC and value.startswith(prefix):
                values += [part for kind, part in _split_vendor(value) if kind == type]
        return values


def parse(datagram: bytes) -> Packet:
    """Return the packet in a datagram, or raise Malformed (RFC 2865 sections 3 and 5).

    What follows the length field's end is padding and ignored. Says nothing yet about who sent it.
    """
    if len(datagram) < MIN_PACKET:
        raise Malformed("too_short")
    code, identifier, length = _HEADER.unpack_from(datagram)
    if length < MIN_PACKET:
        raise Malformed("bad_length")
    if length > MAX_PACKET:
        raise Malformed("too_long")
    if length > len(datagram):
        raise Malformed("truncated")
    known = _CODES.get(code)
    if known is None:
        raise Malformed("unknown_code")
    raw = datagram[:length]
    attributes: list[tuple[int, bytes]] = []
    at = MIN_PACKET
    signed_at = 0
    try:
        while at < length:
            type = raw[at]
            size = raw[at + 1]
            if size < 2 or not type:
                raise Malformed("attribute_length" if size < 2 else "attribute_zero")
            if type == MESSAGE_AUTHENTICATOR:
                signed_at = at + 2 if size == 18 and not signed_at else -1
            end = at + size
            attributes.append((type, raw[at + 2 : end]))
            at = end
    except IndexError:  # a type without a length
        raise Malformed("attribute_overrun") from None
    if at != length:
        raise Malformed("attribute_overrun")
    if len(attributes) > MAX_ATTRIBUTES:
        raise Malformed("too_many_attributes")
    return Packet(known, identifier, raw[4:20], attributes, raw, signed_at)


def check_message_authenticator(
    packet: Packet, secret: bytes, request_authenticator: bytes | None = None
) -> Literal["absent", "valid", "invalid"]:
    """Say whether the packet carries the Message-Authenticator that only a holder of the secret can make.

    One that is not 18 octets long, or not alone, is invalid, and so is a reply's without its request's authenticator.
    RFC 2869 section 5.14, RFC 3579 section 3.2, RFC 5176 section 3.4, RFC 5997 section 3.
    """
    at = packet.signed_at
    if not at:
        return "absent"
    if at < 0:
        return "invalid"
    raw = packet.raw
    if packet.code in _RANDOM:
        authenticator = packet.authenticator
    elif packet.code in _DIGESTED:
        authenticator = _ZERO
    elif request_authenticator is not None:
        authenticator = request_authenticator
    else:
        return "invalid"
    expected = _hmac_md5(secret, raw[:4] + authenticator + raw[20:at] + _ZERO + raw[at + 16 :])
    return "valid" if hmac.compare_digest(expected, raw[at : at + 16]) else "invalid"


def check_request_authenticator(packet: Packet, secret: bytes) -> bool:
    """Say whether an Accounting-, CoA- or Disconnect-Request was made with the secret.

    RFC 2866 section 3, RFC 5176 section 2.3. Never true for an Access-Request, whose authenticator is random.
    """
    return check_response(packet, _ZERO, secret)


def check_response(packet: Packet, request_authenticator: bytes, secret: bytes) -> bool:
    """Say whether a reply was made with the secret for the request of this authenticator (RFC 2865 section 3)."""
    raw = packet.raw
    expected = md5(raw[:4] + request_authenticator + raw[20:] + secret).digest()
    return hmac.compare_digest(expected, packet.authenticator)


def attribute(type: int, value: bytes) -> bytes:
    """Return one attribute as it goes on the wire; ValueError when the value has more than 253 octets."""
    if not 1 <= type <= 255 or len(value) > 253:
        raise ValueError(f"attribute {type} cannot hold {len(value)} octets")
    return bytes((type, len(value) + 2)) + value


def vendor_attribute(vendor_id: int, type: int, value: bytes) -> bytes:
    """Return one attribute of a vendor, alone in its Vendor-Specific attribute (RFC 2865 section 5.26).

    ValueError when the value has more than 247 octets.
    """
    if not 0 <= type <= 255 or len(value) > 247:
        raise ValueError(f"attribute {type} of vendor {vendor_id} cannot hold {len(value)} octets")
    size = len(value)
    return bytes((VENDOR_SPECIFIC, size + 8)) + vendor_id.to_bytes(4, "big") + bytes((type, size + 2)) + value


def encode_attributes(pairs: Iterable[tuple[int, bytes]]) -> bytes:
    """Return (type, value) pairs as they go on the wire, in order; ValueError as for attribute."""
    return b"".join([attribute(type, value) for type, value in pairs])


def reply(
    code: Code,
    identifier: int,
    request_authenticator: bytes,
    attributes: bytes,
    secret: bytes,
    message_authenticator: bool = True,
) -> bytes:
    """Return a signed reply: Message-Authenticator first where wanted, then the attributes (RFC 2865 section 3).

    Leave the Message-Authenticator out of an Accounting-Response to an Accounting-Request: no RFC defines it there
    and peers differ. A reply to Status-Server has one (RFC 5997 section 3). ValueError beyond 4096 octets.
    """
    if message_authenticator:
        head = _head(code, identifier, len(attributes) + 18)
        digest = _hmac_md5(secret, head + request_authenticator + _UNSIGNED + attributes)
        attributes = _MESSAGE_AUTHENTICATOR_HEADER + digest + attributes
    else:
        head = _head(code, identifier, len(attributes))
    return head + md5(head + request_authenticator + attributes + secret).digest() + attributes


def request(
    code: Code,
    identifier: int,
    attributes: bytes,
    secret: bytes,
    authenticator: bytes | None = None,
    message_authenticator: bool = True,
) -> bytes:
    """Return a signed request, its Message-Authenticator first where wanted.

    Access-Request and Status-Server take the authenticator given (16 octets, with which a User-Password was hidden)
    or a random one; the others compute theirs, as an answer with a zero request authenticator would (RFC 2866
    section 3, RFC 5176 sections 2.3 and 3.4). ValueError beyond 4096 octets or for a code that is no request.
    """
    if code in _DIGESTED and authenticator is None:
        return reply(code, identifier, _ZERO, attributes, secret, message_authenticator)
    if code not in _RANDOM:
        raise ValueError(f"{code.name} is no request, or computes its authenticator itself")
    if authenticator is None:
        authenticator = secrets.token_bytes(16)
    if len(authenticator) != 16:
        raise ValueError("an authenticator has 16 octets")
    if message_authenticator:
        start = _head(code, identifier, len(attributes) + 18) + authenticator
        digest = _hmac_md5(secret, start + _UNSIGNED + attributes)
        return start + _MESSAGE_AUTHENTICATOR_HEADER + digest + attributes
    return _head(code, identifier, len(attributes)) + authenticator + attributes


def hide_password(password: bytes, secret: bytes, authenticator: bytes) -> bytes:
    """Return a User-Password value (RFC 2865 section 5.2); ValueError for more than 128 octets."""
    if len(password) > MAX_PASSWORD:
        raise ValueError(f"a password may have {MAX_PASSWORD} octets, this has {len(password)}")
    padded = password + bytes(-len(password) % 16) or _ZERO
    hidden = b""
    before = authenticator
    for at in range(0, len(padded), 16):
        before = _xor(padded[at : at + 16], md5(secret + before).digest())
        hidden += before
    return hidden


def reveal_password(value: bytes, secret: bytes, authenticator: bytes) -> bytes:
    """Return the password in a User-Password value, without the NUL octets that pad it (RFC 2865 section 5.2).

    A wrong secret gives other octets, not an error. Raises Malformed when the length cannot be right.
    """
    size = len(value)
    if size % 16 or not 16 <= size <= MAX_PASSWORD:
        raise Malformed("user_password")
    if size == 16:
        return _xor(value, md5(secret + authenticator).digest()).rstrip(b"\0")
    before = authenticator + value
    pads = b"".join([md5(secret + before[at : at + 16]).digest() for at in range(0, size, 16)])
    return _xor(value, pads).rstrip(b"\0")


def _split_vendor(value: bytes) -> list[tuple[int, bytes]]:
    parts: list[tuple[int, bytes]] = []
    at = 4
    while at + 2 <= len(value):
        end = at + value[at + 1]
        if end < at + 2:
            return []
        parts.append((value[at], value[at + 2 : end]))
        at = end
    return parts if at == len(value) else []


def _head(code: Code, identifier: int, size: int) -> bytes:
    if size > MAX_PACKET - MIN_PACKET:
        raise ValueError(f"a packet may have {MAX_PACKET} octets, this has {size + MIN_PACKET}")
    return _HEADER.pack(code, identifier, size + MIN_PACKET)


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


@lru_cache(maxsize=4096)
def _hmac_states(secret: bytes) -> tuple[Any, Any]:
    """Return MD5 having read the inner and the outer key of HMAC (RFC 2104): the part that never changes."""
    key = (secret if len(secret) <= 64 else md5(secret).digest()).ljust(64, b"\0")
    return md5(bytes(octet ^ 0x36 for octet in key)), md5(bytes(octet ^ 0x5C for octet in key))


def _hmac_md5(secret: bytes, message: bytes) -> bytes:
    # A third of the time of hmac.digest, whose key schedule costs more than a packet's worth of MD5.
    inner, outer = _hmac_states(secret)
    inner = inner.copy()
    inner.update(message)
    outer = outer.copy()
    outer.update(inner.digest())
    digest: bytes = outer.digest()
    return digest
