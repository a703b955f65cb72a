"""Datagrams in, outcomes out: who is answered with what, and what is dropped under which name."""

import struct
from hashlib import md5
from ipaddress import ip_network
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.access import AccessLevel
from radius.book import Book, Nas
from radius.dialects import encode_pairs
from radius.exchange import REJECTIONS, Drop, Exchange, Fault, SaveThenSend, Send, decide_login
from radius.packet import (
    Code,
    MalformedName,
    Packet,
    attribute,
    check_message_authenticator,
    check_response,
    parse,
    request,
)
from tests.radius.nas import AUTHENTICATOR, SECRET, account, chap, pap, policy

NAS = "192.0.2.1"
PROXY_STATE = ("Proxy-State", b"\x01hop")


def words(value: object) -> str:
    """Names of examples hold no octets."""
    return value if isinstance(value, str) else ""


def nas(
    network: str = NAS, nas_id: int = 3, *, secret: bytes = SECRET, kind: str = "mikrotik", rule: str = "auto"
) -> Nas:
    return Nas(nas_id, f"nas {nas_id}", ip_network(network), secret, kind, rule)


def exchange(*nases: Nas, services=None) -> Exchange:
    book = Book()
    walled = policy(8, login="walled", level=AccessLevel.WALLED)
    blocked = policy(9, login="out", level=AccessLevel.BLOCKED)
    book.adopt(Book.of([policy(), walled, blocked] if services is None else services, nases or [nas()]))
    return Exchange(book)


def ask(datagram: bytes, service: str = "auth", address: str = NAS, on: Exchange | None = None, now: float = 100.0):
    return (on or exchange()).receive(service, datagram, address, 1645, now)


def answer(datagram: bytes, service: str = "auth", **more) -> Packet:
    """The reply to a request, proven to be signed with the secret and, where there is one, to begin with the proof."""
    outcome = ask(datagram, service, **more)
    assert isinstance(outcome, Send | SaveThenSend), outcome
    reply = parse(outcome.reply)
    assert reply.identifier == datagram[1]
    assert check_response(reply, datagram[4:20], SECRET)
    if reply.signed_at:
        assert reply.attributes[0][0] == 80
        assert check_message_authenticator(reply, SECRET, datagram[4:20]) == "valid"
    return reply


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("challenge", [None, b"0123456789abcdef", b"short"])
@pytest.mark.parametrize("login", [pap, chap])
def test_the_right_password_is_accepted(login, challenge, signed):
    own = {"challenge": challenge} if login is chap else {}
    reply = answer(login(signed=signed, **own))
    assert reply.code == Code.ACCESS_ACCEPT
    assert reply.signed_at == 22, "the Message-Authenticator comes first"
    assert b"20M/100M" in reply.raw


def access(*pairs: tuple[str, object]) -> bytes:
    """A signed Access-Request with these attributes."""
    return request(Code.ACCESS_REQUEST, 1, encode_pairs(list(pairs)), SECRET, AUTHENTICATOR)


REJECTED = [
    (pap(password="wrong"), "wrong_password"),
    (pap(password=""), "wrong_password"),
    (pap(password="pässword and more"), "wrong_password"),
    (chap(password="wrong"), "wrong_password"),
    (chap(challenge=b"0123456789abcdef", password="wrong"), "wrong_password"),
    (pap("nobody"), "unknown_login"),
    (pap("Ann"), "unknown_login"),
    (pap("ann "), "unknown_login"),
    (pap("out"), "blocked"),
    (chap("out"), "blocked"),
    (pap("out", "wrong"), "wrong_password"),
    (access(("User-Name", "ann")), "no_password"),
    (pap("ann", "pässword", ("CHAP-Password", bytes(17))), "no_password"),
    (
        access(("User-Name", "ann"), ("EAP-Message", b"\2")),
        "no_password",
    ),
    (
        access(("User-Name", "ann"), ("CHAP-Password", b"x")),
        "wrong_password",
    ),
    (access(), "unknown_login"),
]


