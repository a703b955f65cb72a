"""`./run bench faults`: what it prints and ends with; the machine itself is played in tests/billing/test_faults.py."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.faults import run
from bench.faults.stage import SEQUENCES

ROOT = Path(__file__).parents[2]


def test_it_ends_with_the_figures():
    argv = [sys.executable, "-m", "bench", "faults", "--sequences", "2", "--workers", "1", "--seed", "7", "--json"]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("2 of 2 played, 0 failed")
    assert json.loads(lines[-1]) == {"faults_sequences": 2, "faults_failed": 0}


class Stages:
    """Stages on which some seeds fail; a stage ends with the first of them."""

    def __init__(self, *failing: int) -> None:
        self.failing, self.played = failing, list[int]()

    def play(self, _name: str, first: int, count: int) -> list[dict[str, Any]]:
        told = []
        for seed in range(first, first + count):
            bad = seed in self.failing
            told.append({"seed": seed, "problems": ["2 is not 1"] * bad, "deeds": ["work: done"], "seen": {"work": 1}})
            self.played.append(seed)
            if bad:
                break
        return told


def test_a_failure_is_shown_with_how_to_play_it_and_the_rest_is_played(capsys: pytest.CaptureFixture[str]):
    stages = Stages(103, 104, 130)
    failed, seen = run._play(stages, 100, SEQUENCES + 10, 1)  # type: ignore[arg-type]
    assert (failed, seen["work"]) == ([103, 104, 130], SEQUENCES + 10)
    assert sorted(stages.played) == list(range(100, 110 + SEQUENCES))
    shown = capsys.readouterr().out
    assert "seed 103 failed: 2 is not 1\n  work: done\n  alone: ./run bench faults --sequences 1 --seed 103\n" in shown
    assert "as here: ./run bench faults --sequences 6 --seed 125" in shown


@pytest.mark.parametrize("wrong", ["0", "-3", "many"])
def test_wrong_wishes_are_refused(wrong: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as refused:
        run.main(["--sequences", wrong])
    assert refused.value.code == 2
    assert "sequences" in capsys.readouterr().err
