"""Our codec and pyrad's, byte for byte and in both directions."""

from collections.abc import Callable
from hashlib import md5
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrad.dictionary import Dictionary
from pyrad.packet import AcctPacket, AuthPacket, CoAPacket

from base.dictionary import MASTER, encode_value, load
from radius.credentials import check_chap
from radius.packet import (
    Code,
    attribute,
    check_message_authenticator,
    check_request_authenticator,
    check_response,
    hide_password,
    parse,
    reply,
    request,
    reveal_password,
    vendor_attribute,
)

SECRET = "ein Geheimnis – nichts für andere".encode()
AUTHENTICATOR = bytes(range(100, 116))
PYRAD = Dictionary(str(MASTER))
calm = settings(deadline=None)  # a busy core may stall any example

# Name and value as pyrad takes them; ours are encoded from the same text.
IN_REQUEST: list[tuple[str, Any]] = [
    ("User-Name", "zoë@example.net"),
    ("NAS-IP-Address", "192.0.2.1"),
    ("NAS-Port", 4242),
    ("Service-Type", "Framed-User"),
    ("Framed-Protocol", "PPP"),
    ("Framed-IP-Address", "100.64.3.7"),
    ("Calling-Station-Id", "AA:BB:CC:DD:EE:FF"),
    ("Class", b"\x01\xff\x00\x7fpolicy"),
    ("Acct-Session-Id", "81a00042"),
    ("Event-Timestamp", 1_700_000_000),
    ("NAS-Port-Id", "ether1"),
    ("Framed-Interface-Id", "211:22ff:fe33:4455"),
    ("Framed-IPv6-Prefix", "2001:db8:1:2::/64"),
    ("Delegated-IPv6-Prefix", "2001:db8:100::/56"),
    ("Framed-IPv6-Address", "2001:db8::7"),
    ("Mikrotik-Realm", "isp"),
]
IN_REPLY: list[tuple[str, Any]] = [
    ("Reply-Message", "Bezahlt bis 31. März"),
    ("Session-Timeout", 86400),
    ("Acct-Interim-Interval", 300),
    ("Framed-Pool", "walled"),
    ("Mikrotik-Rate-Limit", "20M/100M"),
    ("Mikrotik-Address-List", "walled"),
    ("WISPr-Bandwidth-Max-Up", 20_000_000),
    ("Cisco-AVPair", "subscriber:sub-qos-policy-in=up20"),
]

KIND: dict[Code, Callable[..., Any]] = {
    Code.ACCESS_REQUEST: AuthPacket,
    Code.STATUS_SERVER: AuthPacket,
    Code.ACCOUNTING_REQUEST: AcctPacket,
    Code.COA_REQUEST: CoAPacket,
    Code.DISCONNECT_REQUEST: CoAPacket,
}
RANDOM = (Code.ACCESS_REQUEST, Code.STATUS_SERVER)
REPLIES = [
    (Code.ACCESS_REQUEST, Code.ACCESS_ACCEPT, True),
    (Code.ACCESS_REQUEST, Code.ACCESS_ACCEPT, False),
    (Code.ACCESS_REQUEST, Code.ACCESS_REJECT, True),
    (Code.ACCESS_REQUEST, Code.ACCESS_REJECT, False),
    (Code.ACCESS_REQUEST, Code.ACCESS_CHALLENGE, True),
    (Code.STATUS_SERVER, Code.ACCESS_ACCEPT, True),
    (Code.ACCOUNTING_REQUEST, Code.ACCOUNTING_RESPONSE, False),
    (Code.COA_REQUEST, Code.COA_ACK, True),
    (Code.COA_REQUEST, Code.COA_ACK, False),
    (Code.COA_REQUEST, Code.COA_NAK, True),
    (Code.COA_REQUEST, Code.COA_NAK, False),
    (Code.DISCONNECT_REQUEST, Code.DISCONNECT_ACK, True),
    (Code.DISCONNECT_REQUEST, Code.DISCONNECT_ACK, False),
    (Code.DISCONNECT_REQUEST, Code.DISCONNECT_NAK, True),
    (Code.DISCONNECT_REQUEST, Code.DISCONNECT_NAK, False),
]

both = pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
each_request = pytest.mark.parametrize("code", KIND, ids=lambda code: code.name)
each_reply = pytest.mark.parametrize(("asked", "answered", "signed"), REPLIES)


def ours(named: list[tuple[str, Any]]) -> bytes:
    parts = []
    for name, value in named:
        known = load().by_name[name]
        octets = encode_value(known, value)
        parts.append(
            vendor_attribute(known.vendor, known.code, octets) if known.vendor else attribute(known.code, octets)
        )
    return b"".join(parts)


def their_request(code: Code, signed: bool, named: list[tuple[str, Any]]) -> tuple[Any, bytes]:
    """Return pyrad's packet and its bytes; signed says whether with a Message-Authenticator."""
    authenticator = AUTHENTICATOR if code in RANDOM else None
    packet = KIND[code](int(code), 200, SECRET, authenticator, dict=PYRAD, message_authenticator=signed)
    for name, value in named:
        packet.AddAttribute(name, value)
    return packet, packet.RequestPacket()


@both
@each_request
def test_requests_are_the_same_bytes(code: Code, signed: bool) -> None:
    _, theirs = their_request(code, signed, IN_REQUEST)
    authenticator = AUTHENTICATOR if code in RANDOM else None
    assert request(code, 200, ours(IN_REQUEST), SECRET, authenticator, signed) == theirs