@pytest.mark.parametrize(("datagram", "reason"), REJECTED, ids=words)
def test_everything_else_is_rejected_with_a_reason(datagram, reason):
    assert answer(datagram).code == Code.ACCESS_REJECT
    login = ask(datagram).login
    assert (login.accepted, login.reason, login.nas_id) == (False, reason, 3)
    assert reason in REJECTIONS


def test_a_reject_says_nothing_but_its_proof():
    assert [kind for kind, _ in answer(pap(password="wrong")).attributes] == [80]


def test_every_rejection_has_an_example():
    assert {reason for _, reason in REJECTED} == set(REJECTIONS)


def test_a_walled_login_is_accepted():
    assert answer(pap("walled")).code == Code.ACCESS_ACCEPT


@pytest.mark.parametrize("password", [None, ""])
@pytest.mark.parametrize("login", [pap, chap])
def test_a_service_without_a_password_lets_nobody_in(login, password):
    on = exchange(services=[policy(password=password)])
    assert answer(login(password=""), on=on).code == Code.ACCESS_REJECT


def test_the_login_is_told_as_it_came():
    datagram = request(Code.ACCESS_REQUEST, 1, attribute(1, b"a\xffb") + attribute(31, b"\xe4a:bb"), SECRET)
    login = ask(datagram).login
    assert (login.login, login.calling_station, login.service_id) == (r"a\xffb", r"\xe4a:bb", None)
    login = ask(pap("ann", "pässword", ("Calling-Station-Id", "aa:bb"))).login
    assert (login.service_id, login.accepted, login.reason, login.calling_station) == (7, True, "ok", "aa:bb")


def test_each_kind_of_nas_is_answered_in_its_dialect():
    on = exchange(nas(), nas("192.0.2.2", 4, kind="wispr"), nas("192.0.2.3", 5, kind="cisco"))
    vendors = [
        struct.unpack(">I", answer(pap(), on=on, address=address).first(26)[:4])[0]
        for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3")
    ]
    assert vendors == [14988, 14122, 9]


class TestRepetition:
    def test_it_gets_the_same_bytes_and_is_not_decided_again(self):
        on = exchange()
        first = ask(pap(), on=on)
        on._book.put_policies([policy(password="changed")])
        again = ask(pap(), on=on, now=109.0)
        assert again == Send(first.reply, login=None)
        assert ask(pap(identifier=2), on=on).login.reason == "wrong_password"

    def test_another_authenticator_under_the_same_identifier_is_another_request(self):
        on = exchange()
        assert answer(pap(), on=on).code == Code.ACCESS_ACCEPT
        assert answer(pap(password="wrong", authenticator=bytes(16)), on=on).code == Code.ACCESS_REJECT

    def test_it_is_known_by_address_port_and_service(self):
        on = exchange(nas("192.0.2.0/24"))
        assert ask(pap(), on=on).login
        assert ask(pap(), on=on, address="192.0.2.9").login
        assert on.receive("auth", pap(), NAS, 1646, 100.0).login

    @pytest.mark.parametrize(("seconds", "known"), [(0, True), (10, True), (31, False)])
    def test_it_is_remembered_for_a_while(self, seconds, known):
        on = exchange()
        ask(pap(), on=on, now=100.0)
        ask(pap(identifier=2), on=on, now=100.0 + seconds / 2)
        assert (ask(pap(), on=on, now=100.0 + seconds).login is None) is known

    def test_memory_does_not_grow(self):
        on = exchange()
        for number in range(1000):
            ask(pap(identifier=number % 256, authenticator=number.to_bytes(16, "big")), on=on, now=100.0 + number)
        assert len(on._answers) + len(on._older_answers) <= 24

    def test_a_forged_one_does_not_touch_what_is_remembered(self):
        on = exchange()
        first = ask(pap(), on=on)
        forged = bytearray(pap())
        forged[-1] ^= 1
        assert isinstance(ask(bytes(forged), on=on), Drop)
        assert ask(pap(), on=on).reply == first.reply


