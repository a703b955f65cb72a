"""`./run bench faults`: thousands of sequences, which of them failed, and how to play one alone."""

import argparse
import json
import os
import signal
import sys
import time
from collections import Counter, deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import count
from typing import Any

from bench.faults.ground import Ground, prepare
from bench.faults.stage import SEQUENCES
from bench.process import Broken


def main(arguments: list[str]) -> int:
    """Play them, and say what came of it; 1 when a sequence failed."""
    parser = argparse.ArgumentParser(
        prog="./run bench faults",
        description="Plays random sequences of what can happen to money, with crashes, and looks at the laws.",
        epilog="docs/payments.md says what is proven by it.",
    )
    parser.add_argument("--sequences", type=int, default=5000, metavar="N", help="how many (5000)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the first one's seed; they count up (0)")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, metavar="W", help="stages at a time (cores)"
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    wish = parser.parse_args(arguments)
    if not 1 <= wish.sequences <= 1_000_000 or not 0 <= wish.seed <= 10**9 or not 1 <= wish.workers <= 64:
        parser.error("1 to 1000000 sequences, seeds from 0 on, 1 to 64 workers")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with prepare() as ground:
            failed, seen = _play(ground, wish.seed, wish.sequences, wish.workers)
    except Broken as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print("\nWhat came about:")
    for what, times in sorted(seen.items()):
        print(f"  {times:7} {what}")
    print(f"\n{wish.sequences} sequences, {len(failed)} failed{': seeds ' + str(failed) if failed else ''}.")
    if wish.json:
        print(json.dumps({"faults_sequences": wish.sequences, "faults_failed": len(failed)}))
    return 1 if failed else 0


def _play(ground: Ground, first: int, sequences: int, workers: int) -> tuple[list[int], Counter[str]]:
    """Stage by stage; what a failure left of a stage is played on another. The seeds that failed, and what was seen."""
    todo = deque(
        (start, min(SEQUENCES, first + sequences - start)) for start in range(first, first + sequences, SEQUENCES)
    )
    failed: list[int] = []
    seen: Counter[str] = Counter()
    names, done, began = count(), 0, time.monotonic()
    under_way: dict[Future[list[dict[str, Any]]], tuple[int, int]] = {}
    with ThreadPoolExecutor(workers) as pool:
        try:
            while todo or under_way:
                while todo and len(under_way) < workers:
                    part = todo.popleft()
                    under_way[pool.submit(ground.play, f"stage_{next(names)}", *part)] = part
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    start, length = under_way.pop(future)
                    played = future.result()
                    for each in played:
                        seen.update(each["seen"])
                        if each["problems"]:
                            failed.append(each["seed"])
                            _tell(each, start)
                    done += len(played)
                    if len(played) < length:
                        todo.append((start + len(played), length - len(played)))
                rate = done / (time.monotonic() - began)
                print(f"{done} of {sequences} played, {len(failed)} failed, {rate:.1f} a second", flush=True)
        except BaseException:
            ground.end()  # else the pool waits for them
            raise
    return sorted(failed), seen


def _tell(played: dict[str, Any], start: int) -> None:
    print(f"\nseed {played['seed']} failed: {'; '.join(played['problems'])}")
    print("\n".join(f"  {deed}" for deed in played["deeds"]))
    print(f"  alone: ./run bench faults --sequences 1 --seed {played['seed']}")
    print(f"  as here: ./run bench faults --sequences {played['seed'] - start + 1} --seed {start}\n", flush=True)
