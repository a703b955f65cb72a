"""Whose cards: a customer at Stripe for a subscriber, and the cards kept with it.

Stripe doc: Customers; Payment Methods, list, detach.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from base.business import Business
from billing.gateway.client import client, sorted_errors
from billing.gateway.words import SavedCard

if TYPE_CHECKING:
    from stripe import PaymentMethod


def create(business: Business, *, key: str, number: str, name: str, email: str) -> str:
    """Make a customer and return its id (cus_…); sending the same `key` again brings the same one."""
    params: dict[str, Any] = {"name": name, "metadata": {"tollkeeper_account": number}}
    if email:
        params["email"] = email
    with sorted_errors():
        made = client(business).v1.customers.create(params=params, options={"idempotency_key": key})  # type: ignore[arg-type]
    return made.id


def list_cards(business: Business, customer: str) -> list[SavedCard]:
    """The cards of a customer, newest first."""

    def pages() -> Iterator["PaymentMethod"]:
        found = client(business).v1.customers.payment_methods.list(customer, params={"type": "card", "limit": 100})
        yield from found.auto_paging_iter()

    with sorted_errors():
        return [card for each in pages() if (card := _seen(each)) is not None]


def detach(business: Business, method_id: str) -> None:
    """Take a card away from its customer; nothing can charge it any more."""
    with sorted_errors():
        client(business).v1.payment_methods.detach(method_id)


def _seen(method: "PaymentMethod") -> SavedCard | None:
    card = method.card
    if card is None:
        return None
    customer = method.customer
    return SavedCard(
        id=method.id,
        customer=customer if isinstance(customer, str) else customer.id if customer else "",
        fingerprint=card.fingerprint or "",
        brand=card.brand,
        last4=card.last4,
        exp_year=card.exp_year,
        exp_month=card.exp_month,
    )