class TestAccounting:
    def test_it_is_answered_when_it_is_saved_and_then_repeated(self):
        on = exchange()
        datagram = account("Start", "s1", "ann", PROXY_STATE)
        outcome = ask(datagram + b"padding", "acct", on=on)
        assert isinstance(outcome, SaveThenSend)
        assert (outcome.nas.id, outcome.request) == (3, datagram)
        reply = answer(datagram, "acct")
        assert (reply.code, reply.attributes) == (Code.ACCOUNTING_RESPONSE, [(33, b"\x01hop")])
        assert isinstance(ask(datagram, "acct", on=on), SaveThenSend), "until it is saved it must be taken again"
        on.answered(outcome.key, outcome.reply)
        assert ask(datagram, "acct", on=on) == Send(outcome.reply)

    def test_a_proof_is_checked_where_there_is_one(self):
        assert answer(account("Start", signed=True), "acct").code == Code.ACCOUNTING_RESPONSE
        assert ask(_resign(account("Start", signed=True, secret=b"other")), "acct") == Drop("bad_message_authenticator")

    @pytest.mark.parametrize("rule", ["yes", "no", "auto"])
    def test_no_rule_asks_for_a_proof(self, rule):
        assert answer(account("Start"), "acct", on=exchange(nas(rule=rule)))


def _resign(datagram: bytes) -> bytes:
    """Give a request of another secret the authenticator of ours, but not its Message-Authenticator."""
    return datagram[:4] + md5(datagram[:4] + bytes(16) + datagram[20:] + SECRET).digest() + datagram[20:]


@pytest.mark.parametrize(("service", "code"), [("auth", Code.ACCESS_ACCEPT), ("acct", Code.ACCOUNTING_RESPONSE)])
def test_status_server_is_answered_and_not_remembered(service, code):
    on = exchange()
    reply = answer(request(Code.STATUS_SERVER, 9, b"", SECRET), service, on=on)
    assert (reply.code, reply.signed_at, len(reply.attributes)) == (code, 22, 1)
    assert not on._answers


@pytest.mark.parametrize(
    ("rule", "signed", "proxied", "dropped"),
    [
        ("yes", True, True, False),
        ("yes", True, False, False),
        ("yes", False, True, True),
        ("yes", False, False, True),
        ("no", True, True, False),
        ("no", True, False, False),
        ("no", False, True, False),
        ("no", False, False, False),
        ("auto", True, True, False),
        ("auto", True, False, False),
        ("auto", False, True, True),
        ("auto", False, False, False),
    ],
)
@pytest.mark.parametrize("login", [pap, chap])
def test_who_must_prove_where_a_login_comes_from(login, rule, signed, proxied, dropped):
    """The answer to CVE-2024-3596 (BlastRADIUS)."""
    datagram = login("ann", "pässword", *([PROXY_STATE] if proxied else []), signed=signed)
    on = exchange(nas(rule=rule))
    if dropped:
        assert ask(datagram, on=on) == Drop("missing_message_authenticator")
    else:
        reply = answer(datagram, on=on)
        assert reply.code == Code.ACCESS_ACCEPT
        assert reply.all(33) == ([b"\x01hop"] if proxied else [])


@pytest.mark.parametrize("rule", ["yes", "no", "auto"])
def test_eap_must_always_prove_it(rule):
    attributes = encode_pairs([("User-Name", "ann"), ("EAP-Message", b"\2\1\0\4")])
    unsigned = request(Code.ACCESS_REQUEST, 1, attributes, SECRET, message_authenticator=False)
    assert ask(unsigned, on=exchange(nas(rule=rule))) == Drop("missing_message_authenticator")


def test_proxy_state_goes_back_unchanged_and_in_order():
    states = [("Proxy-State", b"b"), ("Proxy-State", b"a"), ("Proxy-State", b"\0")]
    for password in ("pässword", "wrong"):
        assert answer(pap("ann", password, *states)).all(33) == [b"b", b"a", b"\0"]


