"""Deeds of the house that takes money, each in a process of its own: python -m bench.till_deeds NAME ARGUMENTS.

Each prints what it did as one line of JSON.
"""

import json
import secrets
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select, text, update

from base import clock
from base.bulk import copy_rows, take_ids, update_rows
from base.business import load_business, set_business
from base.crypto import open_vault
from base.database import transaction
from base.settings import settings
from base.tables import job, service, subscriber
from billing.apply import refresh_access
from billing.collect.account import learn_account
from billing.collect.cases import owed_by_each
from billing.collect.tables import attempt, autopay, card, collection, gateway_customer
from billing.dunning.tables import dunning_notice
from billing.gateway import intents
from billing.gateway.at_once import ask_all
from billing.invoices import issue_due
from billing.issue import issue_for_subscribers
from billing.stripe_check import set_up as set_up_endpoint
from billing.tables import invoice
from sandbox.travel import travel


def set_up(address: str, key: str) -> str:
    """Have this provider use the pretend Stripe, without a limit of calls; returns its account."""
    vault = open_vault(settings().secret_keys)
    with transaction() as tx:
        set_business(
            tx, vault, "bench", stripe_secret_key=key, stripe_api_base=address, stripe_calls_per_second=0
        )  # fmt: skip
    return learn_account(vault).account


def listen() -> str:
    """Have the pretend Stripe post its events to the portal; returns the endpoint."""
    return set_up_endpoint(open_vault(settings().secret_keys), "bench").id


def keep_cards(file: str) -> int:
    """The cards in a file belong to the subscribers in order, who pay by them; returns how many."""
    found = json.loads(Path(file).read_text())
    account = learn_account(open_vault(settings().secret_keys))
    with transaction() as tx:
        people = list(tx.scalars(select(subscriber.c.id).order_by(subscriber.c.id).limit(len(found))))
        ids = take_ids(tx, gateway_customer, len(people))
        now = clock.now()
        rows = list(zip(people, ids, found, strict=True))
        copy_rows(
            tx,
            gateway_customer,
            [
                {
                    "id": row_id, "subscriber_id": who, "account": account.account, "live": account.live,
                    "token": customer, "customer_id": customer, "created_at": now,
                }
                for who, row_id, (customer, _, _) in rows
            ],
        )  # fmt: skip
        copy_rows(
            tx,
            card,
            [
                {
                    "subscriber_id": who, "customer_id": row_id, "method_id": method, "fingerprint": fingerprint,
                    "brand": "visa", "last4": "4242", "exp_year": 2099, "exp_month": 12, "is_default": True,
                    "created_at": now,
                }
                for who, row_id, (_, method, fingerprint) in rows
            ],
        )  # fmt: skip
        copy_rows(tx, autopay, [{"subscriber_id": who, "author": "bench", "since": now} for who in people])
    with transaction() as tx:
        tx.execute(text("ANALYZE"))
    return len(people)


def bill_next_month(days: str) -> int:
    """Let days pass and issue what is due then; returns how many invoices that are."""
    with transaction() as tx:
        now = travel(tx, days=int(days))
    return len(issue_due(now))


def wall_in(first: str, people: str) -> list[int]:
    """Bill so many subscribers, from the `first` on, and let a month pass unpaid; returns their services, walled in."""
    vault = open_vault(settings().secret_keys)
    with transaction() as tx:
        query = select(subscriber.c.id).order_by(subscriber.c.id).offset(int(first)).limit(int(people))
        who = list(tx.scalars(query))
        issue_for_subscribers(tx, vault, load_business(tx, vault), who, clock.now())
    with transaction() as tx:
        now = travel(tx, days=30)
        today = now.date()
        debts = select(invoice.c.id).where(invoice.c.subscriber_id == func.any(who))
        notice = {"act": "wall", "on_day": today - timedelta(days=3), "arrived_on": today - timedelta(days=10)}
        named = [
            {**notice, "invoice_id": each, "message_key": f"bench:{each}", "in_time": True, "created_at": now}
            for each in tx.scalars(debts)
        ]
        tx.execute(insert(dunning_notice), named)
        set_business(tx, vault, "bench", due_days=3650)  # nothing else becomes due meanwhile
        services = list(tx.scalars(select(service.c.id).where(service.c.payer_id == func.any(who))))
        walled = refresh_access(tx, vault, services, now, because="bench")
        tx.execute(update(job).where(job.c.state == "ready").values(state="done"))  # their papers are not measured
        return walled


def lose_answers(count: str) -> list[str]:
    """Bill so many subscribers and charge their cards at Stripe, as if every answer had been lost; returns the intents.

    An event about one has to be asked about, and its money recorded.
    """
    vault = open_vault(settings().secret_keys)
    with transaction() as tx:
        now = travel(tx, days=32)
        business = load_business(tx, vault)
        paying = select(autopay.c.subscriber_id).order_by(autopay.c.subscriber_id).limit(int(count))
        issue_for_subscribers(tx, vault, business, list(tx.scalars(paying)), now)
        query = (
            select(collection, card.c.id.label("card_id"), card.c.method_id, gateway_customer.c.customer_id)
            .join(card, card.c.subscriber_id == collection.c.subscriber_id)
            .join(gateway_customer, gateway_customer.c.subscriber_id == collection.c.subscriber_id)
            .where(collection.c.state == "waiting")
        )
        waiting = tx.execute(query).all()
        owed = owed_by_each(tx, {row.id: row.currency for row in waiting})
        tx.execute(update(job).where(job.c.kind == "charge_card", job.c.state == "ready").values(state="done"))

    def take(row: Any) -> str:
        key = secrets.token_urlsafe(12)
        amount, _ = owed[row.id]
        made = intents.create(
            business, key=key, reference=row.token, customer=row.customer_id, amount=amount, description="bench"
        )
        return intents.confirm(business, made.id, key=f"{key}.", method=row.method_id).id

    taken = [answer for some in ask_all(take, waiting) for answer in some]
    with transaction() as tx:
        real = clock.real()
        state = {"state": "unknown", "reason": "bench", "ask_at": real + timedelta(days=1)}
        update_rows(tx, collection, [{"id": row.id, "intent_id": name, **state} for row, name in taken])
        tried = {"state": "unknown", "at": now, "real_at": real, "currency": "EUR", "amount_minor": 1}
        copy_rows(
            tx,
            attempt,
            [{**tried, "collection_id": row.id, "card_id": row.card_id, "key": str(name)} for row, name in taken],
        )
    return [str(name) for _, name in taken]


def settled_intents(most: str) -> list[str]:
    """Intents whose money is recorded."""
    with transaction() as tx:
        query = select(collection.c.intent_id).where(collection.c.state == "paid").limit(int(most))
        return [str(each) for each in tx.scalars(query)]


def webhook_secret() -> str:
    """What signs the webhooks."""
    with transaction() as tx:
        return load_business(tx, open_vault(settings().secret_keys)).stripe_webhook_secret


def begin_bill_run() -> str:
    """Let a month pass, which makes the worker issue what is due."""
    with transaction() as tx:
        return travel(tx, days=31).isoformat()


DEEDS: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        set_up,
        listen,
        keep_cards,
        bill_next_month,
        wall_in,
        lose_answers,
        settled_intents,
        webhook_secret,
        begin_bill_run,
    )
}

if __name__ == "__main__":
    print(json.dumps(DEEDS[sys.argv[1]](*sys.argv[2:])))
