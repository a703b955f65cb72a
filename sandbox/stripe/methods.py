"""Payment methods: cards, what they do when they are charged, and whose they are (…/api/payment_methods)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from sandbox.stripe import cards, declines, objects
from sandbox.stripe.customers import ADDRESS, live_customer, update
from sandbox.stripe.errors import Json, invalid, no_such
from sandbox.stripe.params import LISTING, Endpoint, Spec, merge_metadata
from sandbox.stripe.store import Transaction
from sandbox.stripe.webhooks import emit

TOKEN_EXPIRY = (12, 5)
"""Test tokens such as pm_card_visa expire in December, five years from now."""


def card_of(tx: Transaction, method: Json) -> cards.Card:
    """The test card behind a payment method, as it behaves from now on (a control call may have said how)."""
    known = tx.hidden(method["id"])
    card = cards.BY_NUMBER[known["number"]]
    changed: Json = known.get("behaves", {})
    if not changed:
        return card
    why = changed.get("decline", card.decline)
    if isinstance(why, str):
        why = declines.DECLINES[why]
    return replace(card, **{**changed, "decline": why})


def attach(tx: Transaction, method: Json, customer: str) -> Json:
    """Give a card to a customer, who can then be charged again."""
    if method["customer"] != customer:
        method["customer"] = customer
        tx.save(method)
        emit(tx, "payment_method.attached", method)
    return method


def make_method(tx: Transaction, card: cards.Card, exp_month: int, exp_year: int, fields: Json | None = None) -> Json:
    """Store a card as a payment method of nobody."""
    made = objects.payment_method(tx.now, card, exp_month, exp_year, fields or {})
    return tx.add(made, number=card.number)


def enter_card(tx: Transaction, number: str, exp_month: int, exp_year: int, cvc: str | None, fields: Json) -> Json:
    """Store a card as it was typed; raises the 402 that Stripe gives for a mistyped one."""
    card = cards.read_number(number)
    today = datetime.fromtimestamp(tx.now, UTC)
    cards.check_entry(card, exp_month, exp_year, cvc, (today.year, today.month))
    return make_method(tx, card, exp_month, exp_year, fields)


def use_method(tx: Transaction, id: str, param: str, customer: str | None = None) -> Json:
    """Return the payment method that a request names, ready for use by a customer (or by nobody).

    A test token such as pm_card_visa makes a new one. Raises Stripe's 400 for one that is gone, used up or another's.
    """
    if id in cards.BY_TOKEN:
        month, years = TOKEN_EXPIRY
        return make_method(tx, cards.BY_TOKEN[id], month, datetime.fromtimestamp(tx.now, UTC).year + years)
    method = tx.get("payment_method", id, param)
    if tx.hidden(id).get("spent"):
        raise invalid(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared "
            "with a connected account without Customer attachment, or was detached from a Customer. It may not be used "
            "again. To use a PaymentMethod multiple times, you must attach it to a Customer first."
        )
    if method["customer"] not in (None, customer):
        raise invalid(
            f"The payment method {id} belongs to another customer than the one of this request; name its customer in "
            "the `customer` parameter.",
            param,
        )
    return method


def _create_method(tx: Transaction, params: Json) -> Json:
    given = params["card"]
    fields = {
        "billing_details": objects.billing_details(params.get("billing_details")),
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "allow_redisplay": params.get("allow_redisplay", "unspecified"),
    }
    if token := given.get("token"):
        card = cards.BY_TOKEN.get(token.replace("tok_", "pm_card_", 1))
        if card is None:
            raise no_such("token", token, "card[token]")
        month, years = TOKEN_EXPIRY
        return make_method(tx, card, month, datetime.fromtimestamp(tx.now, UTC).year + years, fields)
    for name in ("number", "exp_month", "exp_year"):
        if name not in given:
            raise invalid(f"Missing required param: card[{name}].", f"card[{name}]", "parameter_missing")
    year = given["exp_year"] + 2000 if given["exp_year"] < 100 else given["exp_year"]
    return enter_card(tx, given["number"], given["exp_month"], year, given.get("cvc"), fields)


def renew(tx: Transaction, method: Json, fields: Json) -> Json:
    """The issuer sent a new card, and its network told Stripe (…/payments/cards/overview#automatic-card-updates)."""
    before = {name: method["card"][name] for name in fields if method["card"][name] != fields[name]}
    method["card"] |= fields
    tx.save(method)
    emit(tx, "payment_method.automatically_updated", method, {"card": before})
    return method


def _update(tx: Transaction, params: Json, id: str) -> Json:
    method = tx.get("payment_method", id)
    if method["customer"] is None:
        raise invalid("You must attach this PaymentMethod to a Customer before you can update it.", "payment_method")
    if "billing_details" in params:
        method["billing_details"] = objects.billing_details({**method["billing_details"], **params["billing_details"]})
    if "metadata" in params:
        method["metadata"] = merge_metadata(method["metadata"], params["metadata"])
    method["allow_redisplay"] = params.get("allow_redisplay", method["allow_redisplay"])
    method["card"] |= params.get("card", {})
    tx.save(method)
    emit(tx, "payment_method.updated", method)
    return method


def _of_customer(tx: Transaction, params: Json, id: str, method: str) -> Json:
    found = tx.get("payment_method", method)
    if found["customer"] != live_customer(tx, id, "id")["id"]:
        raise no_such("payment_method", method, "id", 404)
    return found


def _get_method(tx: Transaction, params: Json, id: str) -> Json:
    return tx.get("payment_method", id)


def _attach(tx: Transaction, params: Json, id: str) -> Json:
    customer = live_customer(tx, params["customer"])
    method = use_method(tx, id, "id", customer["id"])
    card = card_of(tx, method)
    if card.decline and not card.saves:
        raise declines.refused(card.decline)
    return attach(tx, method, customer["id"])


def _detach(tx: Transaction, params: Json, id: str) -> Json:
    method = tx.get("payment_method", id)
    owner = method["customer"]
    if owner is None:
        raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
    method["customer"] = None
    tx.save(method)
    tx.hide(id, spent=True)
    emit(tx, "payment_method.detached", method, {"customer": owner}, lane=owner)
    customer = tx.find("customer", owner)
    if customer and customer.get("invoice_settings", {}).get("default_payment_method") == id:
        update(tx, {"invoice_settings": {"default_payment_method": None}}, owner)
    return method


def _list_methods(tx: Transaction, params: Json, id: str | None = None) -> Json:
    customer = id or params.get("customer")
    if customer is None:
        return objects.list_of("/v1/payment_methods", [])
    live_customer(tx, customer)
    where = {"customer": customer, "type": params.get("type"), "allow_redisplay": params.get("allow_redisplay")}
    url = f"/v1/customers/{id}/payment_methods" if id else "/v1/payment_methods"
    return objects.list_of(url, *tx.page("payment_method", params, where))


REDISPLAY = ("always", "limited", "unspecified")
BILLING: Spec = {"address": ADDRESS, "email": "text?", "name": "text?", "phone": "text?"}
METHOD_LIST: Spec = {**LISTING, "type": "text", "allow_redisplay": REDISPLAY}
ENDPOINTS = (
    Endpoint("GET", "/v1/customers/<id>/payment_methods", METHOD_LIST, _list_methods),
    Endpoint(
        "POST",
        "/v1/payment_methods",
        {
            "type!": ("card",),
            "card!": {
                "number": "text",
                "exp_month": "int",
                "exp_year": "int",
                "cvc": "text",
                "token": "text",
            },
            "billing_details": BILLING,
            "metadata": "metadata",
            "allow_redisplay": REDISPLAY,
        },
        _create_method,
    ),
    Endpoint("GET", "/v1/payment_methods", {**METHOD_LIST, "customer": "text"}, _list_methods),
    Endpoint("GET", "/v1/payment_methods/<id>", {}, _get_method),
    Endpoint(
        "POST",
        "/v1/payment_methods/<id>",
        {
            "billing_details": BILLING,
            "metadata": "metadata",
            "allow_redisplay": REDISPLAY,
            "card": {"exp_month": "int", "exp_year": "int"},
        },
        _update,
    ),
    Endpoint("GET", "/v1/customers/<id>/payment_methods/<method>", {}, _of_customer),
    Endpoint("POST", "/v1/payment_methods/<id>/attach", {"customer!": "text"}, _attach),
    Endpoint("POST", "/v1/payment_methods/<id>/detach", {}, _detach),
)
