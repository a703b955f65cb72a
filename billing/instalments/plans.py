"""Instalment plans are agreed, kept, broken and given up; each ends in the one funnel for access."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, func, insert, select, text, update

from base import trail
from base.business import Business, load_business
from base.calendar import local_date
from base.crypto import Vault
from base.money import Money, total
from base.tables import subscriber
from billing.apply import refresh_payers
from billing.cheques.waiting import waiting_of
from billing.collect.cases import leave_to_plan
from billing.dunning.agenda import forget
from billing.dunning.anew import begin_anew
from billing.dunning.doubt import doubts
from billing.dunning.tables import promise
from billing.instalments.agreed import Plan, active_plans, load_plans
from billing.instalments.mails import tell_plan
from billing.instalments.rules import Part, breaks_on
from billing.instalments.tables import instalment_invoice, instalment_part, instalment_plan
from billing.refused import need
from billing.settle import due_anew, lock_subscribers, open_invoices
from billing.tables import allocation

MOST_PARTS = 36
LONGEST = timedelta(days=3 * 366)


def overdue(
    tx: Connection, subscriber_id: int, today: date, invoice_ids: Collection[int] = ()
) -> tuple[Money, list[int]]:
    """What is open of a subscriber's overdue invoices (of these only), and their ids. Refused when nothing is."""
    currency = tx.scalar(select(subscriber.c.currency).where(subscriber.c.id == subscriber_id))
    need(currency is not None, "There is no such subscriber.", "subscriber_id")
    late = {each.id: each for each in open_invoices(tx, subscriber_id) if each.due_on <= today}
    wrong = sorted(set(invoice_ids) - late.keys())
    need(not wrong, "Only invoices that are due and not paid can be paid in parts.", "invoice_id")
    chosen = [each for each in late.values() if not invoice_ids or each.id in invoice_ids]
    need(chosen, "Nothing is overdue, so there is nothing to spread.", "subscriber_id")
    return total((each.open for each in chosen), str(currency)), [each.id for each in chosen]


def agree(
    tx: Connection, vault: Vault, business: Business, actor: str, subscriber_id: int, parts: Sequence[Part],
    now: datetime, invoice_ids: Collection[int] = (),
) -> int:  # fmt: skip
    """Have a subscriber pay overdue invoices (default: all of them) in parts; returns the plan's id.

    From now on nothing is taken away for them, no step of dunning and no late fee comes, and what was taken for them
    is back; a mail confirms it. The parts sum to what is open of the invoices. Refused with a sentence.
    """
    lock_subscribers(tx, [subscriber_id])
    today = local_date(now, business.zone)
    amount, ids = overdue(tx, subscriber_id, today, invoice_ids)
    need(not active_plans(tx, [subscriber_id]), "There is a plan already; it has to be kept or ended first.", "")
    _check(parts, amount, today)
    plan_id = tx.execute(
        insert(instalment_plan)
        .values(
            subscriber_id=subscriber_id,
            made_on=today,
            total_minor=amount.minor,
            currency=amount.currency,
            grace_days=business.instalment_grace_days,
            author=actor,
            created_at=now,
        )
        .returning(instalment_plan.c.id)
    ).scalar_one()
    numbered = [
        {"plan_id": plan_id, "number": number, "due_on": each.due_on, "amount_minor": each.amount.minor}
        for number, each in enumerate(parts, 1)
    ]
    tx.execute(insert(instalment_part), numbered)
    tx.execute(insert(instalment_invoice), [{"plan_id": plan_id, "invoice_id": each} for each in ids])
    leave_to_plan(tx, ids, now)
    tx.execute(
        update(promise)
        .where(promise.c.subscriber_id == subscriber_id, promise.c.state == "open")
        .values(state="void", decided_on=today)  # the plan is what was agreed instead
    )
    tell_plan(tx, business, active_plans(tx, [subscriber_id])[subscriber_id])
    detail = {"plan_id": plan_id, "parts": len(parts), "amount_minor": amount.minor, "currency": amount.currency}
    trail.record(tx, actor, "instalments.agreed", subject="subscriber", subject_id=subscriber_id, detail=detail)
    forget(tx, [subscriber_id])
    refresh_payers(tx, vault, {subscriber_id}, now, actor)
    return int(plan_id)


def cancel(
    tx: Connection, vault: Vault, business: Business, actor: str, subscriber_id: int, reason: str, now: datetime
) -> None:
    """End a subscriber's plan; what is open is dunned anew from today. Refused when there is none."""
    need(reason.strip(), "Why? Somebody will ask.", "reason")
    lock_subscribers(tx, [subscriber_id])
    found = active_plans(tx, [subscriber_id]).get(subscriber_id)
    need(found is not None, "This subscriber has no instalment plan.", "subscriber_id")
    assert found is not None
    _end(tx, vault, business, found, "void", actor, now, reason)


