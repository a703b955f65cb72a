"""Requests of a simulated NAS on the wire, and the strict judgement of what comes back.

The NAS is a judge of our server: an answer that is not right in every octet is no answer, and its fault has a name.
Attributes are written and read with the dictionary alone, so that a mistake in our dialects is not repeated here.
"""

import socket
import time
from collections.abc import Callable, Sequence

from base.dictionary import BadAttribute, Value, decode_value, encode_value, load
from radius.packet import (
    MESSAGE_AUTHENTICATOR,
    VENDOR_SPECIFIC,
    Code,
    Malformed,
    Packet,
    attribute,
    check_message_authenticator,
    check_response,
    parse,
    vendor_attribute,
)

Pairs = Sequence[tuple[str, object]]

_ANSWERS = {
    Code.ACCESS_REQUEST: {Code.ACCESS_ACCEPT, Code.ACCESS_REJECT},
    Code.ACCOUNTING_REQUEST: {Code.ACCOUNTING_RESPONSE},
}


def encode(pairs: Pairs) -> bytes:
    """Names and values as octets, in order."""
    names = load().by_name
    octets = b""
    for name, value in pairs:
        found = names[name]
        body = encode_value(found, value)
        octets += vendor_attribute(found.vendor, found.code, body) if found.vendor else attribute(found.code, body)
    return octets


def decode(packet: Packet) -> list[tuple[str, Value]]:
    """All attributes in order, those of vendors taken out of their envelopes; an unknown one is named by number.

    base.dictionary's BadAttribute when a value does not fit its type.
    """
    pairs: list[tuple[str, Value]] = []
    for code, value in packet.attributes:
        if code == VENDOR_SPECIFIC and len(value) > 4:
            pairs += _decode_vendor(int.from_bytes(value[:4], "big"), value[4:])
        else:
            pairs.append(_decode_one(0, code, value))
    return pairs


def _decode_vendor(vendor: int, octets: bytes) -> list[tuple[str, Value]]:
    """The attributes inside one Vendor-Specific attribute (RFC 2865 section 5.26)."""
    pairs = []
    while octets:
        size = octets[1] if len(octets) > 1 else 0
        if not 2 <= size <= len(octets):
            return [(f"Vendor-{vendor}", octets)]
        pairs.append(_decode_one(vendor, octets[0], octets[2:size]))
        octets = octets[size:]
    return pairs


def _decode_one(vendor: int, code: int, octets: bytes) -> tuple[str, Value]:
    found = load().by_code.get((vendor, code))
    if found is None:
        return f"Attr-26.{vendor}.{code}" if vendor else f"Attr-{code}", octets
    return found.name, decode_value(found, octets)


def ask(
    source: str,
    server: tuple[str, int],
    datagram: bytes,
    secret: bytes,
    waits: Sequence[float],
    on_fault: Callable[[str], object],
) -> Packet | None:
    """Send from `source` until a right answer comes; None when the last of `waits` (seconds after each send) is over.

    Every retransmission is identical (RFC 5080 section 2.2.1). Each request has a socket of its own, so identifiers
    never collide and only the server itself can answer. `on_fault` hears the name of everything that is no answer.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.connect(server)
        for wait in waits:
            deadline = time.monotonic() + wait
            try:
                sock.send(datagram)
            except ConnectionRefusedError:  # an ICMP error of the send before
                sock.send(datagram)
            while (left := deadline - time.monotonic()) > 0:
                sock.settimeout(left)
                try:
                    answer = sock.recv(65535)
                except TimeoutError:
                    break
                except ConnectionRefusedError:  # nobody listens; somebody may before the next send
                    time.sleep(max(0.0, deadline - time.monotonic()))
                    break
                packet = judge(answer, datagram, secret)
                if isinstance(packet, Packet):
                    return packet
                on_fault(packet)
    return None


def judge(answer: bytes, request: bytes, secret: bytes) -> Packet | str:
    """The answer to a request, or the name of what is wrong with it.

    RFC 2865 section 3 (Response Authenticator); an answer to a login must begin with its Message-Authenticator
    (RFC 3579 section 3.2 and what every vendor demands since CVE-2024-3596).
    """
    try:
        packet = parse(answer)
    except Malformed as error:
        return error.name
    code = Code(request[0])
    if packet.identifier != request[1] or packet.code not in _ANSWERS[code]:
        return "unexpected_answer"
    if not check_response(packet, request[4:20], secret):
        return "bad_authenticator"
    signed = check_message_authenticator(packet, secret, request[4:20])
    if signed == "invalid":
        return "bad_message_authenticator"
    if code == Code.ACCESS_REQUEST:
        if signed == "absent":
            return "missing_message_authenticator"
        if packet.attributes[0][0] != MESSAGE_AUTHENTICATOR:
            return "message_authenticator_not_first"
    try:
        decode(packet)
    except BadAttribute:
        return "bad_attribute"
    return packet if len(answer) == len(packet.raw) else "padded_answer"
