"""Extra attributes of a plan: what is kept, and the sentences for what is not."""

import pytest

from base.dictionary import BadAttribute
from base.extras import LONGEST, MOST, SENT, check_extras


def extra(name: str, value: object = "x", **more: object) -> dict[str, object]:
    return {"name": name, "value": value, **more}


def test_what_is_kept_is_text_a_moment_and_kinds_in_order():
    kept = check_extras([extra("Idle-Timeout", 600), extra("Filter-Id", when="walled", kinds=["mikrotik", "mikrotik"])])
    assert kept == [
        {"name": "Idle-Timeout", "value": "600", "when": "always", "kinds": []},
        {"name": "Filter-Id", "value": "x", "when": "walled", "kinds": ["mikrotik"]},
    ]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (extra("Framed-Filter-Id"), "No RADIUS attribute is called “Framed-Filter-Id”. Did you mean"),
        (extra("Idle-Timeout", "soon"), "Idle-Timeout needs a whole number"),
        (extra("Filter-Id", when="never"), "sent full, reduced, walled or always, not “never”"),
        (extra("Idle-Timeout", 1, kinds=["nokia"]), "no kind of NAS “nokia”; the kinds are mikrotik, wispr, cisco"),
        (extra("Class"), "Class is set by Tollkeeper itself"),
        (extra("Session-Timeout", 60), "Session-Timeout is sent by Tollkeeper itself"),
        (extra("Acct-Interim-Interval", 60), "Acct-Interim-Interval is sent by Tollkeeper itself"),
        (extra("Acct-Session-Id"), "what a NAS reports"),
        (extra("User-Name"), "what a NAS reports"),
        (extra("Mikrotik-Wireless-PSK"), "carries a secret"),
        (extra("Cisco-Subscriber-Password"), "carries a secret"),
        (extra("MS-MPPE-Send-Key"), "is set by Tollkeeper itself"),
        (extra("Filter-Id"), "sent by Tollkeeper itself to wispr, cisco. Name the kinds that get it: mikrotik."),
        (extra("Filter-Id", kinds=["wispr", "mikrotik"]), "sent by Tollkeeper itself to wispr."),
        (extra("Framed-Pool", "x"), "sent by Tollkeeper itself to mikrotik, wispr. Name the kinds that get it: cisco."),
        (extra("Mikrotik-Rate-Limit", "1M/1M", kinds=["mikrotik"]), "sent by Tollkeeper itself to mikrotik."),
        (extra("Cisco-AVPair", "ip:addr-pool=x", kinds=["cisco"]), "sent by Tollkeeper itself to cisco."),
    ],
)
def test_what_cannot_be_sent_is_refused_in_a_sentence(given, sentence):
    with pytest.raises(BadAttribute) as refused:
        check_extras([given])
    assert sentence in str(refused.value)
    assert str(refused.value).endswith((".", "?"))


def test_what_one_kind_gets_anyway_another_may_get_as_an_extra():
    assert check_extras([extra("Filter-Id", kinds=["mikrotik"]), extra("Cisco-AVPair", "subscriber:inacl=101")])


def test_there_are_not_too_many():
    with pytest.raises(BadAttribute, match=f"at most {MOST}"):
        check_extras([extra("Reply-Message")] * (MOST + 1))
    with pytest.raises(BadAttribute, match=f"at most {LONGEST} bytes"):
        check_extras([extra("Reply-Message", "x" * 200)] * 10)
    assert set(SENT) == {"mikrotik", "wispr", "cisco"}
