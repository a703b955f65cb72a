"""The billing day of a subscriber: all services that they pay for are billed on it, whatever day they began."""

from datetime import date

from sqlalchemy import Connection, select, update

from base import trail
from base.crypto import Vault
from base.offers import service_plan
from base.tables import service, subscriber
from billing.anchors import anchor_for
from billing.deed import begin, boundary_of, plan_of, sell, sold_on
from billing.refused import need
from billing.settle import lock_subscribers


def set_billing_day(
    tx: Connection, vault: Vault, actor: str, subscriber_id: int, day: int | None
) -> dict[str, tuple[date, date] | None]:
    """Bill all that a subscriber pays for on `day` of the month (31: its last); None: each service on its own day.

    What was billed stays. From where it ends to the new day a service costs a part of a period. Returns for each
    service's login from when on it is so, and the day from which periods are counted then; None for one that stays as
    it is, because its cycle is not of months, or its plan has no parts of periods, or it is prepaid or has ended.
    """
    need(day is None or 1 <= day <= 31, "A billing day is 1 to 31.", "billing_day")
    need(lock_subscribers(tx, [subscriber_id]), "There is no such subscriber.", "subscriber_id")
    tx.execute(update(subscriber).where(subscriber.c.id == subscriber_id).values(billing_day=day))
    trail.record(
        tx, actor, "subscriber.billing_day_set", subject="subscriber", subject_id=subscriber_id, detail={"day": day}
    )
    found: dict[str, tuple[date, date] | None] = {}
    paid_for = select(service.c.id).where(service.c.payer_id == subscriber_id).order_by(service.c.id)
    for service_id in tx.scalars(paid_for).all():
        deed = begin(tx, vault, actor, service_id)
        old = plan_of(tx, deed.row.plan_id)
        ended = deed.row.ends_on is not None and deed.row.ends_on <= deed.today
        if day is None or ended or old.prepaid or old.cycle_unit != "month" or old.proration == "none":
            found[deed.row.login] = None
            continue
        first = boundary_of(deed, old)
        had, anchor = sold_on(deed, first), anchor_for(day, first)
        kept = {name: getattr(had, name) for name in ("plan_id", "price_minor", "price_reason")}
        sell(tx, service_id, first, anchor_on=anchor, **kept)
        later = select(service_plan).where(service_plan.c.service_id == service_id, service_plan.c.from_on > first)
        for row in tx.execute(later).all():
            this = service_plan.c.service_id == service_id, service_plan.c.from_on == row.from_on
            tx.execute(update(service_plan).where(*this).values(anchor_on=anchor_for(day, row.from_on)))
        deed.end("service.billing_day_set", {"day": day, "from": first.isoformat()})
        found[deed.row.login] = (first, anchor)
    return found
