"""What each kind of NAS is told, and what it takes to make an open session obey something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.access import AccessLevel, AccessPolicy, Extra
from base.dictionary import decode_value, load
from base.extras import SENT
from radius.dialects import (
    DIALECTS,
    SessionIdentity,
    change,
    class_value,
    encode,
    encode_pairs,
    identify,
    read_class,
    render,
)
from tests.radius.nas import policy

WALL = {
    "level": AccessLevel.WALLED,
    "rate_down": 1_000_000,
    "rate_up": 512_000,
    "pool": "walled",
    "address_list": "wall",
}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("mikrotik", [("Mikrotik-Rate-Limit", "20M/100M")]),  # rx/tx of the router: upload first
        ("wispr", [("WISPr-Bandwidth-Max-Up", 20_000_000), ("WISPr-Bandwidth-Max-Down", 100_000_000)]),
        (
            "cisco",
            [
                ("Cisco-AVPair", "subscriber:sub-qos-policy-in=tk-20M"),
                ("Cisco-AVPair", "subscriber:sub-qos-policy-out=tk-100M"),
            ],
        ),
    ],
)
def test_upload_and_download_are_the_right_way_round(kind, expected):
    assert render(kind, policy())[: len(expected)] == expected


@pytest.mark.parametrize(
    ("up", "down", "text"),
    [
        (0, 0, "0/0"),
        (512_000, 1_000_000, "512k/1M"),
        (1_500_000, 2_500, "1500k/2500"),
        (1, 10_000_000_000, "1/10000M"),
    ],
)
def test_rates_are_exact_in_units_that_routeros_reads(up, down, text):
    assert render("mikrotik", policy(rate_up=up, rate_down=down))[0] == ("Mikrotik-Rate-Limit", text)


def test_a_rate_that_is_not_limited_is_left_out_where_zero_would_mean_none():
    for kind in ("wispr", "cisco"):
        assert not [
            name for name, _ in render(kind, policy(rate_up=0, rate_down=0)) if "Bandwidth" in name or "AV" in name
        ]


def test_a_rate_beyond_32_bits_is_the_highest_that_can_be_said():
    assert ("WISPr-Bandwidth-Max-Down", 2**32 - 1) in render("wispr", policy(rate_down=10_000_000_000))


@pytest.mark.parametrize(
    ("kind", "pool", "wall"),
    [
        ("mikrotik", ("Framed-Pool", "walled"), ("Mikrotik-Address-List", "wall")),
        ("wispr", ("Framed-Pool", "walled"), ("Filter-Id", "wall")),
        ("cisco", ("Cisco-AVPair", "ip:addr-pool=walled"), ("Filter-Id", "wall")),
    ],
)
def test_the_wall(kind, pool, wall):
    pairs = render(kind, policy(**WALL))
    assert pool in pairs
    assert wall in pairs
    assert wall[0] not in dict(render(kind, policy()))


BURST = {
    "burst_rate_down": 200_000_000, "burst_threshold_down": 80_000_000, "burst_seconds_down": 16,
    "burst_rate_up": 40_000_000, "burst_threshold_up": 15_000_000, "burst_seconds_up": 8,
}  # fmt: skip


@pytest.mark.parametrize(
    ("bursts", "text"),
    [
        (BURST, "20M/100M 40M/200M 15M/80M 8/16"),
        ({"burst_rate_down": 200_000_000}, "20M/100M 0/200M 0/100M 0/1"),
        ({"burst_rate_up": 40_000_000, "burst_seconds_up": 5}, "20M/100M 40M/0 20M/0 5/0"),
    ],
)
def test_bursts_come_upload_first_too_and_what_is_not_said_is_as_routeros_takes_it(bursts, text):
    assert render("mikrotik", policy(**bursts))[0] == ("Mikrotik-Rate-Limit", text)


@pytest.mark.parametrize("kind", ["wispr", "cisco"])
def test_bursts_are_not_told_where_there_is_no_word_for_them(kind):
    assert render(kind, policy(**BURST)) == render(kind, policy())
    assert change(kind, policy().obeyed(), policy(**BURST)) == []


EXTRAS = (
    Extra("Idle-Timeout", "600"),
    Extra("Filter-Id", "x.in", ("mikrotik",)),
    Extra("Filter-Id", "y.out", ("mikrotik",)),
)


def test_extra_attributes_go_to_the_kinds_that_they_are_for():
    assert ("Idle-Timeout", "600") in render("wispr", policy(extras=EXTRAS))
    assert "Filter-Id" not in dict(render("cisco", policy(extras=EXTRAS)))
    told = [pair for pair in render("mikrotik", policy(extras=EXTRAS)) if pair[0] == "Filter-Id"]
    assert told == [("Filter-Id", "x.in"), ("Filter-Id", "y.out")]


def test_what_we_send_ourselves_is_what_no_extra_may_be():
    everything = [policy(**WALL), policy(pool="home"), policy(address="192.0.2.9")]
    for kind in DIALECTS:
        pairs = [pair for each in everything for pair in render(kind, each)]
        sent = {name for name, _ in pairs} - {"Class", "Acct-Interim-Interval", "Session-Timeout"}
        assert sent == set(SENT[kind])
        for name, value in pairs:
            assert not SENT[kind].get(name) or str(value).startswith(SENT[kind][name])
    assert set(SENT) == set(DIALECTS)


@pytest.mark.parametrize("kind", DIALECTS)
def test_what_every_login_is_told(kind):
    pairs = dict(render(kind, policy(session_timeout=3600)))
    assert pairs["Session-Timeout"] == 3600
    assert pairs["Acct-Interim-Interval"] == 300
    assert read_class(pairs["Class"]) == (7, 1)
    assert "Session-Timeout" not in dict(render(kind, policy()))


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_fixed_address_wins_over_the_pool(kind):
    pairs = render(kind, policy(address="192.0.2.9", pool="home"))
    assert ("Framed-IP-Address", "192.0.2.9") in pairs
    assert "home" not in str(pairs)


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize(
    "changes",
    [{}, WALL, {"address": "192.0.2.9", "session_timeout": 60}, {**BURST, "extras": EXTRAS}],
)
def test_the_octets_say_what_people_are_shown(kind, changes):
    """Read back by the dictionary alone."""
    pairs = render(kind, policy(**changes))
    octets, read = encode(kind, policy(**changes)), []
    while octets:
        code, value = octets[0], octets[2 : octets[1]]
        vendor, octets = 0, octets[octets[1] :]
        if code == 26:
            vendor, code, value = int.from_bytes(value[:4], "big"), value[4], value[6 : 4 + value[5]]
        attribute = load().by_code[vendor, code]
        named = {number: name for name, number in attribute.values.items()}
        told = decode_value(attribute, value)
        read.append((attribute.name, named.get(told, told) if isinstance(told, int) else told))
    assert [(name, str(value)) for name, value in read] == [(name, str(value)) for name, value in pairs]


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_class_comes_back(service_id, version):
    value = class_value(service_id, version)
    assert read_class(value) == (service_id, version)
    assert read_class(value + b"x") is None
    assert read_class(value[:-1]) is None
    assert read_class(b"TK\x02" + value[3:]) is None, "a newer format is not guessed at"


@given(st.binary(max_size=40))
def test_a_class_of_somebody_else_is_nobodys(value):
    assert read_class(value) is None or value[:3] == b"TK\x01"


class TestChange:
    """None: Disconnect. A list: a CoA-Request with it, or nothing to do where it is empty."""

    @pytest.mark.parametrize("kind", DIALECTS)
    def test_nothing_new_is_nothing_to_do(self, kind):
        assert change(kind, policy().obeyed(), policy(version=9, password="new")) == []

    def test_another_speed_is_a_coa_on_mikrotik(self):
        assert change("mikrotik", policy().obeyed(), policy(rate_up=5_000_000)) == [("Mikrotik-Rate-Limit", "5M/100M")]
        slower = policy(level=AccessLevel.REDUCED, rate_down=1_000_000)
        assert change("mikrotik", policy().obeyed(), slower) == [("Mikrotik-Rate-Limit", "20M/1M")]

    @pytest.mark.parametrize("kind", ["wispr", "cisco"])
    def test_and_a_disconnect_elsewhere(self, kind):
        assert change(kind, policy().obeyed(), policy(rate_up=5_000_000)) is None

    @pytest.mark.parametrize("kind", DIALECTS)
    @pytest.mark.parametrize(
        "changes",
        [
            WALL,
            {"level": AccessLevel.WALLED},
            {"level": AccessLevel.BLOCKED},
            {"pool": "other"},
            {"address": "192.0.2.9"},
            {"address_list": "other", "rate_up": 5},
            {"session_timeout": 60},
        ],
    )
    def test_what_no_kind_can_change_in_an_open_session(self, kind, changes):
        assert change(kind, policy().obeyed(), policy(**changes)) is None

    @pytest.mark.parametrize("kind", DIALECTS)
    def test_out_of_the_wall_is_a_disconnect_too(self, kind):
        assert change(kind, policy(**WALL).obeyed(), policy()) is None
        assert change(kind, policy(level=AccessLevel.WALLED).obeyed(), policy()) is None

    def test_within_the_wall_only_the_speed_changes(self):
        faster = policy(**{**WALL, "rate_down": 2_000_000})
        assert change("mikrotik", policy(**WALL).obeyed(), faster) == [("Mikrotik-Rate-Limit", "512k/2M")]

    @pytest.mark.parametrize("kind", DIALECTS)
    def test_nobody_is_dropped_for_a_rhythm_of_accounting_or_a_name(self, kind):
        assert change(kind, policy().obeyed(), policy(interim_interval=600)) == []
        assert change(kind, policy().obeyed(), policy(level=AccessLevel.REDUCED)) == []

    def test_bursts_change_in_place(self):
        assert change("mikrotik", policy().obeyed(), policy(**BURST)) == [
            ("Mikrotik-Rate-Limit", "20M/100M 40M/200M 15M/80M 8/16")
        ]
        assert change("mikrotik", policy(**BURST).obeyed(), policy()) == [("Mikrotik-Rate-Limit", "20M/100M")]

    def test_extras_that_a_change_may_carry_go_with_it_all_of_a_name(self):
        before = policy(extras=EXTRAS[:2]).obeyed()
        assert change("mikrotik", policy().obeyed(), policy(extras=EXTRAS)) == [
            (each.name, each.value) for each in EXTRAS
        ]
        told = change("mikrotik", before, policy(extras=EXTRAS, rate_up=5_000_000))
        assert told == [("Mikrotik-Rate-Limit", "5M/100M"), ("Filter-Id", "x.in"), ("Filter-Id", "y.out")]

    def test_an_extra_that_is_taken_away_or_not_in_the_list_takes_a_login(self):
        assert change("mikrotik", policy(extras=EXTRAS).obeyed(), policy(extras=EXTRAS[:1])) is None
        assert change("mikrotik", policy().obeyed(), policy(extras=(Extra("Reply-Message", "x"),))) is None
        assert change("wispr", policy().obeyed(), policy(extras=EXTRAS)) is None

    def test_an_extra_for_another_kind_is_nothing_to_do(self):
        only = (Extra("Reply-Message", "x", ("cisco",)),)
        assert change("mikrotik", policy().obeyed(), policy(extras=only)) == []
        assert change("mikrotik", policy(extras=only).obeyed(), policy()) == []

    def test_rows_of_other_releases_differ_only_in_what_we_know(self):
        assert change("mikrotik", {**policy().obeyed(), "of_a_newer_release": 1}, policy()) == []
        assert change("mikrotik", {**policy().obeyed(), "burst_rate_up": 0, "extras": []}, policy()) is not None

    @pytest.mark.parametrize("kind", DIALECTS)
    def test_what_is_not_known_takes_a_disconnect(self, kind):
        assert change(kind, None, policy()) is None

    @given(
        st.fixed_dictionaries(
            {},
            optional={
                "level": st.sampled_from(AccessLevel),
                "rate_down": st.integers(0, 10**10),
                "pool": st.sampled_from([None, "a"]),
                "address_list": st.sampled_from([None, "wall"]),
                "interim_interval": st.sampled_from([300, 600]),
                "burst_rate_up": st.sampled_from([0, 40_000_000]),
                "extras": st.lists(st.sampled_from(EXTRAS), unique=True).map(tuple),
            },
        ),
        st.sampled_from(list(DIALECTS)),
    )
    def test_whatever_is_sent_can_be_encoded_and_is_what_a_login_would_get(self, changes, kind):
        pairs = change(kind, policy().obeyed(), policy(**changes))
        assert pairs is None or set(pairs) <= set(render(kind, policy(**changes)))
        assert pairs is None or encode_pairs(pairs) is not None


SESSION = SessionIdentity("ann", "81100003", "10.0.0.9", "aa:bb", "tower-1", "10.0.0.1")


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("mikrotik", ["User-Name", "Acct-Session-Id", "Framed-IP-Address", "NAS-Identifier"]),
        ("wispr", ["User-Name", "Acct-Session-Id", "NAS-Identifier"]),
        ("cisco", ["User-Name", "Acct-Session-Id", "NAS-Identifier"]),
    ],
)
def test_each_kind_knows_its_sessions_by_what_it_takes(kind, names):
    assert [name for name, _ in identify(kind, SESSION)] == names


@pytest.mark.parametrize("kind", DIALECTS)
def test_what_a_nas_did_not_report_is_not_told_to_it(kind):
    assert identify(kind, SessionIdentity("", "1", None, "", "", None)) == [("Acct-Session-Id", "1")]
    told = identify(kind, SessionIdentity("ann", "1", None, "", "", "10.0.0.1"))
    assert told == [("User-Name", "ann"), ("Acct-Session-Id", "1"), ("NAS-IP-Address", "10.0.0.1")]


def test_every_field_that_sessions_obey_has_a_place():
    """A new field of AccessPolicy must be thought of here: sent at login, changed in place, or left for later."""
    first = {
        "level", "rate_down", "rate_up", "pool", "address", "address_list", "session_timeout", "interim_interval",
    }  # fmt: skip
    assert set(policy().obeyed()) == first, "what came later is left out where it says nothing"
    assert set(policy(**BURST, extras=EXTRAS).obeyed()) == first | set(BURST) | {"extras"}
    assert isinstance(policy(), AccessPolicy)
