"""`./run bench`: says what there is, runs it, prints a table and keeps the figures."""

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from bench import accounting, billing, login, start
from bench.faults import run as faults
from bench.ground import Ground, prepare
from bench.process import Broken
from bench.report import RESULTS, Row, keep, table

BENCHES: dict[str, tuple[Callable[[Ground], list[Row]], str]] = {
    "start": (start.run, "radius from process start to its first accepted login, and its memory"),
    "login": (login.run, "logins with PAP and Message-Authenticator"),
    "accounting": (accounting.run, "accounting acknowledged once it is on disk, and how far the tables were behind"),
    "billing": (billing.run, "a month's run over every service, the second run of the day, a review of all access"),
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
    options = parser.parse_args()
    if not 1 <= options.services <= 1_000_000 or not 0 < options.seconds <= 60 or not 1 <= options.runs <= 25:
        parser.error("1 to 1000000 services, up to 60 seconds, 1 to 25 runs")
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
    began = time.monotonic()
    with prepare(options.services, options.seconds, options.runs) as ground:
        print(f"{options.services} services made in {time.monotonic() - began:.0f} s.", flush=True)
        circumstances: dict[str, Any] = {
            "services": options.services,
            "seconds": options.seconds,
            "runs": options.runs,
            "peer": ground.peer and ground.peer.name,
            "python": platform.python_version(),
            "cores": os.cpu_count(),
        }
        print(f"The peer: {circumstances['peer'] or 'none; freeradius is not installed here'}.", flush=True)
        told: dict[str, float] = {}
        for name in names:
            rows = BENCHES[name][0](ground)
            keep(name, circumstances, rows)
            told |= {row.key: round(row.ours, 3) for row in rows if row.key}
            print(
                f"\n{name}\n{table(rows)}\nload average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True
            )
    print(f"\nKept in {RESULTS}.")
    if options.json:
        print(json.dumps(told))


if __name__ == "__main__":
    sys.exit(main())
