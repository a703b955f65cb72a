"""Every object has the fields that Stripe's API of this version has: no field missing, none invented."""

from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.emulator import Emulator

FIELDS = {
    "account": """
        business_profile business_type capabilities charges_enabled controller country created
        default_currency details_submitted email external_accounts future_requirements id metadata object
        payouts_enabled requirements settings tos_acceptance type
    """,
    "balance_transaction": """
        amount available_on balance_type created currency description exchange_rate fee fee_details id net
        object reporting_category source status type
    """,
    "charge": """
        amount amount_captured amount_refunded application application_fee application_fee_amount
        balance_transaction billing_details calculated_statement_descriptor captured created currency
        customer description disputed failure_balance_transaction failure_code failure_message fraud_details
        id livemode metadata object on_behalf_of outcome paid payment_intent payment_method
        payment_method_details receipt_email receipt_number receipt_url refunded refunds review shipping
        source source_transfer statement_descriptor statement_descriptor_suffix status transfer_data
        transfer_group
    """,
    "checkout.session": """
        adaptive_pricing after_expiration allow_promotion_codes amount_subtotal amount_total automatic_tax
        billing_address_collection cancel_url client_reference_id client_secret collected_information
        consent consent_collection created currency currency_conversion custom_fields custom_text customer
        customer_account customer_creation customer_details customer_email discounts expires_at id
        integration_identifier invoice invoice_creation livemode locale managed_payments metadata mode
        object origin_context payment_intent payment_link payment_method_collection
        payment_method_configuration_details payment_method_options payment_method_types payment_status
        permissions phone_number_collection recovered_from saved_payment_method_options setup_intent
        shipping_address_collection shipping_cost shipping_options status submit_type subscription
        success_url total_details ui_mode url wallet_options
    """,
    "customer": """
        address balance created currency default_source delinquent description discount email id
        invoice_prefix invoice_settings livemode metadata name next_invoice_sequence object phone
        preferred_locales shipping tax_exempt test_clock
    """,
    "dispute": """
        amount balance_transactions charge created currency enhanced_eligibility_types evidence
        evidence_details id is_charge_refundable livemode metadata object payment_intent
        payment_method_details reason status
    """,
    "event": """
        api_version created data id livemode object pending_webhooks request type
    """,
    "item": """
        adjustable_quantity amount_discount amount_subtotal amount_tax amount_total currency description id
        metadata object price quantity
    """,
    "payment_intent": """
        amount amount_capturable amount_details amount_received application application_fee_amount
        automatic_payment_methods canceled_at cancellation_reason capture_method client_secret
        confirmation_method created currency customer customer_account description
        excluded_payment_method_types id last_payment_error latest_charge livemode managed_payments metadata
        next_action object on_behalf_of payment_method payment_method_configuration_details
        payment_method_options payment_method_types processing receipt_email review setup_future_usage
        shipping source statement_descriptor statement_descriptor_suffix status transfer_data transfer_group
    """,
    "payment_method": """
        allow_redisplay billing_details card created customer customer_account id livemode metadata object
        type
    """,
    "price": """
        active billing_scheme created currency custom_unit_amount id livemode lookup_key metadata nickname
        object product recurring tax_behavior tiers_mode transform_quantity type unit_amount
        unit_amount_decimal
    """,
    "refund": """
        amount balance_transaction charge created currency customer customer_account destination_details id
        metadata object payment_intent payment_method reason receipt_number source_transfer_reversal status
        transfer_reversal
    """,
    "setup_intent": """
        application automatic_payment_methods cancellation_reason client_secret created customer description
        excluded_payment_method_types flow_directions id last_setup_error latest_attempt livemode mandate
        metadata next_action object on_behalf_of payment_method payment_method_configuration_details
        payment_method_options payment_method_types single_use_mandate status usage
    """,
    "webhook_endpoint": """
        api_version application created description enabled_events id livemode metadata object status url
    """,
}
CARD = {
    "charge": """
        amount_authorized authorization_code brand checks country exp_month exp_year extended_authorization
        fingerprint funding incremental_authorization installments last4 mandate multicapture network
        network_token network_transaction_id overcapture regulated_status three_d_secure transaction_link_id
        wallet
    """,
    "payment_method": """
        brand checks country display_brand exp_month exp_year fingerprint funding generated_from last4
        networks regulated_status three_d_secure_usage wallet
    """,
}


def made(client: stripe.StripeClient, emulator: Emulator) -> dict[str, Any]:
    """One object of every kind, as it comes over the wire."""
    customer = client.v1.customers.create()
    paid = client.v1.payment_intents.create(
        params={"amount": 500, "currency": "usd", "payment_method": "pm_card_createDispute", "confirm": True}
    )
    other = client.v1.payment_intents.create(
        params={"amount": 500, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    )
    session = client.v1.checkout.sessions.create(
        params={
            "mode": "payment",
            "success_url": "http://127.0.0.1:9/",
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {"currency": "usd", "unit_amount": 500, "product_data": {"name": "Invoice"}},
                }
            ],
        }
    )
    paths = {
        "account": "/v1/account",
        "charge": f"/v1/charges/{paid.latest_charge}",
        "checkout.session": f"/v1/checkout/sessions/{session.id}",
        "customer": f"/v1/customers/{customer.id}",
        "dispute": f"/v1/disputes/{client.v1.disputes.list().data[0].id}",
        "event": f"/v1/events/{client.v1.events.list().data[0].id}",
        "payment_intent": f"/v1/payment_intents/{paid.id}",
        "payment_method": f"/v1/payment_methods/{paid.payment_method}",
        "refund": f"/v1/refunds/{client.v1.refunds.create(params={'payment_intent': other.id}).id}",
        "setup_intent": f"/v1/setup_intents/{client.v1.setup_intents.create().id}",
        "webhook_endpoint": f"/v1/webhook_endpoints/{client.v1.webhook_endpoints.list().data[0].id}",
    }
    found: dict[str, Any] = {kind: emulator.call("GET", path).json() for kind, path in paths.items()}
    movement = found["charge"]["balance_transaction"]
    found["balance_transaction"] = emulator.call("GET", f"/v1/balance_transactions/{movement}").json()
    (found["item"],) = emulator.call("GET", f"/v1/checkout/sessions/{session.id}/line_items").json()["data"]
    return found | {"price": found["item"]["price"]}


def test_no_field_is_missing_and_none_invented(client: stripe.StripeClient, emulator: Emulator) -> None:
    objects = made(client, emulator)
    assert {kind: sorted(one) for kind, one in objects.items()} == {
        kind: names.split() for kind, names in FIELDS.items()
    }
    assert {kind: one["object"] for kind, one in objects.items()} == {kind: kind for kind in FIELDS}
    assert sorted(objects["charge"]["payment_method_details"]["card"]) == CARD["charge"].split()
    assert sorted(objects["payment_method"]["card"]) == CARD["payment_method"].split()


@pytest.mark.parametrize("path", ["customers", "payment_intents", "setup_intents", "checkout/sessions", "charges"])
def test_a_list_is_a_list(emulator: Emulator, path: str) -> None:
    answer: requests.Response = emulator.call("GET", f"/v1/{path}")
    assert answer.json() == {"object": "list", "data": [], "has_more": False, "url": f"/v1/{path}"}
