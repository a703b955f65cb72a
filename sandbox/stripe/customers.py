"""Customers (https://docs.stripe.com/api/customers)."""

from __future__ import annotations

from sandbox.stripe import objects
from sandbox.stripe.errors import Json, no_such
from sandbox.stripe.params import LISTING, Endpoint, Spec, merge_metadata
from sandbox.stripe.store import Transaction
from sandbox.stripe.webhooks import emit

ADDRESS: Spec = dict.fromkeys(objects.ADDRESS, "text?")
CUSTOMER: Spec = {
    "address": ADDRESS,
    "description": "text?",
    "email": "text?",
    "invoice_settings": {"default_payment_method": "text?"},
    "metadata": "metadata",
    "name": "text?",
    "phone": "text?",
    "preferred_locales": ["text"],
    "tax_exempt": ("none", "exempt", "reverse"),
}


def live_customer(tx: Transaction, id: str, param: str = "customer") -> Json:
    """Return a customer that was not deleted, or raise Stripe's 400 (404 when it is in the path)."""
    found = tx.get("customer", id, param)
    if found.get("deleted"):
        raise no_such("customer", id, param, 404 if param == "id" else 400)
    return found


def _create(tx: Transaction, params: Json) -> Json:
    params["metadata"] = merge_metadata({}, params.get("metadata", {}))
    made = objects.customer(tx.now, {})
    _apply(tx, made, params)
    tx.add(made)
    emit(tx, "customer.created", made)
    return made


def update(tx: Transaction, params: Json, id: str) -> Json:
    found = live_customer(tx, id, "id")
    before = dict(found)
    if "metadata" in params:
        params["metadata"] = merge_metadata(found["metadata"], params["metadata"])
    _apply(tx, found, params)
    tx.save(found)
    changed = {name: before[name] for name in params if before[name] != found[name]}
    if changed:
        emit(tx, "customer.updated", found, changed)
    return found


def _apply(tx: Transaction, customer: Json, params: Json) -> None:
    settings = params.pop("invoice_settings", None)
    if settings and (chosen := settings.get("default_payment_method")):
        method = tx.find("payment_method", chosen)
        if method is None or method["customer"] != customer["id"]:
            raise no_such("PaymentMethod", chosen, "invoice_settings[default_payment_method]")
    if settings is not None:
        params["invoice_settings"] = {**customer["invoice_settings"], **settings}
    if "address" in params:
        params["address"] = objects.address(params["address"])
    customer.update(params)


def _delete(tx: Transaction, params: Json, id: str) -> Json:
    found = live_customer(tx, id, "id")
    emit(tx, "customer.deleted", found)
    return tx.save({"id": id, "object": "customer", "deleted": True})


def _list(tx: Transaction, params: Json) -> Json:
    return objects.list_of("/v1/customers", *tx.page("customer", params, {"email": params.get("email")}))


ENDPOINTS = (
    Endpoint("POST", "/v1/customers", CUSTOMER, _create),
    Endpoint("GET", "/v1/customers", {**LISTING, "email": "text", "created": "range"}, _list),
    Endpoint("GET", "/v1/customers/<id>", {}, lambda tx, params, id: tx.get("customer", id)),
    Endpoint("POST", "/v1/customers/<id>", CUSTOMER, update),
    Endpoint("DELETE", "/v1/customers/<id>", {}, _delete),
)
