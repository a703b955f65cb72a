"""Refunds to the card that paid: the row and its key are committed, then Stripe is asked, until it is known.

Taken from the payment when they are sent; one that fails gives the money back to the subscriber as credit. Refunds that
somebody made on Stripe's own pages are recorded like ours, once. What another gateway brought (billing.gateway.offers)
goes back through it in the same way.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select, update

from base import clock, jobs
from base.business import Business, load_business
from base.crypto import Vault
from base.database import transaction
from base.log import alarm
from base.money import Money
from billing.collect.pace import wait_for_turn
from billing.gateway import refunds as stripe
from billing.gateway.offers import Refunds, gateway_of, refunds_of
from billing.gateway.refunds import RefundState
from billing.gateway.words import GatewayError, Gone, NotSent, refundable
from billing.money_back import goes
from billing.money_back.refunds import checked
from billing.money_back.tables import gone_back
from billing.refused import need
from billing.settle import lock_subscribers
from billing.tables import payment

CALLS = 2  # at Stripe for a refund, mostly
KEY_LIVES = timedelta(hours=23)  # Stripe keeps a key for 24 hours
ASK_AFTER = (5, 30, 300, 3600)  # seconds until an unknown outcome is asked about again; then every hour
PENDING_EVERY = timedelta(hours=12)


class NotYet(Exception):
    """It is about a payment that is not recorded yet; the job is tried again."""


def refund_to_card(
    tx: Connection, business: Business, vault: Vault, actor: str, payment_id: int, amount: Money | None, reason: str,
    now: datetime,
) -> int:  # fmt: skip
    """Send a card payment, or part of it, back to its card after the commit; returns the id in gone_back.

    So with what any gateway brought that gives money back. What it had settled is open again at once. By default all
    that is left, in the steps that Stripe takes. Refused with a sentence.
    """
    paid, wanted = checked(tx, payment_id, amount, reason)
    through = refunds_of(paid.method) is not None and paid.gateway_id
    need(through, f"{paid.receipt_number} was not paid by card: give it back by hand.", "payment_id")
    wanted = _in_steps(wanted, asked=amount is not None) if paid.method == "card" else wanted
    gone_id = goes.begin(
        tx, business, source=paid, kind="refund", way=paid.method, amount=wanted, state="sent", reason=reason,
        author=actor, now=now, ask_at=clock.real() + timedelta(minutes=10),
    )  # fmt: skip
    goes.take_out(tx, vault, business, gone_id, "refund", now)
    jobs.enqueue(tx, jobs.Kind.REFUND, {"gone_id": gone_id}, key=f"refund:{gone_id}")
    return gone_id


def send(vault: Vault, gone_id: int) -> str:
    """Ask Stripe for a refund, or what became of it; returns its state. Unclear answers are asked about."""
    with transaction() as tx:
        business = load_business(tx, vault)
        row = tx.execute(select(gone_back).where(gone_back.c.id == gone_id)).one()
        intent = str(tx.scalar(select(payment.c.gateway_id).where(payment.c.id == row.payment_id)))
    if row.state not in ("sent", "unknown", "pending"):
        return str(row.state)
    wait_for_turn(business.stripe_calls_per_second, CALLS)
    try:
        found = _find_or_make(business, row, intent)
    except NotSent as error:
        if row.asked or row.gateway_id is not None:  # an earlier call may have come through
            return _ask_later(row, str(error))
        return _came_to_nothing(vault, gone_id, str(error))
    except GatewayError as error:
        return _ask_later(row, str(error))
    return _came_to_nothing(vault, gone_id, "Stripe never made it") if found is None else take(vault, found)


def hear(vault: Vault, refund_id: str) -> str:
    """An event told of a refund: read it and take what it says. Raises tasks.Retry when Stripe has its calls."""
    with transaction() as tx:
        business = load_business(tx, vault)
    wait_for_turn(business.stripe_calls_per_second, CALLS)
    try:
        return take(vault, stripe.read(business, refund_id))
    except Gone:
        return "not ours"


def hear_charge(vault: Vault, intent: str) -> str:
    """An event told that something of a payment was refunded: take all its refunds."""
    with transaction() as tx:
        business = load_business(tx, vault)
    wait_for_turn(business.stripe_calls_per_second, CALLS)
    return ", ".join(take(vault, each) for each in stripe.list_of(business, intent)) or "not ours"


def take(vault: Vault, found: RefundState, refunds: Refunds = stripe) -> str:
    """Take what a gateway says of a refund, ours or one that was made on its pages; its state, or 'not ours'."""
    own = or_(gone_back.c.gateway_id == found.id, gone_back.c.key == found.reference)
    owner = payment_of(vault, found.intent, refunds) if found.intent else None
    if owner is None:
        return "not ours"
    now = clock.now()
    with transaction() as tx:
        lock_subscribers(tx, [owner.subscriber_id])
        business = load_business(tx, vault)
        row = tx.execute(select(gone_back).where(own, gone_back.c.payment_id == owner.id)).one_or_none()
        if row is None:
            row = _made_by_hand(tx, vault, business, owner, found, now)
        if row.state in ("failed", "canceled"):
            return str(row.state)
        values: dict[str, Any] = {"gateway_id": found.id, "note": found.failure, "asked": 0}
        if found.status in ("failed", "canceled"):
            tx.execute(update(gone_back).where(gone_back.c.id == row.id).values(**values))
            goes.put_again(tx, vault, business, row, found.status, now)
            return found.status
        over = found.status == "succeeded"
        values |= {"state": found.status, "ask_at": None if over else clock.real() + PENDING_EVERY}
        values |= {"ended_at": now if over else None}
        tx.execute(update(gone_back).where(gone_back.c.id == row.id).values(**values))
    return found.status


def payment_of(vault: Vault, intent: str, refunds: Refunds = stripe) -> Row[Any] | None:
    """The payment of an intent, or of another gateway's id; None when it is not ours.

    Raises NotYet when it is ours and not recorded yet.
    """
    with transaction() as tx:
        business = load_business(tx, vault)
        found = tx.execute(select(payment).where(payment.c.gateway_id == intent)).one_or_none()
    if found is None:
        try:
            ours = refunds.is_ours(business, intent)
        except Gone:
            ours = False
        if ours:
            raise NotYet(f"{intent} is not recorded yet")
    return found


def ask_due(tx: Connection) -> None:
    """Have Stripe asked about refunds whose outcome is not known yet, each when it is its turn."""
    real = clock.real()
    due = select(gone_back.c.id).where(gone_back.c.ask_at <= real, gone_back.c.kind == "refund")
    ids = list(tx.scalars(due.with_for_update(skip_locked=True)))
    payloads = {f"refund:{each}:{real.isoformat()}": {"gone_id": each} for each in ids}
    jobs.enqueue_all(tx, jobs.Kind.REFUND, payloads)
    later = update(gone_back).where(gone_back.c.id == func.any(ids))
    tx.execute(later.values(ask_at=real + timedelta(hours=1)))


def _in_steps(wanted: Money, *, asked: bool) -> Money:
    """What can go back to a card of this; refused where staff asked for a sum that cannot."""
    whole = refundable(wanted)
    sentence = f"To a card {wanted.currency} goes back in steps that Stripe takes: the last digit is 0."
    need(whole.minor > 0 and (whole == wanted or not asked), sentence, "amount")
    return whole


def _find_or_make(business: Business, row: Row[Any], intent: str) -> RefundState | None:
    """The refund at its gateway; None when it was never made, and its key is too old to be sent again."""
    gateway = refunds_of(row.way)
    if gateway is None:
        raise GatewayError(f"There is no gateway any more that gives back what was paid by {row.way}.")
    if row.gateway_id is not None:
        return gateway.read(business, row.gateway_id)
    fresh = row.real_at > clock.real() - KEY_LIVES
    if row.asked or not fresh:  # an answer that Stripe keeps under the key may be a mere 500
        for each in gateway.list_of(business, intent):
            if each.reference == row.key:
                return each
    return (
        gateway.create(business, key=row.key, intent=intent, amount=Money(row.amount_minor, row.currency))
        if fresh
        else None
    )


def _ask_later(row: Row[Any], because: str) -> str:
    span = ASK_AFTER[min(row.asked, len(ASK_AFTER) - 1)]
    state = "pending" if row.state == "pending" else "unknown"
    values = {"state": state, "note": because, "asked": row.asked + 1}
    still = (gone_back.c.id == row.id, gone_back.c.state == row.state)
    with transaction() as tx:
        at = clock.real() + timedelta(seconds=span)
        tx.execute(update(gone_back).where(*still).values(**values, ask_at=at))
    return state


def _came_to_nothing(vault: Vault, gone_id: int, because: str) -> str:
    """Nothing went to the card: the money is the subscriber's credit again."""
    with transaction() as tx:
        row = tx.execute(select(gone_back).where(gone_back.c.id == gone_id)).one()
        lock_subscribers(tx, [row.subscriber_id])
        row = tx.execute(select(gone_back).where(gone_back.c.id == gone_id)).one()
        if row.state not in ("sent", "unknown"):
            return str(row.state)
        tx.execute(update(gone_back).where(gone_back.c.id == gone_id).values(note=because))
        goes.put_again(tx, vault, load_business(tx, vault), row, "canceled", clock.now())
    alarm("refund_not_made", gone_id=gone_id)
    return "canceled"


def _made_by_hand(
    tx: Connection, vault: Vault, business: Business, owner: Row[Any], found: RefundState, now: datetime
) -> Row[Any]:
    """A refund that was made on the gateway's own pages."""
    left = goes.left_of(tx, owner).minor
    gateway = gateway_of(owner.method)
    by = owner.method if gateway is None else gateway.name
    gone_id = goes.begin(
        tx, business, source=owner, kind="refund", way=owner.method, amount=found.amount, state="pending",
        reason=f"refunded at {by.capitalize()}", author=by, now=now, gateway_id=found.id,
        beyond=max(0, found.amount.minor - left),
    )  # fmt: skip
    goes.take_out(tx, vault, business, gone_id, "refund", now)
    return tx.execute(select(gone_back).where(gone_back.c.id == gone_id)).one()
