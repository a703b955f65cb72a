"""The simulated NAS logs in, counts, and judges what it is told."""

import hashlib
import hmac
from collections.abc import Iterator
from datetime import timedelta

import pytest

from base import clock
from radius.dialects import encode_pairs
from radius.packet import Code, Packet, parse, reply, request
from sandbox.nas import Nas, NoAnswer, Rejected
from sandbox.nas_session import Session, parse_rate_limit
from sandbox.nas_wire import judge
from tests.sandbox.responder import QUICK, SECRET, Responder, responding, value_of

START, STOP, INTERIM, ON = 1, 2, 3, 7

MIKROTIK = [
    ("Mikrotik-Rate-Limit", "20M/100M"),
    ("Framed-Pool", "main"),
    ("Acct-Interim-Interval", 300),
    ("Class", b"one"),
    ("Class", b"two"),
]


@pytest.fixture
def server() -> Iterator[Responder]:
    with responding(Responder({"anna": ("geheim", list(MIKROTIK))})) as responder:
        yield responder


@pytest.fixture(autouse=True)
def _own_time() -> Iterator[None]:
    yield
    clock.travel_to_offset(timedelta())


def make_nas(server: Responder, kind: str = "mikrotik", address: str = "127.0.2.7") -> Nas:
    return Nas(address, SECRET, kind, f"test-{kind}", ("127.0.0.1", *server.ports), coa_port=0, waits=QUICK)


@pytest.mark.parametrize("kind", ["mikrotik", "wispr", "cisco"])
@pytest.mark.parametrize("method", ["pap", "chap"])
def test_a_login_is_accepted_and_counted(server: Responder, kind: str, method: str) -> None:
    with make_nas(server, kind) as nas:
        session = nas.login("anna", "geheim", method, calling_station="02-00-00-00-00-01")
        assert isinstance(session, Session)
        assert session.rate_limit == "20M/100M"
        assert session.rates == (20_000_000, 100_000_000)
        assert session.class_ == b"one"
        assert session.interim == 300
        assert session.address is not None
        assert session.address.startswith("100.64.7.")
        assert nas.session_of("anna") is session

        request = server.logins[0]
        assert request.attributes[0][0] == 80
        assert value_of(request, "NAS-Identifier") == f"test-{kind}"
        assert str(value_of(request, "NAS-IP-Address")) == "127.0.2.7"
        assert value_of(request, "Calling-Station-Id") == "02-00-00-00-00-01"

        started = server.accounting[0]
        assert value_of(started, "Acct-Status-Type") == START
        assert value_of(started, "Acct-Session-Id") == session.id
        assert str(value_of(started, "Framed-IP-Address")) == session.address
        assert started.all(25) == [b"one", b"two"]
        assert abs(value_of(started, "Event-Timestamp") - clock.now()) < timedelta(seconds=5)
        assert [event.name for event in nas.events] == ["login", "accept", "counted"]


def test_walls_and_fixed_addresses_are_obeyed(server: Responder) -> None:
    server.users |= {
        "walled": ("x", [("Framed-Pool", "walled"), ("Mikrotik-Address-List", "walled")]),
        "fixed": ("x", [("Framed-IP-Address", "198.51.100.7")]),
        "please": ("x", [("Framed-IP-Address", "255.255.255.254"), ("Framed-Pool", "walled")]),
        "cisco": ("x", [("Cisco-AVPair", "ip:addr-pool=walled"), ("Filter-Id", "walled")]),
        "slow": ("x", [("Cisco-AVPair", "subscriber:sub-qos-policy-in=tk-512k"),
                       ("Cisco-AVPair", "subscriber:sub-qos-policy-out=tk-2M")]),
        "radio": ("x", [("WISPr-Bandwidth-Max-Up", 3_000_000), ("WISPr-Bandwidth-Max-Down", 9_000_000)]),
    }  # fmt: skip
    with make_nas(server) as nas:
        found = {name: nas.login(name, "x") for name in list(server.users)[1:]}
    sessions = {name: session for name, session in found.items() if isinstance(session, Session)}
    assert len(sessions) == 6
    assert sessions["walled"].address_list == sessions["cisco"].address_list == "walled"
    assert sessions["fixed"].address == "198.51.100.7"
    walled = [sessions[name].address for name in ("walled", "please", "cisco")]
    assert len(set(walled)) == 3
    assert all(str(address).startswith("100.65.7.") for address in walled)
    assert sessions["slow"].rates == (512_000, 2_000_000)
    assert sessions["radio"].rates == (3_000_000, 9_000_000)


