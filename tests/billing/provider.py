"""A small internet provider in a test's database: the deeds that most tests begin with."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import count
from typing import Any

from sqlalchemy import Engine

from base import clock
from base.business import load_business, set_business
from base.calendar import Cycle
from base.crypto import Vault
from base.database import transaction
from base.money import Money
from billing.payments import record_payment
from billing.plans import add_plan
from billing.services import add_service, add_subscriber


@dataclass
class Provider:
    """One provider in one database, with the few deeds that most tests begin with."""

    engine: Engine
    vault: Vault
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def travel(self, now: datetime) -> datetime:
        """Make `now` the time that business clocks show."""
        clock.travel_to_offset(now - clock.real())
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

    def set(self, **values: object) -> None:
        """Change business settings."""
        with transaction() as tx:
            set_business(tx, self.vault, "system", **values)


def noon(day: date) -> datetime:
    """Midday UTC: the same date in most of the world."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
