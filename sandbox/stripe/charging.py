"""The one place where money moves: a payment intent meets a card, and the money of a charge goes back.

Rule 1: a payment intent succeeds once; `attempt` is never called for one that did.
Rule 2: a refused card raises a 402 whose work is kept: the failed charge, the intent's error, the events.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sandbox.stripe import cards, objects
from sandbox.stripe.cards import Card, Decline
from sandbox.stripe.errors import Json, StripeError, invalid
from sandbox.stripe.store import Transaction
from sandbox.stripe.webhooks import emit

OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
DISPUTE_FEE = 1500


def fee(amount: int) -> int:
    """What Stripe keeps of a payment: 2.9 % and 30 minor units."""
    return (amount * 29 + 500) // 1000 + 30


def card_of(tx: Transaction, method: Json) -> Card:
    """The test card behind a payment method."""
    return cards.BY_NUMBER[tx.hidden(method["id"])["number"]]


def attempt(
    tx: Transaction,
    intent: Json,
    method: Json,
    *,
    off_session: bool = False,
    fail_on_action: bool = False,
    confirmed: bool = False,
) -> Json:
    """Try to take the money of an intent from a card.

    Returns the intent: succeeded, or requires_action when the bank wants the customer (3-D Secure). Raises the 402 of a
    declined card; the intent then waits for another one. `confirmed`: the customer has just said yes to the bank.
    """
    assert intent["status"] in OPEN, "callers have looked"
    card = card_of(tx, method)
    intent["payment_method"] = method["id"]
    if not confirmed and cards.needs_customer(card, off_session, bool(tx.hidden(method["id"]).get("set_up"))):
        if off_session:
            raise decline(tx, intent, method, cards.AUTHENTICATION_REQUIRED)
        if fail_on_action:
            raise decline(tx, intent, method, cards.NOT_HANDLED, charged=False)
        return _ask_customer(tx, intent)
    if _expired(tx, method):
        raise decline(tx, intent, method, cards.EXPIRED)
    if card.decline:
        raise decline(tx, intent, method, card.decline)
    return _succeed(tx, intent, method, card)


def decline(tx: Transaction, intent: Json, method: Json, why: Decline, *, charged: bool = True) -> StripeError:
    """Note that a card was refused and return the error to raise."""
    error = cards.refused(why)
    charge = None
    if charged:
        result = {
            "status": "failed",
            "failure_code": error.error["code"],
            "failure_message": error.error["message"],
            "outcome": objects.outcome("issuer_declined", error.error),
        }
        charge = tx.add(objects.charge(tx.now, intent, method, result))
        intent["latest_charge"] = charge["id"]
        error.error["charge"] = charge["id"]
        emit(tx, "charge.failed", charge)
    return fail(tx, intent, method, error)


def fail(tx: Transaction, intent: Json, method: Json, error: StripeError) -> StripeError:
    """Send an intent back to wait for another card, and return the error with the intent in it."""
    error.error["payment_method"] = method
    intent |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "last_payment_error": dict(error.error),
    }
    tx.save(intent)
    emit(tx, "payment_intent.payment_failed", intent)
    error.error["payment_intent"] = dict(intent)
    return error


def unexpected_state(intent: Json, deed: str) -> StripeError:
    """The 400 for something that an intent in its state cannot do."""
    kind = "payment_intent" if intent["object"] == "payment_intent" else "setup_intent"
    return invalid(
        f"This {'PaymentIntent' if kind == 'payment_intent' else 'SetupIntent'} could not be {deed} because it has a "
        f"status of {intent['status']}.",
        None,
        f"{kind}_unexpected_state",
        **{kind: intent},
    )


def not_of_checkout(tx: Transaction, id: str, deed: str) -> None:
    """Refuse to touch an intent that a hosted page works on."""
    if session := tx.hidden(id).get("session"):
        raise invalid(
            f"You cannot {deed} {id} because it belongs to the Checkout Session {session}. Expire the session instead."
        )


def next_action(tx: Transaction, intent: Json) -> Json:
    """Where the customer has to go to confirm with the bank."""
    return {
        "type": "redirect_to_url",
        "redirect_to_url": {
            "return_url": tx.hidden(intent["id"]).get("return_url"),
            "url": f"{tx.call.base_url}/authenticate/{intent['id']}",
        },
    }


def attach(tx: Transaction, method: Json, customer: str) -> Json:
    """Give a card to a customer, who can then be charged again."""
    if method["customer"] != customer:
        method["customer"] = customer
        tx.save(method)
        emit(tx, "payment_method.attached", method)
    return method


def give_back(tx: Transaction, charge: Json, amount: int, reason: str | None, metadata: Json) -> Json:
    """Refund part or all of a charge; the caller has checked that so much is left."""
    refund = objects.refund(tx.now, charge, amount, reason, metadata)
    moved = tx.add(objects.balance_transaction(tx.now, "refund", -amount, 0, charge["currency"], refund))
    refund["balance_transaction"] = moved["id"]
    tx.add(refund)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    charge["refunds"]["data"].insert(0, refund)
    tx.save(charge)
    emit(tx, "refund.created", refund)
    emit(tx, "charge.refunded", charge)
    return refund


def _ask_customer(tx: Transaction, intent: Json) -> Json:
    intent |= {"status": "requires_action", "last_payment_error": None, "next_action": next_action(tx, intent)}
    tx.save(intent)
    emit(tx, "payment_intent.requires_action", intent)
    return intent


def _succeed(tx: Transaction, intent: Json, method: Json, card: Card) -> Json:
    charge = objects.charge(
        tx.now,
        intent,
        method,
        {
            "status": "succeeded",
            "paid": True,
            "captured": True,
            "amount_captured": intent["amount"],
            "outcome": objects.outcome("authorized"),
        },
    )
    cost = fee(intent["amount"])
    moved = objects.balance_transaction(tx.now, "charge", intent["amount"], cost, intent["currency"], charge)
    charge["balance_transaction"] = tx.add(moved)["id"]
    tx.add(charge)
    intent |= {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "latest_charge": charge["id"],
        "next_action": None,
        "last_payment_error": None,
    }
    tx.save(intent)
    emit(tx, "charge.succeeded", charge)
    if intent["setup_future_usage"] and intent["customer"]:
        tx.hide(method["id"], set_up=True)
        attach(tx, method, intent["customer"])
    elif method["customer"] is None:
        tx.hide(method["id"], spent=True)
    emit(tx, "payment_intent.succeeded", intent)
    if card.disputes:
        _dispute(tx, charge)
    return intent


def _dispute(tx: Transaction, charge: Json) -> None:
    dispute = objects.dispute(tx.now, charge)
    amount, currency = charge["amount"], charge["currency"]
    moved = objects.balance_transaction(tx.now, "dispute", -amount, DISPUTE_FEE, currency, dispute)
    dispute["balance_transactions"] = [tx.add(moved)]
    tx.add(dispute)
    charge["disputed"] = True
    tx.save(charge)
    emit(tx, "charge.dispute.created", dispute)


def _expired(tx: Transaction, method: Json) -> bool:
    today = datetime.fromtimestamp(tx.now, UTC)
    return (method["card"]["exp_year"], method["card"]["exp_month"]) < (today.year, today.month)
