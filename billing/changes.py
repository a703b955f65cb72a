"""What changes during a service's life: plan, price, pause, payer. Each takes effect in one transaction.

Days that were billed and are not used after all are given back by credit note; what replaces them is billed anew.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, func, insert, select, update

from base import clock
from base.business import load_business
from base.calendar import Cycle, Period, local_date, period_around
from base.crypto import Vault
from base.money import Money
from base.offers import plan, service_plan, skipped_period
from base.tables import service, subscriber
from billing.anchors import anchor_for
from billing.credit_notes import kept_until
from billing.deed import Deed, begin, bill_products_from, boundary_of, plan_of, sell, sold_on
from billing.draft import FAR
from billing.issue import issue_for_subscribers
from billing.prepaid.deeds import need_cover
from billing.prepaid.renewal import renew, renew_and_refresh
from billing.refused import need
from billing.settle import lock_subscribers
from billing.tables import credit_note, invoice

PAUSE = "pause"
_NO_PAUSE = "A prepaid service is not paused: switch its renewal off instead."


def change_plan(
    tx: Connection, vault: Vault, actor: str, service_id: int, plan_id: int, *, at_boundary: bool = False
) -> date:
    """Put a service on another plan, now or where its billed time ends; returns the first day of the new plan.

    Now: what was billed beyond today is given back and the new plan is billed from today on, so that the subscriber
    pays for each day once. At the boundary nothing is given back. Speeds follow on that day, and those of a prepaid
    plan that follows a prepaid one at the minute at which the paid time is over. Now, a running prepaid service gets
    the rest of its days back and buys a period of the new plan at once; Refused where the balance does not cover that.
    """
    deed = begin(tx, vault, actor, service_id)
    new, old = plan_of(tx, plan_id), plan_of(tx, deed.row.plan_id)
    need(new.currency == old.currency, f"The plan is priced in {new.currency}, not in {old.currency}.", "plan_id")
    need(new.retired_on is None or deed.today < new.retired_on, f"{new.name} is no longer sold.", "plan_id")
    need(deed.row.ends_on is None or deed.today < deed.row.ends_on, "The service has ended.", "service_id")
    day = boundary_of(deed, old) if at_boundary else max(deed.today, deed.row.starts_on)
    same_cycle = _rhythm(new) == _rhythm(old) and not (old.prepaid or new.prepaid)
    values: dict[str, Any] = {}
    runs = old.prepaid and deed.row.paid_until is not None and deed.now < deed.row.paid_until
    hours = runs and old.cycle_unit == "hour" and not at_boundary
    need(not hours, "Hours are not given back; change it at the boundary (--at-boundary).", "plan_id")
    if day < deed.row.billed_until:
        deed.give_back(Period(day, FAR), f"Change from {old.name} to {new.name}", only_plan=same_cycle)
        values["billed_until"] = kept_until(tx, service_id, day)
        if old.prepaid or new.prepaid:
            said = f"What is paid of {old.name} is given back whole or not at all; change it at the boundary."
            need(values["billed_until"] == day, said, "plan_id")
        if not same_cycle:
            bill_products_from(tx, service_id, day)
    if old.prepaid and not at_boundary:
        values |= {"paid_until": None, "prepaid_from": None}
    if old.prepaid and not new.prepaid:
        values["billed_until"] = day
    anchor = sold_on(deed, day).anchor_on
    if not same_cycle and period_around(anchor, Cycle(new.cycle_unit, new.cycle_length), day).start != day:
        payer = tx.execute(select(subscriber.c.billing_day).where(subscriber.c.id == deed.row.payer_id)).one()
        anchor = anchor_for(payer.billing_day, day)
    tx.execute(delete(service_plan).where(service_plan.c.service_id == service_id, service_plan.c.from_on > day))
    sell(tx, service_id, day, plan_id=plan_id, anchor_on=anchor, price_minor=None, price_reason="")
    waits = runs and at_boundary and new.prepaid  # the renewal puts it on its plan, at the minute
    if not waits and (day <= deed.today or day == deed.row.starts_on):
        values["plan_id"] = plan_id
    if values:
        deed.set(**values)
    if runs and new.prepaid and not at_boundary:
        need_cover(deed)  # else it would lose the time that it had
        renew(tx, vault, deed.business, [service_id], deed.now, asked=True)
    deed.end("service.plan_changed", {"from": old.name, "to": new.name, "on": day.isoformat()})
    return day


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change of plan would move, tax included."""

    on: date
    "First day of the new plan."
    credited: Money
    charged: Money
    "By the invoice that follows at once; nothing where none does."


