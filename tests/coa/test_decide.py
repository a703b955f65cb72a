"""What an open session needs: the least disruptive step that reaches the policy."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.access import AccessLevel, AccessPolicy
from coa.decide import NOTHING, Act, Priority, decide_again, decide_step, fall_back, falls_back, is_gone, priority
from coa.exchange import Ack, Nak, Silence
from radius.dialects import DIALECTS, SessionIdentity

FULL = AccessPolicy(
    service_id=1, version=2, level=AccessLevel.FULL, login="ana", password=None, rate_down=100_000_000,
    rate_up=20_000_000, pool="main", address=None, address_list=None, session_timeout=None, interim_interval=300,
)  # fmt: skip
FASTER = replace(FULL, version=3, rate_down=300_000_000)
WALLED = replace(
    FULL,
    version=3,
    level=AccessLevel.WALLED,
    rate_down=1_000_000,
    rate_up=1_000_000,
    pool="walled",
    address_list="walled",
)
BLOCKED = replace(FULL, version=4, level=AccessLevel.BLOCKED)
WHO = SessionIdentity("ana", "81000001", "100.64.0.7", "AA-BB", "router-1", "192.0.2.1")


def test_a_mikrotik_changes_speed_in_place():
    step = decide_step("mikrotik", WHO, FULL.obeyed(), FASTER)
    assert step.act is Act.COA
    assert step.pairs == [
        ("User-Name", "ana"),
        ("Acct-Session-Id", "81000001"),
        ("Framed-IP-Address", "100.64.0.7"),
        ("NAS-Identifier", "router-1"),
        ("Mikrotik-Rate-Limit", "20M/300M"),
    ]


@pytest.mark.parametrize("kind", ["wispr", "cisco"])
def test_everybody_else_comes_back_by_disconnect(kind):
    step = decide_step(kind, WHO, FULL.obeyed(), FASTER)
    assert step.act is Act.DISCONNECT
    assert "Framed-IP-Address" not in dict(step.pairs)


@pytest.mark.parametrize("kind", list(DIALECTS))
@pytest.mark.parametrize(("applied", "policy"), [(FULL, WALLED), (WALLED, FULL), (FULL, BLOCKED), (FULL, None)])
def test_into_the_wall_out_of_it_and_out_of_service_is_a_disconnect(kind, applied, policy):
    step = decide_step(kind, WHO, applied.obeyed(), policy)
    assert step == fall_back(kind, WHO)
    assert step.act is Act.DISCONNECT


@pytest.mark.parametrize("kind", list(DIALECTS))
def test_what_is_the_same_needs_no_packet(kind):
    assert decide_step(kind, WHO, FULL.obeyed(), replace(FULL, version=9, password="new")) is NOTHING


def test_what_nobody_knows_comes_back():
    assert decide_step("mikrotik", WHO, None, FULL).act is Act.DISCONNECT


levels = st.sampled_from(list(AccessLevel))
policies = st.builds(
    replace,
    st.just(FULL),
    level=levels,
    rate_down=st.sampled_from([0, 1_000_000, 5_500_000]),
    rate_up=st.sampled_from([0, 64_000]),
    pool=st.sampled_from([None, "main", "walled"]),
    address_list=st.sampled_from([None, "walled"]),
)


@given(st.sampled_from(list(DIALECTS)), policies, policies)
def test_every_difference_that_matters_leads_to_a_step(kind, before, after):
    step = decide_step(kind, WHO, before.obeyed(), after)
    if after.level >= AccessLevel.BLOCKED:
        assert step.act is Act.DISCONNECT
    elif (before.level != after.level) and AccessLevel.WALLED in (before.level, after.level):
        assert step.act is Act.DISCONNECT  # in or out of the wall
    elif before.level >= AccessLevel.BLOCKED and after.level != before.level:
        assert step.act is Act.DISCONNECT
    elif {**before.obeyed(), "level": 0} == {**after.obeyed(), "level": 0}:
        assert step is NOTHING
    else:
        assert step.act in (Act.COA, Act.DISCONNECT)


def test_who_paid_goes_first_then_what_a_person_ordered():
    assert priority(AccessLevel.WALLED, AccessLevel.FULL) is Priority.RESTORE
    assert priority(AccessLevel.FULL, AccessLevel.WALLED) is Priority.RESTRICT
    assert priority(AccessLevel.FULL, AccessLevel.FULL) is Priority.RESTRICT
    assert priority(None, AccessLevel.FULL) is Priority.RESTRICT
    assert priority(AccessLevel.FULL, None) is Priority.RESTRICT
    assert Priority.RESTORE < Priority.ORDER < Priority.RESTRICT


def test_applying_again_sends_the_speed_once_more_where_nothing_differs():
    step = decide_again("mikrotik", WHO, FULL.obeyed(), FULL)
    assert step.act is Act.COA
    assert step.pairs[-1] == ("Mikrotik-Rate-Limit", "20M/100M")
    assert decide_again("wispr", WHO, FULL.obeyed(), FULL).act is Act.DISCONNECT


@pytest.mark.parametrize("kind", list(DIALECTS))
def test_applying_again_what_differs_is_applying_it(kind):
    """A session that should be walled in must not get away with a new speed."""
    assert decide_again(kind, WHO, FULL.obeyed(), WALLED).act is Act.DISCONNECT
    assert decide_again(kind, WHO, None, FULL).act is Act.DISCONNECT
    assert decide_again(kind, WHO, FULL.obeyed(), None).act is Act.DISCONNECT


@pytest.mark.parametrize(
    ("answer", "disconnect"),
    [
        (Nak(401), True),
        (Nak(405), True),
        (Nak(None), True),
        (Nak(503), False),
        (Nak(506), False),
        (Ack(), False),
        (Silence(), False),
    ],
)
def test_a_refused_change_becomes_a_disconnect_unless_it_is_gone_or_busy(answer, disconnect):
    assert falls_back(decide_step("mikrotik", WHO, FULL.obeyed(), FASTER), answer) is disconnect
    assert not falls_back(fall_back("mikrotik", WHO), answer)


def test_gone_is_what_the_nas_does_not_know():
    assert is_gone(Nak(503))
    assert not any(is_gone(answer) for answer in (Nak(401), Nak(None), Ack(), Silence()))
