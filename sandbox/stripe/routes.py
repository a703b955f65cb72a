"""Which call is which: the endpoints of the API by method and path, and the objects that stand where ids stood."""

from __future__ import annotations

from typing import Any

from sandbox.stripe import (
    balance,
    charges,
    customers,
    disputes,
    methods,
    payment_intents,
    payouts,
    receivers,
    refunds,
    sessions,
    setup_intents,
    site,
)
from sandbox.stripe.errors import invalid
from sandbox.stripe.params import Endpoint
from sandbox.stripe.store import Transaction

ENDPOINTS: tuple[Endpoint, ...] = (
    *customers.ENDPOINTS,
    *methods.ENDPOINTS,
    *payment_intents.ENDPOINTS,
    *setup_intents.ENDPOINTS,
    *sessions.ENDPOINTS,
    *charges.ENDPOINTS,
    *refunds.ENDPOINTS,
    *disputes.ENDPOINTS,
    *balance.ENDPOINTS,
    *payouts.ENDPOINTS,
    *receivers.ENDPOINTS,
    *site.ENDPOINTS,
)
EXPANDABLE = {
    "balance_transaction": "balance_transaction",
    "charge": "charge",
    "customer": "customer",
    "failure_balance_transaction": "balance_transaction",
    "latest_charge": "charge",
    "payment_intent": "payment_intent",
    "payment_method": "payment_method",
    "setup_intent": "setup_intent",
}
SOURCES = {"ch": "charge", "re": "refund", "du": "dispute", "po": "payout"}
"""Kinds of a balance transaction's source, by the start of its id."""


class Routes:
    """Finds the endpoint of a method and a path; a word in a path wins over an id."""

    def __init__(self) -> None:
        self._by_shape: dict[tuple[str, int], list[tuple[list[str], Endpoint]]] = {}
        for endpoint in ENDPOINTS:
            parts = endpoint.path.split("/")
            self._by_shape.setdefault((endpoint.method, len(parts)), []).append((parts, endpoint))
        for found in self._by_shape.values():
            found.sort(key=lambda one: sum(part.startswith("<") for part in one[0]))

    def find(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]] | None:
        """The endpoint and what stands for its ids, or None."""
        parts = path.split("/")
        for pattern, endpoint in self._by_shape.get((method, len(parts)), ()):
            ids: dict[str, str] = {}
            for wanted, part in zip(pattern, parts, strict=True):
                if wanted.startswith("<"):
                    ids[wanted[1:-1]] = part
                elif wanted != part:
                    break
            else:
                if all(ids.values()):
                    return endpoint, ids
        return None


def expand(tx: Transaction, body: Any, parts: list[str], path: str) -> None:
    """Put the whole object where its id stands (https://docs.stripe.com/api/expanding_objects)."""
    if not parts or body is None:
        return
    field, rest = parts[0], parts[1:]
    if body.get("object") in ("list", "search_result") and field == "data":
        for one in body["data"]:
            expand(tx, one, rest, path)
        return
    if field == "line_items" and body.get("object") == "checkout.session":
        lines = sessions.lines_of(tx, body)
        body[field] = {
            "object": "list",
            "data": lines,
            "has_more": False,
            "url": f"/v1/checkout/sessions/{body['id']}/line_items",
        }
        return
    kind = EXPANDABLE.get(field)
    if body.get("object") == "balance_transaction" and field == "source":
        kind = SOURCES.get(str(body["source"]).split("_", 1)[0], "charge")
    if kind is None or field not in body:
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    if isinstance(body[field], str):
        found = tx.find(kind, body[field])
        body[field] = balance.shown(tx, found) if found and kind == "balance_transaction" else found
    expand(tx, body[field], rest, path)
