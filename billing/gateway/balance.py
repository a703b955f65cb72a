"""Money at Stripe: its balance, every movement on it, and what it pays out to the bank.

Stripe doc: Balance, Balance Transactions (list), Payouts (list). Each movement is read together with what caused it, so
that it can be told whose it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from base.business import Business
from base.money import Money
from billing.gateway.client import client, sorted_errors
from billing.gateway.words import from_stripe

if TYPE_CHECKING:
    from stripe import BalanceTransaction
    from stripe import Payout as StripePayout


@dataclass(frozen=True, slots=True)
class Movement:
    """One change of the balance, with what caused it."""

    id: str
    "txn_…"
    type: str
    "In Stripe's words: charge, payment, refund, payout, stripe_fee, adjustment …"
    category: str
    "Stripe's reporting category; tells a dispute from other adjustments."
    amount: Money
    "Before the fee; negative: the balance fell."
    fee: Money
    "What Stripe kept of it; negative: given back."
    source: str
    "ch_…, re_…, du_…, po_…; ''."
    payment: str
    "The payment it belongs to: pi_…, of a charge without an intent ch_…; '' of what belongs to none."
    token: str
    "Our word in the charge's metadata; ''."
    charged: Money | None
    "In the payer's currency, with the sign of `amount`, where Stripe exchanged it; else None."
    description: str
    made_at: datetime

    @property
    def net(self) -> Money:
        """By how much the balance changed."""
        return self.amount - self.fee


@dataclass(frozen=True, slots=True)
class Payout:
    """Money that Stripe sends to the bank, or sent."""

    id: str
    "po_…"
    amount: Money
    arrives_on: date
    state: str
    "pending, in_transit, paid, failed, canceled."
    failure: str
    "Why the bank did not take it; ''."
    traces: tuple[str, ...]
    "What may stand in the bank's line: the trace id, the statement descriptor."
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Lying:
    """What lies at Stripe in one currency."""

    available: Money
    pending: Money

    @property
    def all(self) -> Money:
        """Both together: the sum of all movements."""
        return self.available + self.pending


def read_balance(business: Business) -> dict[str, Lying]:
    """What lies at Stripe, by currency. Raises GatewayError."""
    with sorted_errors():
        found = client(business).v1.balance.retrieve()
    sums: dict[str, list[int]] = {}
    parts = [(0, each.currency, each.amount) for each in found.available]
    parts += [(1, each.currency, each.amount) for each in found.pending]
    for at, code, number in parts:
        sums.setdefault(code, [0, 0])[at] += number
    return {
        code.upper(): Lying(from_stripe(available, code), from_stripe(pending, code))
        for code, (available, pending) in sums.items()
    }


def list_movements(business: Business, *, since: datetime | None = None, payout: str = "") -> Iterator[Movement]:
    """Movements made since then, or those that one payout (po_…) paid out, newest first. Raises GatewayError."""
    params: dict[str, Any] = {"limit": 100, "expand": ["data.source"]}
    if since is not None:
        params["created"] = {"gte": int(since.timestamp())}
    if payout:
        params["payout"] = payout
    with sorted_errors():
        for each in client(business).v1.balance_transactions.list(params=params).auto_paging_iter():  # type: ignore[arg-type]
            yield _moved(each)


def list_payouts(business: Business, since: datetime) -> Iterator[Payout]:
    """Payouts made since then, newest first. Raises GatewayError."""
    params: Any = {"created": {"gte": int(since.timestamp())}, "limit": 100}
    with sorted_errors():
        for each in client(business).v1.payouts.list(params=params).auto_paging_iter():
            yield _paid_out(each)


def _moved(found: "BalanceTransaction") -> Movement:
    cause: Any = found.source
    known = cause is not None and not isinstance(cause, str)
    is_charge = known and cause.object == "charge"
    intent = _id(getattr(cause, "payment_intent", None)) if known else ""
    charge = cause.id if is_charge else _id(getattr(cause, "charge", None)) if known else ""
    said = (getattr(cause, "metadata", None) if is_charge else None) or {}
    amount = from_stripe(found.amount, found.currency)
    charged = None
    if known and (intent or charge) and cause.currency != found.currency:
        charged = from_stripe(-cause.amount if found.amount < 0 else cause.amount, cause.currency)
    return Movement(
        id=found.id,
        type=found.type,
        category=found.reporting_category,
        amount=amount,
        fee=from_stripe(found.fee, found.currency),
        source=cause.id if known else cause or "",
        payment=intent or charge,
        token=next((said[name] for name in ("tollkeeper_collection", "tollkeeper_attempt") if name in said), ""),
        charged=charged,
        description=found.description or "",
        made_at=datetime.fromtimestamp(found.created, UTC),
    )


def _paid_out(found: "StripePayout") -> Payout:
    trace: Any = found.trace_id
    traces = ((trace.value if trace else None) or "", found.statement_descriptor or "", found.id)
    return Payout(
        id=found.id,
        amount=from_stripe(found.amount, found.currency),
        arrives_on=datetime.fromtimestamp(found.arrival_date, UTC).date(),
        state=found.status,
        failure=found.failure_message or found.failure_code or "",
        traces=tuple(each for each in traces if each),
        made_at=datetime.fromtimestamp(found.created, UTC),
    )


def _id(named: Any) -> str:
    return named if isinstance(named, str) else named.id if named else ""
