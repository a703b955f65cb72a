"""Deeds and looks that the tests of dunning begin with: one bill, a policy, what was written to whom."""

from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy import select

from base.business import load_business
from base.database import transaction
from base.offers import tax_class
from billing.dunning.policies import load_policies, save_policy
from billing.dunning.policy import Policy
from billing.tables import charge, message
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)
DUE = date(2026, 3, 15)


def march(day: int) -> date:
    return date(2026, 3, day)


def bill(provider: Provider, **who: str) -> tuple[int, int]:
    """A subscriber with one yearly invoice of 35.99 from the 1st of March, due on the 15th: (subscriber, service)."""
    subscriber_id = provider.subscriber(**who)
    provider.travel(noon(MARCH))
    service_id = provider.service(subscriber_id, provider.plan(cycle=12), MARCH)
    provider.live(MARCH, MARCH)
    return subscriber_id, service_id


def adopt(provider: Provider, **changed: Any) -> Policy:
    """Change the default policy."""
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        policy = replace(load_policies(tx, business).default, **changed)
        save_policy(tx, "staff:1", policy)
    return policy


def tax_class_id() -> int:
    with transaction() as tx:
        return tx.scalars(select(tax_class.c.id).order_by(tax_class.c.id).limit(1)).one()


def sent(*kinds: str) -> list[tuple[str, date]]:
    with transaction() as tx:
        rows = tx.execute(
            select(message.c.kind, message.c.created_at)
            .where(message.c.kind.in_(kinds or ("due_notice", "reminder_1", "reminder_2", "final_notice")))
            .order_by(message.c.id)
        ).all()
    return [(row.kind, row.created_at.date()) for row in rows]


def body(kind: str) -> str:
    with transaction() as tx:
        newest = select(message.c.body).where(message.c.kind == kind).order_by(message.c.id.desc()).limit(1)
        return tx.scalars(newest).one()


def april(day: int) -> date:
    return date(2026, 4, day)


def charges() -> list[tuple[str, int]]:
    """Kind and amount of everything that was charged, in order."""
    with transaction() as tx:
        return [(row.kind, row.amount_minor) for row in tx.execute(select(charge).order_by(charge.c.id))]
