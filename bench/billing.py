"""Billing: a month's run over every service, the second run of the day, a review of all access, and the papers.

Each run is a process of its own, as the worker is, on both cores beside its database; each bills the next month, so
every run finds a longer history than the one before it.
"""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

from base.calendar import add_months
from bench import papers
from bench.ground import Ground
from bench.process import Broken
from bench.report import Row, median

_RUN = """
import gc, json, resource, sys, time
gc.set_threshold(50_000)  # as the command line does
from contextlib import contextmanager
from datetime import datetime
from sqlalchemy import select
from base.crypto import open_vault
from base.database import transaction
from base.settings import settings
from base.tables import policy
from billing import issue, sweep as sweeping
from billing.apply import refresh_access
from billing.invoices import issue_due
from billing.numbers import next_documents
from billing.sweep import sweep
from billing.tick import CHUNK
now = datetime.fromisoformat(sys.argv[1])
held, taken = [], []
def take_numbers(*args):
    found = next_documents(*args)
    taken.append(time.perf_counter())  # from here on others wait for the series, until the commit
    return found
@contextmanager
def one_transaction():
    with transaction() as tx:
        yield tx
    held.extend(1000 * (time.perf_counter() - taken.pop()) for _ in taken[:1])
issue.next_documents, sweeping.transaction = take_numbers, one_transaction
def timed(act):
    began = time.perf_counter()
    return len(act()), time.perf_counter() - began
def review():
    with transaction() as tx:
        everybody = list(tx.scalars(select(policy.c.service_id).order_by(policy.c.service_id)))
    vault = open_vault(settings().secret_keys)
    def again(tx, ids):
        refresh_access(tx, vault, ids, now, because="time")
        return ids
    return sweep("review", everybody, again, size=CHUNK)
issued, run_s = timed(lambda: issue_due(now))
again, rerun_s = timed(lambda: issue_due(now))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
reviewed, review_s = timed(review)
print(json.dumps({"issued": issued, "again": again, "reviewed": reviewed,
    "run_s": run_s, "rerun_s": rerun_s, "review_s": review_s, "peak_mb": peak,
    "held_ms": sorted(held)[int(0.99 * len(held))]}))
"""


def run(ground: Ground) -> list[Row]:
    """Ours alone: what a peer would do with a hundred thousand subscribers is not measured here."""
    first = datetime.now(UTC) + timedelta(days=1)
    figures: dict[str, list[float]] = {"run_s": [], "rerun_s": [], "review_s": [], "peak_mb": [], "held_ms": []}
    for month in range(ground.runs):
        day = add_months(first.date(), month)
        now = datetime.combine(day, first.timetz())
        found = _measure(ground, now)
        if (found["issued"], found["again"], found["reviewed"]) != (ground.house.services, 0, ground.house.services):
            raise Broken(f"the run of {day} issued {found['issued']} invoices and then {found['again']}")
        for name in figures:
            figures[name].append(found[name])
    size = f"{ground.house.services // 1000}k"
    rows = [
        ("a month's run, s", "run_s", f"run_{size}_s"),
        ("the second run of the day, s", "rerun_s", f"rerun_{size}_s"),
        ("a review of everybody's access, s", "review_s", f"review_{size}_s"),
        ("memory at its most, MB", "peak_mb", "run_peak_mb"),
        ("the series of numbers held by a run, p99, ms", "held_ms", ""),
    ]
    return [
        Row(words, median(figures[name]), more_is_better=False, runs={"ours": figures[name]}, key=key)
        for words, name, key in rows
    ] + papers.run(ground.runs)


def _measure(ground: Ground, now: datetime) -> dict[str, float]:
    argv = [sys.executable, "-c", _RUN, now.isoformat()]
    done = subprocess.run(argv, env=ground.house.environment, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        raise Broken(f"the run of {now:%Y-%m-%d} ended with {done.returncode}: {done.stderr[-500:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
