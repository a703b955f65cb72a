"""The fault machine, 200 sequences of it: no charge twice, none forgotten, nothing unknown left, access right."""

import pytest

import base.database
from base.settings import settings
from bench.faults import KEY, Machine, pretend_stripe
from tests.billing.provider import Provider

BATCHES, EACH = 8, 25


@pytest.mark.parametrize("batch", range(BATCHES))
def test_whatever_happens_stripe_and_the_books_agree(provider: Provider, tmp_path, monkeypatch, batch: int):
    monkeypatch.setenv("TOLLKEEPER_SANDBOX", "true")
    monkeypatch.setenv("TOLLKEEPER_RADIUS_HOSTS", "127.0.0.1")
    settings.cache_clear()
    base.database.engine.cache_clear()
    with pretend_stripe(tmp_path / "stripe") as address:
        provider.set(stripe_secret_key=KEY, stripe_api_base=address, stripe_calls_per_second=0)
        machine = Machine(provider.vault, address)
        for seed in range(batch * EACH, (batch + 1) * EACH):
            played = machine.play(seed)
            assert not played.problems, str(played)
