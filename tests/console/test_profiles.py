"""`plan profile`: what a person types, what each kind of NAS would be sent, and the sentences that come back."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from base import clock
from base.offers import plan
from base.tables import policy
from tests.console.test_billing import rows, typed

BURSTS = (
    "--burst-down", "200", "--burst-threshold-down", "80M", "--burst-time-down", "16",
    "--burst-up", "40", "--burst-threshold-up", "15000k", "--burst-time-up", "8s",
)  # fmt: skip


def test_a_profile_is_set_shown_and_brought_to_everybody(provider):
    home = provider.plan()
    for name in ("Anna", "Bert"):
        provider.service(provider.subscriber(name), home, clock.now().date() - timedelta(days=1))
    extra = ("--extra", "Filter-Id=x:y@z@walled:mikrotik", "--extra", "Reply-Message=Hello there")
    said = typed(
        "plan", "profile", "Home 1", *BURSTS, "--walled-pool", "slow", "--reduced-down", "1.5", "--cap", "1.5TB",
        "--after-cap", "reduce", *extra,
    )  # fmt: skip
    assert "full\tmikrotik\tMikrotik-Rate-Limit = 20M/100M 40M/200M 15M/80M 8/16, Reply-Message = Hello there" in said
    assert "reduced\tmikrotik\tMikrotik-Rate-Limit = 1M/1500k, Reply-Message" in said
    assert "Framed-Pool = slow, Mikrotik-Address-List = walled, Filter-Id = x:y@z, Reply-Message" in said
    assert "full\tcisco\tCisco-AVPair = subscriber:sub-qos-policy-in=tk-20M" in said
    assert "cap\t1.5 TB total per period, then reduce" in said
    assert "Class" not in said
    assert "2 services have Home 1; for 2 of them something changed." in said
    assert rows(provider, select(policy.c.version)) == [(2,), (2,)]
    assert rows(provider, select(policy.c.usage_threshold)) == [(1_200_000_000_000,)] * 2
    assert "services have" not in typed("plan", "profile", str(home))


def test_none_takes_a_value_away(provider):
    provider.plan()
    typed("plan", "profile", "1", *BURSTS, "--cap", "5GB", "--after-cap", "wall", "--extra", "Idle-Timeout=60")
    cleared = ("--burst-threshold-up", "none", "--burst-time-up", "none", "--burst-up", "none", "--cap", "none")
    typed("plan", "profile", "1", *cleared, "--extra", "none")
    (row,) = rows(provider, select(plan))
    assert (row.burst_rate_up, row.burst_rate_down, row.cap_octets, row.cap_action) == (None, 200_000_000, None, "none")
    assert row.extra_attributes == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--burst-down", "fast"), "'fast' is not a value such as"),
        (("--cap", "5 parsecs"), "'5 parsecs' is not a value such as"),
        (("--walled-down", "0.0000001"), "not a whole number of bits"),
        (("--burst-down", "50"), "faster than the plan's rate"),
        (("--extra", "Idle-Timeout"), "is not written as NAME=VALUE"),
        (("--extra", "Class=x"), "Class is set by Tollkeeper itself"),
        (("--extra", "Filter-Id=x"), "sent by Tollkeeper itself to wispr, cisco"),
        (("--extra", "Mikrotik-Wireless-PSK=hush@always:mikrotik"), "carries a secret"),
        (("--after-cap", "wall"), "Without a cap"),
    ],
)
def test_what_cannot_be_is_said(provider, words, sentence):
    provider.plan()
    assert sentence in typed("plan", "profile", "1", *words, fails=True)


def test_a_plan_that_is_not_there(provider):
    assert "There is no plan 'Castle'" in typed("plan", "profile", "Castle", fails=True)
