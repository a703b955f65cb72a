"""The dictionary files and the values that they let us write and read."""

import ipaddress
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrad import tools

from base.dictionary import (
    MASTER,
    Attribute,
    BadAttribute,
    BadDictionary,
    Value,
    check_extra,
    decode_value,
    encode_value,
    load,
)

FILES = sorted(file for file in MASTER.parent.iterdir() if file.is_file() and file.suffix not in (".py", ".pyc"))
WORDS = {"ATTRIBUTE", "VALUE", "VENDOR", "BEGIN-VENDOR", "END-VENDOR", "$INCLUDE"}
calm = settings(deadline=None)  # a busy core may stall any example
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def commands(file: Path) -> list[list[str]]:
    lines = (line.split("#")[0].split() for line in file.read_text().splitlines())
    return [words for words in lines if words]


@each_file
def test_every_file_names_its_origin_and_licence(file: Path) -> None:
    header = file.read_text().partition("\n\n")[0]
    assert all(line.startswith("#") for line in header.splitlines())
    assert re.search(r"^# Origin: \S+", header, re.MULTILINE)
    assert re.search(r"^# Licence: Apache-2\.0\.", header, re.MULTILINE)


@each_file
def test_every_file_loads_by_itself_and_nothing_in_it_is_skipped(file: Path) -> None:
    # pyrad passes over a word that it does not know, so a slip of the pen would go unnoticed.
    assert {words[0] for words in commands(file)} <= WORDS
    named = [words[1] for words in commands(file) if words[0] == "ATTRIBUTE"]
    if file != MASTER:
        assert named == list(load(file).by_name)
        for words in commands(file):
            if words[0] == "VALUE":
                assert load(file).by_name[words[1]].values[words[2]] == int(words[3])


def test_the_master_includes_every_file_and_no_name_or_number_is_given_twice() -> None:
    assert {words[1] for words in commands(MASTER)} == {file.name for file in FILES} - {MASTER.name}
    named = [words[1] for file in FILES for words in commands(file) if words[0] == "ATTRIBUTE"]
    assert len(named) == len(set(named)) == len(load().by_name) == len(load().by_code)


def test_it_is_read_once_and_cannot_be_changed() -> None:
    assert load() is load()
    with pytest.raises(TypeError):
        load().by_name["User-Name"] = load().by_name["Class"]  # type: ignore[index]
    with pytest.raises(TypeError):
        load().by_name["Service-Type"].values["Framed-User"] = 3  # type: ignore[index]
    assert isinstance(hash(load().by_name["Service-Type"]), int)


@pytest.mark.parametrize(
    ("name", "vendor", "code", "type"),
    [
        ("User-Name", 0, 1, "string"),
        ("Framed-IP-Address", 0, 8, "ipaddr"),
        ("Class", 0, 25, "octets"),
        ("Session-Timeout", 0, 27, "integer"),
        ("Acct-Session-Id", 0, 44, "string"),
        ("Acct-Input-Gigawords", 0, 52, "integer"),
        ("Event-Timestamp", 0, 55, "date"),
        ("Message-Authenticator", 0, 80, "octets"),
        ("Acct-Interim-Interval", 0, 85, "integer"),
        ("Framed-Pool", 0, 88, "string"),
        ("Chargeable-User-Identity", 0, 89, "octets"),
        ("Framed-Interface-Id", 0, 96, "ifid"),
        ("Error-Cause", 0, 101, "integer"),
        ("Delegated-IPv6-Prefix", 0, 123, "ipv6prefix"),
        ("Framed-IPv6-Address", 0, 168, "ipv6addr"),
        ("Cisco-AVPair", 9, 1, "string"),
        ("Cisco-Account-Info", 9, 250, "string"),
        ("MS-CHAP2-Success", 311, 26, "octets"),
        ("WISPr-Bandwidth-Max-Up", 14122, 7, "integer"),
        ("WISPr-Bandwidth-Max-Down", 14122, 8, "integer"),
        ("Mikrotik-Rate-Limit", 14988, 8, "string"),
        ("Mikrotik-Address-List", 14988, 19, "string"),
        ("Mikrotik-Delegated-IPv6-Pool", 14988, 22, "string"),
    ],
)
def test_an_attribute_is_found_by_name_and_by_number(name: str, vendor: int, code: int, type: str) -> None:
    found = load().by_name[name]
    assert (found.name, found.vendor, found.code, found.type) == (name, vendor, code, type)
    assert load().by_code[vendor, code] is found


def test_named_values_have_the_numbers_of_the_rfcs() -> None:
    by_name = load().by_name
    assert by_name["Service-Type"].values["Framed-User"] == 2
    assert by_name["Service-Type"].values["Authorize-Only"] == 17
    assert by_name["Acct-Status-Type"].values["Interim-Update"] == 3
    assert by_name["Acct-Terminate-Cause"].values["NAS-Reboot"] == 11
    assert by_name["Error-Cause"].values["Session-Context-Not-Found"] == 503
    assert by_name["Error-Cause"].values["Response-Too-Big"] == 601