class TestNas:
    def test_the_narrowest_network_wins(self):
        wide, narrow, one = b"secret of all", b"secret of some", b"secret of one"
        on = exchange(
            nas("0.0.0.0/0", 1, secret=wide), nas("192.0.2.0/24", 2, secret=narrow), nas("192.0.2.7", 3, secret=one)
        )
        for address, secret, nas_id in [("198.51.100.1", wide, 1), ("192.0.2.1", narrow, 2), ("192.0.2.7", one, 3)]:
            for identifier in (1, 2):  # the second time it is remembered
                datagram = pap(secret=secret, identifier=identifier)
                assert ask(datagram, on=on, address=address).login.nas_id == nas_id
        assert ask(pap(secret=wide), on=on, address="192.0.2.1") == Drop("bad_message_authenticator")

    def test_ipv6_with_a_zone(self):
        on = exchange(nas("fe80::/10", 1), nas("2001:db8::/64", 2))
        assert ask(pap(), on=on, address="fe80::1%eth0").login.nas_id == 1
        assert ask(pap(), on=on, address="2001:db8::1").login.nas_id == 2
        assert ask(pap(), on=on, address="192.0.2.1") == Drop("unknown_nas")

    def test_one_that_is_removed_or_moved_is_forgotten(self):
        on = exchange(nas("192.0.2.0/24", 1), nas(NAS, 2))
        assert ask(pap(), on=on).login.nas_id == 2
        on._book.put_nases([], gone=[2])
        assert ask(pap(identifier=2), on=on).login.nas_id == 1
        on._book.put_nases([nas("198.51.100.0/24", 1)])
        assert ask(pap(identifier=3), on=on) == Drop("unknown_nas")
        assert ask(pap(identifier=3), on=on, address="198.51.100.1").login.nas_id == 1


class TestServices:
    def test_a_login_that_moves_to_another_service(self):
        on = exchange(services=[policy(1, login="x"), policy(2, login="y")])
        on._book.put_policies([policy(1, login="y"), policy(2, login="x")])
        assert [ask(pap(login, identifier=number), on=on).login.service_id for number, login in enumerate("xy")] == [
            2,
            1,
        ]
        on._book.drop_policies([2])
        assert ask(pap("x", identifier=3), on=on).login.reason == "unknown_login"
        assert len(on._book) == 1

    def test_a_changed_policy_is_answered_at_once(self):
        on = exchange()
        assert b"20M/100M" in answer(pap(), on=on).raw
        on._book.put_policies([policy(rate_up=1_000_000, version=2)])
        assert b"1M/100M" in answer(pap(identifier=2), on=on).raw


DROPS = [
    ("unknown_nas", "auth", pap(), "203.0.113.1"),
    ("too_long", "auth", pap() + bytes(5000), NAS),
    ("too_long", "auth", struct.pack(">BBH", 1, 1, 4097) + bytes(4076), NAS),
    ("unexpected_code", "auth", account("Start"), NAS),
    ("unexpected_code", "acct", pap(), NAS),
    ("unexpected_code", "auth", request(Code.DISCONNECT_REQUEST, 1, b"", SECRET), NAS),
    ("unexpected_code", "auth", struct.pack(">BBH", 2, 1, 20) + bytes(16), NAS),
    ("missing_message_authenticator", "auth", pap("ann", "x", PROXY_STATE, signed=False), NAS),
    ("missing_message_authenticator", "auth", struct.pack(">BBH", 12, 1, 20) + bytes(16), NAS),
    ("bad_message_authenticator", "auth", pap(secret=b"other"), NAS),
    ("bad_message_authenticator", "acct", request(Code.STATUS_SERVER, 1, b"", b"other"), NAS),
    ("bad_message_authenticator", "auth", request(Code.ACCESS_REQUEST, 1, attribute(80, bytes(16)), SECRET), NAS),
    ("bad_authenticator", "acct", account("Start", secret=b"other"), NAS),
    ("eap_with_password", "auth", pap("ann", "x", ("EAP-Message", b"\2")), NAS),
    ("eap_with_password", "auth", chap("ann", "x", ("EAP-Message", b"\2")), NAS),
    ("reply_too_long", "auth", pap("ann", "pässword", *[("Proxy-State", bytes(250))] * 16), NAS),
    ("too_short", "auth", bytes(19), NAS),
    ("too_short", "auth", b"", NAS),
    ("bad_length", "auth", struct.pack(">BBH", 1, 1, 19) + bytes(16), NAS),
    ("truncated", "auth", pap()[:-1], NAS),
    ("unknown_code", "auth", struct.pack(">BBH", 200, 1, 20) + bytes(16), NAS),
    ("attribute_zero", "auth", struct.pack(">BBH", 1, 1, 23) + bytes(16) + b"\0\3x", NAS),
    ("attribute_length", "auth", struct.pack(">BBH", 1, 1, 22) + bytes(16) + b"\1\1", NAS),
    ("attribute_overrun", "auth", struct.pack(">BBH", 1, 1, 23) + bytes(16) + b"\1\4x", NAS),
    ("too_many_attributes", "auth", struct.pack(">BBH", 1, 1, 422) + bytes(16) + b"\1\2" * 201, NAS),
    ("user_password", "auth", request(Code.ACCESS_REQUEST, 1, attribute(1, b"ann") + attribute(2, b"x"), SECRET), NAS),
]


