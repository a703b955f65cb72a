"""Promises to pay: while one holds nothing is taken away and no step comes; whether it was kept is remembered."""

from collections.abc import Collection
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, exists, func, insert, or_, select, update

from base import trail
from base.business import Business, load_business
from base.calendar import local_date
from base.crypto import Vault
from base.money import total
from base.settings import settings
from billing.apply import refresh_payers
from billing.cheques.tables import cheque
from billing.dunning.agenda import forget
from billing.dunning.cases import Payer, load_payers
from billing.dunning.tables import promise
from billing.letters import promise_letter
from billing.mail_sources import load_sources
from billing.outbox import Outgoing, queue_all
from billing.refused import need
from billing.settle import lock_subscribers
from billing.tables import allocation, open_item, payment

YEAR = timedelta(days=365)
STAFF_DAYS = 90  # that staff may grant at most


def make_promise(
    tx: Connection, vault: Vault, business: Business, actor: str, subscriber_id: int, until_on: date, now: datetime
) -> int:
    """Wait for a subscriber's money until the end of `until_on`; returns the promise's id. Refused with a sentence.

    A subscriber's own promise ('subscriber:9') is limited by the policy: how far ahead, how many a year, and none after
    one was broken until the debt is paid; staff are trusted.
    """
    lock_subscribers(tx, [subscriber_id])
    payer = load_payers(tx, business, [subscriber_id], now).get(subscriber_id)
    today = local_date(now, business.zone)
    late = () if payer is None else tuple(case for case in payer.cases if case.due_on <= today)
    need(payer is not None and late, "Nothing is overdue, so there is nothing to promise.", "subscriber_id")
    assert payer is not None
    need(until_on > today, "A promise is for a day to come.", "until_on")
    waiting = select(promise.c.until_on).where(promise.c.subscriber_id == subscriber_id, promise.c.state == "open")
    need(tx.scalar(waiting) is None, "There is a promise already; it has to be kept first.", "subscriber_id")
    if actor.startswith("subscriber:"):
        _check_limits(tx, payer, today, until_on, [case.invoice_id for case in late])
    need(until_on <= today + timedelta(days=STAFF_DAYS), f"A promise is for {STAFF_DAYS} days at most.", "until_on")
    amount = total((case.open for case in late), payer.currency)
    promise_id = tx.execute(
        insert(promise)
        .values(
            subscriber_id=subscriber_id,
            made_on=today,
            until_on=until_on,
            amount_minor=amount.minor,
            currency=amount.currency,
            invoice_ids=[case.invoice_id for case in late],
            author=actor,
            created_at=now,
        )
        .returning(promise.c.id)
    ).scalar_one()
    letter = promise_letter(
        business,
        name=payer.name,
        amount=amount,
        until=until_on,
        link=settings().public_url,
        language=payer.language,
        sources=load_sources(tx),
    )
    key = f"promise_accepted:{promise_id}"
    queue_all(tx, business, [Outgoing(subscriber_id, "promise_accepted", key, letter.subject, letter.body)])
    detail = {"promise_id": promise_id, "until": str(until_on), "amount_minor": amount.minor}
    forget(tx, [subscriber_id])
    trail.record(tx, actor, "promise.made", subject="subscriber", subject_id=subscriber_id, detail=detail)
    refresh_payers(tx, vault, {subscriber_id}, now, actor)
    return int(promise_id)


def decided_payers(tx: Connection, today: date) -> list[int]:
    """Subscribers whose promise was kept, or whose last day is over."""
    over = (promise.c.until_on < today) & ~_under_way()
    query = select(promise.c.subscriber_id).where(promise.c.state == "open", ~_owing() | over)
    return sorted(tx.scalars(query))


def settle_promises(tx: Connection, vault: Vault, payer_ids: Collection[int], now: datetime) -> list[int]:
    """Note which promises of these were kept, as soon as they were, and which broken, after their last day.

    One whose debt was written off, or taken back by credit notes alone, is neither: void. Returns the subscribers with
    such a promise.
    """
    ids = lock_subscribers(tx, payer_ids)  # from here on no money comes between
    today = local_date(now, load_business(tx, vault).zone)
    rows = tx.execute(
        select(promise, _owing().label("owing"), _under_way().label("under_way"), _given_up().label("given_up"))
        .where(promise.c.state == "open", promise.c.subscriber_id == func.any(ids))
        .order_by(promise.c.id)
    ).all()
    decided = [row for row in rows if not row.owing or (row.until_on < today and not row.under_way)]
    for row in decided:
        state = "broken" if row.owing else "void" if row.given_up else "kept"
        tx.execute(update(promise).where(promise.c.id == row.id).values(state=state, decided_on=today))
        detail = {"promise_id": row.id, "until": str(row.until_on)}
        subject = row.subscriber_id
        trail.record(tx, "system", f"promise.{state}", subject="subscriber", subject_id=subject, detail=detail)
    forget(tx, {row.subscriber_id for row in decided})
    refresh_payers(tx, vault, {row.subscriber_id for row in decided}, now, "promise")
    return [row.subscriber_id for row in decided]


def _owing() -> ColumnElement[bool]:
    """Whether something of what was promised is still open."""
    return select(open_item.c.invoice_id).where(open_item.c.invoice_id == func.any(promise.c.invoice_ids)).exists()


def _under_way() -> ColumnElement[bool]:
    """Whether a cheque came in time that does not count yet: then nobody knows yet whether the promise was kept."""
    in_time = (cheque.c.payment_id == payment.c.id, payment.c.received_on <= promise.c.until_on)
    theirs = (cheque.c.subscriber_id == promise.c.subscriber_id, cheque.c.state == "waiting")
    return select(cheque.c.payment_id).join(payment, in_time[0]).where(in_time[1], *theirs).exists()


def _given_up() -> ColumnElement[bool]:
    """Whether what was promised was written off, or settled without any money since."""
    written = select(func.sum(allocation.c.amount_minor)).where(  # what is taken back of a write-off is negative
        allocation.c.invoice_id == func.any(promise.c.invoice_ids), allocation.c.write_off_id.is_not(None)
    )
    paid = exists().where(
        allocation.c.invoice_id == func.any(promise.c.invoice_ids),
        allocation.c.payment_id.is_not(None),
        allocation.c.created_at >= promise.c.created_at,
    )
    return or_(func.coalesce(written.scalar_subquery(), 0) > 0, ~paid)


def _check_limits(tx: Connection, payer: Payer, today: date, until_on: date, invoice_ids: list[int]) -> None:
    policy = payer.policy
    need(policy.promise_days > 0, "Please call us: promises are made with our staff.", "until_on")
    latest = today + timedelta(days=policy.promise_days)
    need(
        until_on <= latest, f"A promise is for {policy.promise_days} days at most, that is until {latest}.", "until_on"
    )
    made = tx.execute(
        select(promise).where(promise.c.subscriber_id == payer.id, promise.c.made_on > today - YEAR)
    ).all()
    broken = any(row.state == "broken" and set(row.invoice_ids) & set(invoice_ids) for row in made)
    need(not broken, "A promise for this debt was not kept; please pay it, or call us.", "subscriber_id")
    need(
        len(made) < policy.promises_a_year,
        f"That was promised {len(made)} times within a year already; please call us.",
        "subscriber_id",
    )
