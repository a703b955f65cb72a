"""Billing's fixture: a small provider in a database that this process, and its children, are configured for."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

import base.database
from base import clock
from base.crypto import open_vault
from base.settings import settings
from tests.billing.book_of_twelve import write_book
from tests.billing.importing import moving, people  # noqa: F401 - fixtures
from tests.billing.provider import Provider
from tests.conftest import Database
from tests.postgres import create_database, drop_database, migrated_template


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


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """A copy of the book of twelve, on the evening of its last day."""
    url = create_database(migrated_template(write_book))
    keys_file = tmp_path / "keys"
    read = Database(url, base.database.connect(url), open_vault(keys_file), keys_file)
    for name, value in read.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    base.database.engine.cache_clear()
    provider = Provider(base.database.engine(), read.vault, count(100))
    provider.travel(datetime(2026, 4, 30, 18, tzinfo=UTC))
    yield provider
    base.database.engine().dispose()
    read.engine.dispose()
    drop_database(url)
    clock.travel_to_offset(timedelta())
    settings.cache_clear()
    base.database.engine.cache_clear()
