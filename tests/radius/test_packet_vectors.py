"""The packets that the RFCs print, byte for byte."""

import hashlib

from radius.credentials import check_chap, check_pap
from radius.packet import (
    Code,
    check_message_authenticator,
    check_response,
    encode_attributes,
    hide_password,
    parse,
    reply,
    request,
    reveal_password,
)

SECRET = b"xyzzy5461"

# RFC 2865 section 7.1: nemo logs in with PAP.
PAP_REQUEST = bytes.fromhex(
    "01 00 00 38 0f 40 3f 94 73 97 80 57 bd 83 d5 cb 98 f4 22 7a 01 06 6e 65 6d 6f 02 12 0d be 70 8d"
    "93 d4 13 ce 31 96 e4 3f 78 2a 0a ee 04 06 c0 a8 01 10 05 06 00 00 00 03"
)
PAP_ACCEPT = bytes.fromhex(
    "02 00 00 26 86 fe 22 0e 76 24 ba 2a 10 05 f6 bf 9b 55 e0 b2 06 06 00 00 00 01 0f 06 00 00 00 000e 06 c0 a8 01 03"
)

# RFC 2865 section 7.2: flopsy logs in with CHAP.
CHAP_REQUEST = bytes.fromhex(
    "01 01 00 47 2a ee 86 f0 8d 0d 55 96 9c a5 97 8e 0d 33 67 a2 01 08 66 6c 6f 70 73 79 03 13 16 e9"
    "75 57 c3 16 18 58 95 f2 93 ff 63 44 07 72 75 04 06 c0 a8 01 10 05 06 00 00 00 14 06 06 00 00 00"
    "02 07 06 00 00 00 01"
)
CHAP_ACCEPT = bytes.fromhex(
    "02 01 00 38 15 ef bc 7d ab 26 cf a3 dc 34 d9 c0 3c 86 01 a4 06 06 00 00 00 02 07 06 00 00 00 01"
    "08 06 ff ff ff fe 0a 06 00 00 00 02 0d 06 00 00 00 01 0c 06 00 00 05 dc"
)

# RFC 5997 section 6: Status-Server, whose only attribute is a Message-Authenticator as RFC 3579 computes it.
STATUS_AUTH = bytes.fromhex(
    "0c da 00 26 8a 54 f4 68 6f b3 94 c5 28 66 e3 02 18 5d 06 23 50 12 5a 66 5e 2e 1e 84 11 f3 e2 4382 20 97 c8 4f a3"
)
STATUS_AUTH_ACCEPT = bytes.fromhex("02 da 00 14 ef 0d 55 2a 4b f2 d6 93 ec 2b 6f e8 b5 41 1d 66")
STATUS_ACCT = bytes.fromhex(
    "0c b3 00 26 92 5f 6b 66 dd 5f ed 57 1f cb 1d b7 ad 38 82 60 50 12 e8 d6 ea bd a9 10 87 5c d9 1fda de 26 36 78 58"
)


def test_rfc_2865_section_7_1_pap() -> None:
    packet = parse(PAP_REQUEST)
    assert packet.code is Code.ACCESS_REQUEST
    assert packet.identifier == 0
    assert packet.first(1) == b"nemo"
    hidden = packet.first(2)
    assert hidden is not None
    assert check_pap(b"arctangent", reveal_password(hidden, SECRET, packet.authenticator))
    assert not check_pap(b"arctangent", reveal_password(hidden, b"xyzzy5462", packet.authenticator))

    password = hide_password(b"arctangent", SECRET, packet.authenticator)
    attributes = encode_attributes(
        [(1, b"nemo"), (2, password), (4, bytes((192, 168, 1, 16))), (5, bytes((0, 0, 0, 3)))]
    )
    made = request(Code.ACCESS_REQUEST, 0, attributes, SECRET, packet.authenticator, message_authenticator=False)
    assert made == PAP_REQUEST

    answer = encode_attributes([(6, bytes((0, 0, 0, 1))), (15, bytes(4)), (14, bytes((192, 168, 1, 3)))])
    assert reply(Code.ACCESS_ACCEPT, 0, packet.authenticator, answer, SECRET, False) == PAP_ACCEPT
    assert check_response(parse(PAP_ACCEPT), packet.authenticator, SECRET)


def test_rfc_2865_section_7_2_chap() -> None:
    packet = parse(CHAP_REQUEST)
    response = packet.first(3)
    assert response is not None
    assert check_chap(b"arctangent", response, packet.authenticator)
    assert not check_chap(b"arctangenT", response, packet.authenticator)

    answer = parse(CHAP_ACCEPT)
    assert check_response(answer, packet.authenticator, SECRET)
    made = reply(Code.ACCESS_ACCEPT, 1, packet.authenticator, encode_attributes(answer.attributes), SECRET, False)
    assert made == CHAP_ACCEPT


def test_rfc_5997_section_6_status_server() -> None:
    for printed in (STATUS_AUTH, STATUS_ACCT):
        packet = parse(printed)
        assert packet.code is Code.STATUS_SERVER
        assert check_message_authenticator(packet, SECRET) == "valid"
        assert check_message_authenticator(packet, b"xyzzy5462") == "invalid"
        assert request(Code.STATUS_SERVER, packet.identifier, b"", SECRET, packet.authenticator) == printed
    status = parse(STATUS_AUTH)
    made = reply(Code.ACCESS_ACCEPT, status.identifier, status.authenticator, b"", SECRET, False)
    assert made == STATUS_AUTH_ACCEPT


def test_chap_uses_the_challenge_given_and_needs_17_octets() -> None:
    challenge = b"a challenge of any length"
    response = b"\x07" + hashlib.md5(b"\x07" + b"secret word" + challenge).digest()
    assert check_chap(b"secret word", response, challenge)
    assert not check_chap(b"secret word", response, challenge + b"!")
    assert not check_chap(b"secret word", b"\x08" + response[1:], challenge)
    for wrong in (b"", response[:16], response + b"\0"):
        assert not check_chap(b"secret word", wrong, challenge)


def test_pap_compares_every_octet() -> None:
    assert check_pap("pässwörd".encode(), "pässwörd".encode())
    assert not check_pap(b"password", b"passwor")
    assert not check_pap(b"password", b"")
