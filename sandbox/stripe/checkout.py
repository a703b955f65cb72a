"""What the hosted page does: a card is typed, a session is paid once, a bank asks its customer.

Rule: a session is completed in the transaction that takes its money, so paying it twice, even at the same time, charges
once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sandbox.stripe import cards, objects, objects_site
from sandbox.stripe.charging import attempt, fail
from sandbox.stripe.customers import enter_card
from sandbox.stripe.errors import Json, StripeError
from sandbox.stripe.params import merge_metadata
from sandbox.stripe.payment_intents import PLAIN, make_intent
from sandbox.stripe.setup_intents import fail_setup, save_card
from sandbox.stripe.store import Transaction
from sandbox.stripe.webhooks import emit

FAILED_AUTHENTICATION = (
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod "
    "to attempt to fulfill this PaymentIntent again."
)


@dataclass(frozen=True)
class Typed:
    """What somebody typed into the card form."""

    number: str
    expiry: str
    """Month and year, such as 12/34 or 12 / 2034."""
    cvc: str
    name: str
    email: str
    save: bool


def pay(tx: Transaction, session: Json, typed: Typed) -> Json:
    """Try to pay an open session, or to save a card in it; returns its intent.

    The intent may want the customer to confirm (requires_action). Raises the 402 of a mistyped or declined card.
    """
    month, year = _expiry(typed.expiry)
    email = known_email(tx, session) or typed.email or None
    fields = {
        "billing_details": objects.billing_details({"name": typed.name or None, "email": email}),
        "allow_redisplay": "always" if typed.save else "unspecified",
    }
    method = enter_card(tx, typed.number, month, year, typed.cvc, fields)
    if session["mode"] == "setup":
        intent = save_card(tx, tx.get("setup_intent", session["setup_intent"]), method)
    else:
        intent = attempt(tx, _intent(tx, session, typed, email), method)
    return _complete(tx, session, intent)


def answer_bank(tx: Transaction, intent: Json, confirmed: bool) -> Json:
    """Go on after the customer said yes or no to the bank; does nothing when the bank is not (or no longer) asking.

    Returns the intent. Raises the 402 that says that the customer refused, or that the card was declined even so.
    """
    if intent["status"] != "requires_action":
        return intent
    method = tx.get("payment_method", intent["payment_method"])
    paying = intent["object"] == "payment_intent"
    if not confirmed:
        code = f"{'payment' if paying else 'setup'}_intent_authentication_failure"
        error = StripeError(402, {"code": code, "message": FAILED_AUTHENTICATION})
        raise (fail if paying else fail_setup)(tx, intent, method, error)
    go_on = attempt if paying else save_card
    intent = go_on(tx, intent, method, confirmed=True)
    session = session_of(tx, intent)
    return _complete(tx, session, intent) if session else intent


def known_email(tx: Transaction, session: Json) -> str | None:
    """Whose page it is, when the provider said so."""
    customer = tx.find("customer", session["customer"]) or {}
    return session["customer_email"] or customer.get("email")


def session_of(tx: Transaction, intent: Json) -> Json | None:
    """The session that an intent was made for, or None when the API made it."""
    return tx.find("checkout.session", tx.hidden(intent["id"]).get("session"))


def return_url(session: Json) -> str:
    """Where the customer goes after paying."""
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _intent(tx: Transaction, session: Json, typed: Typed, email: str | None) -> Json:
    """The session's payment intent: made on the first try, used again for the next card."""
    data = tx.hidden(session["id"])["intent_data"]
    keep = data.get("setup_future_usage") or ("on_session" if typed.save else None)
    if session["payment_intent"]:
        intent = tx.get("payment_intent", session["payment_intent"])
    else:
        fields = {name: data[name] for name in PLAIN if name in data}
        fields |= {"customer": session["customer"], "metadata": merge_metadata({}, data.get("metadata", {}))}
        intent = make_intent(tx, session["amount_total"], session["currency"], fields, session=session["id"])
        session["payment_intent"] = intent["id"]
        tx.save(session)
    intent["setup_future_usage"] = keep
    intent["customer"] = intent["customer"] or _guest(tx, session, typed, email, bool(keep))
    return intent


def _guest(tx: Transaction, session: Json, typed: Typed, email: str | None, needed: bool) -> str | None:
    """Make a customer for somebody who has none, if the session asks for one."""
    if not needed and session["customer_creation"] != "always":
        return None
    made = tx.add(objects.customer(tx.now, {"email": email, "name": typed.name or None}))
    emit(tx, "customer.created", made)
    return str(made["id"])


def _complete(tx: Transaction, session: Json, intent: Json) -> Json:
    if intent["status"] != "succeeded":
        return intent
    method = tx.get("payment_method", intent["payment_method"])
    person = method["billing_details"]
    session |= {
        "status": "complete",
        "url": None,
        "customer": intent["customer"],
        "customer_details": objects_site.customer_details(person["email"], person["name"]),
    }
    if session["mode"] == "payment":
        session["payment_status"] = "paid"
    tx.save(session)
    emit(tx, "checkout.session.completed", session)
    return intent


def _expiry(typed: str) -> tuple[int, int]:
    found = re.fullmatch(r"\s*(\d{1,2})\s*[/ -]?\s*(\d{4}|\d{2})\s*", typed)
    if found is None:
        raise cards.wrong_entry("invalid_expiry_year", "exp_year", "Your card's expiration date is incomplete.")
    month, year = int(found[1]), int(found[2])
    return month, year + 2000 if year < 100 else year
