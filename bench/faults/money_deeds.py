"""What can happen to money that came: it is refunded, disputed, reversed, moved. Each says what came of it."""

import random
from typing import Any

from sqlalchemy import Row, select

from base import clock
from base.database import transaction
from base.money import Money
from bench.faults.stage import Sequence, Stage
from billing.money_back import card, refunds, reversals
from billing.tables import payment


def refund(stage: Stage, play: Sequence, chance: random.Random) -> str:
    """Staff gives a payment back, or part of it: to its card, by hand, or onto the balance."""
    paid = _payment(play, chance)
    if paid is None:
        return ""
    amount = None if chance.random() < 0.6 else Money(chance.choice([1, 500, 1999]), "EUR")
    way = chance.choice(["card", "card", "card", "cash", "balance"])
    with transaction() as tx:
        business = stage.business(tx)
        if way == "card" and paid.method == "card":
            card.refund_to_card(tx, business, stage.vault, "staff:1", paid.id, amount, "asked for", clock.now())
        elif way == "balance":
            refunds.move_to_balance(tx, stage.vault, business, "staff:1", paid.id, amount, "meant", clock.now())
        else:
            way = "cash"
            refunds.refund_by_hand(tx, stage.vault, business, "staff:1", paid.id, amount, way, "asked", clock.now())
    play.seen[f"refunds by {way}"] += 1
    return f"{amount or 'all'} of {paid.receipt_number} by {way}"


def refund_at_stripe(stage: Stage, play: Sequence, chance: random.Random) -> str:
    """Somebody refunds on Stripe's own pages."""
    paid = _payment(play, chance, "card")
    if paid is None:
        return ""
    params: dict[str, Any] = {"payment_intent": paid.gateway_id, "metadata": {"by": "hand"}}
    if chance.random() < 0.5:
        params["amount"] = chance.choice([1, 500, 2000])
    stage.stripe.v1.refunds.create(params=params)  # type: ignore[arg-type]
    play.seen["refunds made at Stripe"] += 1
    return f"{params.get('amount', 'all')} of {paid.receipt_number}"


def end_refund(stage: Stage, play: Sequence, chance: random.Random) -> str:
    """The bank says how a refund ends: even one that looked well may fail."""
    found = [each for each in _of(play, stage.list_all("refunds", play.begun)) if each["status"] != "failed"]
    if not found:
        return ""
    outcome = chance.choice(["succeeded", "failed"])
    ended = stage.control(f"refunds/{chance.choice(found)['id']}", settle=outcome)
    return f"{outcome} {'' if 'error' not in ended else ended['error']['message']}"


def dispute(stage: Stage, play: Sequence, chance: random.Random) -> str:
    """A cardholder denies a payment, or asks about it."""
    paid = _payment(play, chance, "card")
    if paid is None:
        return ""
    if any(each["payment_intent"] == paid.gateway_id for each in stage.list_all("disputes", play.begun)):
        return ""  # there is one dispute of a payment
    inquiry = chance.random() < 0.3
    told: dict[str, Any] = {"payment_intent": paid.gateway_id, "inquiry": inquiry}
    if chance.random() < 0.2:
        told["amount"] = 500
    opened = stage.control("disputes", **told)
    if "error" in opened:
        return str(opened["error"]["message"])
    play.seen["inquiries" if inquiry else "disputes"] += 1
    return f"{paid.receipt_number}{' asked about' if inquiry else ''}"


def end_dispute(stage: Stage, play: Sequence, chance: random.Random) -> str:
    """The bank decides, or an inquiry becomes a dispute."""
    found = _of(play, stage.list_all("disputes", play.begun))
    going = [each for each in found if each["status"] not in ("won", "lost", "warning_closed")]
    if not going:
        return ""
    chosen = chance.choice(going)
    asked = chosen["status"].startswith("warning_")
    outcome = chance.choice(["warning_closed", "needs_response"] if asked else ["won", "lost"])
    stage.control(f"disputes/{chosen['id']}", outcome=outcome)
    play.seen[f"disputes {outcome}"] += 1
    return str(outcome)


def reverse(stage: Stage, play: Sequence, chance: random.Random) -> str:
    """A payment was none: the cheque bounced, or it was the neighbour's."""
    paid = _payment(play, chance, "cash", "transfer", "cheque")
    if paid is None:
        return ""
    move_to = stage.neighbour if chance.random() < 0.3 else None
    with transaction() as tx:
        reversals.reverse_payment(
            tx, stage.vault, stage.business(tx), "staff:1", paid.id, "was none", clock.now(), move_to=move_to
        )
    play.seen["payments reversed"] += 1
    return f"{paid.receipt_number}{'' if move_to is None else ', it was the neighbour’s'}"


def _payment(play: Sequence, chance: random.Random, *methods: str) -> Row[Any] | None:
    """Some payment of the subscriber, by one of these methods."""
    query = select(payment).where(payment.c.subscriber_id == play.who).order_by(payment.c.id)
    with transaction() as tx:
        found = tx.execute(query.where(payment.c.method.in_(methods)) if methods else query).all()
    return chance.choice(found) if found else None


def _of(play: Sequence, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that are about a payment of the subscriber's, oldest first."""
    query = select(payment.c.gateway_id).where(payment.c.subscriber_id == play.who)
    with transaction() as tx:
        ours = set(tx.scalars(query))
    return [each for each in found if each["payment_intent"] in ours][::-1]
