"""What tests of collecting share: a pretend Stripe beside a provider, subscribers with cards, and a worker's hands."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pytest
import stripe
from sqlalchemy import select

import base.database
from base import jobs
from base.database import transaction
from base.jobs import Lane
from base.settings import settings
from billing import tasks
from billing.collect import cards
from billing.collect.tables import attempt, collection
from billing.ledger import check_books
from billing.tables import payment
from sandbox.stripe.app import Config
from tests.billing.provider import Provider, noon
from tests.sandbox.emulator import KEY, Emulator, connect


@dataclass
class Till:
    """A provider that collects by card from a pretend Stripe."""

    provider: Provider
    emulator: Emulator
    stripe: stripe.StripeClient

    def customer(self, *tokens: str, autopay: bool = True, price: int = 2999, **more: Any) -> int:
        """A subscriber with a service from 1 March 2026, and a card kept for each of Stripe's test tokens."""
        subscriber_id = self.provider.subscriber(**more)
        plan = self.provider.plan(price, currency=more.get("currency", "EUR"))
        self.provider.service(subscriber_id, plan, date(2026, 3, 1))
        for token in tokens:
            self.keep(subscriber_id, token)
        if autopay:
            with transaction() as tx:
                cards.set_autopay(tx, self.business(tx), f"subscriber:{subscriber_id}", subscriber_id, True)
        return subscriber_id

    def keep(self, subscriber_id: int, token: str = "pm_card_visa") -> str:
        """Leave a card at Stripe and read it; returns its pm_…"""
        customer = cards.customer_of(self.provider.vault, subscriber_id)
        method = self.stripe.v1.payment_methods.attach(token, params={"customer": customer})
        cards.refresh(self.provider.vault, customer)
        return str(method.id)

    def business(self, tx: Any) -> Any:
        from base.business import load_business

        return load_business(tx, self.provider.vault)

    def bill(self, day: date = date(2026, 3, 1)) -> None:
        """Issue what is due on a day, with everything that follows from it at Stripe."""
        from billing.invoices import issue_due

        issue_due(self.provider.travel(noon(day)))
        work()

    def taken(self) -> int:
        """What Stripe took from cards so far, in minor units."""
        found = self.stripe.v1.charges.list(params={"limit": 100}).auto_paging_iter()
        return sum(each.amount - each.amount_refunded for each in found if each.status == "succeeded")

    def cases(self) -> list[tuple[str, str]]:
        """State of each collection, and what became of its attempts."""
        with transaction() as tx:
            tried: dict[int, list[str]] = {}
            for row in tx.execute(select(attempt).order_by(attempt.c.id)):
                tried.setdefault(row.collection_id, []).append(row.state)
            rows = tx.execute(select(collection).order_by(collection.c.id)).all()
            return [(row.state, " ".join(tried.get(row.id, []))) for row in rows]

    def case(self) -> Any:
        """The row of the newest collection."""
        with transaction() as tx:
            return tx.execute(select(collection).order_by(collection.c.id.desc()).limit(1)).one()

    def recorded(self) -> int:
        """What the books say came in, in minor units; they are right besides."""
        with transaction() as tx:
            assert check_books(tx) == []
            return sum(tx.scalars(select(payment.c.amount_minor)))


def open_till(provider: Provider, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Till:
    """Have the provider use the pretend Stripe, on 1 March 2026."""
    monkeypatch.setenv("TOLLKEEPER_SANDBOX", "true")
    monkeypatch.setenv("TOLLKEEPER_RADIUS_HOSTS", "127.0.0.1")
    settings.cache_clear()
    base.database.engine.cache_clear()
    provider.set(stripe_secret_key=KEY, stripe_api_base=emulator.url, stripe_calls_per_second=0)
    provider.travel(noon(date(2026, 2, 20)))
    return Till(provider, emulator, connect(emulator))


def emulate(tmp_path: Any) -> Iterator[Emulator]:
    """The pretend Stripe; nobody hears its webhooks but the tests themselves."""
    made = Emulator(Config(data=tmp_path / "stripe", api_key=KEY))
    yield made
    made.running.stop()


def work(*kinds: jobs.Kind) -> int:
    """Do the jobs that are due in the lanes of money, as a worker would; returns how many there were."""
    done = 0
    while True:
        with transaction() as tx:
            claimed = jobs.claim(tx, [Lane.URGENT, Lane.CHARGES], 100, timedelta(seconds=30))
        ours = [each for each in claimed if each.kind is not jobs.Kind.TICK and (not kinds or each.kind in kinds)]
        if not ours:
            return done
        for each in ours:
            tasks.perform(each.id, each.tries)
        done += len(ours)
