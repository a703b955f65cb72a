"""Card payments that their cardholder denies: followed as Stripe has them; only a lost one opens the debt again.

While one is open the money lies in 'disputed', and access stays as it is: who denies a payment may be right. What it
costs is booked by billing.clearing. The card is not charged by itself any more, however the dispute ends.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from base import clock, jobs, trail
from base.business import Business, load_business
from base.calendar import local_date
from base.crypto import Vault
from base.database import transaction
from base.i18n import format_money
from base.log import alarm
from base.money import Money
from base.tables import subscriber
from billing.collect.cards import refuse
from billing.collect.pace import wait_for_turn
from billing.collect.tables import card
from billing.gateway import disputes as gateway
from billing.gateway import intents
from billing.gateway.words import Gone
from billing.ledger import Posting, post
from billing.money_back import goes
from billing.money_back.card import payment_of
from billing.money_back.tables import gone_back
from billing.settle import lock_subscribers
from billing.tables import payment

CALLS = 2  # at Stripe for a dispute: itself, and what was paid
ASK_EVERY = timedelta(days=1)  # should no event come; they go on for weeks


def hear(vault: Vault, dispute_id: str) -> str:
    """An event told of a dispute: read it and take what it says; returns its state, or 'not ours'.

    Raises tasks.Retry when Stripe has its calls for now.
    """
    with transaction() as tx:
        business = load_business(tx, vault)
    wait_for_turn(business.stripe_calls_per_second, CALLS)
    try:
        found = gateway.read(business, dispute_id)
    except Gone:
        return "not ours"
    owner = payment_of(vault, found.intent) if found.intent else None
    if owner is None:
        return "not ours"
    method = intents.read(business, found.intent).method
    return take(vault, found, owner, method)


def ask(vault: Vault, gone_id: int) -> str:
    """Read a dispute that nobody has told of for a while."""
    with transaction() as tx:
        named = tx.scalar(select(gone_back.c.gateway_id).where(gone_back.c.id == gone_id))
    return hear(vault, str(named))


def take(vault: Vault, found: gateway.DisputeState, owner: Row[Any], method: str) -> str:
    """Take what Stripe says of a dispute about the payment `owner`, paid with the card `method` (pm_…)."""
    now = clock.now()
    with transaction() as tx:
        lock_subscribers(tx, [owner.subscriber_id])
        business = load_business(tx, vault)
        row = tx.execute(select(gone_back).where(gone_back.c.gateway_id == found.id)).one_or_none()
        if row is None:
            row = _open(tx, business, owner, found, method, now)
        if row.state == "lost":
            return "lost"
        _move(tx, business, row, found, now)
        mine = update(gone_back).where(gone_back.c.id == row.id)
        if found.state == "lost":
            _lose(tx, vault, business, row, owner, found.amount, now)
        else:
            ended = found.state == "won"
            tx.execute(
                mine.values(
                    state=found.state,
                    note=found.reason,
                    ended_at=now if ended else None,
                    # one that is won is asked about until the money is back
                    ask_at=None if ended and found.returned is found.withdrawn else clock.real() + ASK_EVERY,
                )
            )
        if found.state != row.state:
            detail = {"dispute": found.id, "of": owner.receipt_number, "reason": found.reason}
            trail.record(
                tx, "stripe", f"dispute.{found.state}", subject="subscriber", subject_id=row.subscriber_id,
                detail=detail,
            )  # fmt: skip
    return found.state


def list_disputes(tx: Connection, *, everything: bool = False) -> Sequence[Row[Any]]:
    """Disputes under way, newest first, each with `number` of its receipt, `account` and `name`; `everything`: all."""
    query = (
        select(
            gone_back, payment.c.receipt_number.label("number"), subscriber.c.number.label("account"), subscriber.c.name
        )
        .join(payment, payment.c.id == gone_back.c.payment_id)
        .join(subscriber, subscriber.c.id == gone_back.c.subscriber_id)
        .where(gone_back.c.kind == "dispute")
        .order_by(gone_back.c.id.desc())
    )
    return tx.execute(query if everything else query.where(gone_back.c.state.in_(("inquiry", "open")))).all()


def ask_due(tx: Connection) -> None:
    """Have Stripe asked about disputes of which nothing was heard for a day."""
    real = clock.real()
    due = select(gone_back.c.id).where(gone_back.c.ask_at <= real, gone_back.c.kind == "dispute")
    ids = list(tx.scalars(due.with_for_update(skip_locked=True)))
    jobs.enqueue_all(
        tx, jobs.Kind.ASK_DISPUTE, {f"dispute:{each}:{real.isoformat()}": {"gone_id": each} for each in ids}
    )
    tx.execute(update(gone_back).where(gone_back.c.id == func.any(ids)).values(ask_at=real + ASK_EVERY))


def _open(
    tx: Connection, business: Business, owner: Row[Any], found: gateway.DisputeState, method: str, now: datetime
) -> Row[Any]:
    gone_id = goes.begin(
        tx, business, source=owner, kind="dispute", way="card", amount=found.amount, state="new",
        reason=f"disputed: {found.reason}", author="stripe", now=now, gateway_id=found.id,
    )  # fmt: skip
    alarm("payment_disputed", dispute=found.id, receipt=owner.receipt_number)
    owned = (card.c.method_id == method, card.c.subscriber_id == owner.subscriber_id, card.c.state != "removed")
    card_id = tx.scalar(select(card.c.id).where(*owned))
    if card_id is not None:
        refuse(tx, card_id, "disputed")
    return tx.execute(select(gone_back).where(gone_back.c.id == gone_id)).one()


def _move(tx: Connection, business: Business, row: Row[Any], found: gateway.DisputeState, now: datetime) -> None:
    """Book that Stripe took the money, and that it gave it back, each once."""
    today = local_date(now, business.zone)
    amount = Money(row.amount_minor, row.currency)
    mine = update(gone_back).where(gone_back.c.id == row.id)
    if row.withdrawn_on is None and (found.withdrawn or found.state == "lost"):
        sides = [Posting("disputed", None, amount), Posting("stripe", None, -amount)]
        post(tx, today, f"Disputed: {found.id}", f"dispute_withdrawn:{row.id}", sides)
        tx.execute(mine.values(withdrawn_on=today))
    elif row.returned_on is not None and found.state == "lost":  # decided otherwise after all
        sides = [Posting("disputed", None, amount), Posting("stripe", None, -amount)]
        post(tx, today, f"Disputed: {found.id}", f"dispute_withdrawn:{row.id}:again", sides)
        tx.execute(mine.values(returned_on=None))
    if row.returned_on is None and found.returned and found.state != "lost":
        sides = [Posting("stripe", None, amount), Posting("disputed", None, -amount)]
        post(tx, today, f"Dispute won: {found.id}", f"dispute_returned:{row.id}", sides)
        tx.execute(mine.values(returned_on=today))


def _lose(
    tx: Connection, vault: Vault, business: Business, row: Row[Any], owner: Row[Any], amount: Money, now: datetime
) -> None:
    """The money is gone: the debt is open again, and dunned anew from today."""
    mine = update(gone_back).where(gone_back.c.id == row.id)
    tx.execute(mine.values(state="won"))  # not counted against itself
    left = goes.left_of(tx, owner).minor
    today = local_date(now, business.zone)
    values = {"state": "lost", "ended_on": today, "ended_at": now, "ask_at": None}
    tx.execute(mine.values(**values, beyond_minor=max(0, amount.minor - left)))
    goes.take_out(tx, vault, business, row.id, "dispute_lost", now)
    detail = {"of": owner.receipt_number, "amount": format_money(amount, business.language)}
    alarm("dispute_lost", **detail)
