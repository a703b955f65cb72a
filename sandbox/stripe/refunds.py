"""Money that goes back to a card: at once, later, or not after all (https://docs.stripe.com/api/refunds)."""

from __future__ import annotations

from sandbox.stripe import objects, objects_money
from sandbox.stripe.balance import move
from sandbox.stripe.errors import Json, invalid
from sandbox.stripe.methods import card_of
from sandbox.stripe.params import FOR_CHARGE, Endpoint, merge_metadata
from sandbox.stripe.store import Transaction
from sandbox.stripe.webhooks import emit

FINAL = ("won", "warning_closed")
"""States of a dispute that leave a charge refundable."""


def _create(tx: Transaction, params: Json) -> Json:
    charge = _charge_of(tx, params)
    left = charge["amount"] - charge["amount_refunded"]
    amount = params.get("amount", left)
    if charge["disputed"] and _money_is_disputed(tx, charge):
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


def give_back(tx: Transaction, charge: Json, amount: int, reason: str | None, metadata: Json) -> Json:
    """Refund part or all of a charge; the caller has checked that so much is left."""
    method = tx.find("payment_method", charge["payment_method"])
    how = card_of(tx, method).refunds if method else "succeeded"
    refund = objects_money.refund(tx.now, charge, amount, reason, metadata)
    # A refund that will fail looks like any other until it does (https://docs.stripe.com/testing#refunds).
    refund["status"] = "pending" if how == "pending" else "succeeded"
    delayed = tx.hidden(charge["id"]).get("delayed")
    kind = "payment_refund" if delayed else "refund"
    refund["balance_transaction"] = move(tx, kind, -amount, charge["currency"], refund["id"], category="refund")["id"]
    tx.add(refund)
    _count(tx, charge, amount, refund)
    emit(tx, "refund.created", refund)
    emit(tx, "charge.refunded", charge)
    if how != "succeeded":
        outcome = "failed" if how == "failed" else "succeeded"
        tx.later(tx.now + tx.dials.refund_seconds, "settle_refund", refund["id"], outcome=outcome)
    return refund


def settle_later(tx: Transaction, id: str, said: Json) -> None:
    """What the bank said of a refund at last."""
    settle(tx, tx.get("refund", id), said["outcome"])


def settle(tx: Transaction, refund: Json, outcome: str) -> Json:
    """Have a refund succeed or fail; what is final already stays."""
    if refund["status"] == "failed" or refund["status"] == outcome == "succeeded":
        return refund
    refund["status"] = outcome
    charge = tx.get("charge", refund["charge"])
    if outcome == "failed":
        back = move(tx, "refund_failure", refund["amount"], refund["currency"], refund["id"])
        refund |= {"failure_balance_transaction": back["id"], "failure_reason": "expired_or_canceled_card"}
        _count(tx, charge, -refund["amount"], refund)
    tx.save(refund)
    emit(tx, "refund.updated", refund)
    if outcome == "failed":
        emit(tx, "refund.failed", refund)
    emit(tx, "charge.refund.updated", refund)
    return refund


def _count(tx: Transaction, charge: Json, amount: int, refund: Json) -> None:
    """Keep count on the charge of what went back (or came again)."""
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    others = [one for one in charge["refunds"]["data"] if one["id"] != refund["id"]]
    charge["refunds"]["data"] = [dict(refund), *others]
    tx.save(charge)


def _money_is_disputed(tx: Transaction, charge: Json) -> bool:
    found, _ = tx.page("dispute", {"limit": 100}, {"charge": charge["id"]})
    return any(one["status"] not in FINAL and not one["is_charge_refundable"] for one in found)


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


def _update(tx: Transaction, params: Json, id: str) -> Json:
    refund = tx.get("refund", id)
    if "metadata" in params:
        refund["metadata"] = merge_metadata(refund["metadata"], params["metadata"])
        tx.save(refund)
        emit(tx, "refund.updated", refund)
    return refund


def _list(tx: Transaction, params: Json) -> Json:
    where = {name: params.get(name) for name in ("charge", "payment_intent")}
    return objects.list_of("/v1/refunds", *tx.page("refund", params, where))


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
        _create,
    ),
    Endpoint("GET", "/v1/refunds", FOR_CHARGE, _list),
    Endpoint("GET", "/v1/refunds/<id>", {}, lambda tx, params, id: tx.get("refund", id)),
    Endpoint("POST", "/v1/refunds/<id>", {"metadata": "metadata"}, _update),
)
