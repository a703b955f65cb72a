"""How Stripe is called: with which key, how long an answer is waited for, and what each error means for money."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from base.business import Business
from base.settings import settings
from billing.gateway.words import Gone, NotConfigured, NotSent, Spent, TooSmall, Unknown

if TYPE_CHECKING:
    from stripe import StripeClient

TIMEOUT = 20  # seconds for one call


def client(business: Business) -> "StripeClient":
    """The library's client for the operator's account, one for all threads; NotConfigured without a key."""
    if not business.stripe_secret_key:
        raise NotConfigured("No Stripe key is set: enter stripe_secret_key in the business settings.")
    sandbox = settings().sandbox
    if not sandbox and is_test(business.stripe_secret_key) and business.stripe_test_mode != "yes":
        raise NotConfigured(
            "The Stripe key is one for tests and would take no money: enter a live one, or set stripe_test_mode to yes."
        )
    return _client(
        business.stripe_secret_key, business.stripe_connected_account, business.stripe_api_base if sandbox else ""
    )


def is_test(key: str) -> bool:
    """Whether a key moves no real money."""
    return "_test_" in key


def is_on_trial(business: Business) -> bool:
    """Whether cards are taken with a key for tests outside the sandbox: everybody has to see that no money comes in."""
    return is_test(business.stripe_secret_key) and business.stripe_test_mode == "yes" and not settings().sandbox


@lru_cache(maxsize=4)
def _client(key: str, account: str, base: str) -> "StripeClient":
    import stripe

    stripe.enable_telemetry = False  # it would write a file into the home folder
    logging.getLogger("stripe").setLevel(logging.WARNING)  # two lines a call, between what a command says
    return stripe.StripeClient(
        key,
        max_network_retries=2,
        http_client=stripe.RequestsClient(timeout=TIMEOUT),
        stripe_account=account or None,
        **({"base_addresses": {"api": base}} if base else {}),  # type: ignore[arg-type]
    )


@contextmanager
def sorted_errors() -> Iterator[None]:
    """Stripe's errors as ours: NotSent where nothing can have happened, Unknown where something may.

    A declined card is neither; who charges one looks at it before (billing.gateway.intents).
    """
    import stripe

    try:
        yield
    except stripe.InvalidRequestError as error:
        sentence = f"Stripe refused: {error.user_message or error}"
        if error.code == "amount_too_small":
            raise TooSmall(sentence) from error
        raise (Gone if error.code == "resource_missing" else NotSent)(sentence) from error
    except (stripe.AuthenticationError, stripe.PermissionError, stripe.RateLimitError) as error:
        raise NotSent(f"Stripe refused: {error.user_message or error}") from error
    except stripe.StripeError as error:
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        kind = Spent if headers.get("idempotent-replayed") == "true" else Unknown
        raise kind(f"Stripe gave no clear answer: {error.user_message or type(error).__name__}") from error
