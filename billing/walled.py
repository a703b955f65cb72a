"""What is billed while debt walls a service in, by its plan: all, all for N days, or only the days used.

bill: the walled days cost what all days cost. stop: after `walled_stop_days` days nothing new is billed; what is billed
already stays. days: walled days cost nothing, and those billed in advance are given back. What is not billed stands as
a skipped period of its own, so that nobody is billed for it later.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, insert, literal, select, update

from base import trail
from base.access import Reason
from base.business import Business, load_business
from base.calendar import Period, local_date
from base.crypto import Vault, open_vault
from base.database import transaction
from base.offers import plan, skipped_period
from base.settings import settings
from base.tables import access_history, policy, service
from billing.changes import bill_again_from
from billing.deed import begin, bill_products_from
from billing.draft import FAR
from billing.refused import need
from billing.settle import lock_subscribers
from billing.sweep import sweep

WALLED = "walled"  # reason of the skipped periods
HOW = ("bill", "stop", "days")
SYSTEM = "dunning"
CHUNK = 50


def set_walled_billing(tx: Connection, actor: str, plan_id: int, how: str, stop_days: int = 0) -> None:
    """Say what a plan bills while debt walls its services in; whoever is walled in now goes by it from now on."""
    need(how in HOW, f"It is one of {', '.join(HOW)}.", "how")
    need(0 <= stop_days <= 366, "Billing stops after 0 to 366 days.", "stop_days")
    need(how == "stop" or not stop_days, "Days are only for 'stop'.", "stop_days")
    prepaid = tx.scalar(select(plan.c.prepaid).where(plan.c.id == plan_id))
    need(how == "bill" or not prepaid, "A prepaid plan sends no bills that could stop.", "how")
    values = {"walled_billing": how, "walled_stop_days": stop_days}
    changed = tx.execute(update(plan).where(plan.c.id == plan_id).values(values)).rowcount
    need(changed, "There is no such plan.", "plan_id")
    trail.record(tx, actor, "plan.walled_billing", subject="plan", subject_id=plan_id, detail=values)


def skip_walled(now: datetime) -> list[int]:
    """Begin and end skipped periods wherever that is due; returns the services. Harmless when run again."""
    vault = open_vault(settings().secret_keys)
    with transaction() as tx:
        begun, ended = _due(tx, load_business(tx, vault), now)

    def each(act: Callable[[Connection, Vault, int], None]) -> Callable[[Connection, list[int]], list[int]]:
        def do(tx: Connection, service_ids: list[int]) -> list[int]:
            payers = select(service.c.payer_id).where(service.c.id == func.any(service_ids)).distinct()
            lock_subscribers(tx, list(tx.scalars(payers)))  # in order, as everybody else does
            for service_id in service_ids:
                act(tx, vault, service_id)
            return service_ids

        return do

    return sweep("end skipped", ended, each(_end), size=CHUNK) + sweep("skip", begun, each(_begin), size=CHUNK)


def _indebted() -> ColumnElement[bool]:
    return literal(Reason.DEBT.value) == func.any(policy.c.reasons)


def _running(*such: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(
        skipped_period.c.service_id == service.c.id,
        skipped_period.c.reason == WALLED,
        skipped_period.c.end_on.is_(None),
        *such,
    )


def skip_for_payers(tx: Connection, vault: Vault, business: Business, payer_ids: Sequence[int], now: datetime) -> None:
    """The same for the services of these subscribers, within one transaction."""
    begun, ended = _due(tx, business, now, service.c.payer_id == func.any(list(payer_ids)))
    for service_id in ended:
        _end(tx, vault, service_id)
    for service_id in begun:
        _begin(tx, vault, service_id)


def _due(tx: Connection, business: Business, now: datetime, *among: ColumnElement[bool]) -> tuple[list[int], list[int]]:
    """Services whose skipped period is due to begin, and to end."""
    today = local_date(now, business.zone)
    query = (
        select(service.c.id)
        .join(policy, policy.c.service_id == service.c.id)
        .join(plan, plan.c.id == service.c.plan_id)
        .where(_running() & ~_indebted() | _running(skipped_period.c.note != plan.c.walled_billing), *among)
        .order_by(service.c.id)
    )
    ended = list(tx.scalars(query))
    if not tx.scalar(select(exists().where(plan.c.walled_billing != "bill"))):
        return [], ended
    other = access_history.alias()
    before = select(func.max(other.c.id)).where(
        other.c.service_id == service.c.id, literal(Reason.DEBT.value) != func.all(other.c.reasons)
    )
    since = select(func.min(access_history.c.at)).where(
        access_history.c.service_id == service.c.id, access_history.c.id > func.coalesce(before.scalar_subquery(), 0)
    )
    walled = (
        select(service.c.id, plan.c.walled_stop_days, since.scalar_subquery().label("since"))
        .join(policy, policy.c.service_id == service.c.id)
        .join(plan, and_(plan.c.id == service.c.plan_id, plan.c.walled_billing != "bill"))
        .where(_indebted(), ~_running(), service.c.ends_on.is_(None) | (service.c.ends_on > today), *among)
        .order_by(service.c.id)
    )
    begun = [row for row in tx.execute(walled) if row.since is None or (now - row.since).days >= row.walled_stop_days]
    return [row.id for row in begun], ended


def _begin(tx: Connection, vault: Vault, service_id: int) -> None:
    deed = begin(tx, vault, SYSTEM, service_id)
    indebted = select(_indebted()).where(policy.c.service_id == service_id)
    if tx.scalar(select(_running()).where(service.c.id == service_id)) or not tx.scalar(indebted):
        return  # somebody else began it, or they have paid meanwhile
    how = tx.scalars(select(plan.c.walled_billing).where(plan.c.id == deed.row.plan_id)).one()
    start = deed.today if how == "days" else max(deed.today, deed.row.billed_until)
    row = {"service_id": service_id, "start_on": start, "reason": WALLED, "note": how, "author": SYSTEM}
    tx.execute(insert(skipped_period).values(row))
    if how == "days":
        deed.give_back(Period(start, FAR), "Not used: walled in")
    deed.end("service.walled_not_billed", {"from": start.isoformat(), "how": how})


def _end(tx: Connection, vault: Vault, service_id: int) -> None:
    deed = begin(tx, vault, SYSTEM, service_id)
    running = (
        skipped_period.c.service_id == service_id,
        skipped_period.c.reason == WALLED,
        skipped_period.c.end_on.is_(None),
    )
    skipped = tx.execute(select(skipped_period).where(*running)).one_or_none()
    if skipped is None:
        return
    if skipped.start_on >= deed.today:
        tx.execute(delete(skipped_period).where(skipped_period.c.id == skipped.id))
    else:
        tx.execute(update(skipped_period).where(skipped_period.c.id == skipped.id).values(end_on=deed.today))
    day = max(deed.today, skipped.start_on)
    if skipped.note == "days":
        bill_again_from(deed, deed.today, "Back from the wall")
    elif day < deed.row.billed_until:  # the bill run passed over skipped days, which it is to bill now
        deed.set(billed_until=day)
        bill_products_from(tx, service_id, day)
    deed.end("service.billed_again", {"on": deed.today.isoformat()})
