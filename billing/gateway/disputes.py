"""Payments that a cardholder denies: read, never answered here. Stripe doc: Disputes, retrieve, list."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from base.business import Business
from base.money import Money
from billing.gateway.client import client, sorted_errors
from billing.gateway.words import from_stripe

if TYPE_CHECKING:
    from stripe import Dispute

State = Literal["inquiry", "open", "won", "lost"]


@dataclass(frozen=True, slots=True)
class DisputeState:
    """A dispute as Stripe has it."""

    id: str
    "du_…"
    intent: str
    "pi_… of what was paid; '' for a charge without one."
    amount: Money
    state: State
    "inquiry: the bank asks, no money moves; open; won (or an inquiry that came to nothing); lost."
    reason: str
    "Stripe's word: fraudulent, duplicate …"
    withdrawn: bool
    "Stripe has taken the money from the balance."
    returned: bool
    "And has given it back."


def read(business: Business, dispute_id: str) -> DisputeState:
    """The dispute as Stripe has it now."""
    with sorted_errors():
        return _seen(client(business).v1.disputes.retrieve(dispute_id))


def list_since(business: Business, since: datetime) -> Iterator[DisputeState]:
    """The account's disputes opened since then, newest first."""
    with sorted_errors():
        params: Any = {"created": {"gte": int(since.timestamp())}, "limit": 100}
        for each in client(business).v1.disputes.list(params=params).auto_paging_iter():
            yield _seen(each)


def _seen(dispute: "Dispute") -> DisputeState:
    intent, status = dispute.payment_intent, dispute.status
    moved = [each.amount for each in dispute.balance_transactions]
    state: State = "open"
    if status in ("won", "warning_closed"):
        state = "won"
    elif status == "lost":
        state = "lost"
    elif status.startswith("warning_"):
        state = "inquiry"
    withdrawn = any(each < 0 for each in moved)
    return DisputeState(
        id=dispute.id,
        intent=intent if isinstance(intent, str) else intent.id if intent else "",
        amount=from_stripe(dispute.amount, dispute.currency),
        state=state,
        reason=dispute.reason,
        withdrawn=withdrawn,
        returned=withdrawn and sum(moved) >= 0,
    )
