"""What the control calls do: each takes the transaction, the JSON it was sent and the id in its path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.stripe import balance, cards, charging, declines, disputes, methods, objects, payouts, refunds
from sandbox.stripe.amounts import check_amount
from sandbox.stripe.errors import Json, invalid
from sandbox.stripe.objects_site import API_VERSION
from sandbox.stripe.payment_intents import make_intent
from sandbox.stripe.store import Transaction
from sandbox.stripe.webhooks import emit

BEHAVES = ("never", "on_session", "until_set_up", "always")
LONG = 3 * 86400
"""Seconds that a processing payment takes when nothing is said."""


def read(given: Json, fits: dict[str, Any]) -> Json:
    """The given values if they are of their types; raises a 400 for the first that is not."""
    for name, value in given.items():
        if name not in fits:
            raise invalid(f"there is no {name} here; there are {', '.join(fits)}", name)
        wanted = fits[name] if isinstance(fits[name], tuple) else (fits[name],)
        if type(value) not in wanted:
            names = " or ".join("null" if one is type(None) else one.__name__ for one in wanted)
            raise invalid(f"{name} has the wrong type; {names} is expected", name)
    return given


def forward(given: Json, now: float) -> float:
    """The seconds by which the clock is to be moved; it only goes forward."""
    told = read(given, {"advance": (int, float), "now": (int, float)})
    if len(told) != 1:
        raise invalid("either advance (seconds) or now (Unix seconds) is expected")
    seconds = float(told["advance"]) if "advance" in told else told["now"] - now
    if not 0 <= seconds < 1e10:
        raise invalid("the clock goes forward only", next(iter(told)))
    return seconds


def behave(tx: Transaction, given: Json, id: str) -> Json:
    """Say how a saved card behaves from now on."""
    none = type(None)
    told = read(
        given,
        {
            "decline": (str, none),
            "authenticate": str,
            "processing": (bool, dict),
            "refunds": str,
            "dispute": (str, none),
        },
    )
    method = tx.get("payment_method", id)
    changed: Json = dict(tx.hidden(id).get("behaves", {}))
    if "decline" in told:
        why = told["decline"]
        changed["decline"] = None if why is None else declines.named(why, "decline").decline_code
    if "authenticate" in told:
        changed["authenticates"] = _one_of(told["authenticate"], BEHAVES, "authenticate")
    if "processing" in told:
        changed |= _processing(told["processing"])
    if "refunds" in told:
        changed["refunds"] = _one_of(told["refunds"], ("succeeded", "pending", "failed"), "refunds")
    if "dispute" in told:
        wish = told["dispute"]
        changed["disputes"] = "" if wish is None else _one_of(wish, ("inquiry", *disputes.REASONS), "dispute")
    tx.hide(id, behaves=changed)
    return {"payment_method": id, "last4": method["card"]["last4"], "behaves": changed}


def _processing(wish: bool | Json) -> Json:
    told = read({} if isinstance(wish, bool) else wish, {"seconds": (int, float), "then": str})
    then = told.get("then", "succeeded")
    if then != "succeeded":
        declines.named(then, "then")
    seconds = float(told.get("seconds", LONG))
    if seconds < 0:
        raise invalid("seconds is not negative", "seconds")
    return {"processing": "" if wish is False else then, "processing_seconds": seconds}


def renew(tx: Transaction, given: Json, id: str) -> Json:
    """The issuer sent a new card: other expiry, perhaps another number's last digits."""
    told = read(given, {"exp_month": int, "exp_year": int, "last4": str})
    if not told or not 1 <= told.get("exp_month", 1) <= 12:
        raise invalid("exp_month (1 to 12), exp_year or last4 is expected", "exp_month")
    return methods.renew(tx, tx.get("payment_method", id), told)


def settle_payment(tx: Transaction, given: Json, id: str) -> Json:
    """End a payment that is processing, or return one that succeeded."""
    told = read(given, {"settle": str, "return": str})
    if len(told) != 1:
        raise invalid("either settle (succeeded or a decline code) or return (a decline code) is expected")
    intent = tx.get("payment_intent", id)
    if "settle" in told:
        return charging.settle(tx, intent, told["settle"])
    return charging.bounce(tx, intent, told["return"])


def settle_refund(tx: Transaction, given: Json, id: str) -> Json:
    """Have a refund succeed or fail now."""
    outcome = read(given, {"settle": str}).get("settle")
    return refunds.settle(tx, tx.get("refund", id), _one_of(outcome, ("succeeded", "failed"), "settle"))


