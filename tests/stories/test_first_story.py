"""The first story holds the whole product: one subscriber goes through the loop, in real processes.

It is played twice: as it is, and with kill -9 of radius, ingest, coa and worker in the middle of it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stories.disturbed import KILLED

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.story


def play(*command: str) -> dict:
    """Play the story in a process of its own and return the JSON that it ends with."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOLLKEEPER_")}
    result = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_who_does_not_pay_is_walled_in_and_who_pays_is_back():
    outcome = play("console", "story", "--json")
    assert list(outcome) == ["login_rate", "walled", "paid", "restored", "suspend_ms", "pay_to_restore_ms"]
    assert outcome["login_rate"] == "20M/100M"
    assert (outcome["walled"], outcome["paid"], outcome["restored"]) == (True, True, True)
    assert outcome["suspend_ms"] >= 0
    assert outcome["pay_to_restore_ms"] >= 0


def test_kill_9_in_the_middle_loses_nothing_and_does_nothing_twice():
    told = play("tests.stories.disturbed")
    assert sorted(map(tuple, told["killed"])) == sorted((scene, each) for scene in KILLED for each in KILLED[scene])
    outcome = told["outcome"]
    assert outcome["login_rate"] == "20M/100M"
    assert (outcome["walled"], outcome["paid"], outcome["restored"]) == (True, True, True)
    assert told["counts"] == {
        "books": [],
        "payments": 1,
        "paid_checkouts": 1,
        "invoices": 2,
        "reminders": 1,
        "sessions": 3,  # at full speed, walled, restored
        "open_sessions": 1,
        "events_not_understood": 0,
    }
