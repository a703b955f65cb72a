"""What every bench stands on: a provider, a peer where it is installed, a load generator, and how long to run."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.freeradius import FreeRadius, find_freeradius
from bench.house import House
from bench.load import Generator
from bench.process import cores


@dataclass(frozen=True, slots=True)
class Ground:
    """Made once for all benches of a call."""

    house: House
    peer: FreeRadius | None
    "None where it is not installed."
    generator: Generator
    seconds: float
    "Of one run."
    runs: int


@contextmanager
def prepare(services: int, seconds: float, runs: int) -> Iterator[Ground]:
    """Make it in a folder of its own, and take it all away at the end."""
    server_core, other_core = cores()
    # Not /tmp: where that lies in memory, a synced journal would be measured that syncs nothing.
    place = os.environ.get("TMPDIR", "/var/tmp")
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="tollkeeper-bench-", dir=place)))
        folder.chmod(0o711)  # the embedded PostgreSQL runs under another account when we are root
        house = held.enter_context(House(folder, services, server_core, other_core))
        program = find_freeradius()
        peer = None if program is None else FreeRadius(program, folder / "freeradius", services, server_core)
        yield Ground(house, peer, held.enter_context(Generator(other_core)), seconds, runs)
