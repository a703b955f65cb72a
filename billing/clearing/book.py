"""Which entry a movement at Stripe is. Pure.

The gross of a payment, a refund or a dispute of ours is booked by who records it; what is booked here is all the rest
of the movement, so that the account `stripe` holds what lies at Stripe.
"""

from typing import Literal

from base.money import Money
from billing.gateway.balance import Movement
from billing.ledger import Posting

Kind = Literal["ours", "converted", "fee", "payout", "other"]

# types of https://docs.stripe.com/reports/balance-transaction-types
FEES = ("stripe_fee", "stripe_fx_fee", "tax_fee", "climate_order_purchase", "climate_order_refund")
PAYOUTS = ("payout", "payout_cancel", "payout_failure", "topup", "topup_reversal")
"Between Stripe and the operator's own bank account, either way."


def kind_of(movement: Movement, *, ours: bool) -> Kind:
    """What a movement is; `ours`: it belongs to a payment that we asked for."""
    if movement.type in PAYOUTS:
        return "payout"
    if movement.type in FEES or movement.category == "fee":
        return "fee"
    if not ours:
        return "other"
    return "ours" if movement.charged is None else "converted"


def postings(movement: Movement, kind: Kind) -> tuple[Posting, ...]:
    """The sides that book a movement; they sum to zero in each currency, and there may be none.

    With what records the gross they change the account `stripe` by the movement's net.
    """
    sides: list[Posting] = []
    against = {"payout": "payouts", "fee": "gateway_fees", "other": "suspense", "converted": "exchange"}
    if kind != "ours":
        sides += _from(against[kind], movement.amount)
    if kind == "converted" and movement.charged is not None:
        sides += _from(against[kind], -movement.charged)
    sides += _from("gateway_fees", -movement.fee)
    return tuple(sides)


def _from(account: str, amount: Money) -> list[Posting]:
    """`amount` comes into the account stripe from another one, or goes there when it is negative."""
    return [Posting("stripe", None, amount), Posting(account, None, -amount)] if amount else []
