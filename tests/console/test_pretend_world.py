"""What `./run` hands to the pretend Stripe is all that it asks for, also where no port was chosen."""

import pytest

from base.settings import settings
from console.pretend_world import stripe_environment
from sandbox.stripe.__main__ import read_config
from tests.billing.provider import Provider


def test_the_pretend_stripe_is_told_everything_it_needs(provider: Provider, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TOLLKEEPER_SANDBOX_STRIPE_PORT", raising=False)
    settings.cache_clear()
    provider.set(stripe_secret_key="sk_test_of_the_sandbox", stripe_webhook_secret="whsec_of_the_sandbox")
    given = read_config([], stripe_environment(settings()))
    assert (given.port, given.api_key) == (settings().sandbox_stripe_port, "sk_test_of_the_sandbox")
    assert given.webhook_url == f"{settings().public_url}/webhooks/stripe"