def test_a_wrong_password_is_rejected(server: Responder) -> None:
    with make_nas(server) as nas:
        assert nas.login("anna", "falsch") == Rejected("Who are you?")
        assert nas.sessions == []
        assert server.accounting == []


def test_retransmissions_are_identical(server: Responder) -> None:
    server.ignore = 1
    with make_nas(server) as nas:
        assert isinstance(nas.login("anna", "geheim"), Session)
        assert server.datagrams[0] == server.datagrams[1]


def test_nobody_answers(server: Responder) -> None:
    with Nas("127.0.2.8", SECRET, "mikrotik", "alone", ("127.0.0.1", 9, 9), coa_port=0, waits=(0.02, 0.02)) as nas:
        assert nas.login("anna", "geheim") == NoAnswer(())
        assert nas.events.named("no_answer", "anna")


def _wrong_secret(answer: bytes, request: Packet) -> bytes:
    return reply(Code(answer[0]), request.identifier, request.authenticator, b"", b"another secret")


def _unsigned(answer: bytes, request: Packet) -> bytes:
    return reply(Code(answer[0]), request.identifier, request.authenticator, answer[38:], SECRET, False)


def _signed_last(answer: bytes, request: Packet) -> bytes:
    """The same with Message-Authenticator behind the other attributes, rightly computed."""
    head = answer[:4]
    rest = answer[38:]
    blank = head + request.authenticator + rest + bytes((80, 18)) + bytes(16)
    signed = rest + bytes((80, 18)) + hmac.digest(SECRET, blank, "md5")
    return head + hashlib.md5(head + request.authenticator + signed + SECRET).digest() + signed


def _flipped_signature(answer: bytes, request: Packet) -> bytes:
    attributes = answer[20:22] + bytes(16) + answer[38:]
    authenticator = hashlib.md5(answer[:4] + request.authenticator + attributes + SECRET).digest()
    return answer[:4] + authenticator + attributes


def _other_identifier(answer: bytes, request: Packet) -> bytes:
    return reply(Code(answer[0]), request.identifier ^ 1, request.authenticator, answer[38:], SECRET)


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (_wrong_secret, "bad_authenticator"),
        (_unsigned, "missing_message_authenticator"),
        (_signed_last, "message_authenticator_not_first"),
        (_flipped_signature, "bad_message_authenticator"),
        (_other_identifier, "unexpected_answer"),
        (lambda answer, _: answer[:-1], "truncated"),
        (lambda answer, _: answer + b"\0", "padded_answer"),
        (lambda _, request: reply(Code.ACCESS_ACCEPT, request.identifier, request.authenticator, b"\x1b\x03!", SECRET),
         "bad_attribute"),
        (lambda _, request: reply(Code.ACCESS_CHALLENGE, request.identifier, request.authenticator, b"", SECRET),
         "unexpected_answer"),
    ],
)  # fmt: skip
def test_an_answer_is_judged_in_every_octet(spoil, fault: str) -> None:
    asked = request(Code.ACCESS_REQUEST, 7, b"", SECRET)
    right = reply(Code.ACCESS_ACCEPT, 7, asked[4:20], encode_pairs(MIKROTIK), SECRET)
    assert isinstance(judge(right, asked, SECRET), Packet)
    assert judge(spoil(right, parse(asked)), asked, SECRET) == fault