@pytest.mark.parametrize(("name", "service", "datagram", "address"), DROPS, ids=words)
def test_what_is_wrong_is_dropped_under_its_name(name, service, datagram, address):
    assert ask(datagram, service, address=address) == Drop(name)


def test_a_reject_can_be_too_long_too():
    states = attribute(33, bytes(253)) * 15 + attribute(33, bytes(249))
    datagram = request(Code.ACCESS_REQUEST, 1, states, SECRET, message_authenticator=False)
    assert len(datagram) == 4096
    assert ask(datagram, on=exchange(nas(rule="no"))) == Drop("reply_too_long")


def test_without_a_snapshot_nobody_is_answered():
    assert ask(pap(), on=Exchange(Book())) == Drop("no_snapshot")


def test_every_drop_has_an_example():
    assert {name for name, *_ in DROPS} | {"no_snapshot"} == {*get_args(Fault), *get_args(MalformedName)}


ON = exchange(nas(rule="no"))
SERVICES = st.sampled_from(["auth", "acct"])


@given(SERVICES, st.binary(max_size=4200))
def test_no_bytes_raise_or_are_accepted(service, datagram):
    assert isinstance(ask(datagram, service, on=ON), Drop | Send)
    assert not _accepts(ask(datagram, service, on=ON))


@given(
    SERVICES,
    st.sampled_from(list(Code)),
    st.lists(st.tuples(st.sampled_from([1, 2, 3, 31, 33, 60, 79, 80, 26]), st.binary(max_size=253)), max_size=18),
    st.booleans(),
)
def test_no_packet_with_the_right_secret_raises_or_is_accepted_without_the_password(service, code, attributes, known):
    octets = (attribute(1, b"ann") if known else b"") + b"".join(attribute(*each) for each in attributes)
    if len(octets) > 4096 - 38:
        return
    body = struct.pack(">BBH", code, 1, len(octets) + 20) + AUTHENTICATOR + octets
    if code in (Code.ACCESS_REQUEST, Code.STATUS_SERVER, Code.ACCOUNTING_REQUEST):
        body = request(code, 1, octets, SECRET)
    outcome = ask(body, service, on=ON)
    assert isinstance(outcome, Drop | Send | SaveThenSend)
    assert code == Code.STATUS_SERVER or not _accepts(outcome)


@given(st.binary(max_size=40), st.integers(0, 400))
def test_no_damage_goes_unnoticed_where_a_proof_is_asked_for(noise, place):
    good = pap("ann", "pässword", ("Calling-Station-Id", "aa:bb"))
    place %= len(good)
    damaged = good[:place] + noise + good[place + len(noise) :]
    outcome = ask(damaged, on=exchange(nas(rule="yes")))
    assert damaged[: len(good)] == good or isinstance(outcome, Drop)


def _accepts(outcome: object) -> bool:
    return isinstance(outcome, Send) and outcome.reply[0] == Code.ACCESS_ACCEPT


def test_the_default_is_no():
    packet = parse(pap())
    assert decide_login(None, packet, SECRET) == "unknown_login"
    assert decide_login(exchange()._book.find_login(b"ann"), packet, b"other") == "wrong_password"
