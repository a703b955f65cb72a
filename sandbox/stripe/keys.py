"""Who may call: the key the sandbox was started with, restricted keys, and keys that expired.

A restricted key (rk_test_…) has a permission of none, read or write for each resource, which is the first word of the
path after /v1/ (checkout/sessions are checkout_sessions); https://docs.stripe.com/keys/restricted-api-keys.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping

from sandbox.stripe.errors import Json, StripeError, invalid
from sandbox.stripe.objects import new_id
from sandbox.stripe.store import Transaction

LEVELS = ("none", "read", "write")


class Keys:
    """The keys and what they may; kept as one fact of the store."""

    def __init__(self, own: str, stored: str) -> None:
        self._own = own
        self._known: dict[str, Json] = {own: {}} | json.loads(stored or "{}")

    def make(self, tx: Transaction, permissions: Json) -> str:
        """Return a new restricted key; raises a 400 for a permission that is none."""
        for resource, level in permissions.items():
            if level not in LEVELS:
                raise invalid(f"{resource} is none, read or write", resource)
        key = new_id("rk_test_", 24)
        self._known[key] = {"permissions": permissions}
        self._keep(tx)
        return key

    def expire(self, tx: Transaction, key: str, expired: bool) -> None:
        """Let a key expire, or take that back."""
        if key not in self._known:
            raise invalid("there is no such key", "key")
        self._known[key] = {**self._known[key], "expired": expired}
        self._keep(tx)

    def check(self, headers: Mapping[str, str], method: str, path: str) -> None:
        """Take the key as Bearer token or as Basic user name; raises Stripe's 401 or 403."""
        value = _given(headers)
        if not value:
            raise StripeError(
                401,
                {
                    "message": "You did not provide an API key. You need to provide your API key in the Authorization "
                    "header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
                },
            )
        shown = f"{value[:8]}****{value[-4:]}"
        found = [known for key, known in self._known.items() if hmac.compare_digest(value.encode(), key.encode())]
        if not found:
            raise StripeError(401, {"message": f"Invalid API Key provided: {shown}"})
        if found[0].get("expired"):
            raise StripeError(401, {"code": "api_key_expired", "message": f"Expired API Key provided: {shown}"})
        if "permissions" in found[0]:
            _permit(found[0]["permissions"], method, path, shown)

    def _keep(self, tx: Transaction) -> None:
        tx.put_fact("keys", json.dumps(self._known))


def resource_of(path: str) -> str:
    """What a path is about: /v1/checkout/sessions/cs_1 is checkout_sessions."""
    parts = path.removeprefix("/v1/").split("/")
    return "checkout_sessions" if parts[0] == "checkout" else parts[0]


def _permit(permissions: Json, method: str, path: str, shown: str) -> None:
    resource = resource_of(path)
    needed = "read" if method == "GET" else "write"
    if LEVELS.index(permissions.get(resource, "none")) < LEVELS.index(needed):
        raise StripeError(
            403,
            {
                "message": f"The provided key '{shown}' does not have the required permissions for this endpoint. "
                f"Having the 'rak_{resource.removesuffix('s')}_{needed}' permission would allow this request to "
                "continue.",
            },
        )


def _given(headers: Mapping[str, str]) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value).decode().partition(":")[0]
        except ValueError:
            return ""
    return value
