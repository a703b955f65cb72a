"""Billing's fixture: a small provider in a database that this process, and its children, are configured for."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import base.database
from base import clock
from base.settings import settings
from tests.billing.provider import Provider
from tests.conftest import Database


@pytest.fixture
def provider(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """A provider without plans and subscribers; business time is put back after the test."""
    for name, value in database.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    base.database.engine.cache_clear()
    yield Provider(base.database.engine(), database.vault)
    base.database.engine().dispose()
    clock.travel_to_offset(timedelta())
    settings.cache_clear()
    base.database.engine.cache_clear()
