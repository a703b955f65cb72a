"""What most tests of prepaid services begin with, in the time of Vienna."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select

from base.calendar import Cycle
from base.database import transaction
from base.money import Money
from base.tables import access_history, policy, service
from billing.plans import add_plan
from billing.prepaid.renewal import balance_of
from billing.services import add_service
from billing.tables import invoice
from billing.tick import run
from tests.billing.provider import Provider

VIENNA = ZoneInfo("Europe/Vienna")
DAY = Cycle("day", 1)
MONTH = Cycle("month", 1)


def vienna(month: int, day: int, hour: int = 14, minute: int = 35, second: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, second, tzinfo=VIENNA).astimezone(UTC)


def sold(isp: Provider, price: int = 1000, cycle: Cycle = DAY, **more: Any) -> int:
    """A prepaid plan, 10.00 a day with the tax in it."""
    with transaction() as tx:
        return add_plan(
            tx, "system", name=f"Pre {next(isp.numbers)}", price=Money(price, "EUR"), tax_percent="20", cycle=cycle,
            **{"price_inclusive": True, "prepaid": True, "rate_down": 50_000_000, "rate_up": 10_000_000, **more},
        )  # fmt: skip


def line(isp: Provider, anna: int, plan_id: int) -> int:
    """A service from today on."""
    with transaction() as tx:
        login = f"line{next(isp.numbers)}"
        return add_service(tx, isp.vault, "system", subscriber_id=anna, plan_id=plan_id, login=login, password="secret")


def row_of(service_id: int) -> Any:
    with transaction() as tx:
        return tx.execute(select(service).where(service.c.id == service_id)).one()


def reasons(service_id: int) -> list[str]:
    with transaction() as tx:
        return list(tx.scalars(select(policy.c.reasons).where(policy.c.service_id == service_id)).one())


def balance(subscriber_id: int) -> int:
    with transaction() as tx:
        return balance_of(tx, subscriber_id).minor


def totals() -> list[int]:
    with transaction() as tx:
        return list(tx.scalars(select(invoice.c.total_minor).order_by(invoice.c.id)))


def do(isp: Provider, deed: Any, *args: Any, **more: Any) -> Any:
    with transaction() as tx:
        return deed(tx, isp.vault, "staff:1", *args, **more)


def tick_at(isp: Provider, now: datetime) -> None:
    run(isp.travel(now))


def history(service_id: int) -> list[int]:
    """Every level that it has had."""
    with transaction() as tx:
        query = select(access_history.c.level).where(access_history.c.service_id == service_id)
        return list(tx.scalars(query.order_by(access_history.c.id)))
