"""One change of a service under way: what it locks, what every change ends with, and what the service was sold for."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from base import clock, jobs, trail
from base.business import Business, load_business
from base.calendar import Cycle, Period, local_date, period_around
from base.crypto import Vault
from base.offers import plan, service_plan
from base.tables import service
from billing.credit_notes import credit_unused
from billing.prepaid.renewal import renew_and_refresh
from billing.recurring import schedule
from billing.refused import need
from billing.settle import lock_subscribers
from billing.tables import service_product


@dataclass(frozen=True, slots=True)
class Deed:
    """One change under way."""

    tx: Connection
    vault: Vault
    business: Business
    actor: str
    row: Row[Any]
    now: datetime

    @property
    def today(self) -> date:
        """The provider's date."""
        return local_date(self.now, self.business.zone)

    def give_back(self, days: Period, reason: str, *, only_plan: bool = False) -> None:
        """Credit what was billed for `days`."""
        credit_unused(
            self.tx, self.vault, self.business, self.actor, self.row.id, days, reason, self.now, only_plan=only_plan
        )

    def give_back_product(self, days: Period, service_product_id: int, reason: str) -> None:
        """Credit what was billed of one add-on for `days`."""
        credit_unused(
            self.tx, self.vault, self.business, self.actor, self.row.id, days, reason, self.now,
            only_product=service_product_id,
        )  # fmt: skip

    def set(self, **values: object) -> None:
        """Write the service's row."""
        self.tx.execute(update(service).where(service.c.id == self.row.id).values(**values))

    def end(self, act: str, detail: dict[str, Any]) -> None:
        """What every change ends with: when is it billed next, who did it, what may the service do now."""
        schedule(self.tx, [self.row.id])
        trail.record(self.tx, self.actor, act, subject="service", subject_id=self.row.id, detail=detail)
        renew_and_refresh(self.tx, self.vault, [self.row.id], self.now, because=self.actor)
        jobs.enqueue(self.tx, jobs.Kind.TICK, {}, key=f"tick:{act}:{self.row.id}:{self.now.isoformat()}")


def begin(tx: Connection, vault: Vault, actor: str, service_id: int) -> Deed:
    """Lock a service and the money of who pays for it; Refused when there is none."""
    payer = tx.scalar(select(service.c.payer_id).where(service.c.id == service_id))
    if payer is not None:
        lock_subscribers(tx, [payer])  # before the service, as the bill run and payments do
    row = tx.execute(select(service).where(service.c.id == service_id).with_for_update()).one_or_none()
    need(row is not None, "There is no such service.", "service_id")
    assert row is not None
    return Deed(tx, vault, load_business(tx, vault), actor, row, clock.now())


def boundary_of(deed: Deed, old: Row[Any]) -> date:
    """The first day that is not billed yet, or in arrears the end of the period under way."""
    first: date = max(deed.row.billed_until, deed.today, deed.row.starts_on)
    if not old.in_arrears or deed.today < deed.row.starts_on:
        return first
    cycle = Cycle(old.cycle_unit, old.cycle_length)
    return period_around(sold_on(deed, deed.today).anchor_on, cycle, deed.today).end


def sold_on(deed: Deed, day: date) -> Row[Any]:
    """What the service was sold for `day`: plan, anchor, price."""
    query = select(service_plan).where(service_plan.c.service_id == deed.row.id)
    until = query.where(service_plan.c.from_on <= day).order_by(service_plan.c.from_on.desc()).limit(1)
    first = query.order_by(service_plan.c.from_on).limit(1)
    return deed.tx.execute(until).one_or_none() or deed.tx.execute(first).one()


def sell(tx: Connection, service_id: int, day: date, **values: Any) -> None:
    """What the service is sold from `day` on."""
    sold = upsert(service_plan).values(service_id=service_id, from_on=day, **values)
    tx.execute(sold.on_conflict_do_update(index_elements=["service_id", "from_on"], set_=values))


def plan_of(tx: Connection, plan_id: int) -> Row[Any]:
    """The plan; Refused when there is none."""
    row = tx.execute(select(plan).where(plan.c.id == plan_id)).one_or_none()
    need(row is not None, "There is no such plan.", "plan_id")
    assert row is not None
    return row


def bill_products_from(tx: Connection, service_id: int, day: date) -> None:
    """Have the add-ons of a service billed anew from `day` on."""
    behind = (service_product.c.service_id == service_id, service_product.c.billed_until > day)
    start = func.greatest(service_product.c.from_on, day)
    tx.execute(update(service_product).where(*behind).values(billed_until=start))