integers = st.integers(0, 2**32 - 1)
VALUES: dict[str, st.SearchStrategy[Value]] = {
    "integer": integers,
    "date": integers.map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    "string": st.text(min_size=1, max_size=60),
    "octets": st.binary(min_size=1, max_size=247),
    "ipaddr": st.ip_addresses(v=4),
    "ipv6addr": st.ip_addresses(v=6),
    "ipv6prefix": st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)).map(
        lambda drawn: ipaddress.IPv6Network(drawn, strict=False)
    ),
    "ifid": st.lists(st.integers(0, 0xFFFF), min_size=4, max_size=4).map(
        lambda groups: "{:x}:{:x}:{:x}:{:x}".format(*groups)
    ),
}


@pytest.mark.parametrize("type", VALUES)
@calm
@given(data=st.data())
def test_a_value_is_written_as_pyrad_writes_it_and_read_back(type: str, data: st.DataObject) -> None:
    known = Attribute("Test", 9, 1, type, {})
    value = data.draw(VALUES[type])
    octets = encode_value(known, value)
    assert decode_value(known, octets) == value
    if type == "octets":
        return  # bytes are sent as they are; pyrad reads some of them as hex digits
    theirs = int(value.timestamp()) if isinstance(value, datetime) else value
    plain = theirs if isinstance(theirs, int) else str(theirs)
    assert octets == tools.EncodeAttr(type, plain)
    assert str(tools.DecodeAttr(type, octets)) == str(plain)
    if type != "string":
        assert encode_value(known, str(plain)) == octets


@pytest.mark.parametrize("type", VALUES)
@calm
@given(octets=st.binary(max_size=260))
def test_any_octets_are_a_value_or_a_bad_attribute(type: str, octets: bytes) -> None:
    try:
        decode_value(Attribute("Test", 0, 1, type, {}), octets)
    except BadAttribute as error:
        assert str(error).startswith("Test does not hold ")  # noqa: PT017


@pytest.mark.parametrize(
    ("name", "value", "octets"),
    [
        ("Service-Type", "Framed-User", b"\0\0\0\x02"),
        ("Service-Type", "2", b"\0\0\0\x02"),
        ("Session-Timeout", 3600, b"\0\0\x0e\x10"),
        ("Filter-Id", "Grün", "Grün".encode()),
        ("Filter-Id", "2", b"2"),
        ("Connect-Info", "0x41", b"0x41"),
        ("Chargeable-User-Identity", "0x00ff41", b"\0\xffA"),
        ("Chargeable-User-Identity", "65", b"65"),
        ("Chargeable-User-Identity", b"0x41", b"0x41"),
        ("Framed-IP-Address", "192.0.2.1", b"\xc0\0\x02\x01"),
        ("Framed-IPv6-Prefix", "2001:db8::/32", b"\0\x20\x20\x01\x0d\xb8" + bytes(12)),
        ("Framed-Interface-Id", "0:22ff:FE33:4455", b"\0\0\x22\xff\xfe\x33\x44\x55"),
        ("Mikrotik-Rate-Limit", "20M/100M", b"20M/100M"),
    ],
)
def test_an_extra_is_taken_as_people_write_it(name: str, value: object, octets: bytes) -> None:
    assert check_extra(name, value) == octets


def test_a_moment_is_an_instant_in_any_zone_or_seconds() -> None:
    known = load().by_name["Event-Timestamp"]
    east = datetime(2023, 11, 15, 0, 13, 20, 999_999, timezone(timedelta(hours=2)))
    assert encode_value(known, east) == encode_value(known, 1_700_000_000) == encode_value(known, "1700000000")
    assert decode_value(known, bytes.fromhex("6553f100")) == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    with pytest.raises(BadAttribute):
        encode_value(known, datetime(2023, 11, 14))
    with pytest.raises(BadAttribute):
        encode_value(known, datetime(1969, 1, 1, tzinfo=UTC))


def test_a_shortened_prefix_is_read_and_text_that_is_no_utf8_is_shown() -> None:
    by_name = load().by_name
    short = bytes.fromhex("0030 20010db80001")
    assert decode_value(by_name["Framed-IPv6-Prefix"], short) == ipaddress.IPv6Network("2001:db8:1::/48")
    stray = bytes.fromhex("0020 20010db80001")
    assert decode_value(by_name["Framed-IPv6-Prefix"], stray) == ipaddress.IPv6Network("2001:db8::/32")
    assert decode_value(by_name["User-Name"], b"zo\xeb") == "zo\\xeb"


