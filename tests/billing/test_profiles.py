"""What a plan says beyond its rates, from the setting to what sessions obey; and what an upgrade leaves as it is."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from base import clock
from base.database import transaction
from base.offers import plan
from base.tables import access_history, policy, trail
from billing.apply import due_for_review, refresh_access
from billing.profiles import refresh_plan, set_profile
from billing.refused import Refused
from billing.services import set_staff_order
from billing.tick import review_due
from tests.billing.provider import Provider

FIRST = {
    "level": 0, "rate_down": 100_000_000, "rate_up": 20_000_000, "pool": "home", "address": None,
    "address_list": None, "session_timeout": None, "interim_interval": 300,
}  # fmt: skip
BURST = {"burst_rate_down": 200_000_000, "burst_threshold_down": 80_000_000, "burst_seconds_down": 16}


@pytest.fixture
def home(provider: Provider) -> int:
    return provider.plan(pool="home")


@pytest.fixture
def line(provider: Provider, home: int) -> int:
    return provider.service(provider.subscriber(), home, clock.now().date() - timedelta(days=5))


def rows(query: Any) -> list[Any]:
    with transaction() as tx:
        return list(tx.execute(query).all())


def stored(line: int) -> Any:
    (row,) = rows(select(policy).where(policy.c.service_id == line))
    return row


def change(plan_id: int, **values: Any) -> list[int]:
    with transaction() as tx:
        services = set_profile(tx, "staff:1", plan_id, values, clock.now())
    return refresh_plan(plan_id, services, clock.now())


def order(provider: Provider, line: int, what: str) -> None:
    with transaction() as tx:
        set_staff_order(tx, provider.vault, "staff:1", line, what, "")


def test_an_upgrade_raises_nobodys_version(provider: Provider, line: int) -> None:
    """A row as the release before wrote it, field for field, is what this one would write."""
    assert stored(line).obeyed == FIRST
    with transaction() as tx:
        tx.execute(update(policy).values(obeyed=FIRST, review_at=clock.now()))
    review_due(clock.now())
    after = stored(line)
    assert (after.version, after.obeyed) == (1, FIRST)
    assert len(rows(select(access_history.c.id))) == 1


def test_bursts_belong_to_the_full_plan_only(provider: Provider, home: int, line: int) -> None:
    assert change(home, **BURST) == [line]
    assert stored(line).obeyed == FIRST | BURST
    assert stored(line).version == 2
    assert rows(select(access_history.c.because).order_by(access_history.c.id))[-1].because == f"plan:{home}"
    order(provider, line, "suspended")
    assert not set(BURST) & set(stored(line).obeyed)
    order(provider, line, "none")
    change(home, **dict.fromkeys(BURST))
    assert stored(line).obeyed == FIRST


def test_a_plan_has_a_wall_of_its_own(provider: Provider, home: int, line: int) -> None:
    order(provider, line, "suspended")
    walled = stored(line).obeyed
    assert (walled["rate_down"], walled["pool"], walled["address_list"]) == (1_000_000, "walled", "walled")
    change(home, walled_rate_down=64_000, walled_pool="slow", walled_address_list="pay")
    walled = stored(line).obeyed
    assert (walled["rate_down"], walled["rate_up"]) == (64_000, 1_000_000)
    assert (walled["pool"], walled["address_list"]) == ("slow", "pay")


def test_extras_are_those_of_the_level_and_a_change_reaches_open_sessions(
    provider: Provider, home: int, line: int
) -> None:
    extras = [
        {"name": "Filter-Id", "value": "wall.in", "when": "walled", "kinds": ["mikrotik"]},
        {"name": "Reply-Message", "value": "Hello"},
        {"name": "Idle-Timeout", "value": 600, "when": "full"},
    ]
    change(home, extra_attributes=extras)
    assert stored(line).version == 2
    assert stored(line).obeyed["extras"] == [["Reply-Message", "Hello", []], ["Idle-Timeout", "600", []]]
    order(provider, line, "suspended")
    assert stored(line).obeyed["extras"] == [["Filter-Id", "wall.in", ["mikrotik"]], ["Reply-Message", "Hello", []]]
    order(provider, line, "blocked")
    assert "extras" not in stored(line).obeyed
    assert rows(select(trail.c.detail).where(trail.c.act == "plan.profile_changed"))[0].detail["extra_attributes"]


def test_the_same_again_changes_nothing(home: int, line: int) -> None:
    change(home, **BURST)
    assert change(home, **BURST) == []
    assert stored(line).version == 2


def test_what_is_stopped_in_the_middle_the_tick_does(provider: Provider, home: int, line: int) -> None:
    with transaction() as tx:
        assert set_profile(tx, "staff:1", home, BURST, clock.now()) == [line]
    assert stored(line).version == 1
    assert review_due(clock.now()) == [line]
    assert stored(line).obeyed == FIRST | BURST
    with transaction() as tx:
        assert due_for_review(tx, clock.now()) == []


def test_other_plans_are_left_alone(provider: Provider, home: int, line: int) -> None:
    other = provider.service(provider.subscriber("Bert"), provider.plan(), clock.now().date())
    change(home, **BURST)
    assert (stored(other).version, stored(line).version) == (1, 2)


def test_progress_is_told(home: int, line: int) -> None:
    told: list[tuple[int, int]] = []
    with transaction() as tx:
        services = set_profile(tx, "staff:1", home, BURST, clock.now())
    refresh_plan(home, services, clock.now(), lambda done, of: told.append((done, of)))
    assert told == [(1, 1)]


@pytest.mark.parametrize(
    ("values", "field", "sentence"),
    [
        ({"burst_rate_down": 100_000_000}, "burst_rate_down", "faster than the plan's rate"),
        ({"burst_rate_up": -1}, "burst_rate_up", "A rate is 1 bit/s"),
        ({"burst_threshold_down": 1}, "burst_rate_down", "need a burst rate down"),
        ({"burst_seconds_up": 5}, "burst_rate_up", "need a burst rate up"),
        (BURST | {"burst_threshold_down": 200_000_000}, "burst_threshold_down", "below the burst rate"),
        (BURST | {"burst_seconds_down": 0}, "burst_seconds_down", "1 to 3600 seconds"),
        ({"walled_rate_down": 0}, "walled_rate_down", "A rate is 1 bit/s"),
        ({"reduced_rate_up": 10**13}, "reduced_rate_up", "A rate is 1 bit/s"),
        ({"walled_pool": ""}, "walled_pool", "1 to 200 letters"),
        ({"walled_address_list": "a\nb"}, "walled_address_list", "1 to 200 letters"),
        ({"cap_octets": 0}, "cap_octets", "1 byte"),
        ({"cap_octets": 5, "cap_counts": "both"}, "cap_counts", "total, down, up"),
        ({"cap_octets": 5, "cap_action": "block"}, "cap_action", "none, reduce, wall"),
        ({"cap_action": "wall"}, "cap_action", "Without a cap"),
        ({"extra_attributes": [{"name": "Class", "value": "x"}]}, "extra_attributes", "set by Tollkeeper itself"),
    ],
)
def test_what_cannot_be_is_refused(home: int, values: dict[str, Any], field: str, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence) as refused, transaction() as tx:
        set_profile(tx, "staff:1", home, values, clock.now())
    assert refused.value.field == field
    assert rows(select(plan.c.cap_octets, plan.c.burst_rate_down)) == [(None, None)]


def test_a_burst_above_no_limit_is_refused(provider: Provider) -> None:
    free = provider.plan(rate_down=0)
    with pytest.raises(Refused, match="not limited"), transaction() as tx:
        set_profile(tx, "staff:1", free, {"burst_rate_down": 5}, clock.now())


def test_the_old_release_may_write_in_between(provider: Provider, home: int, line: int) -> None:
    """It knows no bursts: what it leaves out this one puts back at its next look."""
    change(home, **BURST)
    with transaction() as tx:
        tx.execute(update(policy).values(obeyed=FIRST, version=3))
        assert refresh_access(tx, provider.vault, [line], clock.now(), "time") == [line]
    assert (stored(line).version, stored(line).obeyed) == (4, FIRST | BURST)


def test_a_plan_that_is_not_there_is_refused(provider: Provider) -> None:
    with pytest.raises(Refused, match="no such plan"), transaction() as tx:
        set_profile(tx, "staff:1", 99, {}, clock.now())
