"""What the hosted page does: a card is typed, a session is paid once, a bank asks its customer.

Rule: a session is completed in the transaction that takes its money, so paying it twice, even at the same time, charges
once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sandbox.stripe import cards, objects, objects_site
from sandbox.stripe.charging import attempt, fail
from sandbox.stripe.errors import Json, StripeError, no_such
from sandbox.stripe.methods import enter_card
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
    saved: str = ""
    """A card that the customer saved before, instead of a new one."""
    agrees: bool = False
    """To the terms of service."""
    news: bool = False
    """Wants to hear of offers."""


def pay(tx: Transaction, session: Json, typed: Typed) -> Json:
    """Try to pay an open session, or to save a card in it; returns its intent.

    The intent may want the customer to confirm (requires_action). Raises the 402 of a mistyped or declined card.
    """
    consent = _consent(session, typed)
    method = _chosen(tx, session, typed.saved) if typed.saved else _entered(tx, session, typed)
    if consent is not None:
        session["consent"] = consent
        tx.save(session)
    if session["mode"] == "setup":
        intent = save_card(tx, tx.get("setup_intent", session["setup_intent"]), method)
    else:
        intent = attempt(tx, _intent(tx, session, typed), method)
    return _complete(tx, session, intent)


def saved_cards(tx: Transaction, session: Json) -> list[Json]:
    """The customer's cards that the page may offer, newest first (saved_payment_method_options)."""
    options = session["saved_payment_method_options"]
    if not options or not session["customer"]:
        return []
    where = {"customer": session["customer"], "allow_redisplay": options["allow_redisplay_filters"]}
    return tx.page("payment_method", {"limit": 20}, where)[0]


def _chosen(tx: Transaction, session: Json, id: str) -> Json:
    for method in saved_cards(tx, session):
        if method["id"] == id:
            return method
    raise no_such("payment_method", id, "saved", 402)


def _consent(session: Json, typed: Typed) -> Json | None:
    """What the customer agreed to, where the session asks; raises a 402 when the terms are not accepted."""
    asked = session["consent_collection"]
    if not asked:
        return None
    if asked["terms_of_service"] == "required" and not typed.agrees:
        raise StripeError(402, {"message": "You must accept the terms of service.", "param": "agrees"})
    return {
        "promotions": (("opt_in" if typed.news else "opt_out") if asked["promotions"] == "auto" else None),
        "terms_of_service": "accepted" if asked["terms_of_service"] == "required" else None,
    }


def _entered(tx: Transaction, session: Json, typed: Typed) -> Json:
    """The card that was typed."""
    month, year = _expiry(typed.expiry)
    email = known_email(tx, session) or typed.email or None
    fields = {
        "billing_details": objects.billing_details({"name": typed.name or None, "email": email}),
        "allow_redisplay": "always" if typed.save else "unspecified",
    }
    return enter_card(tx, typed.number, month, year, typed.cvc, fields)


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


def _intent(tx: Transaction, session: Json, typed: Typed) -> Json:
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
    email = known_email(tx, session) or typed.email or None
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
    if intent["status"] not in ("succeeded", "processing"):
        return intent
    method = tx.get("payment_method", intent["payment_method"])
    person = method["billing_details"]
    session |= {
        "status": "complete",
        "url": None,
        "customer": intent["customer"],
        "customer_details": objects_site.customer_details(person["email"], person["name"]),
    }
    if session["mode"] == "payment" and intent["status"] == "succeeded":
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
