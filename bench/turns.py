"""Ours and the peer's by turns on one core, so that whatever else the machine does meets both alike."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import count

from bench.load import Generator, Kind, Load
from bench.process import Broken, Process
from bench.report import Row, median

_WARM_UP = 2_000  # requests before each run, from which its length is estimated
_MOST = 400_000  # datagrams of one run
_fresh = count(1)  # numbers of runs, so that none repeats what another has sent


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server that listens on `port` of loopback."""

    process: Process
    port: int
    after_run: Callable[[], None] = lambda: None
    "Called after each of its runs, before the other's turn."


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement."""

    load: Load
    per_second: float
    per_cpu_second: float
    "Answers per second of processor time of the server: what is left of it where the machine is busy elsewhere."


def measure(
    contestants: Sequence[Contestant],
    generator: Generator,
    kind: Kind,
    services: int,
    window: int,
    seconds: float,
    runs: int,
) -> list[list[Run]]:
    """The runs of each contestant; while one runs, the others are held still. Broken where an answer was wrong."""
    found: list[list[Run]] = [[] for _ in contestants]
    for _ in range(runs):
        for at, contestant in enumerate(contestants):
            with ExitStack() as still:
                for other in contestants:
                    if other is not contestant:
                        still.enter_context(other.process.stopped())
                found[at].append(_run(contestant, generator, kind, services, window, seconds))
                contestant.after_run()
    return found


def rows(name: str, found: Sequence[Sequence[Run]]) -> list[Row]:
    """The runs of ours and, where there is one, of the peer."""
    ours, peer = [*found, ()][:2]
    wall, cpu = (median([getattr(run, of) for run in ours]) for of in ("per_second", "per_cpu_second"))
    p50, p99 = (median([getattr(run.load, share) for run in ours]) for share in ("p50_ms", "p99_ms"))
    found_in_all = {"ours": _details(ours), "peer": _details(peer)}
    return [
        Row(f"{name} per second", wall, _middle(peer, "per_second"), True, p50, p99, found_in_all),
        Row(f"{name} per processor second", cpu, _middle(peer, "per_cpu_second")),
    ]


def _run(contestant: Contestant, generator: Generator, kind: Kind, services: int, window: int, seconds: float) -> Run:
    generator.build(kind, _WARM_UP, services, next(_fresh) * _MOST)
    warm_up = _sound(generator.run(contestant.port, window, seconds))
    wanted = int(1.5 * seconds * warm_up.answered / warm_up.seconds)
    generator.build(kind, min(_MOST, max(_WARM_UP, wanted)), services, next(_fresh) * _MOST)
    before = contestant.process.cpu_seconds()
    load = _sound(generator.run(contestant.port, window, seconds))
    cpu = contestant.process.cpu_seconds() - before
    return Run(load, load.answered / load.seconds, load.answered / max(0.01, cpu))


def _sound(load: Load) -> Load:
    if load.wrong or not load.answered:
        raise Broken(f"{load.wrong} of {load.answered} answers were wrong: this measures nothing")
    return load


def _middle(found: Sequence[Run], name: str) -> float | None:
    return median([getattr(run, name) for run in found]) if found else None


def _details(found: Sequence[Run]) -> list[dict[str, float]]:
    return [{"per_second": run.per_second, "per_cpu_second": run.per_cpu_second, **asdict(run.load)} for run in found]
