"""The one place where a payment intent meets a card.

Rule 1: a payment intent succeeds once; `attempt` is never called for one that did.
Rule 2: a refused card raises a 402 whose work is kept: the failed charge, the intent's error, the events.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sandbox.stripe import cards, declines, objects
from sandbox.stripe.balance import move
from sandbox.stripe.cards import Card
from sandbox.stripe.declines import Decline
from sandbox.stripe.dials import Dials
from sandbox.stripe.disputes import dispute
from sandbox.stripe.errors import Json, StripeError, invalid
from sandbox.stripe.methods import attach, card_of
from sandbox.stripe.store import Transaction
from sandbox.stripe.webhooks import emit

OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def fee(dials: Dials, amount: int) -> int:
    """What Stripe keeps of a payment, in minor units: a share, rounded half up, and a fixed sum."""
    return int(amount * dials.fee_percent / 100 + 0.5) + dials.fee_fixed


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

    Returns the intent: succeeded, processing, or requires_action when the bank wants the customer (3-D Secure). Raises
    the 402 of a declined card; the intent then waits for another one. `confirmed`: the customer said yes to the bank.
    """
    assert intent["status"] in OPEN, "callers have looked"
    card = card_of(tx, method)
    intent["payment_method"] = method["id"]
    if not confirmed and cards.needs_customer(card, off_session, bool(tx.hidden(method["id"]).get("set_up"))):
        if off_session:
            raise decline(tx, intent, method, declines.AUTHENTICATION_REQUIRED)
        if fail_on_action:
            raise decline(tx, intent, method, declines.NOT_HANDLED, charged=False)
        return _ask_customer(tx, intent)
    if _expired(tx, method):
        raise decline(tx, intent, method, declines.EXPIRED)
    if card.decline:
        raise decline(tx, intent, method, card.decline)
    if card.processing:
        return _process(tx, intent, method, card)
    return _succeed(tx, intent, method, card, _charge(tx, intent, method))


def decline(tx: Transaction, intent: Json, method: Json, why: Decline, *, charged: bool = True) -> StripeError:
    """Note that a card was refused and return the error to raise."""
    error = declines.refused(why)
    if charged:
        charge = tx.add(objects.charge(tx.now, intent, method, _failed(error)))
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
            "url": f"{tx.call.bank_url}/authenticate/{intent['id']}",
        },
    }


def _ask_customer(tx: Transaction, intent: Json) -> Json:
    intent |= {"status": "requires_action", "last_payment_error": None, "next_action": next_action(tx, intent)}
    tx.save(intent)
    emit(tx, "payment_intent.requires_action", intent)
    return intent


def _charge(tx: Transaction, intent: Json, method: Json) -> Json:
    """A charge that is under way, not stored yet."""
    fields = {"status": "pending", "outcome": objects.outcome("authorized")}
    return objects.charge(tx.now, intent, method, fields)


def _process(tx: Transaction, intent: Json, method: Json, card: Card) -> Json:
    """Begin what takes its time: nobody knows yet how it ends."""
    charge = tx.add(_charge(tx, intent, method), delayed=True)
    intent |= {
        "status": "processing",
        "processing": {"type": "card"},
        "latest_charge": charge["id"],
        "next_action": None,
        "last_payment_error": None,
    }
    tx.save(intent)
    emit(tx, "charge.pending", charge)
    emit(tx, "payment_intent.processing", intent)
    tx.later(tx.now + card.processing_seconds, "settle_payment", intent["id"], outcome=card.processing)
    return intent


def settle_later(tx: Transaction, id: str, said: Json) -> None:
    """What became of a payment that was processing; nothing if it is over already."""
    intent = tx.get("payment_intent", id)
    if intent["status"] == "processing" and said.get("charge", intent["latest_charge"]) == intent["latest_charge"]:
        settle(tx, intent, said["outcome"])


