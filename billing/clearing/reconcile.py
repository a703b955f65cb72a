"""Stripe's balance against our account `stripe`: they agree, or every difference has a reason that is listed.

What lies at Stripe is what was read with the last fetch; nothing is asked for here.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from sqlalchemy import Connection, and_, exists, func, not_, or_, select

from base.money import Money
from billing.clearing.tables import stripe_balance, stripe_transaction
from billing.gateway.offers import methods
from billing.tables import entry, payment, posting

Why = Literal["not_fetched", "not_recorded", "given_back", "moved_since"]
WORDS: dict[Why, str] = {
    "not_fetched": "recorded as paid, not among what was fetched yet",
    "not_recorded": "paid at Stripe, not recorded yet",
    "given_back": "refunds, disputes and corrections that stand on one side only",
    "moved_since": "moved at Stripe, not fetched yet",
}
stored = stripe_transaction.c
CHARGES = ("charge", "payment")
OURS = ("ours", "converted")
# in the payer's currency, in which the payment, the refund or the dispute is booked
_MINOR = func.coalesce(stored.charged_minor, stored.amount_minor)
_CURRENCY = func.coalesce(stored.charged_currency, stored.currency)


@dataclass(frozen=True, slots=True)
class Item:
    """One reason for a difference: by how much our account is above Stripe's balance for it."""

    why: Why
    reference: str
    "pi_…, ch_…; '' for what is a sum."
    day: date | None
    amount: Money


@dataclass(frozen=True, slots=True)
class Side:
    """One currency: what lies at Stripe, what our books say, and why they differ."""

    available: Money
    pending: Money
    booked: Money
    "Balance of the account stripe."
    on_the_way: Money
    "Balance of the account payouts."
    suspense: Money
    "What other business put in, as a positive number."
    items: tuple[Item, ...]
    read_at: datetime | None

    @property
    def difference(self) -> Money:
        """By how much our account is above Stripe's balance."""
        return self.booked - self.available - self.pending

    @property
    def unexplained(self) -> Money:
        """What of the difference no item explains: nothing, unless something is wrong."""
        rest = self.difference
        for each in self.items:
            rest -= each.amount
        return rest


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """All currencies in which money lies at Stripe or in our clearing accounts."""

    sides: tuple[Side, ...]

    @property
    def agrees(self) -> bool:
        """Whether both are the same to the cent, with nothing to explain."""
        return not any(each.difference for each in self.sides)

    @property
    def explained(self) -> bool:
        """Whether every difference has its reason."""
        return not any(each.unexplained for each in self.sides)


def reconcile(tx: Connection) -> Reconciliation:
    """Stripe's balance as last read against our books, by currency."""
    booked = _booked(tx)
    lying = {
        row.currency: row
        for row in tx.execute(
            select(
                stripe_balance.c.currency,
                func.sum(stripe_balance.c.available_minor).label("available"),
                func.sum(stripe_balance.c.pending_minor).label("pending"),
                func.sum(stripe_balance.c.opening_minor).label("opening"),
                func.min(stripe_balance.c.read_at).label("read_at"),
            ).group_by(stripe_balance.c.currency)
        )
    }
    items = _one_sided(tx)
    fetched = _fetched(tx)
    given_back = _given_back(tx)
    sides = []
    for code in sorted(lying.keys() | {code for _, code in booked} | {each.amount.currency for each in items}):
        row = lying.get(code)
        available, pending = (int(row.available), int(row.pending)) if row else (0, 0)
        found = [each for each in items if each.amount.currency == code]
        if rest := given_back.get(code, 0):
            found.append(Item("given_back", "", None, Money(rest, code)))
        if row and (since := int(row.opening) + fetched.get(code, 0) - available - pending):
            found.append(Item("moved_since", "", None, Money(since, code)))
        side = Side(
            Money(available, code),
            Money(pending, code),
            Money(booked.get(("stripe", code), 0), code),
            Money(booked.get(("payouts", code), 0), code),
            Money(-booked.get(("suspense", code), 0), code),
            tuple(found),
            row.read_at if row else None,
        )
        if found or any((side.available, side.pending, side.booked, side.on_the_way, side.suspense)):
            sides.append(side)
    return Reconciliation(tuple(sides))


def _booked(tx: Connection) -> dict[tuple[str, str], int]:
    query = (
        select(posting.c.account, posting.c.currency, func.sum(posting.c.amount_minor))
        .where(posting.c.account.in_(("stripe", "payouts", "suspense")))
        .group_by(posting.c.account, posting.c.currency)
    )
    return {(account, code): int(minor) for account, code, minor in tx.execute(query)}


def _fetched(tx: Connection) -> dict[str, int]:
    net = func.sum(stored.amount_minor - stored.fee_minor)
    return {code: int(minor) for code, minor in tx.execute(select(stored.currency, net).group_by(stored.currency))}


def _one_sided(tx: Connection) -> list[Item]:
    """Payments that were not fetched, and charges that were not recorded, oldest first."""
    charge = and_(stored.payment_ref == payment.c.gateway_id, stored.kind.in_(OURS))
    by_stripe = payment.c.method.in_([name for name, each in methods().items() if each.account == "stripe"])
    recorded = (
        select(payment.c.gateway_id, payment.c.received_on, payment.c.amount_minor, payment.c.currency)
        .where(by_stripe, ~exists().where(charge, stored.type.in_(CHARGES)))
        .order_by(payment.c.id)
    )
    items = [
        Item("not_fetched", row.gateway_id or "", row.received_on, Money(row.amount_minor, row.currency))
        for row in tx.execute(recorded)
    ]
    unrecorded = (
        select(stored.payment_ref, stored.made_at, _MINOR.label("minor"), _CURRENCY.label("code"))
        .where(
            stored.kind.in_(OURS),
            stored.type.in_(CHARGES),
            ~exists().where(payment.c.gateway_id == stored.payment_ref),
        )
        .order_by(stored.made_at)
    )
    return items + [
        Item("not_recorded", row.payment_ref, row.made_at.date(), Money(-row.minor, row.code))
        for row in tx.execute(unrecorded)
    ]


def _given_back(tx: Connection) -> dict[str, int]:
    """What others booked against the account stripe, less what Stripe moved for it."""
    here = or_(entry.c.source.like("payment:%"), entry.c.source.like("stripe:%"))
    booked = (
        select(posting.c.currency, func.sum(posting.c.amount_minor))
        .join(entry, entry.c.id == posting.c.entry_id)
        .where(posting.c.account == "stripe", not_(here))
        .group_by(posting.c.currency)
    )
    rest = {code: int(minor) for code, minor in tx.execute(booked)}
    moved = (
        select(_CURRENCY, func.sum(_MINOR))
        .where(stored.type.not_in(CHARGES), stored.kind.in_(OURS))
        .group_by(_CURRENCY)
    )
    for code, minor in tx.execute(moved):
        rest[code] = rest.get(code, 0) - int(minor)
    return rest
