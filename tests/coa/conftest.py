"""Fixtures of coa's tests: a provider in a real database, and the process that brings its sessions in line."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.coa.device import Device, device
from tests.coa.isp import Isp, Process
from tests.conftest import Database


@pytest.fixture
def isp(database: Database) -> Isp:
    """A provider without lines."""
    return Isp(database)


@pytest.fixture
def peer() -> Iterator[Device]:
    """A NAS on loopback that does what it is asked."""
    with device() as one:
        yield one


@pytest.fixture
def start(isp: Isp, tmp_path: Path) -> Iterator[Callable[[str], Process]]:
    """Start `python -m console coa` on the provider's database; what is left at the end is killed."""
    started: list[Process] = []

    def start_one(name: str = "coa") -> Process:
        started.append(Process(isp, tmp_path, name))
        return started[-1].wait_until_ready()

    yield start_one
    for process in started:
        process.close()
