"""Checkout Sessions: made, found, expired (https://docs.stripe.com/api/checkout/sessions); checkout.py pays them."""

from __future__ import annotations

from typing import Any

from sandbox.stripe import objects, objects_site
from sandbox.stripe.amounts import check_amount
from sandbox.stripe.customers import live_customer
from sandbox.stripe.errors import Json, invalid
from sandbox.stripe.methods import REDISPLAY
from sandbox.stripe.params import LISTING, Endpoint, Spec, merge_metadata
from sandbox.stripe.payment_intents import PLAIN, SINGLE_TYPE, cancel_intent, refuse_types
from sandbox.stripe.setup_intents import cancel_setup, make_setup
from sandbox.stripe.store import Transaction
from sandbox.stripe.webhooks import emit

SHORTEST, LONGEST = 30 * 60, 24 * 3600
"""How long a session may stay open, in seconds."""
LINE: Spec = {
    "quantity!": "int",
    "metadata": "metadata",
    "price_data!": {
        "currency!": "text",
        "unit_amount!": "int",
        "product_data!": {"name!": "text", "description": "text", "metadata": "metadata"},
    },
}
CREATE: Spec = {
    **SINGLE_TYPE,
    "mode!": ("payment", "setup"),
    "success_url!": "url",
    "cancel_url": "url",
    "client_reference_id": "text",
    "currency": "text",
    "customer": "text",
    "customer_creation": ("always", "if_required"),
    "customer_email": "text",
    "expires_at": "int",
    "line_items": [LINE],
    "locale": "text",
    "metadata": "metadata",
    "payment_intent_data": {**PLAIN, "metadata": "metadata"},
    "saved_payment_method_options": {
        "allow_redisplay_filters": [REDISPLAY],
        "payment_method_remove": ("enabled", "disabled"),
        "payment_method_save": ("enabled", "disabled"),
    },
    "consent_collection": {
        "payment_method_reuse_agreement": {"position!": ("auto", "hidden")},
        "promotions": ("auto", "none"),
        "terms_of_service": ("none", "required"),
    },
    "setup_intent_data": {"description": "text", "metadata": "metadata"},
    "submit_type": ("auto", "book", "donate", "pay"),
    "ui_mode": ("hosted_page",),
}
KEPT = ("cancel_url", "client_reference_id", "customer_email", "locale", "submit_type", "success_url")


def close_session(tx: Transaction, session: Json) -> Json:
    """Expire an open session, and with it the intent it may have begun."""
    if session["payment_intent"]:
        intent = tx.get("payment_intent", session["payment_intent"])
        if intent["status"] != "canceled":
            cancel_intent(tx, intent, "automatic")
    if session["setup_intent"]:
        cancel_setup(tx, tx.get("setup_intent", session["setup_intent"]), None)
    session |= {"status": "expired", "url": None}
    tx.save(session)
    emit(tx, "checkout.session.expired", session)
    return session


def expire_when_due(tx: Transaction, id: str, said: Json) -> None:
    """The end of a session's time, if it is still open."""
    session = tx.get("checkout.session", id)
    if session["status"] == "open":
        close_session(tx, session)


def lines_of(tx: Transaction, session: Json) -> list[Json]:
    """What a session sells."""
    found: list[Json] = tx.hidden(session["id"]).get("lines", [])
    return found


def _create(tx: Transaction, params: Json) -> Json:
    paying = params["mode"] == "payment"
    _check_mode(params, paying)
    refuse_types(params)
    if "customer" in params and ("customer_email" in params or "customer_creation" in params):
        raise invalid("You may only specify one of these parameters: customer, customer_email, customer_creation.")
    fields: dict[str, Any] = {name: params[name] for name in KEPT if name in params}
    fields["customer"] = live_customer(tx, params["customer"])["id"] if "customer" in params else None
    fields["metadata"] = merge_metadata({}, params.get("metadata", {}))
    fields["expires_at"] = _expiry(tx, params)
    lines = _lines(tx, params.get("line_items", []))
    if paying:
        fields |= _totals(lines)
        if fields["customer"] is None:
            fields["customer_creation"] = params.get("customer_creation", "if_required")
    else:
        fields["currency"] = params.get("currency")
    if asked := params.get("consent_collection"):
        fields["consent_collection"] = {
            "payment_method_reuse_agreement": None,
            "promotions": None,
            "terms_of_service": None,
            **asked,
        }
    if options := params.get("saved_payment_method_options"):
        fields["saved_payment_method_options"] = {
            "allow_redisplay_filters": ["always"],
            "payment_method_remove": "disabled",
            **options,
        }
    made = objects_site.checkout_session(tx.now, params["mode"], fields)
    made["url"] = f"{tx.call.base_url}/c/pay/{made['id']}"
    if not paying:
        # A setup session has its intent from the start; a payment session only once somebody pays.
        about = params.get("setup_intent_data", {})
        about["metadata"] = merge_metadata({}, about.get("metadata", {}))
        about["customer"] = fields["customer"]
        made["setup_intent"] = make_setup(tx, about, session=made["id"])["id"]
    tx.later(made["expires_at"], "expire_session", made["id"])
    return tx.add(made, lines=lines, intent_data=params.get("payment_intent_data", {}))


