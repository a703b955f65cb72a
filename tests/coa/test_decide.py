"""What an open session needs: the least disruptive step that reaches the policy."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.access import AccessLevel, AccessPolicy
from coa.decide import NOTHING, Act, Priority, decide_step, fall_back, priority
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
    assert priority(WALLED.obeyed(), FULL, ordered=False) is Priority.RESTORE
    assert priority(FULL.obeyed(), WALLED, ordered=False) is Priority.RESTRICT
    assert priority(FULL.obeyed(), WALLED, ordered=True) is Priority.ORDER
    assert priority(None, FULL, ordered=False) is Priority.RESTRICT
    assert Priority.RESTORE < Priority.ORDER < Priority.RESTRICT
