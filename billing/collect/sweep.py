"""What time brings to collecting: tries due, outcomes to ask for, invoices nothing collects, cards that expire.

Everything is asked of rows, so a lost job or a missed tick is made up for by the next.
"""

from datetime import date, datetime, timedelta

from sqlalchemy import Connection, and_, exists, func, or_, select, update

from base import clock, jobs
from base.business import Business, load_business
from base.calendar import add_months, local_date
from base.crypto import open_vault
from base.database import transaction
from base.log import alarm
from base.settings import settings
from billing.checkout import ask_due as ask_pages
from billing.collect.cases import ask_for_charges, end_settled, open_collections
from billing.collect.mails import tell_expiring
from billing.collect.parts import open_parts, payers_with_parts
from billing.collect.tables import autopay, card, collected, collection
from billing.instalments.agreed import in_plan
from billing.settle import lock_subscribers
from billing.sweep import sweep
from billing.tables import open_item

CHUNK = 200  # subscribers to a transaction
ASKED_EVERY = timedelta(hours=1)  # real time, should a job of asking be lost


def run(now: datetime) -> list[int]:
    """Have everything done that is due by now; returns the collections that are opened or to be tried."""
    vault = open_vault(settings().secret_keys)
    with transaction() as tx:
        business = load_business(tx, vault)
        _ask(tx, clock.real(), now)
        ask_pages(tx)
        waiting = (collection.c.state == "waiting", collection.c.next_try_at <= now)
        due = list(tx.scalars(select(collection.c.id).where(*waiting)))
        ask_for_charges(tx, due, now)
        end_settled(tx, _settled(tx))
        _warn_of_expiry(tx, business, local_date(now, business.zone))
        payers = _uncollected(tx)
        paying = payers_with_parts(tx, local_date(now, business.zone))

    def act(tx: Connection, payer_ids: list[int]) -> list[int]:
        lock_subscribers(tx, payer_ids)
        return open_collections(tx, load_business(tx, vault), payer_ids, now)

    def act_on_parts(tx: Connection, payer_ids: list[int]) -> list[int]:
        lock_subscribers(tx, payer_ids)
        return open_parts(tx, load_business(tx, vault), payer_ids, now)

    found = sweep("collect", payers, act, size=CHUNK)
    return due + found + sweep("collect parts", paying, act_on_parts, size=CHUNK)


def _ask(tx: Connection, real: datetime, now: datetime) -> None:
    """Have Stripe asked about charges whose outcome is not known yet, each when it is its turn.

    Where dunning has waited for one as long as it may, a person is told by an alarm, once.
    """
    rows = tx.execute(
        select(collection.c.id, collection.c.asked, collection.c.state, collection.c.held_until)
        .where(collection.c.ask_at <= real)
        .with_for_update(skip_locked=True)
    ).all()
    late = [row.id for row in rows if row.held_until is not None and row.held_until <= now]
    for collection_id in late:
        alarm("charge_unsettled", collection_id=collection_id)
    tx.execute(update(collection).where(collection.c.id == func.any(late)).values(held_until=None))
    ids = [row.id for row in rows]
    tx.execute(update(collection).where(collection.c.id == func.any(ids)).values(ask_at=real + ASKED_EVERY))
    payloads = {f"ask:{each}:{real.isoformat()}": {"collection_id": each} for each in ids}
    jobs.enqueue_all(tx, jobs.Kind.ASK_PAYMENT, payloads)


def _settled(tx: Connection) -> list[int]:
    """Invoices in living collections that rest, of which nothing is open any more."""
    query = (
        select(collected.c.invoice_id)
        .join(collection, collection.c.id == collected.c.collection_id)
        .where(
            collected.c.alive,
            collection.c.state.in_(("waiting", "customer")),
            ~exists().where(open_item.c.invoice_id == collected.c.invoice_id),
        )
    )
    return list(tx.scalars(query))


def _uncollected(tx: Connection) -> list[int]:
    """Payers with autopay and an open invoice that nothing collects."""
    taken = exists().where(collected.c.invoice_id == open_item.c.invoice_id, collected.c.alive)
    query = (
        select(open_item.c.subscriber_id)
        .join(autopay, autopay.c.subscriber_id == open_item.c.subscriber_id)
        .where(~taken, ~open_item.c.reopened, ~in_plan())
        .distinct()
        .order_by(open_item.c.subscriber_id)
    )
    return list(tx.scalars(query))


def _warn_of_expiry(tx: Connection, business: Business, today: date) -> None:
    """Tell those who pay by card that it expires this month or the next, once."""
    month = today.replace(day=1)
    ends = [(each.year, each.month) for each in (month, add_months(month, 1))]
    query = (
        select(card)
        .join(autopay, autopay.c.subscriber_id == card.c.subscriber_id)
        .where(
            card.c.is_default,
            card.c.state == "usable",
            or_(*(and_(card.c.exp_year == year, card.c.exp_month == each) for year, each in ends)),
            card.c.warned_for.is_distinct_from(card.c.exp_year * 100 + card.c.exp_month),
        )
        .with_for_update(of=card, skip_locked=True)
    )
    rows = list(tx.execute(query).all())
    tell_expiring(tx, business, rows)
    told = func.any([row.id for row in rows])
    tx.execute(update(card).where(card.c.id == told).values(warned_for=card.c.exp_year * 100 + card.c.exp_month))
