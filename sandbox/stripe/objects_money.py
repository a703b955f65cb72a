"""Builds the objects that tell where money went: balance, its movements, refunds, disputes, payouts.

Like objects.py: plain tables, no clock, no database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.stripe.errors import Json
from sandbox.stripe.objects import new_id

EVIDENCE = """
    access_activity_log billing_address cancellation_policy cancellation_policy_disclosure cancellation_rebuttal
    customer_communication customer_email_address customer_name customer_purchase_ip customer_signature
    duplicate_charge_documentation duplicate_charge_explanation duplicate_charge_id product_description receipt
    refund_policy refund_policy_disclosure refund_refusal_explanation service_date service_documentation
    shipping_address shipping_carrier shipping_date shipping_documentation shipping_tracking_number
    uncategorized_file uncategorized_text
""".split()  # noqa: SIM905


def balance_transaction(now: int, fields: Mapping[str, Any]) -> Json:
    """A movement on the provider's Stripe balance; `fields` has its type, amount (gross, signed), fee and source."""
    fee = fields.get("fee", 0)
    details = {
        "amount": fee,
        "application": None,
        "currency": fields["currency"],
        "description": "Stripe processing fees" if fields["type"] in ("charge", "payment") else "Dispute fee",
        "type": "stripe_fee",
    }
    return {
        "id": new_id("txn_3"),
        "object": "balance_transaction",
        "amount": fields["amount"],
        "available_on": now,
        "balance_type": "payments",
        "created": now,
        "currency": fields["currency"],
        "description": None,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [details] if fee else [],
        "net": fields["amount"] - fee,
        "reporting_category": fields["type"],
        "source": None,
        "status": "pending",
    } | dict(fields)


def refund(now: int, paid: Json, amount: int, reason: str | None, metadata: Json) -> Json:
    """Money that goes back to a card."""
    return {
        "id": new_id("re_3"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": paid["id"],
        "created": now,
        "currency": paid["currency"],
        "customer": paid["customer"],
        "customer_account": None,
        "destination_details": {
            "card": {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"},
            "type": "card",
        },
        "metadata": metadata,
        "payment_intent": paid["payment_intent"],
        "payment_method": paid["payment_method"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def dispute(now: int, paid: Json, amount: int, reason: str, *, inquiry: bool) -> Json:
    """A charge that its cardholder denies, or asks about (an inquiry)."""
    brand = paid["payment_method_details"]["card"]["brand"]
    return {
        "id": new_id("du_1"),
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": paid["id"],
        "created": now,
        "currency": paid["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": now + 9 * 86400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": paid["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": brand,
                "case_type": "inquiry" if inquiry else "chargeback",
                "network": brand,
                "network_reason_code": "13.1" if reason == "product_not_received" else "10.4",
            },
            "type": "card",
        },
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }


def payout(now: int, amount: int, currency: str, arrival: int) -> Json:
    """Money on its way to the provider's bank account."""
    return {
        "id": new_id("po_1"),
        "object": "payout",
        "amount": amount,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": arrival,
        "automatic": True,
        "balance_transaction": None,
        "created": now,
        "currency": currency,
        "description": "STRIPE PAYOUT",
        "destination": "ba_1SandboxBankAccount00001",
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": {},
        "method": "standard",
        "original_payout": None,
        "payout_method": None,
        "reconciliation_status": "completed",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": None,
        "status": "in_transit",
        "trace_id": {"status": "pending", "value": None},
        "type": "bank_account",
    }


def balance(available: Mapping[str, int], pending: Mapping[str, int]) -> Json:
    """What lies at Stripe, by currency, in minor units."""
    return {
        "object": "balance",
        "available": [_of(currency, amount) for currency, amount in sorted(available.items())],
        "livemode": False,
        "pending": [_of(currency, amount) for currency, amount in sorted(pending.items())],
    }


def _of(currency: str, amount: int) -> Json:
    return {"amount": amount, "currency": currency, "source_types": {"card": amount}}