def preview_change(
    tx: Connection, vault: Vault, actor: str, service_id: int, plan_id: int, *, at_boundary: bool = False
) -> Preview:
    """What `change_plan` would do, to the cent: it is done and taken back, so that nothing can differ."""
    currency = plan_of(tx, plan_id).currency
    with tx.begin_nested() as trial:
        last = tx.scalar(select(func.max(credit_note.c.id))) or 0
        billed = tx.scalar(select(func.max(invoice.c.id))) or 0
        day = change_plan(tx, vault, actor, service_id, plan_id, at_boundary=at_boundary)
        payer = tx.scalar(select(service.c.payer_id).where(service.c.id == service_id))
        assert payer is not None
        issue_for_subscribers(tx, vault, load_business(tx, vault), [payer], clock.now())
        # the payer's money is locked: what is newer is ours
        theirs = credit_note.c.id > last, credit_note.c.subscriber_id == payer
        credited = tx.scalar(select(func.sum(credit_note.c.total_minor)).where(*theirs))
        theirs = invoice.c.id > billed, invoice.c.subscriber_id == payer
        charged = tx.scalar(select(func.sum(invoice.c.total_minor)).where(*theirs))
        trial.rollback()
    return Preview(day, Money(int(credited or 0), currency), Money(int(charged or 0), currency))


def switch_plans(tx: Connection, vault: Vault, service_ids: list[int], now: datetime) -> list[int]:
    """Let planned changes of plan take effect whose day has come; returns the services."""
    today = local_date(now, load_business(tx, vault).zone)
    payers = select(service.c.payer_id).where(service.c.id == func.any(service_ids)).distinct()
    lock_subscribers(tx, list(tx.scalars(payers)))  # before the services, as bills and payments do
    rows = tx.execute(_switching(today).where(service.c.id == func.any(service_ids)).with_for_update(of=service)).all()
    for row in rows:
        tx.execute(update(service).where(service.c.id == row.id).values(plan_id=row.plan_id))
    ids = [row.id for row in rows]
    renew_and_refresh(tx, vault, ids, now, because="time")
    return ids


def due_switches(tx: Connection, today: date) -> list[int]:
    """Services whose plan of `today` is not the one they have."""
    return [row.id for row in tx.execute(_switching(today))]


def _switching(today: date) -> Any:
    newest = (
        select(service_plan.c.plan_id)
        .where(service_plan.c.service_id == service.c.id, service_plan.c.from_on <= today)
        .order_by(service_plan.c.from_on.desc())
        .limit(1)
        .lateral("newest")
    )
    bought, next_bought = plan.alias("bought"), plan.alias("next_bought")
    by_renewal = (  # at the minute, not the day
        exists()
        .select_from(bought.join(next_bought, bought.c.prepaid & next_bought.c.prepaid))
        .where(bought.c.id == service.c.plan_id, next_bought.c.id == newest.c.plan_id)
    )
    changed = service_plan.alias("changed")  # few services ever do; the others are not looked at one by one
    later = (changed.c.service_id == service.c.id, changed.c.from_on > service.c.starts_on, changed.c.from_on <= today)
    return (
        select(service.c.id, newest.c.plan_id)
        .join(newest, newest.c.plan_id != service.c.plan_id)
        .where(exists().where(*later), ~by_renewal)
        .order_by(service.c.id)
    )