def settle(tx: Transaction, intent: Json, outcome: str) -> Json:
    """Have a processing payment succeed, or fail with a decline code, and tell the session it belongs to."""
    if intent["status"] != "processing":
        raise unexpected_state(intent, "settled")
    method = tx.get("payment_method", intent["payment_method"])
    charge = tx.get("charge", intent["latest_charge"])
    intent["processing"] = None
    session = tx.find("checkout.session", tx.hidden(intent["id"]).get("session"))
    if outcome == "succeeded":
        _succeed(tx, intent, method, card_of(tx, method), charge, delayed=True)
        if session is not None:
            tx.save(session | {"payment_status": "paid"})
            emit(tx, "checkout.session.async_payment_succeeded", session | {"payment_status": "paid"})
        return intent
    error = declines.refused(declines.named(outcome, "outcome"), charge=charge["id"])
    charge |= _failed(error)
    tx.save(charge)
    emit(tx, "charge.failed", charge)
    fail(tx, intent, method, error)
    if session is not None:
        emit(tx, "checkout.session.async_payment_failed", session)
    return intent


def bounce(tx: Transaction, intent: Json, why: str) -> Json:
    """Have a payment come back that had succeeded, as a direct debit may: the money leaves the balance again."""
    if intent["status"] != "succeeded":
        raise unexpected_state(intent, "returned")
    method = tx.get("payment_method", intent["payment_method"])
    charge = tx.get("charge", intent["latest_charge"])
    left = charge["amount"] - charge["amount_refunded"]
    back = move(tx, "payment_failure_refund", -left, charge["currency"], charge["id"])
    error = declines.refused(declines.named(why, "return"), charge=charge["id"])
    charge |= _failed(error) | {"failure_balance_transaction": back["id"], "paid": False}
    tx.save(charge)
    emit(tx, "charge.failed", charge)
    intent["amount_received"] = 0
    fail(tx, intent, method, error)
    return intent


def _succeed(tx: Transaction, intent: Json, method: Json, card: Card, charge: Json, *, delayed: bool = False) -> Json:
    amount, currency = intent["amount"], intent["currency"]
    charge |= {"status": "succeeded", "paid": True, "captured": True, "amount_captured": amount}
    moved = move(
        tx,
        "payment" if delayed else "charge",
        amount,
        currency,
        charge["id"],
        fee=fee(tx.dials, amount),
        description=charge["description"],
        category="charge",
        at_once=card.at_once,
    )
    charge["balance_transaction"] = moved["id"]
    (tx.save if delayed else tx.add)(charge)
    intent |= {
        "status": "succeeded",
        "amount_received": amount,
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
        inquiry = card.disputes == "inquiry"
        dispute(tx, charge, inquiry=inquiry, reason="general" if inquiry else card.disputes)
    return intent


def bare_charge(tx: Transaction, amount: int, currency: str, fields: Json, method: Json) -> Json:
    """A charge without a payment intent, as other software on the same account still makes them."""
    intent = objects.payment_intent(tx.now, amount, currency, fields)
    charge = _charge(tx, intent, method) | {"payment_intent": None}
    charge |= {"status": "succeeded", "paid": True, "captured": True, "amount_captured": amount}
    kept = fee(tx.dials, amount)
    moved = move(tx, "charge", amount, currency, charge["id"], fee=kept, description=charge["description"])
    charge["balance_transaction"] = moved["id"]
    tx.add(charge)
    emit(tx, "charge.succeeded", charge)
    return charge


def _failed(error: StripeError) -> Json:
    return {
        "status": "failed",
        "failure_code": error.error["code"],
        "failure_message": error.error["message"],
        "outcome": objects.outcome("issuer_declined", error.error),
    }


def _expired(tx: Transaction, method: Json) -> bool:
    today = datetime.fromtimestamp(tx.now, UTC)
    return (method["card"]["exp_year"], method["card"]["exp_month"]) < (today.year, today.month)
