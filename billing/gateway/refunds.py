"""Money back to the card that paid: made once per key, read, listed. Stripe doc: Refunds, create, retrieve, list."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from base.business import Business
from base.money import Money
from billing.gateway import intents
from billing.gateway.client import client, sorted_errors
from billing.gateway.words import Unknown, from_stripe, to_stripe

if TYPE_CHECKING:
    from stripe import Refund


@dataclass(frozen=True, slots=True)
class RefundState:
    """A refund as Stripe, or another gateway, has it."""

    id: str
    "re_…"
    intent: str
    "pi_… of what was paid; '' for a charge without one."
    amount: Money
    status: str
    "pending, succeeded, failed, canceled."
    reference: str
    "Our key, as we gave it; '' when it was made on Stripe's pages."
    failure: str
    "Stripe's word for why it failed."


def create(business: Business, *, key: str, intent: str, amount: Money) -> RefundState:
    """Send money back; the same `key` within 24 hours brings the same refund. Raises Unknown, NotSent."""
    import stripe

    params: dict[str, Any] = {
        "payment_intent": intent,
        "amount": to_stripe(amount),
        "metadata": {"tollkeeper_refund": key},
    }
    with sorted_errors():
        try:
            made = client(business).v1.refunds.create(params=params, options={"idempotency_key": key})  # type: ignore[arg-type]
        except stripe.RateLimitError as error:
            raise Unknown("Stripe has too many calls just now.") from error
    return _seen(made)


def read(business: Business, refund_id: str) -> RefundState:
    """The refund as Stripe has it now."""
    with sorted_errors():
        return _seen(client(business).v1.refunds.retrieve(refund_id))


def list_of(business: Business, intent: str) -> list[RefundState]:
    """All refunds of a payment, whoever made them, the oldest first; it lags behind nothing."""
    with sorted_errors():
        found = client(business).v1.refunds.list(params={"payment_intent": intent, "limit": 100})
        return [_seen(each) for each in found.auto_paging_iter()][::-1]


def list_since(business: Business, since: datetime) -> Iterator[RefundState]:
    """The account's refunds made since then, newest first, whoever made them."""
    with sorted_errors():
        params: Any = {"created": {"gte": int(since.timestamp())}, "limit": 100}
        for each in client(business).v1.refunds.list(params=params).auto_paging_iter():
            yield _seen(each)


def is_ours(business: Business, intent: str) -> bool:
    """See billing.gateway.intents.is_ours."""
    return intents.is_ours(business, intent)


def _seen(refund: "Refund") -> RefundState:
    intent = refund.payment_intent
    metadata = refund.metadata
    status = refund.status or "pending"
    return RefundState(
        id=refund.id,
        intent=intent if isinstance(intent, str) else intent.id if intent else "",
        amount=from_stripe(refund.amount, refund.currency),
        status="pending" if status == "requires_action" else status,
        reference=metadata["tollkeeper_refund"] if metadata and "tollkeeper_refund" in metadata else "",
        failure=getattr(refund, "failure_reason", None) or "",
    )
