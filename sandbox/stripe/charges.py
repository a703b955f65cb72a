"""Charges as they are looked up; payments make them (https://docs.stripe.com/api/charges)."""

from __future__ import annotations

from sandbox.stripe import objects
from sandbox.stripe.errors import Json
from sandbox.stripe.params import LISTING, Endpoint
from sandbox.stripe.store import Transaction


def _list(tx: Transaction, params: Json) -> Json:
    where = {name: params.get(name) for name in ("customer", "payment_intent")}
    return objects.list_of("/v1/charges", *tx.page("charge", params, where))


ENDPOINTS = (
    Endpoint(
        "GET", "/v1/charges", {**LISTING, "customer": "text", "payment_intent": "text", "created": "range"}, _list
    ),
    Endpoint("GET", "/v1/charges/<id>", {}, lambda tx, params, id: tx.get("charge", id)),
)
