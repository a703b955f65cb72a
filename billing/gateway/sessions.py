"""Hosted Checkout Sessions: opened per click, read back, expired when the debt is settled another way.

Opening a Session charges nobody, so it may be tried again with the same idempotency key; what a Session became is read
from Stripe, never believed from an event. Stripe doc: Checkout Sessions, create, retrieve, expire.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from base.business import Business
from base.money import Money
from billing.gateway.client import client, sorted_errors
from billing.gateway.words import Unknown, from_stripe, to_stripe

if TYPE_CHECKING:
    from stripe.checkout import Session


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A hosted page that waits for a card."""

    id: str
    url: str


@dataclass(frozen=True, slots=True)
class SessionState:
    """What became of a hosted page."""

    id: str
    status: str
    "open, complete or expired."
    paid: bool
    payment_intent: str | None
    amount: Money | None
    reference: str
    "Our own word for the attempt, as we gave it."
    customer: str
    "cus_…; ''."


def open_session(
    business: Business,
    *,
    reference: str,
    amount: Money,
    description: str,
    customer: str,
    success_url: str,
    cancel_url: str,
) -> OpenedSession:
    """Open a hosted page for `amount`; `reference` is our word for the attempt and makes a repetition harmless.

    With a `customer` (cus_…) the page offers to keep the card and those that were kept; without one it knows nobody, as
    a page must that needs no login. `success_url` may hold {CHECKOUT_SESSION_ID}.
    """
    price = {"currency": amount.currency.lower(), "unit_amount": to_stripe(amount)}
    params: dict[str, Any] = {
        "mode": "payment",
        "line_items": [{"quantity": 1, "price_data": {**price, "product_data": {"name": description}}}],
        "payment_intent_data": {"metadata": {"tollkeeper_attempt": reference}},
    }
    if customer:
        params["saved_payment_method_options"] = {"payment_method_save": "enabled"}
    return _open(business, reference, customer, success_url, cancel_url, params)


def open_setup(
    business: Business, *, reference: str, customer: str, currency: str, success_url: str, cancel_url: str
) -> OpenedSession:
    """Open a hosted page where a card is kept without paying anything."""
    params: dict[str, Any] = {"mode": "setup", "currency": currency.lower()}
    return _open(business, reference, customer, success_url, cancel_url, params)


def read_session(business: Business, session_id: str) -> SessionState:
    """What a hosted page became, as Stripe says now."""
    with sorted_errors():
        return _seen(client(business).v1.checkout.sessions.retrieve(session_id))


def expire_session(business: Business, session_id: str) -> SessionState:
    """Close a hosted page; one that is paid or closed already comes back as it is."""
    import stripe

    with sorted_errors():
        try:
            return _seen(client(business).v1.checkout.sessions.expire(session_id))
        except stripe.InvalidRequestError as error:
            if error.code == "resource_missing":
                raise
    return read_session(business, session_id)


def _open(
    business: Business, reference: str, customer: str, success_url: str, cancel_url: str, params: dict[str, Any]
) -> OpenedSession:
    params |= {
        "client_reference_id": reference,
        "metadata": {"tollkeeper_attempt": reference},
        "success_url": success_url,
        "cancel_url": cancel_url,
    }
    if customer:
        params["customer"] = customer
    with sorted_errors():
        session = client(business).v1.checkout.sessions.create(
            params=params,  # type: ignore[arg-type]
            options={"idempotency_key": f"checkout-{reference}"},
        )
    if not session.url:
        raise Unknown(f"Stripe opened {session.id} without an address.")
    return OpenedSession(session.id, session.url)


def _seen(session: "Session") -> SessionState:
    intent, customer = session.payment_intent, session.customer
    currency, total = session.currency, session.amount_total
    return SessionState(
        id=session.id,
        status=session.status or "open",
        paid=session.payment_status == "paid",
        payment_intent=intent if intent is None or isinstance(intent, str) else intent.id,
        amount=None if currency is None or total is None else from_stripe(total, currency),
        reference=session.client_reference_id or "",
        customer=customer if isinstance(customer, str) else customer.id if customer else "",
    )
