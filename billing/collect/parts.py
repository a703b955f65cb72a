"""The due part of an instalment plan is collected from a card on its day, where autopay is on.

One collection at a time per plan, over its invoices; it charges what is due of them (cases.owed_by), never all of it.
"""

import secrets
from collections.abc import Collection
from datetime import UTC, date, datetime

from sqlalchemy import Connection, and_, exists, func, insert, select, update

from base.business import Business
from base.calendar import local_date
from billing.collect.account import current_account
from billing.collect.cases import ask_for_charges
from billing.collect.schedule import MORNING
from billing.collect.tables import autopay, card, collected, collection, gateway_customer
from billing.gateway.words import too_small
from billing.instalments.agreed import active_plans
from billing.instalments.rules import due_by
from billing.instalments.tables import instalment_part, instalment_plan


def payers_with_parts(tx: Connection, today: date) -> list[int]:
    """Subscribers with autopay and a plan of which a part's day has come and is not being collected."""
    due = and_(instalment_part.c.plan_id == instalment_plan.c.id, instalment_part.c.due_on <= today)
    seen = exists().where(
        collection.c.plan_id == instalment_plan.c.id,
        collection.c.parts_until >= select(func.max(instalment_part.c.due_on)).where(due).scalar_subquery(),
    )
    query = (
        select(instalment_plan.c.subscriber_id)
        .join(autopay, autopay.c.subscriber_id == instalment_plan.c.subscriber_id)
        .where(instalment_plan.c.state == "active", exists().where(due), ~seen)
    )
    return sorted(tx.scalars(query))


def open_parts(tx: Connection, business: Business, payer_ids: Collection[int], now: datetime) -> list[int]:
    """Have what is due of these payers' plans collected, where a card can be charged; the payers are locked.

    A collection of an earlier part that still waits takes the new part along. Returns the collections.
    """
    account = current_account(tx, business)
    if account is None or not payer_ids:
        return []
    today = local_date(now, business.zone)
    usable = (
        select(card.c.subscriber_id)
        .join(gateway_customer, gateway_customer.c.id == card.c.customer_id)
        .join(autopay, autopay.c.subscriber_id == card.c.subscriber_id)
        .where(card.c.subscriber_id == func.any(list(payer_ids)), card.c.state == "usable")
        .where(gateway_customer.c.account == account.account, gateway_customer.c.live == account.live)
    )
    made = []
    for payer, plan in active_plans(tx, set(tx.scalars(usable))).items():
        due = due_by(plan.parts, plan.open, today)
        if not due or too_small(due):
            continue
        living = (collection.c.plan_id == plan.id, collection.c.state.not_in(("paid", "ended")))
        known = tx.execute(select(collection.c.id, collection.c.state).where(*living)).one_or_none()
        if known is not None:  # one whose money is under way charges what it charges, and is waited for
            longer = (collection.c.id == known.id, collection.c.state.in_(("waiting", "creating", "customer")))
            tx.execute(update(collection).where(*longer).values(parts_until=today))
            continue
        day = max(each.due_on for each in plan.parts if each.due_on <= today)
        row = {
            "subscriber_id": payer,
            "currency": due.currency,
            "token": secrets.token_urlsafe(18),
            "state": "waiting",
            "next_try_at": max(now, datetime.combine(day, MORNING, business.zone).astimezone(UTC)),
            "reason": "autopay: an instalment is due",
            "opened_at": now,
            "plan_id": plan.id,
            "parts_until": today,
        }
        collection_id = tx.execute(insert(collection).values(row).returning(collection.c.id)).scalar_one()
        links = [{"collection_id": collection_id, "invoice_id": each} for each in sorted(plan.invoice_ids)]
        tx.execute(insert(collected), links)
        made.append(int(collection_id))
    ask_for_charges(tx, made, now)
    return made