def set_price(tx: Connection, vault: Vault, actor: str, service_id: int, price: Money | None, reason: str) -> None:
    """Have a service cost `price` per period instead of its plan's, from the next period on; None: the plan's again."""
    deed = begin(tx, vault, actor, service_id)
    need(reason.strip(), "Another price needs a reason: somebody will ask.", "reason")
    if price is not None:
        need(price.minor >= 0, "A price is not negative.", "price")
        bought = plan_of(tx, deed.row.plan_id)
        need(price.currency == bought.currency, f"The plan is priced in {bought.currency}.", "price")
    minor = None if price is None else price.minor
    day = boundary_of(deed, plan_of(tx, deed.row.plan_id))
    had = sold_on(deed, day)
    words = "" if price is None else reason
    sell(tx, service_id, day, plan_id=had.plan_id, anchor_on=had.anchor_on, price_minor=minor, price_reason=words)
    later = service_plan.c.service_id == service_id, service_plan.c.from_on > day
    tx.execute(update(service_plan).where(*later).values(price_minor=minor, price_reason=words))
    deed.end("service.price_set", {"price_minor": minor, "reason": reason, "from": day.isoformat()})


def pause(
    tx: Connection, vault: Vault, actor: str, service_id: int, start: date, end: date | None, note: str = ""
) -> int:
    """Pause a service on the days [start, end), or until somebody resumes it: walled, and not billed.

    What was billed for these days is given back. Returns the skipped period's id.
    """
    deed = begin(tx, vault, actor, service_id)
    need(not plan_of(tx, deed.row.plan_id).prepaid, _NO_PAUSE, "service_id")
    need(start >= deed.today, "A pause begins today or later.", "start")
    need(end is None or start < end, "A pause ends after it began.", "end")
    days = Period(start, end or FAR)
    clash = select(skipped_period.c.id).where(
        skipped_period.c.service_id == service_id,
        skipped_period.c.start_on < days.end,
        func.coalesce(skipped_period.c.end_on, FAR) > days.start,
    )
    need(tx.scalar(clash) is None, "The service is paused on some of these days already.", "start")
    row = {"service_id": service_id, "start_on": start, "end_on": end, "reason": PAUSE, "note": note, "author": actor}
    skipped_id = tx.execute(insert(skipped_period).values(row).returning(skipped_period.c.id)).scalar_one()
    deed.give_back(days, "Pause")
    deed.end("service.paused", {"from": start.isoformat(), "until": end and end.isoformat(), "note": note})
    return int(skipped_id)


def resume(tx: Connection, vault: Vault, actor: str, service_id: int) -> None:
    """End a pause today (or, where it has not begun, before it does); the days after it are billed again."""
    deed = begin(tx, vault, actor, service_id)
    paused = tx.execute(
        select(skipped_period)
        .where(
            skipped_period.c.service_id == service_id,
            skipped_period.c.reason == PAUSE,
            func.coalesce(skipped_period.c.end_on, FAR) > deed.today,
        )
        .order_by(skipped_period.c.start_on)
        .limit(1)
    ).one_or_none()
    need(paused is not None, "The service is not paused.", "service_id")
    assert paused is not None
    day = max(deed.today, paused.start_on)
    if day == paused.start_on:
        tx.execute(delete(skipped_period).where(skipped_period.c.id == paused.id))
    else:
        tx.execute(update(skipped_period).where(skipped_period.c.id == paused.id).values(end_on=day))
    bill_again_from(deed, day, "End of a pause")
    deed.end("service.resumed", {"on": day.isoformat()})


def bill_again_from(deed: Deed, day: date, reason: str) -> None:
    """Bill the days from `day` on that were billed and given back, anew with what is billed beyond them."""
    if day < deed.row.billed_until:
        deed.give_back(Period(day, FAR), reason)
        deed.set(billed_until=kept_until(deed.tx, deed.row.id, day))
        bill_products_from(deed.tx, deed.row.id, day)


def set_payer(tx: Connection, vault: Vault, actor: str, service_id: int, payer_id: int) -> None:
    """Let somebody else pay for a service from its next bill on; open debts stay whose they are."""
    deed = begin(tx, vault, actor, service_id)
    payer = tx.execute(select(subscriber).where(subscriber.c.id == payer_id)).one_or_none()
    need(payer is not None, "There is no such subscriber.", "payer_id")
    assert payer is not None
    bought = plan_of(tx, deed.row.plan_id)
    need(payer.currency == bought.currency, f"The plan is priced in {bought.currency}.", "payer_id")
    deed.set(payer_id=payer_id)
    deed.end("service.payer_set", {"payer": payer.number})


def _rhythm(row: Row[Any]) -> tuple[Any, ...]:
    return row.cycle_unit, row.cycle_length, row.in_arrears
