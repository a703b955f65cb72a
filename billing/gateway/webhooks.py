"""Signed events: read from a webhook's raw bytes once the signature fits, or from Stripe's own list."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from base.business import Business
from billing.gateway.client import client, sorted_errors
from billing.gateway.words import BadSignature

TOLERANCE = 300  # seconds a webhook's signature is believed (real time)


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


def list_events(business: Business, since: datetime, types: list[str]) -> Iterator[dict[str, Any]]:
    """Events of these types since then, newest first. Stripe doc: Events, list; it keeps them for 30 days."""
    with sorted_errors():
        params: dict[str, Any] = {"created": {"gte": int(since.timestamp())}, "types": types, "limit": 100}
        for event in client(business).v1.events.list(params=params).auto_paging_iter():  # type: ignore[arg-type]
            yield event.to_dict()
