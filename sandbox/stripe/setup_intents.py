"""Setup intents: a card is saved without being charged (https://docs.stripe.com/api/setup_intents)."""

from __future__ import annotations

from sandbox.stripe import objects
from sandbox.stripe.charging import OPEN, next_action, not_of_checkout, unexpected_state
from sandbox.stripe.customers import live_customer
from sandbox.stripe.declines import refused
from sandbox.stripe.errors import Json, StripeError, invalid
from sandbox.stripe.methods import attach, card_of, use_method
from sandbox.stripe.params import LISTING, Endpoint, Spec, merge_metadata
from sandbox.stripe.payment_intents import SINGLE_TYPE, refuse_types
from sandbox.stripe.store import Transaction
from sandbox.stripe.webhooks import emit

CONFIRM: Spec = {**SINGLE_TYPE, "payment_method": "text", "return_url": "url"}


def make_setup(tx: Transaction, fields: Json, **hidden: object) -> Json:
    """Store a new setup intent and tell of it."""
    made = tx.add(objects.setup_intent(tx.now, fields), **hidden)
    emit(tx, "setup_intent.created", made)
    return made


def save_card(tx: Transaction, intent: Json, method: Json, *, confirmed: bool = False) -> Json:
    """Try to save a card for later charges.

    Returns the intent: succeeded, or requires_action when the bank wants the customer. Raises the 402 of a refusal.
    """
    card = card_of(tx, method)
    intent["payment_method"] = method["id"]
    if card.decline and not card.saves:
        raise fail_setup(tx, intent, method, refused(card.decline))
    if not confirmed and card.authenticates in ("until_set_up", "always"):
        intent |= {"status": "requires_action", "next_action": next_action(tx, intent)}
        tx.save(intent)
        emit(tx, "setup_intent.requires_action", intent)
        return intent
    intent |= {"status": "succeeded", "next_action": None, "last_setup_error": None}
    tx.save(intent)
    tx.hide(method["id"], set_up=True)
    if intent["customer"]:
        attach(tx, method, intent["customer"])
    emit(tx, "setup_intent.succeeded", intent)
    return intent


def fail_setup(tx: Transaction, intent: Json, method: Json, error: StripeError) -> StripeError:
    """Send a setup intent back to wait for another card, and return the error with the intent in it."""
    error.error["payment_method"] = method
    intent |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "last_setup_error": dict(error.error),
    }
    tx.save(intent)
    emit(tx, "setup_intent.setup_failed", intent)
    error.error["setup_intent"] = dict(intent)
    return error


def cancel_setup(tx: Transaction, intent: Json, reason: str | None) -> Json:
    """Close an open setup intent for good."""
    intent |= {"status": "canceled", "cancellation_reason": reason, "next_action": None}
    tx.save(intent)
    emit(tx, "setup_intent.canceled", intent)
    return intent


def _create(tx: Transaction, params: Json) -> Json:
    refuse_types(params)
    if not params.get("confirm") and "return_url" in params:
        raise invalid("You cannot set `return_url` without `confirm=true`.", "return_url")
    customer = live_customer(tx, params["customer"])["id"] if "customer" in params else None
    fields: Json = {name: params[name] for name in ("description", "usage") if name in params}
    fields |= {"customer": customer, "metadata": merge_metadata({}, params.get("metadata", {}))}
    if method := params.get("payment_method"):
        params["payment_method"] = use_method(tx, method, "payment_method", customer)["id"]
        fields |= {"payment_method": params["payment_method"], "status": "requires_confirmation"}
    made = make_setup(tx, fields, return_url=params.get("return_url"))
    return _confirm(tx, params, made["id"]) if params.get("confirm") else made


def _confirm(tx: Transaction, params: Json, id: str) -> Json:
    refuse_types(params)
    intent = tx.get("setup_intent", id)
    not_of_checkout(tx, id, "confirm")
    if intent["status"] not in OPEN:
        raise unexpected_state(intent, "confirmed")
    named = params.get("payment_method") or intent["payment_method"]
    if named is None:
        raise invalid(
            "You cannot confirm this SetupIntent because it's missing a payment method.",
            None,
            "setup_intent_unexpected_state",
            setup_intent=intent,
        )
    method = use_method(tx, named, "payment_method", intent["customer"])
    if "return_url" in params:
        tx.hide(id, return_url=params["return_url"])
    return save_card(tx, intent, method)


def _update(tx: Transaction, params: Json, id: str) -> Json:
    intent = tx.get("setup_intent", id)
    not_of_checkout(tx, id, "update")
    if intent["status"] not in OPEN:
        raise unexpected_state(intent, "updated")
    if "customer" in params:
        intent["customer"] = live_customer(tx, params["customer"])["id"]
    if method := params.get("payment_method"):
        intent["payment_method"] = use_method(tx, method, "payment_method", intent["customer"])["id"]
        intent["status"] = "requires_confirmation"
    if "metadata" in params:
        intent["metadata"] = merge_metadata(intent["metadata"], params["metadata"])
    intent["description"] = params.get("description", intent["description"])
    return tx.save(intent)


def _cancel(tx: Transaction, params: Json, id: str) -> Json:
    intent = tx.get("setup_intent", id)
    not_of_checkout(tx, id, "cancel")
    if intent["status"] not in OPEN:
        raise unexpected_state(intent, "canceled")
    return cancel_setup(tx, intent, params.get("cancellation_reason"))


def _list(tx: Transaction, params: Json) -> Json:
    where = {name: params.get(name) for name in ("customer", "payment_method")}
    return objects.list_of("/v1/setup_intents", *tx.page("setup_intent", params, where))


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/setup_intents",
        {
            **CONFIRM,
            "confirm": "bool",
            "customer": "text",
            "description": "text",
            "metadata": "metadata",
            "usage": ("off_session", "on_session"),
            "automatic_payment_methods": {"enabled!": "bool", "allow_redirects": ("always", "never")},
        },
        _create,
    ),
    Endpoint(
        "GET",
        "/v1/setup_intents",
        {**LISTING, "customer": "text", "payment_method": "text", "created": "range"},
        _list,
    ),
    Endpoint("GET", "/v1/setup_intents/<id>", {}, lambda tx, params, id: tx.get("setup_intent", id)),
    Endpoint(
        "POST",
        "/v1/setup_intents/<id>",
        {"customer": "text", "description": "text", "metadata": "metadata", "payment_method": "text"},
        _update,
    ),
    Endpoint("POST", "/v1/setup_intents/<id>/confirm", CONFIRM, _confirm),
    Endpoint(
        "POST",
        "/v1/setup_intents/<id>/cancel",
        {
            "cancellation_reason": ("abandoned", "duplicate", "requested_by_customer"),
        },
        _cancel,
    ),
)
