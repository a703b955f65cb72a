"""Starts the sandbox's Stripe from the command line: python -m sandbox.stripe --port 4242 --data var/stripe …

Every option can also be given as an environment variable, so that no secret stands on the command line:
TOLLKEEPER_SANDBOX_STRIPE_PORT, _DATA, _API_KEY, _WEBHOOK_URL, _WEBHOOK_SECRET, _HOST. Wrong options end with status 2.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from sandbox.stripe.app import Config
from sandbox.stripe.errors import StripeError
from sandbox.stripe.server import serve

PREFIX = "TOLLKEEPER_SANDBOX_STRIPE_"


def read_config(arguments: list[str], environment: dict[str, str]) -> Config:
    """Build the configuration; SystemExit(2) with a sentence when something is missing or wrong."""
    parser = argparse.ArgumentParser("python -m sandbox.stripe", description="The sandbox's Stripe.")
    for name, text in (
        ("port", "port on 127.0.0.1"),
        ("data", "folder for its file"),
        ("api-key", "the key that callers must name: sk_test_…"),
        ("webhook-url", "who hears of every event, on this machine"),
        ("webhook-secret", "signs the webhooks: whsec_…"),
        ("host", "127.0.0.1 and nothing else"),
    ):
        variable = PREFIX + name.upper().replace("-", "_")
        parser.add_argument(f"--{name}", help=f"{text} ({variable})", default=environment.get(variable))
    given = parser.parse_args(arguments)
    for name in ("port", "data", "api_key"):
        if not getattr(given, name):
            parser.error(f"--{name.replace('_', '-')} or {PREFIX}{name.upper()} is needed")
    try:
        return Config(
            data=Path(given.data),
            api_key=given.api_key,
            port=int(given.port),
            host=given.host or "127.0.0.1",
            webhook_url=given.webhook_url,
            webhook_secret=given.webhook_secret,
        )
    except ValueError as error:
        parser.error(str(error))


def main() -> None:
    """Run until told to stop."""
    config = read_config(sys.argv[1:], dict(os.environ))
    try:
        serve(config)
    except OSError as error:
        sys.exit(_refuse(f"port {config.port} on {config.host}: {error.strerror}"))
    except (ValueError, StripeError) as error:
        sys.exit(_refuse(str(error)))


def _refuse(sentence: str) -> int:
    print(f"Stripe sandbox: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
