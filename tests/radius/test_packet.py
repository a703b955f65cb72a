"""The wire codec by itself: what it refuses, what it reads, what its signatures catch."""

import hmac
import subprocess
import sys
from typing import get_args

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from radius.packet import (
    MAX_ATTRIBUTES,
    MESSAGE_AUTHENTICATOR,
    VENDOR_SPECIFIC,
    Code,
    Malformed,
    MalformedName,
    attribute,
    check_message_authenticator,
    check_request_authenticator,
    check_response,
    encode_attributes,
    hide_password,
    parse,
    reply,
    request,
    reveal_password,
    vendor_attribute,
)

SECRET = b"a secret of the house"
AUTHENTICATOR = bytes(range(16))
MIKROTIK = 14988

calm = settings(deadline=None)  # a busy core may stall any example

types = st.integers(1, 255)
values = st.binary(max_size=253)
pairs = st.lists(st.tuples(types, values), max_size=14)
secret_octets = st.binary(min_size=1, max_size=100)
authenticators = st.binary(min_size=16, max_size=16)
request_codes = st.sampled_from([Code.ACCESS_REQUEST, Code.STATUS_SERVER, Code.ACCOUNTING_REQUEST, Code.COA_REQUEST])
reply_codes = st.sampled_from([Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCESS_CHALLENGE, Code.COA_NAK])


def framed(body: bytes, code: int = 1, length: int | None = None) -> bytes:
    return bytes((code, 9)) + (20 + len(body) if length is None else length).to_bytes(2, "big") + AUTHENTICATOR + body


EXAMPLES: dict[str, bytes] = {
    "too_short": framed(b"")[:19],
    "bad_length": framed(b"", length=19),
    "too_long": framed(attribute(1, bytes(253)) * 16 + attribute(1, b"x")).ljust(4097, b"\0"),
    "truncated": framed(b"", length=21),
    "unknown_code": framed(b"", code=99),
    "attribute_zero": framed(b"\x00\x03x"),
    "attribute_length": framed(b"\x01\x01"),
    "attribute_overrun": framed(b"\x01\x04x"),
    "too_many_attributes": framed(attribute(1, b"") * (MAX_ATTRIBUTES + 1)),
}
EXAMPLES["too_long"] = EXAMPLES["too_long"][:2] + (4097).to_bytes(2, "big") + EXAMPLES["too_long"][4:]


@pytest.mark.parametrize(("name", "datagram"), EXAMPLES.items())
def test_each_malformed_datagram_is_refused_by_its_name(name: str, datagram: bytes) -> None:
    with pytest.raises(Malformed) as refused:
        parse(datagram)
    assert refused.value.name == name