BAD: list[tuple[str, object, str]] = [
    ("Session-Timeout", "soon-hidden", "Session-Timeout needs a whole number from 0 to 4294967295."),
    ("Session-Timeout", -1, "a whole number"),
    ("Session-Timeout", 2**32, "a whole number"),
    ("Session-Timeout", "9" * 5000, "a whole number"),
    ("Session-Timeout", "٣", "a whole number"),
    ("Session-Timeout", " 3", "a whole number"),
    ("Session-Timeout", 3.5, "a whole number"),
    ("Session-Timeout", True, "a whole number"),
    ("Session-Timeout", None, "a whole number"),
    ("Session-Timeout", b"\0\0\0\1", "a whole number"),
    ("Prompt", "Perhaps", "Prompt needs one of No-Echo, Echo or a whole number from 0 to 4294967295."),
    ("Filter-Id", "", "Filter-Id needs some text."),
    ("Filter-Id", 7, "some text"),
    ("Filter-Id", "\ud800", "some text"),
    ("Filter-Id", ["a"], "some text"),
    ("Chargeable-User-Identity", "", "some bytes"),
    ("Chargeable-User-Identity", "0x", "some bytes"),
    ("Chargeable-User-Identity", "0xzz", "some bytes"),
    ("Chargeable-User-Identity", 5, "some bytes"),
    ("Framed-IP-Address", "192.0.2", "an IPv4 address"),
    ("Framed-IP-Address", "2001:db8::1", "an IPv4 address"),
    ("Framed-IP-Address", 3221225985, "an IPv4 address"),
    ("Framed-IPv6-Address", "192.0.2.1", "an IPv6 address"),
    ("Framed-IPv6-Address", "fe80::1%eth0", "an IPv6 address"),
    ("Framed-IPv6-Address", 1, "an IPv6 address"),
    ("Framed-IPv6-Prefix", "2001:db8::", "an IPv6 prefix"),
    ("Framed-IPv6-Prefix", "2001:db8::1/64", "an IPv6 prefix"),
    ("Framed-IPv6-Prefix", "2001:db8::/129", "an IPv6 prefix"),
    ("Framed-IPv6-Prefix", "192.0.2.0/24", "an IPv6 prefix"),
    ("Framed-IPv6-Prefix", "fe80::%eth0/64", "an IPv6 prefix"),
    ("Framed-IPv6-Prefix", ("::", 64), "an IPv6 prefix"),
    ("Framed-Interface-Id", "1:2:3", "an interface id"),
    ("Framed-Interface-Id", "1:2:3:12345", "an interface id"),
    ("Framed-Interface-Id", 5, "an interface id"),
]


@pytest.mark.parametrize(("name", "value", "sentence"), BAD)
def test_a_bad_extra_is_refused_in_a_sentence_that_does_not_repeat_it(name: str, value: object, sentence: str) -> None:
    with pytest.raises(BadAttribute) as refused:
        check_extra(name, value)
    assert sentence in str(refused.value)
    assert str(refused.value).endswith(".")
    assert "soon-hidden" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


@pytest.mark.parametrize(
    ("name", "limit"), [("Filter-Id", 253), ("Class", 253), ("Mikrotik-Group", 247), ("MS-CHAP-Domain", 247)]
)
def test_a_value_may_be_as_long_as_the_wire_allows(name: str, limit: int) -> None:
    known = load().by_name[name]
    assert len(encode_value(known, "x" * limit)) == limit
    with pytest.raises(BadAttribute, match=f"{name} may be at most {limit} bytes long, this is {limit + 1}."):
        encode_value(known, "x" * (limit + 1))
    with pytest.raises(BadAttribute, match="at most"):
        encode_value(known, "ü" * (limit // 2 + 1))


def test_an_unknown_name_is_refused_with_a_guess() -> None:
    with pytest.raises(BadAttribute) as refused:
        check_extra("mikrotik-rate-limt", "1M/2M")
    assert str(refused.value) == "No RADIUS attribute is called “mikrotik-rate-limt”. Did you mean Mikrotik-Rate-Limit?"
    with pytest.raises(BadAttribute) as refused:
        check_extra("?", "1M/2M")
    assert str(refused.value) == "No RADIUS attribute is called “?”."


@pytest.mark.parametrize("name", ["Message-Authenticator", "User-Password", "Class", "State", "MS-MPPE-Send-Key"])
def test_what_only_the_server_may_write_is_refused(name: str) -> None:
    with pytest.raises(BadAttribute, match=f"{name} is set by Tollkeeper itself"):
        check_extra(name, "x")
    assert name in load().by_name


@pytest.mark.parametrize(
    "text",
    [
        "ATTRIBUTE Short 1",
        "ATTRIBUTE Strange 1 nonsense",
        "ATTRIBUTE Small 1 byte",
        "ATTRIBUTE Tagged 64 integer has_tag",
        "$INCLUDE missing",
        "VALUE Nobody Knows",
    ],
)
def test_a_dictionary_that_cannot_be_used_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "dictionary"
    file.write_text(text + "\n")
    with pytest.raises(BadDictionary, match=re.escape(str(file))):
        load(file)


def test_a_missing_dictionary_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadDictionary, match="nowhere"):
        load(tmp_path / "nowhere")
