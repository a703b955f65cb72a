"""Payment intents: create, confirm, cancel, find (https://docs.stripe.com/api/payment_intents)."""

from __future__ import annotations

import re

from sandbox.stripe import objects
from sandbox.stripe.amounts import check_amount
from sandbox.stripe.charging import OPEN, attempt, not_of_checkout, unexpected_state
from sandbox.stripe.customers import live_customer
from sandbox.stripe.errors import Json, invalid
from sandbox.stripe.methods import use_method
from sandbox.stripe.params import LISTING, Endpoint, Spec, merge_metadata
from sandbox.stripe.store import Transaction
from sandbox.stripe.webhooks import emit

SINGLE_TYPE: Spec = {"allowed_payment_method_types": ["text"], "payment_method_types": ["text"]}
PLAIN: Spec = {
    "description": "text",
    "receipt_email": "text",
    "setup_future_usage": ("on_session", "off_session"),
    "statement_descriptor": "text",
    "statement_descriptor_suffix": "text",
}
"""Parameters that are simply kept; Checkout takes the same ones in payment_intent_data."""
CONFIRM: Spec = {
    **SINGLE_TYPE,
    "payment_method": "text",
    "off_session": "bool",
    "error_on_requires_action": "bool",
    "return_url": "url",
    "receipt_email": "text",
    "setup_future_usage": ("on_session", "off_session"),
}
CLAUSE = re.compile(
    r"""(?:(?P<field>status|customer|currency)|metadata\[(?P<q>['"])(?P<key>[^'"]+)(?P=q)\])"""
    r"""\s*:\s*(?P<r>['"])(?P<value>[^'"]*)(?P=r)"""
)


def refuse_types(params: Json) -> None:
    """Refuse what API version 2026-09-30 took away, and check its successor."""
    if "payment_method_types" in params:
        raise invalid(
            "The `payment_method_types` parameter is no longer supported on this API version. Use "
            "`allowed_payment_method_types` or `excluded_payment_method_types` instead.",
            "payment_method_types",
            "payment_method_types_no_longer_supported",
        )
    if "card" not in params.pop("allowed_payment_method_types", ["card"]):
        raise invalid("The sandbox has cards only.", "allowed_payment_method_types")


def make_intent(tx: Transaction, amount: int, currency: str, fields: Json, **hidden: object) -> Json:
    """Store a new payment intent and tell of it."""
    made = tx.add(objects.payment_intent(tx.now, amount, currency, fields), **hidden)
    emit(tx, "payment_intent.created", made)
    return made


def _create(tx: Transaction, params: Json) -> Json:
    refuse_types(params)
    currency = params["currency"].lower()
    check_amount(params["amount"], currency)
    _only_with_confirm(params)
    customer = live_customer(tx, params["customer"])["id"] if "customer" in params else None
    fields = {name: params[name] for name in (*PLAIN, "capture_method") if name in params}
    fields |= {"customer": customer, "metadata": merge_metadata({}, params.get("metadata", {}))}
    if "automatic_payment_methods" in params:
        fields["automatic_payment_methods"] = {"allow_redirects": "always"} | params["automatic_payment_methods"]
    if method := params.get("payment_method"):
        params["payment_method"] = use_method(tx, method, "payment_method", customer)["id"]
        fields |= {"payment_method": params["payment_method"], "status": "requires_confirmation"}
    made = make_intent(tx, params["amount"], currency, fields, return_url=params.get("return_url"))
    return _confirm(tx, params, made["id"]) if params.get("confirm") else made


def _only_with_confirm(params: Json) -> None:
    if not params.get("confirm"):
        for name in ("off_session", "error_on_requires_action", "return_url"):
            if name in params:
                raise invalid(f"You cannot set `{name}` without `confirm=true`.", name)


def _confirm(tx: Transaction, params: Json, id: str) -> Json:
    intent = tx.get("payment_intent", id)
    refuse_types(params)
    not_of_checkout(tx, id, "confirm")
    if intent["status"] not in OPEN:
        raise unexpected_state(intent, "confirmed")
    named = params.get("payment_method") or intent["payment_method"]
    if named is None:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            None,
            "payment_intent_unexpected_state",
            payment_intent=intent,
        )
    method = use_method(tx, named, "payment_method", intent["customer"])
    intent |= {name: params[name] for name in ("receipt_email", "setup_future_usage") if name in params}
    if "return_url" in params:
        tx.hide(id, return_url=params["return_url"])
    return attempt(
        tx,
        intent,
        method,
        off_session=params.get("off_session", False),
        fail_on_action=params.get("error_on_requires_action", False),
    )