def test_an_answer_that_is_not_right_is_no_answer(server: Responder) -> None:
    server.spoil = _wrong_secret
    with make_nas(server) as nas:
        outcome = nas.login("anna", "geheim")
        assert outcome == NoAnswer(("bad_authenticator",) * len(QUICK))
        assert nas.events.named("dropped", "anna")[0].detail == "bad_authenticator"
        assert nas.sessions == []


def test_counters_grow_with_time_and_rate(server: Responder) -> None:
    with make_nas(server) as nas:
        session = nas.login("anna", "geheim")
        assert isinstance(session, Session)
        clock.travel_to_offset(timedelta(days=20))
        assert nas.interim(session)
        clock.travel_to_offset(timedelta(days=30))
        assert nas.stop(session)
        assert not nas.stop(session)
        assert not nas.interim(session)
    interim, stop = server.accounting[1:]
    assert value_of(interim, "Acct-Status-Type") == INTERIM
    assert value_of(stop, "Acct-Status-Type") == STOP
    assert value_of(stop, "Acct-Terminate-Cause") == 1
    assert abs(value_of(stop, "Acct-Session-Time") - 30 * 86400) < 5
    down = [value_of(p, "Acct-Output-Octets") + (value_of(p, "Acct-Output-Gigawords") << 32) for p in (interim, stop)]
    up = [value_of(p, "Acct-Input-Octets") + (value_of(p, "Acct-Input-Gigawords") << 32) for p in (interim, stop)]
    assert 0 < down[0] < down[1] < 100_000_000 * 30 * 86400 / 8 / 40
    assert down[1] > 1 << 32
    assert (up[1], down[1]) == (session.octets_in, session.octets_out)
    assert 1 << 31 < up[0] < up[1] < down[1]


def test_a_reboot_loses_sessions_and_says_so(server: Responder) -> None:
    server.users["berta"] = ("x", [])
    with make_nas(server) as nas:
        stays_away = nas.login("anna", "geheim", redial=False)
        comes_back = nas.login("berta", "x")
        assert isinstance(stays_away, Session)
        assert isinstance(comes_back, Session)
        assert nas.reboot()
        assert nas.events.wait("redialled").username == "berta"
        assert stays_away.terminate_cause == "NAS-Reboot"
        again = nas.session_of("berta")
        assert again is not None
        assert again.id[2] != comes_back.id[2]
    assert server.statuses() == [("anna", START), ("berta", START), ("", ON), ("berta", START)]
    assert value_of(server.accounting[2], "NAS-Identifier") == "test-mikrotik"


def test_addresses_are_given_out_in_turn_and_never_twice(server: Responder) -> None:
    with make_nas(server) as nas:
        given = []
        for _ in range(4):
            session = nas.login("anna", "geheim")
            assert isinstance(session, Session)
            given.append(session.address)
            if len(given) == 2:
                nas.stop(session)
        nas._last_host["main"] = 253  # a long time later
        for _ in range(3):
            session = nas.login("anna", "geheim")
            assert isinstance(session, Session)
            given.append(session.address)
    assert [str(address).rpartition(".")[2] for address in given] == ["1", "2", "3", "4", "254", "2", "5"]


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("128k", (128_000, 128_000)),
        ("64k/128M", (64_000, 128_000_000)),
        ("64k/64k 256k/256k 128k/128k 10/10", (64_000, 64_000)),
        ("20M/100M 0/0 0/0 0/0 8 1M/1M", (20_000_000, 100_000_000)),
        ("1000000/5", (1_000_000, 5)),
        ("1G/1G", None),
        ("20M/100M ", None),
        ("20M/100M 9", (20_000_000, 100_000_000)),
        ("20M/100M 1/1 1/1 1/1 9", None),
        ("", None),
        ("20 M", None),
    ],
)
def test_rate_limits_are_read_as_routeros_does(text: str, rates: tuple[int, int] | None) -> None:
    assert parse_rate_limit(text) == rates


def test_a_kind_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="toaster"):
        Nas("127.0.2.9", SECRET, "toaster", "x", ("127.0.0.1", 1, 2), coa_port=0)
