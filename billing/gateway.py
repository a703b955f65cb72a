"""The one door to Stripe: hosted Checkout Sessions and signed webhooks, in our own words.

Outcomes are sorted by what may have happened to money. Opening a Session charges nobody, so it may be tried again with
the same idempotency key; what a Session became is read from Stripe, never believed from an event.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from base.business import Business
from base.money import Money
from base.settings import settings

if TYPE_CHECKING:
    from stripe import StripeClient

TIMEOUT = 20  # seconds for one call
TOLERANCE = 300  # seconds a webhook's signature is believed (real time)


class GatewayError(Exception):
    """Card payments do not work just now; the message says why, for staff."""


class NotSent(GatewayError):
    """Stripe refused before doing anything, or could not be reached at all: nothing happened."""


class Unknown(GatewayError):
    """Stripe may or may not have done it: ask, never assume."""


class NotConfigured(NotSent):
    """No Stripe key is set."""


class BadSignature(Exception):
    """A webhook that Stripe did not sign, or that is too old to be believed."""


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A hosted page that waits for a card."""

    id: str
    url: str


@dataclass(frozen=True, slots=True)
class SessionState:
    """What became of a hosted page."""

    id: str
    status: str
    "open, complete or expired."
    paid: bool
    payment_intent: str | None
    amount: Money | None
    reference: str
    "Our own id of the attempt, as we gave it."


def open_session(
    business: Business,
    *,
    reference: str,
    amount: Money,
    description: str,
    email: str,
    success_url: str,
    cancel_url: str,
) -> OpenedSession:
    """Open a hosted page for `amount`; `reference` is our id of the attempt and makes a repetition harmless.

    `success_url` may hold {CHECKOUT_SESSION_ID}. Stripe doc: Checkout Sessions, create.
    """
    params: dict[str, Any] = {
        "mode": "payment",
        "client_reference_id": reference,
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": amount.currency.lower(),
                    "unit_amount": amount.minor,
                    "product_data": {"name": description},
                },
            }
        ],
        "metadata": {"tollkeeper_attempt": reference},
        "payment_intent_data": {"metadata": {"tollkeeper_attempt": reference}},
        "success_url": success_url,
        "cancel_url": cancel_url,
    }
    if email:
        params["customer_email"] = email
    with _sorted_errors():
        session = _client(business).v1.checkout.sessions.create(
            params=params,  # type: ignore[arg-type]
            options={"idempotency_key": f"checkout-{reference}"},
        )
    if not session.url:
        raise Unknown(f"Stripe opened {session.id} without an address.")
    return OpenedSession(session.id, session.url)


def read_session(business: Business, session_id: str) -> SessionState:
    """What a hosted page became, as Stripe says now."""
    with _sorted_errors():
        session = _client(business).v1.checkout.sessions.retrieve(session_id)
    intent = session.payment_intent
    currency, total = session.currency, session.amount_total
    return SessionState(
        id=session.id,
        status=session.status or "open",
        paid=session.payment_status == "paid",
        payment_intent=intent if intent is None or isinstance(intent, str) else intent.id,
        amount=None if currency is None or total is None else Money(total, currency.upper()),
        reference=session.client_reference_id or "",
    )


def construct_event(payload: bytes, signature: str, secret: str) -> dict[str, Any]:
    """The event in a webhook whose signature fits its raw bytes; BadSignature otherwise.

    Stripe doc: Webhooks, verify signatures. A signature from the future is refused as well as an old one.
    """
    import stripe

    try:
        stripe.WebhookSignature.verify_header(payload.decode(), signature, secret, TOLERANCE)
        stamp = int(dict(part.split("=", 1) for part in signature.split(",") if "=" in part)["t"])
        body = json.loads(payload)
    except (stripe.SignatureVerificationError, ValueError, KeyError) as error:
        raise BadSignature(str(error)) from None
    if stamp > datetime.now(UTC).timestamp() + TOLERANCE:
        raise BadSignature("the signature is from the future")
    if not isinstance(body, dict) or not all(isinstance(body.get(key), str) for key in ("id", "type")):
        raise BadSignature("the body is not an event")
    return body


def _client(business: Business) -> "StripeClient":
    import stripe

    if not business.stripe_secret_key:
        raise NotConfigured("No Stripe key is set: enter stripe_secret_key in the business settings.")
    stripe.enable_telemetry = False  # it would write a file into the home folder
    base = business.stripe_api_base if settings().sandbox else ""
    return stripe.StripeClient(
        business.stripe_secret_key,
        max_network_retries=2,
        http_client=stripe.RequestsClient(timeout=TIMEOUT),
        **({"base_addresses": {"api": base}} if base else {}),  # type: ignore[arg-type]
    )


@contextmanager
def _sorted_errors() -> Iterator[None]:
    """Stripe's errors as ours: NotSent where nothing can have happened, Unknown where something may."""
    import stripe

    try:
        yield
    except (
        stripe.AuthenticationError,
        stripe.PermissionError,
        stripe.InvalidRequestError,
        stripe.RateLimitError,
    ) as error:
        raise NotSent(f"Stripe refused: {error.user_message or error}") from error
    except stripe.StripeError as error:
        raise Unknown(f"Stripe gave no clear answer: {error.user_message or type(error).__name__}") from error
