"""Builds the objects around a payment, with the fields and types of API version 2026-10-28.endive.

Each builder takes what makes the object and `now` (Unix seconds) and returns a plain table; nothing here reads a clock
or the database. Field lists: https://docs.stripe.com/api.
"""

from __future__ import annotations

import os
import string
from collections.abc import Mapping
from typing import Any

from sandbox.stripe.cards import Card
from sandbox.stripe.errors import Json

ALPHABET = string.ascii_letters + string.digits
ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
CARD_OPTIONS = {"mandate_options": None, "network": None, "request_three_d_secure": "automatic"}


def new_id(prefix: str, length: int = 24) -> str:
    """A fresh id that looks like Stripe's."""
    return prefix + "".join([ALPHABET[octet % 62] for octet in os.urandom(length)])


def list_of(url: str, data: list[Json], has_more: bool = False) -> Json:
    """A list object."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def address(given: Mapping[str, Any] | None) -> Json | None:
    """An address with all its fields, or None."""
    return None if given is None else ADDRESS | dict(given)


def billing_details(given: Mapping[str, Any] | None = None) -> Json:
    """Whom a card belongs to."""
    details = dict(given or {})
    details["address"] = ADDRESS | details.get("address", {})
    return {"email": None, "name": None, "phone": None, "tax_id": None} | details


def customer(now: int, fields: Mapping[str, Any]) -> Json:
    """A customer; `fields` overrides what a new one has."""
    return {
        "id": new_id("cus_", 14),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": new_id("", 8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    } | dict(fields)


def payment_method(now: int, card: Card, exp_month: int, exp_year: int, fields: Mapping[str, Any]) -> Json:
    """A card as a payment method."""
    return {
        "id": new_id("pm_1"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing_details(),
        "card": {
            "brand": card.brand,
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": "pass",
            },
            "country": "US",
            "display_brand": card.brand,
            "exp_month": exp_month,
            "exp_year": exp_year,
            "fingerprint": card.fingerprint,
            "funding": card.funding,
            "generated_from": None,
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": card.brand != "amex"},
            "wallet": None,
        },
        "created": now,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    } | dict(fields)


def payment_intent(now: int, amount: int, currency: str, fields: Mapping[str, Any]) -> Json:
    """A payment intent that waits for a payment method."""
    id = new_id("pi_3")
    return {
        "id": id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": f"{id}_secret_{new_id('', 25)}",
        "confirmation_method": "automatic",
        "created": now,
        "currency": currency,
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "managed_payments": None,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"installments": None, **CARD_OPTIONS}},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    } | dict(fields)


def setup_intent(now: int, fields: Mapping[str, Any]) -> Json:
    """A setup intent that waits for a payment method."""
    id = new_id("seti_1")
    return {
        "id": id,
        "object": "setup_intent",
        "application": None,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "cancellation_reason": None,
        "client_secret": f"{id}_secret_{new_id('', 29)}",
        "created": now,
        "customer": None,
        "description": None,
        "excluded_payment_method_types": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": dict(CARD_OPTIONS)},
        "payment_method_types": ["card"],
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": "off_session",
    } | dict(fields)


def charge(now: int, intent: Json, method: Json, fields: Mapping[str, Any]) -> Json:
    """One attempt to take the money of an intent from a card; `fields` says how it ended."""
    id = new_id("ch_3")
    card = method["card"]
    return {
        "id": id,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "TOLLKEEPER SANDBOX",
        "captured": False,
        "created": now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": None,
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {
            "card": {
                "amount_authorized": intent["amount"],
                "authorization_code": None,
                "brand": card["brand"],
                "checks": card["checks"],
                "country": card["country"],
                "exp_month": card["exp_month"],
                "exp_year": card["exp_year"],
                "extended_authorization": {"status": "disabled"},
                "fingerprint": card["fingerprint"],
                "funding": card["funding"],
                "incremental_authorization": {"status": "unavailable"},
                "installments": None,
                "last4": card["last4"],
                "mandate": None,
                "multicapture": {"status": "unavailable"},
                "network": card["brand"],
                "network_token": {"used": False},
                "network_transaction_id": None,
                "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
                "regulated_status": card["regulated_status"],
                "three_d_secure": None,
                "transaction_link_id": None,
                "wallet": None,
            },
            "type": "card",
        },
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "refunds": list_of(f"/v1/charges/{id}/refunds", []),
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "pending",
        "transfer_data": None,
        "transfer_group": None,
    } | dict(fields)


def outcome(kind: str, error: Json | None = None) -> Json:
    """What the card network said: `authorized` or `issuer_declined`."""
    error = error or {}
    return {
        "advice_code": error.get("advice_code"),
        "network_advice_code": None,
        "network_decline_code": error.get("network_decline_code"),
        "network_status": "declined_by_network" if error else "approved_by_network",
        "reason": error.get("decline_code"),
        "risk_level": "normal",
        "risk_score": 12,
        "seller_message": "The bank did not approve this payment." if error else "Payment complete.",
        "type": kind,
    }