def decided_payers(tx: Connection, today: date) -> list[int]:
    """Subscribers whose plan is paid, or has a part that is late by more than its grace, in order of their ids."""
    return sorted(tx.scalars(_DECIDED, {"today": today}))


_DECIDED = text(
    "SELECT p.subscriber_id FROM instalment_plan p, LATERAL (SELECT coalesce(sum(o.open_minor), 0) AS minor "
    "FROM instalment_invoice i JOIN open_item o USING (invoice_id) WHERE i.plan_id = p.id) o "
    "WHERE p.state = 'active' AND (o.minor = 0 OR o.minor > (SELECT coalesce(sum(q.amount_minor), 0) "
    "FROM instalment_part q WHERE q.plan_id = p.id AND q.due_on + p.grace_days >= :today))"
)


def settle_plans(tx: Connection, vault: Vault, payer_ids: Collection[int], now: datetime) -> list[int]:
    """Note which plans of these are paid, and which broke; returns the subscribers.

    None breaks while money is under way (billing.dunning.doubt) or a cheque is: that is bounded, and then it is known.
    """
    ids = lock_subscribers(tx, payer_ids)
    business = load_business(tx, vault)
    today = local_date(now, business.zone)
    held = doubts(tx, ids, now).keys() | waiting_of(tx, ids).keys()
    done = []
    for payer, plan in active_plans(tx, ids).items():
        day = breaks_on(plan.parts, plan.open, plan.grace_days)
        if day is None:
            _end(tx, vault, business, plan, "void" if _given_up(tx, plan) else "kept", "system", now)
        elif day <= today and payer not in held:
            _end(tx, vault, business, plan, "broken", "system", now)
        else:
            continue
        done.append(payer)
    return done


def plans_of(tx: Connection, subscriber_id: int) -> list[Plan]:
    """All plans of a subscriber, the newest first."""
    return load_plans(tx, instalment_plan.c.subscriber_id == subscriber_id)


def list_plans(tx: Connection) -> list[tuple[str, str, Plan]]:
    """(account number, name, plan) of all that are active, the newest first."""
    found = load_plans(tx, instalment_plan.c.state == "active")
    query = select(subscriber).where(subscriber.c.id == func.any([each.subscriber_id for each in found]))
    who = {row.id: row for row in tx.execute(query)}
    return [(who[each.subscriber_id].number, who[each.subscriber_id].name, each) for each in found]


def _end(
    tx: Connection, vault: Vault, business: Business, plan: Plan, state: str, actor: str, now: datetime,
    reason: str = "",
) -> None:  # fmt: skip
    today = local_date(now, business.zone)
    values = {"state": state, "decided_on": today, "reason": reason}
    tx.execute(update(instalment_plan).where(instalment_plan.c.id == plan.id).values(**values))
    tx.execute(update(instalment_invoice).where(instalment_invoice.c.plan_id == plan.id).values(alive=False))
    if plan.open:
        because = "An instalment plan was agreed, and is over; the debt is announced anew."
        begin_anew(tx, due_anew(tx, plan.invoice_ids, today), now, today, because)
    detail = {"plan_id": plan.id, "reason": reason}
    who = plan.subscriber_id
    trail.record(tx, actor, f"instalments.{state}", subject="subscriber", subject_id=who, detail=detail)
    forget(tx, [who])
    refresh_payers(tx, vault, {who}, now, actor if actor != "system" else "instalments")


def _given_up(tx: Connection, plan: Plan) -> bool:
    """Whether something of its invoices was written off, which is no keeping of a word."""
    written = select(func.sum(allocation.c.amount_minor)).where(
        allocation.c.invoice_id == func.any(list(plan.invoice_ids)), allocation.c.write_off_id.is_not(None)
    )
    return int(tx.scalar(written) or 0) > 0


def _check(parts: Sequence[Part], amount: Money, today: date) -> None:
    days = [each.due_on for each in parts]
    need(2 <= len(parts) <= MOST_PARTS, f"A plan has 2 to {MOST_PARTS} parts.", "parts")
    need(days == sorted(set(days)), "Each part has a day of its own, one after the other.", "parts")
    need(days[0] >= today, "The first part is for today or a day to come.", "parts")
    need(days[-1] <= today + LONGEST, "A plan lasts three years at most.", "parts")
    need(all(each.amount.currency == amount.currency for each in parts), f"It is paid in {amount.currency}.", "parts")
    need(all(each.amount.minor > 0 for each in parts), "Each part is more than nothing.", "parts")
    summed = total((each.amount for each in parts), amount.currency)
    sentence = f"The parts sum to {summed.minor}, and {amount.minor} are open (in the smallest unit of the currency)."
    need(summed == amount, sentence, "parts")