def _check_mode(params: Json, paying: bool) -> None:
    if paying and not params.get("line_items"):
        raise invalid("`line_items` is required in `payment` mode.", "line_items", "parameter_missing")
    wrong = (
        ("setup_intent_data",)
        if paying
        else (
            "line_items",
            "payment_intent_data",
            "saved_payment_method_options",
            "submit_type",
            "customer_creation",
        )
    )
    for name in wrong:
        if name in params:
            raise invalid(f"You can not pass `{name}` in `{params['mode']}` mode.", name)
    if not paying and "currency" not in params and "allowed_payment_method_types" not in params:
        raise invalid(
            "Missing required param: currency. In `setup` mode it says which payment methods fit.",
            "currency",
            "parameter_missing",
        )


def _expiry(tx: Transaction, params: Json) -> int:
    expires_at = int(params.get("expires_at", tx.now + LONGEST))
    if expires_at < tx.now + SHORTEST:
        raise invalid(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.", "expires_at"
        )
    if expires_at > tx.now + LONGEST:
        raise invalid(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.", "expires_at"
        )
    return expires_at


def _lines(tx: Transaction, given: list[Json]) -> list[Json]:
    made: list[Json] = []
    for place, line in enumerate(given):
        data = line["price_data"]
        currency = data["currency"].lower()
        if line["quantity"] < 1:
            raise invalid("This value must be greater than or equal to 1.", f"line_items[{place}][quantity]")
        if data["unit_amount"] < 0:
            raise invalid("Invalid non-negative integer", f"line_items[{place}][price_data][unit_amount]")
        if made and made[0]["currency"] != currency:
            raise invalid("All line items must have the same currency.", "line_items")
        costs = objects_site.price(tx.now, currency, data["unit_amount"])
        metadata = merge_metadata({}, line.get("metadata", {}))
        made.append(objects_site.item(data["product_data"]["name"], line["quantity"], costs, metadata))
    return made


def _totals(lines: list[Json]) -> Json:
    total, currency = sum(line["amount_total"] for line in lines), lines[0]["currency"]
    check_amount(total, currency, "line_items")
    return {
        "amount_subtotal": total,
        "amount_total": total,
        "currency": currency,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
    }


def _expire(tx: Transaction, params: Json, id: str) -> Json:
    session = tx.get("checkout.session", id)
    if session["status"] != "open":
        raise invalid(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of '
            f"{session['status']}."
        )
    return close_session(tx, session)


def _update(tx: Transaction, params: Json, id: str) -> Json:
    session = tx.get("checkout.session", id)
    session["metadata"] = merge_metadata(session["metadata"], params.get("metadata", {}))
    return tx.save(session)


def _list(tx: Transaction, params: Json) -> Json:
    where = {name: params.get(name) for name in ("customer", "payment_intent", "status")}
    return objects.list_of("/v1/checkout/sessions", *tx.page("checkout.session", params, where))


def _list_lines(tx: Transaction, params: Json, id: str) -> Json:
    lines = lines_of(tx, tx.get("checkout.session", id))
    return objects.list_of(f"/v1/checkout/sessions/{id}/line_items", lines)


ENDPOINTS = (
    Endpoint("POST", "/v1/checkout/sessions", CREATE, _create),
    Endpoint(
        "GET",
        "/v1/checkout/sessions",
        {
            **LISTING,
            "customer": "text",
            "payment_intent": "text",
            "status": ("open", "complete", "expired"),
            "created": "range",
        },
        _list,
    ),
    Endpoint("GET", "/v1/checkout/sessions/<id>", {}, lambda tx, params, id: tx.get("checkout.session", id)),
    Endpoint("POST", "/v1/checkout/sessions/<id>", {"metadata": "metadata"}, _update),
    Endpoint("POST", "/v1/checkout/sessions/<id>/expire", {}, _expire),
    Endpoint("GET", "/v1/checkout/sessions/<id>/line_items", LISTING, _list_lines),
)
