"""A small internet provider in a test's database: the deeds that most tests begin with."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from math import ceil
from typing import Any

from sqlalchemy import Engine, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from base import clock
from base.access import AccessLevel
from base.business import load_business, set_business
from base.calendar import Cycle
from base.crypto import Vault
from base.database import transaction
from base.money import Money
from base.settings import settings
from base.tables import policy, sandbox_clock
from billing import tick
from billing.payments import record_payment
from billing.plans import add_plan
from billing.services import add_service, add_subscriber
from billing.tables import message


@dataclass
class Provider:
    """One provider in one database, with the few deeds that most tests begin with."""

    engine: Engine
    vault: Vault
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def travel(self, now: datetime) -> datetime:
        """Make `now` the time that business clocks show."""
        offset = now - clock.real()
        clock.travel_to_offset(offset)
        if settings().sandbox:  # there each transaction reads how far business time has moved
            row = {"id": 1, "offset_seconds": ceil(offset.total_seconds())}
            with transaction() as tx:
                tx.execute(upsert(sandbox_clock).values(row).on_conflict_do_update(index_elements=["id"], set_=row))
        return now

    def plan(self, price: int = 2999, tax: str = "20", cycle: int = 1, currency: str = "EUR", **more: Any) -> int:
        """A plan of `price` minor units."""
        with transaction() as tx:
            return add_plan(
                tx,
                "system",
                name=f"Home {next(self.numbers)}",
                price=Money(price, currency),
                tax_percent=tax,
                cycle=Cycle("month", cycle),
                **{"rate_down": 100_000_000, "rate_up": 20_000_000, **more},
            )

    def subscriber(self, name: str = "Anna", email: str = "anna@example.net", currency: str = "EUR") -> int:
        """A subscriber without services."""
        with transaction() as tx:
            return add_subscriber(tx, self.vault, "system", name=name, email=email, currency=currency)

    def service(self, subscriber_id: int, plan_id: int, starts_on: date) -> int:
        """A service from a day on."""
        with transaction() as tx:
            return add_service(
                tx,
                self.vault,
                "system",
                subscriber_id=subscriber_id,
                plan_id=plan_id,
                login=f"line{next(self.numbers)}",
                password="secret",
                starts_on=starts_on,
            )

    def pay(self, subscriber_id: int, minor: int, currency: str = "EUR") -> None:
        """Cash, now."""
        with transaction() as tx:
            business = load_business(tx, self.vault)
            record_payment(
                tx, self.vault, business,
                subscriber_id=subscriber_id, amount=Money(minor, currency), method="cash", author="staff:1",
                now=clock.now(),
            )  # fmt: skip

    def live(self, first: date, last: date) -> None:
        """Let the days pass, to `last` inclusive: at each noon the tick runs and the mail leaves."""
        for ahead in range((last - first).days + 1):
            live_a_day(self.travel(noon(first + timedelta(days=ahead))))

    def level(self, service_id: int) -> AccessLevel:
        """What the service may have."""
        with transaction() as tx:
            return AccessLevel(tx.scalars(select(policy.c.level).where(policy.c.service_id == service_id)).one())

    def set(self, **values: object) -> None:
        """Change business settings."""
        with transaction() as tx:
            set_business(tx, self.vault, "system", **values)


def live_a_day(now: datetime) -> None:
    """The tick runs, and the mail server takes what is to be sent."""
    tick.run(now)
    with transaction() as tx:
        tx.execute(update(message).where(message.c.state == "queued").values(state="sent", sent_at=now))


def wall_in(now: datetime) -> None:
    """Let those who have a service and do not pay be billed long ago, dunned by the standard policy and walled in now.

    They owe one monthly invoice by then that is overdue, and a second one.
    """
    for days_ago in (60, 10, 9, 8, 7, 0):
        live_a_day(now - timedelta(days=days_ago))


def noon(day: date) -> datetime:
    """Midday UTC: the same date in most of the world."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