@both
@each_request
def test_we_accept_their_requests(code: Code, signed: bool) -> None:
    packet = parse(their_request(code, signed, IN_REQUEST)[1])
    assert packet.code is code
    assert packet.identifier == 200
    assert packet.first(1) == "zoë@example.net".encode()
    assert packet.vendor(14988, 9) == [b"isp"]
    assert check_message_authenticator(packet, SECRET) == ("valid" if signed else "absent")
    assert check_request_authenticator(packet, SECRET) == (code not in RANDOM)
    assert not check_request_authenticator(packet, b"another secret")


@both
@each_request
def test_they_accept_our_requests(code: Code, signed: bool) -> None:
    datagram = request(code, 200, ours(IN_REQUEST), SECRET, message_authenticator=signed)
    packet = KIND[code](dict=PYRAD, secret=SECRET, packet=datagram)
    assert packet.id == 200
    for name, value in IN_REQUEST:
        assert packet[name] == [value]
    if signed:
        assert packet.verify_message_authenticator()
        assert packet.keys()[0] == "Message-Authenticator"
    if code not in RANDOM:
        assert packet.VerifyAcctRequest() if code is Code.ACCOUNTING_REQUEST else packet.VerifyCoARequest()


@each_reply
def test_replies_are_the_same_bytes(asked: Code, answered: Code, signed: bool) -> None:
    their_packet, datagram = their_request(asked, False, IN_REQUEST)
    theirs = their_packet.CreateReply(message_authenticator=signed)
    theirs.code = int(answered)
    for name, value in IN_REPLY:
        theirs.AddAttribute(name, value)
    expected = theirs.ReplyPacket()

    made = reply(answered, 200, datagram[4:20], ours(IN_REPLY), SECRET, signed)
    assert made == expected

    packet = parse(expected)
    assert check_response(packet, datagram[4:20], SECRET)
    assert check_message_authenticator(packet, SECRET, datagram[4:20]) == ("valid" if signed else "absent")


@each_reply
def test_they_accept_our_replies(asked: Code, answered: Code, signed: bool) -> None:
    their_packet, datagram = their_request(asked, True, IN_REQUEST)
    made = reply(answered, 200, datagram[4:20], ours(IN_REPLY), SECRET, signed)
    theirs = their_packet.CreateReply(packet=made)
    assert their_packet.VerifyReply(theirs, made, enforce_ma=signed)
    for name, value in IN_REPLY:
        assert theirs[name] == [value]
    forged = made[:-1] + bytes((made[-1] ^ 1,))
    assert not their_packet.VerifyReply(their_packet.CreateReply(packet=forged), forged)


def test_a_status_server_on_the_accounting_port_is_answered_with_the_same_bytes() -> None:
    asked = AcctPacket(int(Code.STATUS_SERVER), 200, SECRET, AUTHENTICATOR, dict=PYRAD)
    asked.RequestPacket()
    expected = asked.CreateReply().ReplyPacket()
    assert reply(Code.ACCOUNTING_RESPONSE, 200, AUTHENTICATOR, b"", SECRET) == expected


raw_attributes = st.dictionaries(
    st.integers(1, 255).filter(lambda type: type not in (26, 80)), st.binary(max_size=253), max_size=12
)


@calm
@given(
    st.sampled_from(list(KIND)),
    st.integers(0, 255),
    st.binary(min_size=1, max_size=90),
    st.binary(min_size=16, max_size=16),
    raw_attributes,
    st.booleans(),
)
def test_any_attributes_under_any_secret_are_the_same_bytes(
    code: Code, identifier: int, secret: bytes, authenticator: bytes, attributes: dict[int, bytes], signed: bool
) -> None:
    random = authenticator if code in RANDOM else None
    theirs = KIND[code](int(code), identifier, secret, random, message_authenticator=signed)
    for type, value in attributes.items():
        theirs[type] = [value]
    encoded = b"".join(attribute(type, value) for type, value in attributes.items())
    assert request(code, identifier, encoded, secret, random, signed) == theirs.RequestPacket()

    answer = AuthPacket(2, identifier, secret, authenticator, message_authenticator=signed)
    for type, value in attributes.items():
        answer[type] = [value]
    made = reply(Code.ACCESS_ACCEPT, identifier, authenticator, encoded, secret, signed)
    assert made == answer.ReplyPacket()


@calm
@given(st.text(max_size=32).map(lambda text: text.replace("\0", "")), st.binary(min_size=1, max_size=90))
def test_passwords_are_hidden_and_revealed_alike(password: str, secret: bytes) -> None:
    theirs = AuthPacket(1, 1, secret, AUTHENTICATOR)
    hidden = hide_password(password.encode(), secret, AUTHENTICATOR)
    assert hidden == theirs.PwCrypt(password)
    assert theirs.PwDecrypt(hidden) == password
    assert reveal_password(theirs.PwCrypt(password), secret, AUTHENTICATOR) == password.encode()


def test_chap_is_checked_alike() -> None:
    for challenge in (None, b"challenge of its own"):
        answered = b"\x09" + md5(b"\x09" + b"pass" + (challenge or AUTHENTICATOR)).digest()
        theirs = AuthPacket(1, 1, SECRET, AUTHENTICATOR, dict=PYRAD)
        theirs["CHAP-Password"] = answered
        if challenge:
            theirs["CHAP-Challenge"] = challenge
        for password in (b"pass", b"word"):
            expected = theirs.VerifyChapPasswd(password)
            assert check_chap(password, answered, challenge or AUTHENTICATOR) == expected