def test_every_name_of_malformed_has_an_example() -> None:
    assert {*EXAMPLES, "user_password"} == set(get_args(MalformedName))


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"\x01", "attribute_overrun"),
        (b"\x01\x03a\x02", "attribute_overrun"),
        (b"\x01\xff" + bytes(252), "attribute_overrun"),
        (b"\x01\x00", "attribute_length"),
        (b"\x01\x03a\x00\x00", "attribute_length"),
    ],
)
def test_attributes_must_fill_the_packet_exactly(body: bytes, name: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse(framed(body))
    assert refused.value.name == name


def test_the_largest_packet_and_the_most_attributes_are_read() -> None:
    body = attribute(1, bytes(253)) * 15 + attribute(2, bytes(249))
    assert len(parse(framed(body)).raw) == 4096
    assert len(parse(framed(attribute(1, b"") * MAX_ATTRIBUTES)).attributes) == MAX_ATTRIBUTES


@calm
@given(st.binary(max_size=300))
@example(b"")
def test_any_octets_are_a_packet_or_malformed(datagram: bytes) -> None:
    try:
        packet = parse(datagram)
    except Malformed:
        return
    assert encode_attributes(packet.attributes) == packet.raw[20:]


@calm
@given(st.binary(max_size=280), st.sampled_from(list(Code)), st.integers(0, 40))
def test_any_octets_after_a_right_header_are_a_packet_or_malformed(body: bytes, code: Code, less: int) -> None:
    try:
        packet = parse(framed(body, code, max(20, 20 + len(body) - less)))
    except Malformed:
        return
    assert check_message_authenticator(packet, SECRET) != "valid"
    assert check_message_authenticator(packet, SECRET, AUTHENTICATOR) != "valid"
    assert not check_request_authenticator(packet, SECRET)
    packet.vendor(MIKROTIK, 8)


@calm
@given(st.sampled_from(list(Code)), st.integers(0, 255), pairs, st.binary(max_size=20))
def test_what_is_encoded_is_what_is_parsed(
    code: Code, identifier: int, given_pairs: list[tuple[int, bytes]], padding: bytes
) -> None:
    datagram = reply(code, identifier, AUTHENTICATOR, encode_attributes(given_pairs), SECRET, False)
    packet = parse(datagram + padding)
    assert (packet.code, packet.identifier, packet.attributes) == (code, identifier, given_pairs)
    assert packet.raw == datagram
    assert packet.authenticator == datagram[4:20]
    assert packet.code is code


def test_attributes_are_found_by_type() -> None:
    packet = parse(framed(encode_attributes([(33, b"a"), (1, b"nemo"), (33, b"b")])))
    assert packet.first(1) == b"nemo"
    assert packet.first(33) == b"a"
    assert packet.first(2) is None
    assert packet.all(33) == [b"a", b"b"]
    assert packet.all(2) == []
    assert 33 in packet
    assert 2 not in packet


def vsa(vendor: int, rest: bytes) -> bytes:
    return attribute(VENDOR_SPECIFIC, vendor.to_bytes(4, "big") + rest)


def test_vendor_attributes_are_found_alone_together_and_in_order() -> None:
    body = (
        vendor_attribute(MIKROTIK, 8, b"1M/2M")
        + vsa(9, b"\x01\x03a\x02\x03b\x01\x03c")
        + vendor_attribute(MIKROTIK, 8, b"3M/4M")
        + vendor_attribute(9, 8, b"another vendor")
    )
    packet = parse(framed(body))
    assert packet.vendor(MIKROTIK, 8) == [b"1M/2M", b"3M/4M"]
    assert packet.vendor(9, 1) == [b"a", b"c"]
    assert packet.vendor(9, 2) == [b"b"]
    assert packet.vendor(9, 3) == []
    assert packet.vendor(311, 1) == []


@pytest.mark.parametrize(
    "rest",
    [b"", b"\x08", b"\x08\x00", b"\x08\x01", b"\x08\x01\x02", b"\x08\x04a", b"\x08\x03a\x08", b"\x08\x03a\x08\x09"],
    ids=["empty", "no length", "zero", "one", "one, then full", "overrun", "half a header", "second overruns"],
)
def test_a_malformed_vendor_attribute_counts_as_absent(rest: bytes) -> None:
    body = vsa(MIKROTIK, rest) + vendor_attribute(MIKROTIK, 8, b"good") + attribute(VENDOR_SPECIFIC, b"\0\0")
    assert parse(framed(body)).vendor(MIKROTIK, 8) == [b"good"]


@calm
@given(st.integers(0, 2**32 - 1), st.integers(0, 255), st.binary(max_size=247))
def test_a_vendor_attribute_is_read_back(vendor: int, type: int, value: bytes) -> None:
    assert parse(framed(vendor_attribute(vendor, type, value))).vendor(vendor, type) == [value]


def test_what_does_not_fit_is_not_encoded() -> None:
    assert len(attribute(1, bytes(253))) == 255
    assert len(vendor_attribute(9, 1, bytes(247))) == 255
    for type, size in [(1, 254), (0, 1), (256, 1)]:
        with pytest.raises(ValueError, match="cannot hold"):
            attribute(type, bytes(size))
    for type, size in [(1, 248), (256, 1)]:
        with pytest.raises(ValueError, match="cannot hold"):
            vendor_attribute(9, type, bytes(size))
    full = attribute(1, bytes(253)) * 15 + attribute(1, bytes(249))
    assert len(reply(Code.ACCESS_ACCEPT, 1, AUTHENTICATOR, full, SECRET, False)) == 4096
    with pytest.raises(ValueError, match="4096"):
        reply(Code.ACCESS_ACCEPT, 1, AUTHENTICATOR, full, SECRET)
    with pytest.raises(ValueError, match="4096"):
        request(Code.ACCESS_REQUEST, 1, full + b"\x01\x02", SECRET, message_authenticator=False)


def test_a_request_takes_only_an_authenticator_that_it_can_use() -> None:
    first, second = (request(Code.ACCESS_REQUEST, 1, b"", SECRET) for _ in range(2))
    assert first[4:20] != second[4:20]
    assert request(Code.STATUS_SERVER, 1, b"", SECRET, AUTHENTICATOR)[4:20] == AUTHENTICATOR
    with pytest.raises(ValueError, match="16 octets"):
        request(Code.ACCESS_REQUEST, 1, b"", SECRET, b"short")
    with pytest.raises(ValueError, match="ACCOUNTING_REQUEST"):
        request(Code.ACCOUNTING_REQUEST, 1, b"", SECRET, AUTHENTICATOR)
    with pytest.raises(ValueError, match="ACCESS_ACCEPT"):
        request(Code.ACCESS_ACCEPT, 1, b"", SECRET)


@calm
@given(request_codes, secret_octets, pairs)
@example(Code.ACCESS_REQUEST, bytes(range(64)), [])
@example(Code.ACCESS_REQUEST, bytes(range(65)), [])
def test_a_message_authenticator_stands_first_and_is_the_hmac_of_the_packet(
    code: Code, secret: bytes, given_pairs: list[tuple[int, bytes]]
) -> None:
    assume(all(type != MESSAGE_AUTHENTICATOR for type, _ in given_pairs))
    datagram = request(code, 3, encode_attributes(given_pairs), secret)
    assert datagram[20:22] == bytes((MESSAGE_AUTHENTICATOR, 18))
    random = code in (Code.ACCESS_REQUEST, Code.STATUS_SERVER)
    signed = datagram[:4] + (datagram[4:20] if random else bytes(16)) + datagram[20:22] + bytes(16) + datagram[38:]
    assert datagram[22:38] == hmac.digest(secret, signed, "md5")
    assert check_message_authenticator(parse(datagram), secret) == "valid"


@calm
@given(st.integers(0, 12), st.integers(0, 12), authenticators)
def test_a_message_authenticator_may_stand_anywhere(before: int, after: int, authenticator: bytes) -> None:
    head, tail = attribute(1, b"nemo") * before, attribute(31, b"station") * after
    start = framed(head + attribute(80, bytes(16)) + tail)[:4] + authenticator + head + b"\x50\x12"
    datagram = start + hmac.digest(SECRET, start + bytes(16) + tail, "md5") + tail
    assert check_message_authenticator(parse(datagram), SECRET) == "valid"
    assert check_message_authenticator(parse(datagram), b"another secret") == "invalid"


def test_a_message_authenticator_is_absent_or_alone_and_whole() -> None:
    def checked(body: bytes) -> str:
        return check_message_authenticator(parse(framed(body)), SECRET)

    good = request(Code.ACCESS_REQUEST, 9, b"", SECRET, AUTHENTICATOR)[20:]
    assert checked(b"") == "absent"
    assert checked(attribute(1, good)) == "absent"
    assert checked(good) == "valid"
    assert checked(good * 2) == "invalid"
    assert checked(good * 3) == "invalid"
    for size in (0, 15, 17):
        assert checked(attribute(80, bytes(size))) == "invalid"
        assert checked(attribute(80, bytes(size)) + good) == "invalid"
        assert checked(good + attribute(80, bytes(size))) == "invalid"


def test_not_even_a_holder_of_the_secret_may_send_two_or_one_of_another_length() -> None:
    def sealed(before: bytes, after: bytes, length: int) -> bytes:
        start = framed(before + bytes(18) + after)[:20] + before + bytes((80, length))
        return start + hmac.digest(SECRET, start + bytes(16) + after, "md5") + after

    def checked(*parts: bytes, length: int = 18) -> str:
        return check_message_authenticator(parse(sealed(*parts, length)), SECRET)

    assert checked(b"", attribute(1, b"nemo")) == "valid"
    assert checked(attribute(80, bytes(16)), b"") == "invalid"
    assert checked(b"", attribute(80, bytes(16))) == "invalid"
    assert checked(b"", b"more", length=22) == "invalid"


def test_a_reply_is_checked_with_the_authenticator_of_its_request() -> None:
    packet = parse(reply(Code.ACCESS_ACCEPT, 9, AUTHENTICATOR, b"", SECRET))
    assert check_message_authenticator(packet, SECRET, AUTHENTICATOR) == "valid"
    assert check_message_authenticator(packet, SECRET, bytes(16)) == "invalid"
    assert check_response(packet, AUTHENTICATOR, SECRET)
    assert check_message_authenticator(packet, SECRET) == "invalid"
    assert not check_response(packet, bytes(16), SECRET)


def test_every_octet_of_an_authenticator_counts() -> None:
    answer = reply(Code.ACCESS_ACCEPT, 9, AUTHENTICATOR, b"", SECRET)
    counted = request(Code.ACCOUNTING_REQUEST, 9, b"", SECRET)
    for at in range(4, 20):
        wrong = parse(answer[:at] + bytes((answer[at] ^ 1,)) + answer[at + 1 :])
        assert not check_response(wrong, AUTHENTICATOR, SECRET)
        wrong = parse(counted[:at] + bytes((counted[at] ^ 1,)) + counted[at + 1 :])
        assert not check_request_authenticator(wrong, SECRET)
    for at in range(22, 38):
        wrong = parse(answer[:at] + bytes((answer[at] ^ 1,)) + answer[at + 1 :])
        assert check_message_authenticator(wrong, SECRET, AUTHENTICATOR) == "invalid"


def signed(datagram: bytes, request_authenticator: bytes | None) -> list[bool]:
    """Return the result of every check that applies to the packet, none when it is malformed.

    A receiver asks for all: a computed authenticator is not itself under the Message-Authenticator.
    """
    try:
        packet = parse(datagram)
    except Malformed:
        return []
    if request_authenticator is not None:
        checks = [check_response(packet, request_authenticator, SECRET)]
    elif packet.code in (Code.ACCESS_REQUEST, Code.STATUS_SERVER):
        checks = []
    else:
        checks = [check_request_authenticator(packet, SECRET)]
    return [*checks, check_message_authenticator(packet, SECRET, request_authenticator or AUTHENTICATOR) == "valid"]


@calm
@given(request_codes, pairs.filter(lambda found: all(type != 80 for type, _ in found)), st.data())
def test_a_flipped_bit_or_a_cut_end_of_a_request_is_caught(
    code: Code, given_pairs: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    datagram = request(code, 77, encode_attributes(given_pairs), SECRET)
    assert all(signed(datagram, None))
    position = data.draw(st.integers(0, 8 * len(datagram) - 1))
    flipped = bytearray(datagram)
    flipped[position // 8] ^= 1 << position % 8
    assert not all(signed(bytes(flipped), None) or [False])
    with pytest.raises(Malformed):
        parse(datagram[: data.draw(st.integers(0, len(datagram) - 1))])


@calm
@given(reply_codes, pairs.filter(lambda found: all(type != 80 for type, _ in found)), authenticators, st.data())
def test_a_flipped_bit_or_a_cut_end_of_a_reply_is_caught(
    code: Code, given_pairs: list[tuple[int, bytes]], authenticator: bytes, data: st.DataObject
) -> None:
    datagram = reply(code, 77, authenticator, encode_attributes(given_pairs), SECRET)
    assert signed(datagram, authenticator) == [True, True]
    assert datagram[20:22] == bytes((MESSAGE_AUTHENTICATOR, 18))
    position = data.draw(st.integers(0, 8 * len(datagram) - 1))
    flipped = bytearray(datagram)
    flipped[position // 8] ^= 1 << position % 8
    assert not all(signed(bytes(flipped), authenticator) or [False])
    with pytest.raises(Malformed):
        parse(datagram[: data.draw(st.integers(0, len(datagram) - 1))])


@calm
@given(st.binary(max_size=128), secret_octets, authenticators)
def test_a_password_is_hidden_and_revealed(password: bytes, secret: bytes, authenticator: bytes) -> None:
    hidden = hide_password(password, secret, authenticator)
    assert len(hidden) == max(16, -(-len(password) // 16) * 16)
    assert reveal_password(hidden, secret, authenticator) == password.rstrip(b"\0")


def test_a_wrong_secret_reveals_something_else() -> None:
    hidden = hide_password(b"a long password of more than one block", SECRET, AUTHENTICATOR)
    assert b"password" not in hidden
    assert b"password" not in reveal_password(hidden, b"another secret", AUTHENTICATOR)


@pytest.mark.parametrize("size", [0, 1, 15, 17, 127, 129, 144, 253])
def test_a_user_password_of_a_wrong_length_is_malformed(size: int) -> None:
    with pytest.raises(Malformed) as refused:
        reveal_password(bytes(size), SECRET, AUTHENTICATOR)
    assert refused.value.name == "user_password"


def test_a_password_of_129_octets_is_not_hidden() -> None:
    with pytest.raises(ValueError, match="128"):
        hide_password(bytes(129), SECRET, AUTHENTICATOR)


def test_a_python_without_its_own_md5_signs_the_same() -> None:
    script = (
        "import sys; sys.modules['_md5'] = None\n"
        "from radius.packet import Code, reply\n"
        f"print(reply(Code.ACCESS_ACCEPT, 1, bytes(16), b'', {SECRET!r}).hex())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == reply(Code.ACCESS_ACCEPT, 1, bytes(16), b"", SECRET).hex()
