"""What an Accounting-Request says, and what it cannot make us believe."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radius.accounting import DeviceReset, NotUnderstood, SessionChange, Status, understand
from radius.dialects import class_value
from radius.packet import Code, attribute, request
from tests.radius.nas import SECRET, account

ARRIVED = datetime(2026, 3, 1, 12, 0, 5, 250_000, tzinfo=UTC)
HAPPENED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def read(datagram: bytes) -> SessionChange | DeviceReset | NotUnderstood:
    return understand(3, "192.0.2.1", datagram, ARRIVED)


def raw(*attributes: tuple[int, bytes]) -> bytes:
    return request(Code.ACCOUNTING_REQUEST, 1, b"".join(attribute(*each) for each in attributes), SECRET)


def test_a_stop_says_everything():
    change = read(
        account(
            "Stop",
            "81100003",
            "ann@isp",
            ("Framed-IP-Address", "10.1.2.3"),
            ("Calling-Station-Id", "AA:BB:CC:DD:EE:FF"),
            ("NAS-Identifier", "tower-1"),
            ("NAS-IP-Address", "10.0.0.1"),
            ("NAS-Port-Id", "<pppoe-ann>"),
            ("NAS-Port", 17),
            ("Acct-Input-Octets", 5),
            ("Acct-Input-Gigawords", 1),
            ("Acct-Output-Octets", 7),
            ("Acct-Output-Gigawords", 2),
            ("Acct-Session-Time", 3600),
            ("Acct-Terminate-Cause", "Lost-Carrier"),
            ("Class", b"somebody else's"),
            ("Class", class_value(42, 9)),
            at=HAPPENED,
        )
    )
    assert change == SessionChange(
        nas_id=3,
        device="192.0.2.1",
        acct_session_id="81100003",
        login="ann@isp",
        status=Status.STOP,
        at=HAPPENED,
        stamped=True,
        octets_in=(1 << 32) + 5,
        octets_out=(2 << 32) + 7,
        seconds=3600,
        terminate_cause="Lost-Carrier",
        framed_address="10.1.2.3",
        calling_station="AA:BB:CC:DD:EE:FF",
        nas_identifier="tower-1",
        nas_port_id="<pppoe-ann>",
        nas_address="10.0.0.1",
        accepted=(42, 9),
    )


@pytest.mark.parametrize(("word", "status"), [("Start", 1), ("Stop", 2), ("Interim-Update", 3)])
def test_every_status_of_a_session(word, status):
    change = read(account(word))
    assert isinstance(change, SessionChange)
    assert change.status == status
    assert (change.octets_in, change.octets_out, change.seconds, change.accepted) == (0, 0, 0, None)
    assert (change.framed_address, change.nas_port_id, change.terminate_cause) == (None, "", "")


@pytest.mark.parametrize("word", ["Accounting-On", "Accounting-Off"])
def test_a_device_that_starts_over(word):
    reset = read(account(word, None, None, ("NAS-Identifier", "tower-1"), at=HAPPENED))
    assert reset == DeviceReset(3, "192.0.2.1", HAPPENED, "tower-1", None)


@pytest.mark.parametrize(
    ("datagram", "name"),
    [
        (b"\x04\x01\x00\x14", "accounting_malformed"),
        (account("Start", None), "accounting_without_session_id"),
        (raw((44, b"s1")), "accounting_unknown_status"),
        (raw((40, b"\0\0\0\x09"), (44, b"s1")), "accounting_unknown_status"),
        (raw((40, b"\x01"), (44, b"s1")), "accounting_unknown_status"),
        (raw((40, b"\0\0\0\x01"), (44, b"\0")), "accounting_without_session_id"),
    ],
)
def test_what_is_not_understood_has_a_name(datagram, name):
    assert read(datagram) == NotUnderstood(name)


def test_a_port_number_stands_in_for_its_name():
    assert read(account("Start", "s1", "ann", ("NAS-Port", 0))).nas_port_id == "0"


def test_a_cause_without_a_name_is_its_number():
    assert read(account("Stop", "s1", "ann", ("Acct-Terminate-Cause", 99))).terminate_cause == "99"


def test_text_that_is_not_utf8_stays_readable_and_nul_goes():
    change = read(raw((40, b"\0\0\0\x01"), (44, b"s\xff1"), (1, b"an\0n\xc3\xa4")))
    assert change.acct_session_id == r"s\xff1"
    assert change.login == "annä"


@pytest.mark.parametrize("value", [b"\0\0\0\0", b"\xff\xff\xff\xfe", b"\xff\xff\xff\xff", b"\x0a\0\0", b"\x0a\0\0\0\1"])
def test_what_is_no_address_is_none(value):
    assert read(raw((40, b"\0\0\0\x01"), (44, b"s1"), (8, value))).framed_address is None


def test_a_counter_that_cannot_be_is_not_believed():
    change = read(account("Stop", "s1", "ann", ("Acct-Input-Gigawords", 2**32 - 1), ("Acct-Output-Gigawords", 2**24)))
    assert change.octets_in == 0
    assert change.octets_out == 1 << 56


@pytest.mark.parametrize("days", [-30, 1])
def test_an_event_time_is_believed_within_bounds(days):
    at = (ARRIVED + timedelta(days=days)).replace(microsecond=0) + timedelta(seconds=1 if days < 0 else 0)
    change = read(account("Start", at=at))
    assert (change.at, change.stamped) == (at, True)


@pytest.mark.parametrize("at", [datetime(1970, 1, 2, tzinfo=UTC), ARRIVED + timedelta(days=1, seconds=1)])
def test_a_clock_that_is_wrong_gives_way_to_the_arrival(at):
    change = read(account("Start", "s1", "ann", ("Acct-Delay-Time", 5), at=at))
    assert (change.at, change.stamped) == (ARRIVED - timedelta(seconds=5), False)


def test_a_delay_beyond_belief_is_cut():
    change = read(account("Start", "s1", "ann", ("Acct-Delay-Time", 2**32 - 1)))
    assert change.at == ARRIVED - timedelta(days=30)


@given(st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=40)), max_size=12), st.integers(0, 12))
def test_any_attributes_are_understood_or_named(attributes, status):
    told = read(raw((40, status.to_bytes(4, "big")), *attributes))
    if isinstance(told, SessionChange):
        assert 0 <= told.octets_in <= 1 << 56
        assert not any("\0" in value for value in told if isinstance(value, str))


@given(st.binary(max_size=300))
def test_any_bytes_are_understood_or_named(datagram):
    assert read(datagram) is not None
