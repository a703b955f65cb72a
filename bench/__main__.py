"""`./run bench`: says what there is, runs it, prints a table and keeps the figures."""

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields
from typing import Any

from bench import accounting, billing, login, payments, start
from bench.faults import run as faults
from bench.ground import Ground, prepare
from bench.process import Broken
from bench.report import RESULTS, Row, keep, table

Bench = Callable[[Ground], list[Row]]
BENCHES: dict[str, tuple[Bench | None, str]] = {
    "start": (start.run, "radius from process start to its first accepted login, and its memory"),
    "login": (login.run, "logins with PAP and Message-Authenticator"),
    "accounting": (accounting.run, "accounting acknowledged once it is on disk, and how far the tables were behind"),
    "billing": (billing.run, "a month's run over every service, the second run of the day, a review of all access"),
    # it stands on a ground of its own
    "payments": (None, "10,000 cards charged, 1,000 webhooks a second, from a payment to the line given back"),
}


def main() -> int:
    """Run all benches or the one that was named; returns the exit code."""
    if sys.argv[1:2] == ["faults"]:
        return faults.main(sys.argv[2:])
    listed = "\n".join(f"  {name:12}{about}" for name, (_, about) in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="./run bench",
        description=f"Measures Tollkeeper beside FreeRADIUS. The benches:\n{listed}",
        epilog="Without a name all of them run. docs/bench.md says how to read the table. "
        "Another one, with options of its own, is ./run bench faults.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", choices=BENCHES, metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--services", type=int, default=100_000, metavar="N", help="services loaded (100000)")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="of one run (5)")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--runs", type=int, default=5, metavar="R", help="of which the median counts (5)")
    sizes = parser.add_argument_group("payments, smaller or larger")
    defaults = payments.Sizes()
    for name, words in (
        ("charges", "cards charged"),
        ("webhooks", "webhooks a second"),
        ("storm", "seconds of webhooks"),
        ("invoices", "invoices of the run beside which is paid"),
        ("samples", "payments of a run until the line is given back"),
    ):
        usual = int(getattr(defaults, name))
        sizes.add_argument(f"--{name}", type=int, default=usual, metavar="N", help=f"{words} ({usual})")
    options = parser.parse_args()
    if not 1 <= options.services <= 1_000_000 or not 0 < options.seconds <= 60 or not 1 <= options.runs <= 25:
        parser.error("1 to 1000000 services, up to 60 seconds, 1 to 25 runs")
    if min(options.charges, options.webhooks, options.storm, options.invoices, options.samples) < 1:
        parser.error("charges, webhooks, storm, invoices and samples are 1 or more")
    names = [options.name] if options.name else list(BENCHES)
    print(f"The benches:\n{listed}\n\nRunning {', '.join(names)}.", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        _measure(names, options)
    except Broken as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _measure(names: list[str], options: argparse.Namespace) -> None:
    circumstances: dict[str, Any] = {
        "runs": options.runs,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    told: dict[str, float] = {}
    with ExitStack() as held:
        ground: Ground | None = None
        for name in names:
            bench = BENCHES[name][0]
            if bench is None:
                given = {each.name: getattr(options, each.name) for each in fields(payments.Sizes)}
                rows, about = payments.run(payments.Sizes(**given)), given
            else:
                ground = ground or _ground(held, options)
                about = {
                    "services": options.services,
                    "seconds": options.seconds,
                    "peer": ground.peer and ground.peer.name,
                }
                rows = bench(ground)
            keep(name, {**about, **circumstances}, rows)
            told |= {row.key: round(row.ours, 3) for row in rows if row.key}
            print(
                f"\n{name}\n{table(rows)}\nload average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True
            )
    print(f"\nKept in {RESULTS}.")
    if options.json:
        print(json.dumps(told))


def _ground(held: ExitStack, options: argparse.Namespace) -> Ground:
    began = time.monotonic()
    ground = held.enter_context(prepare(options.services, options.seconds, options.runs))
    print(f"{options.services} services made in {time.monotonic() - began:.0f} s.", flush=True)
    print(f"The peer: {ground.peer.name if ground.peer else 'none; freeradius is not installed here'}.", flush=True)
    return ground


if __name__ == "__main__":
    sys.exit(main())