def open_dispute(tx: Transaction, given: Json, _: str) -> Json:
    """Have a cardholder deny a payment, or ask about it."""
    told = read(given, {"charge": str, "payment_intent": str, "inquiry": bool, "reason": str, "amount": int})
    named = told.get("charge") or told.get("payment_intent") or ""
    tx.enter(named)
    if "payment_intent" in told:
        intent = tx.get("payment_intent", named, "payment_intent")
        charge = tx.get("charge", intent["latest_charge"] or "", "payment_intent")
    else:
        charge = tx.get("charge", named, "charge")
    amount: int = told["amount"] if "amount" in told else charge["amount"]
    if charge["status"] != "succeeded" or not 0 < amount <= charge["amount"]:
        raise invalid("only money that was paid can be disputed, and not more of it", "amount")
    inquiry = told.get("inquiry", False)
    reason = _one_of(told.get("reason", "general" if inquiry else "fraudulent"), disputes.REASONS, "reason")
    return disputes.dispute(tx, charge, inquiry=inquiry, reason=reason, amount=amount)


def resolve_dispute(tx: Transaction, given: Json, id: str) -> Json:
    """Have a dispute go on: won, lost, warning_closed or needs_response."""
    told = read(given, {"outcome": str, "fee_returned": bool})
    outcome = _one_of(told.get("outcome"), disputes.OUTCOMES, "outcome")
    return disputes.resolve(tx, tx.get("dispute", id), outcome, fee_returned=told.get("fee_returned", True))


def pay_out(tx: Transaction, given: Json, _: str) -> Json:
    """Pay out what is available now, whatever the hour."""
    tx.account = read(given, {"account": str}).get("account", "")
    return objects.list_of("/v1/payouts", payouts.pay_out(tx))


def end_payout(tx: Transaction, given: Json, id: str) -> Json:
    """Have a payout arrive now, or come back, even one that had arrived."""
    told = read(given, {"arrive": bool, "fail": str})
    if "fail" in told:
        return payouts.fail(tx, tx.get("payout", id), told["fail"])
    payouts.arrive(tx, id, {})
    return tx.get("payout", id)


def other_business(tx: Transaction, given: Json, _: str) -> Json:
    """Make a charge that is not ours: another shop on the same account, with or without a payment intent."""
    told = read(given, {"amount": int, "currency": str, "description": str, "intent": bool, "account": str})
    tx.account = told.get("account", "")
    amount, currency = told.get("amount", 1000), told.get("currency", tx.dials.default_currency)
    check_amount(amount, currency)
    method = methods.make_method(tx, cards.BY_TOKEN["pm_card_visa"], 12, 2060)
    fields = {"description": told.get("description", "Another shop on the same account")}
    if told.get("intent", True):
        intent = make_intent(tx, amount, currency, fields | {"status": "requires_confirmation"})
        return charging.attempt(tx, intent, method)
    return charging.bare_charge(tx, amount, currency, fields, method)


def take_fee(tx: Transaction, given: Json, _: str) -> Json:
    """Stripe takes a fee that belongs to no payment."""
    told = read(given, {"amount": int, "currency": str, "description": str, "account": str})
    tx.account = told.get("account", "")
    if told.get("amount", 0) < 1:
        raise invalid("amount is what is taken, in minor units", "amount")
    currency, text = told.get("currency", tx.dials.default_currency), told.get("description", "Billing - Usage Fee")
    return balance.move(tx, "stripe_fee", -told["amount"], currency, None, description=text, category="fee")


def tell(tx: Transaction, given: Json, _: str) -> Json:
    """Send an event of one's own making, signed like every other: of an unknown type, another account, mode or time."""
    told = read(
        given,
        {
            "type": str,
            "object": dict,
            "id": str,
            "created": int,
            "livemode": bool,
            "account": str,
            "api_version": (str, type(None)),
        },
    )
    changed = {name: told[name] for name in ("id", "created", "livemode", "account", "api_version") if name in told}
    emit(
        tx,
        told.get("type", "unknown.thing"),
        told.get("object", {}),
        None,
        changed={"api_version": API_VERSION} | changed,
    )
    return {"sent": True}


def _one_of(value: object, words: tuple[str, ...], param: str) -> Any:
    if value not in words:
        raise invalid(f"{param} is one of {', '.join(words)}", param)
    return value


DEEDS: dict[str, Callable[[Transaction, Json, str], Json]] = {
    "cards/<id>": behave,
    "cards/<id>/renew": renew,
    "payments/<id>": settle_payment,
    "refunds/<id>": settle_refund,
    "disputes": open_dispute,
    "disputes/<id>": resolve_dispute,
    "payouts": pay_out,
    "payouts/<id>": end_payout,
    "charges": other_business,
    "fees": take_fee,
    "events": tell,
}
"""The control calls by their path under /sandbox."""
