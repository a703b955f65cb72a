"""What came of the money: charges, refunds, disputes, balance movements (https://docs.stripe.com/api/refunds …)."""

from __future__ import annotations

from sandbox.stripe import objects
from sandbox.stripe.charging import give_back
from sandbox.stripe.errors import Json, invalid
from sandbox.stripe.params import LISTING, Endpoint, merge_metadata
from sandbox.stripe.store import Transaction


def _refund(tx: Transaction, params: Json) -> Json:
    charge = _charge_of(tx, params)
    left = charge["amount"] - charge["amount_refunded"]
    amount = params.get("amount", left)
    if charge["disputed"]:
        raise invalid(f"Charge {charge['id']} has been charged back; cannot issue a refund.", None, "charge_disputed")
    if charge["refunded"]:
        raise invalid(f"Charge {charge['id']} has already been refunded.", None, "charge_already_refunded")
    if amount < 1:
        raise invalid("Invalid positive integer", "amount", "parameter_invalid_integer")
    if amount > left:
        raise invalid(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left}), in minor units of "
            f"{charge['currency']}.",
            "amount",
        )
    return give_back(tx, charge, amount, params.get("reason"), merge_metadata({}, params.get("metadata", {})))


def _charge_of(tx: Transaction, params: Json) -> Json:
    if ("charge" in params) == ("payment_intent" in params):
        raise invalid("One of the following params should be provided for this request: payment_intent or charge.")
    if "charge" in params:
        charge = tx.get("charge", params["charge"], "charge")
    else:
        intent = tx.get("payment_intent", params["payment_intent"], "payment_intent")
        latest = tx.find("charge", intent["latest_charge"])
        if latest is None:
            raise invalid(f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.")
        charge = latest
    if charge["status"] != "succeeded":
        raise invalid(f"This charge ({charge['id']}) was not successful and cannot be refunded.")
    return charge


def _list_refunds(tx: Transaction, params: Json) -> Json:
    where = {name: params.get(name) for name in ("charge", "payment_intent")}
    return objects.list_of("/v1/refunds", *tx.page("refund", params, where))


def _list_charges(tx: Transaction, params: Json) -> Json:
    where = {name: params.get(name) for name in ("customer", "payment_intent")}
    return objects.list_of("/v1/charges", *tx.page("charge", params, where))


def _list_disputes(tx: Transaction, params: Json) -> Json:
    where = {name: params.get(name) for name in ("charge", "payment_intent")}
    return objects.list_of("/v1/disputes", *tx.page("dispute", params, where))


FOR_CHARGE = {**LISTING, "charge": "text", "payment_intent": "text", "created": "range"}
ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/refunds",
        {
            "amount": "int",
            "charge": "text",
            "payment_intent": "text",
            "reason": ("duplicate", "fraudulent", "requested_by_customer"),
            "metadata": "metadata",
        },
        _refund,
    ),
    Endpoint("GET", "/v1/refunds", FOR_CHARGE, _list_refunds),
    Endpoint("GET", "/v1/refunds/<id>", {}, lambda tx, params, id: tx.get("refund", id)),
    Endpoint(
        "GET",
        "/v1/charges",
        {**LISTING, "customer": "text", "payment_intent": "text", "created": "range"},
        _list_charges,
    ),
    Endpoint("GET", "/v1/charges/<id>", {}, lambda tx, params, id: tx.get("charge", id)),
    Endpoint("GET", "/v1/disputes", FOR_CHARGE, _list_disputes),
    Endpoint("GET", "/v1/disputes/<id>", {}, lambda tx, params, id: tx.get("dispute", id)),
    Endpoint(
        "GET",
        "/v1/balance_transactions/<id>",
        {},
        lambda tx, params, id: tx.get("balance_transaction", id),
    ),
)
