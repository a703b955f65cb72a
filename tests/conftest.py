"""Fixtures of the whole house: a real, migrated database of its own for every test that asks for one."""

import gc
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from sqlalchemy import Engine

from base.crypto import Vault, open_vault
from base.database import connect

# Two shared cores: how long one example takes says nothing; how many examples are tried does.
hypothesis_settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("house")


def pytest_collection_finish() -> None:
    """What was imported stays: looking through it for garbage again and again was a sixth of all time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command that a test calls configures the logs of its process; the next test finds them as they were."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
        root = logging.getLogger()
        root.handlers[:] = [
            each for each in root.handlers if not isinstance(each.formatter, structlog.stdlib.ProcessorFormatter)
        ]
        root.setLevel(logging.WARNING)


@dataclass(frozen=True)
class Database:
    """A fresh database at the newest revision, and the keys that its secrets are locked with."""

    url: str
    engine: Engine
    vault: Vault
    keys_file: Path

    def environment(self, data_dir: Path) -> dict[str, str]:
        """What a process of the house needs to work on this database."""
        return {
            "TOLLKEEPER_DATABASE_URL": self.url.replace("postgresql+psycopg://", "postgresql://"),
            "TOLLKEEPER_KEYS_FILE": str(self.keys_file),
            "TOLLKEEPER_DATA_DIR": str(data_dir),
        }


def _migrate(url: str) -> None:
    from console.schema import migrate

    engine = connect(url)
    migrate(engine)
    engine.dispose()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A copy of the migrated template, dropped after the test."""
    from tests.postgres import create_database, drop_database, migrated_template

    url = create_database(migrated_template(_migrate))
    engine = connect(url)
    keys_file = tmp_path / "keys"
    try:
        yield Database(url, engine, open_vault(keys_file), keys_file)
    finally:
        engine.dispose()
        drop_database(url)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own TOLLKEEPER_… variables never reach a test."""
    for name in list(os.environ):
        if name.startswith("TOLLKEEPER_") and name != "TOLLKEEPER_TEST_DATABASE_URL":
            monkeypatch.delenv(name)
