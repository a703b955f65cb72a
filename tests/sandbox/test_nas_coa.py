"""The simulated NAS takes CoA and Disconnect as RFC 5176 and each vendor's manual say."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from base import clock
from base.access import AccessLevel, AccessPolicy, Extra
from radius.dialects import SessionIdentity, change, identify
from radius.packet import Code, attribute, request
from sandbox.nas import Nas, Session
from tests.sandbox.responder import QUICK, SECRET, Responder, Sender, responding, value_of

COA, DISCONNECT = Code.COA_REQUEST, Code.DISCONNECT_REQUEST
COA_ACK, COA_NAK, DISCONNECT_ACK, DISCONNECT_NAK = 44, 45, 41, 42
RATE = ("Mikrotik-Rate-Limit", "1M/1M")
STOP = 2


@pytest.fixture
def server() -> Iterator[Responder]:
    with responding(Responder({"anna": ("x", [("Mikrotik-Rate-Limit", "20M/100M")]), "berta": ("x", [])})) as found:
        yield found


@pytest.fixture(params=["mikrotik"])
def nas(request: pytest.FixtureRequest, server: Responder) -> Iterator[Nas]:
    with Nas("127.0.2.6", SECRET, request.param, "bras", ("127.0.0.1", *server.ports), 0, waits=QUICK) as found:
        yield found


@pytest.fixture
def sender(nas: Nas) -> Iterator[Sender]:
    found = Sender(nas.address, nas.coa_port)
    yield found
    found.close()
    clock.travel_to_offset(timedelta())


@pytest.fixture
def session(nas: Nas) -> Session:
    found = nas.login("anna", "x")
    assert isinstance(found, Session)
    return found


def who(session: Session) -> list[tuple[str, object]]:
    return [("User-Name", session.username), ("Acct-Session-Id", session.id)]


def names(nas: Nas) -> list[str]:
    return [event.name for event in nas.events]


def test_coa_changes_the_rate_in_place(nas: Nas, sender: Sender, session: Session) -> None:
    before = (session.address, session.octets_out)
    clock.travel_to_offset(timedelta(seconds=100))
    full = [*who(session), ("Framed-IP-Address", session.address), ("NAS-Identifier", "bras")]
    assert sender.ask(COA, [*full, RATE]) == (COA_ACK, None)
    assert session.rate_limit == "1M/1M"
    assert session.rates == (1_000_000, 1_000_000)
    assert nas.session_of("anna") is session
    assert session.address == before[0]
    assert session.octets_out > before[1]  # what flowed until now is counted at the old rate
    assert names(nas)[3:] == ["coa_received", "rate_changed", "ack_sent"]
    assert nas.events.named("rate_changed", "anna")[0].detail == "1M/1M"


def test_what_coa_sends_for_a_policy_is_obeyed(nas: Nas, sender: Sender, session: Session) -> None:
    slow = AccessPolicy(
        service_id=1, version=2, level=AccessLevel.FULL, login="anna", password=None, rate_down=5_000_000,
        rate_up=1_000_000, pool=None, address=None, address_list=None, session_timeout=None, interim_interval=60,
    )  # fmt: skip
    identity = SessionIdentity("anna", session.id, session.address, "", "bras", "127.0.2.6")
    changes = change("mikrotik", {**slow.obeyed(), "rate_down": 9}, slow)
    assert changes
    assert sender.ask(COA, identify("mikrotik", identity) + changes) == (COA_ACK, None)
    assert session.rate_limit == "1M/5M"
    quick = replace(slow, burst_rate_down=20_000_000, burst_seconds_down=8, extras=(Extra("Filter-Id", "night.in"),))
    changes = change("mikrotik", slow.obeyed(), quick)
    assert changes
    assert sender.ask(COA, identify("mikrotik", identity) + changes) == (COA_ACK, None)
    assert session.rate_limit == "1M/5M 0/20M 0/5M 0/8"
    assert session.rates == (1_000_000, 5_000_000)
    assert sender.ask(DISCONNECT, identify("mikrotik", identity)) == (DISCONNECT_ACK, None)


def test_disconnect_ends_the_session_and_the_router_redials(
    server: Responder, nas: Nas, sender: Sender, session: Session
) -> None:
    server.users["anna"] = ("x", [("Mikrotik-Rate-Limit", "1M/1M"), ("Mikrotik-Address-List", "walled")])
    assert sender.ask(DISCONNECT, who(session)) == (DISCONNECT_ACK, None)
    back = nas.events.wait("redialled", "anna")
    again = nas.session_of("anna")
    assert again is not None
    assert again is not session
    assert again.address_list == "walled"
    assert session.ended.is_set()
    acknowledged = nas.events.wait("ack_sent", "anna")
    assert 0.05 <= back.monotonic - acknowledged.monotonic < 1.5
    assert names(nas).index("ack_sent") < names(nas).index("disconnected")
    nas.events.wait("counted", "anna", since=acknowledged.monotonic)
    stops = [packet for packet in server.accounting if value_of(packet, "Acct-Status-Type") == STOP]
    assert [value_of(packet, "Acct-Terminate-Cause") for packet in stops] == [6]
    assert value_of(stops[0], "Acct-Session-Id") == session.id


def test_a_stop_is_repeated_until_it_is_known(server: Responder, nas: Nas, sender: Sender) -> None:
    found = nas.login("berta", "x", redial=False)
    assert isinstance(found, Session)
    server.ignore = len(QUICK) + 1
    assert sender.ask(DISCONNECT, who(found)) == (DISCONNECT_ACK, None)
    nas.events.wait("not_counted", "berta")
    failed = nas.events.named("not_counted", "berta")[0]
    nas.events.wait("counted", "berta", since=failed.monotonic)
    assert server.statuses()[-1] == ("berta", STOP)
    assert nas.sessions == []


def test_a_router_redials_until_it_is_accepted(server: Responder, nas: Nas, sender: Sender, session: Session) -> None:
    offer = server.users.pop("anna")
    assert sender.ask(DISCONNECT, who(session)) == (DISCONNECT_ACK, None)
    nas.events.wait("reject", "anna")
    server.users["anna"] = offer
    nas.events.wait("redialled", "anna")


@pytest.mark.parametrize("code", [COA, DISCONNECT])
def test_forged_and_stale_requests_are_dropped(nas: Nas, sender: Sender, session: Session, code: Code) -> None:
    pairs = who(session) + ([RATE] if code == COA else [])
    good = sender.build(code, pairs)
    broken_signature = bytearray(good)
    broken_signature[30] ^= 1
    unsigned = bytes(broken_signature[:4]) + bytes(16) + bytes(broken_signature[20:])
    resealed = unsigned[:4] + hashlib.md5(unsigned + SECRET).digest() + unsigned[20:]
    bad = [
        (sender.build(code, pairs, secret=b"wrong"), "bad_authenticator"),
        (bytes(broken_signature), "bad_authenticator"),
        (resealed, "bad_message_authenticator"),
        (sender.build(code, pairs, age=310), "stale_event_timestamp"),
        (sender.build(code, pairs, age=-310), "stale_event_timestamp"),
        (request(code, 250, attribute(1, b"anna"), SECRET), "missing_event_timestamp"),
        (request(Code.ACCOUNTING_REQUEST, 251, b"", SECRET), "unexpected_code"),
        (good[:30], "truncated"),
        (b"", "too_short"),
    ]
    for datagram, _ in bad:
        sender._socket.send(datagram)
    assert sender.ask(code, pairs) is not None  # the listener is alive, and done with the others
    assert [event.detail for event in nas.events.named("dropped")] == [name for _, name in bad]


def test_the_window_follows_the_sandbox_clock(sender: Sender, session: Session) -> None:
    clock.travel_to_offset(timedelta(days=40))
    assert sender.ask(COA, [*who(session), RATE], age=290) == (COA_ACK, None)
    late = sender.build(COA, [*who(session), RATE], age=40 * 86400)
    assert sender.send(late, patience=0.3) is None


def test_without_a_message_authenticator_the_authenticator_is_enough(sender: Sender, session: Session) -> None:
    assert sender.ask(DISCONNECT, who(session), signed=False) == (DISCONNECT_ACK, None)


def test_a_duplicate_gets_the_same_answer_and_no_second_effect(nas: Nas, sender: Sender, session: Session) -> None:
    datagram = sender.build(DISCONNECT, who(session))
    first = sender.send(datagram)
    assert first is not None
    assert sender.send(datagram) == first
    assert len(nas.events.named("disconnected")) == 1
    assert len(nas.events.named("repeated")) == 1
    other = Sender(nas.address, nas.coa_port)  # the same octets from another port are another request
    try:
        answer = other.send(datagram)
        assert answer is not None
        assert answer[0] == DISCONNECT_NAK
    finally:
        other.close()


def test_sessions_are_identified_by_everything_given(nas: Nas, sender: Sender, session: Session) -> None:
    other = nas.login("berta", "x")
    assert isinstance(other, Session)
    refused = [
        ([("User-Name", "nobody")], 503),
        ([("User-Name", "anna"), ("Acct-Session-Id", other.id)], 503),
        ([("User-Name", "ANNA")], 503),
        ([*who(session), ("Framed-IP-Address", other.address)], 503),
        ([*who(session), ("Calling-Station-Id", other.dial.calling_station)], 503),
        ([*who(session), ("NAS-Identifier", "another")], 403),
        ([*who(session), ("NAS-IP-Address", "127.0.2.5")], 403),
        ([("NAS-Identifier", "bras")], 402),
        ([*who(session), ("Framed-Pool", "walled")], 401),
        ([*who(session), ("Mikrotik-Address-List", "walled")], 401),
        ([*who(session), ("Class", b"TK")], 401),
    ]
    for pairs, cause in refused:
        assert sender.ask(DISCONNECT, pairs) == (DISCONNECT_NAK, cause), pairs
        assert sender.ask(COA, [*pairs, RATE]) == (COA_NAK, cause), pairs
    assert sender.ask(COA, who(session)) == (COA_NAK, 402)
    assert sender.ask(COA, [*who(session), ("Mikrotik-Rate-Limit", "1G/1G")]) == (COA_NAK, 407)
    assert sender.ask(DISCONNECT, [*who(session), RATE]) == (DISCONNECT_NAK, 401)
    assert nas.sessions == [session, other]
    assert session.rate_limit == "20M/100M"
    again = nas.login("anna", "x")
    assert isinstance(again, Session)
    assert sender.ask(DISCONNECT, [("User-Name", "anna")]) == (DISCONNECT_NAK, 508)
    address = [("Framed-IP-Address", session.address), ("NAS-IP-Address", "127.0.2.6")]
    assert sender.ask(DISCONNECT, address) == (DISCONNECT_ACK, None)


@pytest.mark.parametrize(
    ("nas", "coa", "framed"), [("wispr", 405, (42, 401)), ("cisco", 501, (41, None))], indirect=["nas"]
)
def test_other_kinds_refuse_coa_and_take_disconnect(
    nas: Nas, sender: Sender, session: Session, coa: int, framed: tuple[int, int | None]
) -> None:
    assert sender.ask(COA, [*who(session), ("Session-Timeout", 60)]) == (COA_NAK, coa)
    assert sender.ask(DISCONNECT, [*who(session), ("Framed-IP-Address", session.address)]) == framed
    if framed[0] == DISCONNECT_NAK:
        assert sender.ask(DISCONNECT, who(session)) == (DISCONNECT_ACK, None)
    nas.events.wait("redialled", "anna")


def test_disobedience(nas: Nas, sender: Sender, session: Session) -> None:
    nas.obedience = "refuse:506"
    assert sender.ask(COA, [*who(session), RATE]) == (COA_NAK, 506)
    nas.obedience = "refuse:0"
    assert sender.ask(DISCONNECT, who(session)) == (DISCONNECT_NAK, None)
    nas.obedience = "ack_but_ignore"
    assert sender.ask(COA, [*who(session), RATE]) == (COA_ACK, None)
    assert sender.ask(DISCONNECT, who(session)) == (DISCONNECT_ACK, None)
    nas.obedience = "silent"
    datagram = sender.build(COA, [*who(session), RATE])
    assert sender.send(datagram, patience=0.2) is None
    assert nas.sessions == [session]
    assert session.rate_limit == "20M/100M"
    assert len(nas.events.named("coa_received")) == 3
    with pytest.raises(ValueError, match="sulk"):
        nas.obedience = "sulk"


def test_slowness_and_impatience(nas: Nas, sender: Sender, session: Session) -> None:
    nas.obedience = "slow:0.3"
    datagram = sender.build(COA, [*who(session), RATE])
    began = time.monotonic()
    assert sender.send(datagram, patience=0.1) is None
    answer = sender.send(datagram)  # the retransmission is dropped while the first is being worked on
    assert answer is not None
    assert time.monotonic() - began >= 0.3
    assert answer[0] == COA_ACK
    assert session.rate_limit == "1M/1M"
    assert [event.detail for event in nas.events.named("dropped")] == ["duplicate"]
    assert len(nas.events.named("ack_sent")) == 1