def _update(tx: Transaction, params: Json, id: str) -> Json:
    intent = tx.get("payment_intent", id)
    not_of_checkout(tx, id, "update")
    refuse_types(params)
    if intent["status"] not in OPEN:
        raise unexpected_state(intent, "updated")
    merged = {**intent, **params}
    currency = merged["currency"].lower()
    check_amount(merged["amount"], currency)
    if "customer" in params:
        intent["customer"] = live_customer(tx, params["customer"])["id"]
    if method := params.get("payment_method"):
        intent["payment_method"] = use_method(tx, method, "payment_method", intent["customer"])["id"]
        intent |= {"status": "requires_confirmation", "next_action": None}
    intent |= {name: params[name] for name in (*PLAIN, "amount") if name in params} | {"currency": currency}
    if "metadata" in params:
        intent["metadata"] = merge_metadata(intent["metadata"], params["metadata"])
    return tx.save(intent)


def _cancel(tx: Transaction, params: Json, id: str) -> Json:
    intent = tx.get("payment_intent", id)
    not_of_checkout(tx, id, "cancel")
    if intent["status"] not in OPEN:
        raise unexpected_state(intent, "canceled")
    return cancel_intent(tx, intent, params.get("cancellation_reason"))


def cancel_intent(tx: Transaction, intent: Json, reason: str | None) -> Json:
    """Close an open intent for good."""
    intent |= {
        "status": "canceled",
        "canceled_at": tx.now,
        "cancellation_reason": reason,
        "next_action": None,
    }
    tx.save(intent)
    emit(tx, "payment_intent.canceled", intent)
    return intent


def _list(tx: Transaction, params: Json) -> Json:
    found = tx.page("payment_intent", params, {"customer": params.get("customer")})
    return objects.list_of("/v1/payment_intents", *found)


def _search(tx: Transaction, params: Json) -> Json:
    """Find by metadata, status, customer or currency, joined by AND (https://docs.stripe.com/search).

    As at Stripe the index may lag: a new intent is found only after the dial's seconds.
    """
    where: Json = {}
    for part in re.split(r"\s+AND\s+", params["query"].strip(), flags=re.IGNORECASE):
        clause = CLAUSE.fullmatch(part.strip())
        if clause is None:
            raise invalid(f"We were unable to parse your search query: {part}", "query")
        path = clause["field"] or f'metadata."{clause["key"]}"'
        where[path] = clause["value"]
    page = {**params, "created": {"lte": tx.now - tx.dials.search_lag}}
    if after := page.pop("page", None):
        page["starting_after"] = after
    data, more = tx.page("payment_intent", page, where)
    return {
        "object": "search_result",
        "data": data,
        "has_more": more,
        "next_page": data[-1]["id"] if more else None,
        "url": "/v1/payment_intents/search",
    }


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/payment_intents",
        {
            **CONFIRM,
            **PLAIN,
            "amount!": "int",
            "currency!": "text",
            "customer": "text",
            "confirm": "bool",
            "metadata": "metadata",
            "automatic_payment_methods": {"enabled!": "bool", "allow_redirects": ("always", "never")},
            "capture_method": ("automatic", "automatic_async"),
        },
        _create,
    ),
    Endpoint("GET", "/v1/payment_intents", {**LISTING, "customer": "text", "created": "range"}, _list),
    Endpoint("GET", "/v1/payment_intents/search", {"query!": "text", "limit": "int", "page": "text"}, _search),
    Endpoint("GET", "/v1/payment_intents/<id>", {}, lambda tx, params, id: tx.get("payment_intent", id)),
    Endpoint(
        "POST",
        "/v1/payment_intents/<id>",
        {
            **PLAIN,
            **SINGLE_TYPE,
            "amount": "int",
            "currency": "text",
            "customer": "text",
            "payment_method": "text",
            "metadata": "metadata",
        },
        _update,
    ),
    Endpoint("POST", "/v1/payment_intents/<id>/confirm", CONFIRM, _confirm),
    Endpoint(
        "POST",
        "/v1/payment_intents/<id>/cancel",
        {
            "cancellation_reason": ("abandoned", "duplicate", "fraudulent", "requested_by_customer"),
        },
        _cancel,
    ),
)
