"""The daily work of dunning: arrived notices noted, due steps taken, each in the transaction that says so.

Run it as often as you like: a case takes one step a day, and a step once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    exists,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from base.access import Reason
from base.business import Business, load_business
from base.calendar import local_date
from base.crypto import Vault, open_vault
from base.database import transaction
from base.money import Money, total
from base.settings import settings
from base.tables import policy as access
from base.tables import service
from billing.apply import refresh_payers
from billing.dunning.cases import Payer, load_payers
from billing.dunning.debts import billed_services
from billing.dunning.doubt import trouble
from billing.dunning.fees import charge_late_fee
from billing.dunning.letters import write_letter
from billing.dunning.policies import Policies, load_policies
from billing.dunning.policy import MESSAGES, TAKING, Step
from billing.dunning.promises import decided_payers, settle_promises
from billing.dunning.rules import Case, in_time, is_announced, lost_notices, named_date, next_step
from billing.dunning.tables import dunning_group, dunning_notice, dunning_step
from billing.endings import cancel
from billing.mail_sources import load_sources
from billing.mail_words import Sources
from billing.outbox import Outgoing, queue_all, reached_at, withdraw
from billing.settle import lock_subscribers, open_by_subscriber
from billing.sweep import sweep
from billing.tables import message, open_item

CHUNK = 50  # subscribers to a transaction
NON_PAYMENT = "non-payment"  # why a service ended, for the churn report


@dataclass(frozen=True, slots=True)
class Act:
    """One thing to do for a case today: a step, or a notice again because the first did not arrive in time."""

    case: Case
    step: Step
    again: tuple[Step, ...] = ()
    "The taking steps that `step`, a message, announces once more; empty: it is taken for the first time."


@dataclass(slots=True)
class _Work:
    """What one transaction gathers."""

    tx: Connection
    vault: Vault
    business: Business
    now: datetime
    today: date
    sources: Sources
    letters: list[Outgoing] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)
    "Payers for whom a date was named."
    done: list[int] = field(default_factory=list)
    "Invoices."


def run_dunning(now: datetime) -> list[int]:
    """Do what is due by now; returns the invoices that took a step. Harmless when run again or at once."""
    vault = open_vault(settings().secret_keys)
    with transaction() as tx:
        business = load_business(tx, vault)
        today = local_date(now, business.zone)
        promised, arrived = decided_payers(tx, today), arrived_payers(tx, today)

    def settle(tx: Connection, payer_ids: list[int]) -> list[int]:
        return settle_promises(tx, vault, payer_ids, now)

    def note(tx: Connection, payer_ids: list[int]) -> list[int]:
        return note_arrivals(tx, vault, payer_ids, now)

    def act(tx: Connection, payer_ids: list[int]) -> list[int]:
        return dun(tx, vault, payer_ids, now)

    try:
        sweep("settle promises", promised, settle, size=CHUNK)
        sweep("note arrived notices", arrived, note, size=CHUNK)
    finally:  # whose promise or notice cannot be noted keeps nobody else's step back
        with transaction() as tx:
            due = due_payers(tx, business, now)
        done = sweep("dun", due, act, size=CHUNK)
    return done


def due_payers(tx: Connection, business: Business, now: datetime) -> list[int]:
    """Subscribers for whom there is something to do now, in order of their ids."""
    today = local_date(now, business.zone)
    policies = load_policies(tx, business)
    overdue = (
        select(open_item.c.subscriber_id)
        .outerjoin(dunning_group, dunning_group.c.subscriber_id == open_item.c.subscriber_id)
        .where(open_item.c.dunned, open_item.c.due_on <= today, _is_unfinished(policies))
        .distinct()
    )
    payers = load_payers(tx, business, list(tx.scalars(overdue)), now, policies)
    silent = bool(trouble(tx))
    return sorted(payer.id for payer in payers.values() if due_acts(payer, today, fees_wait=silent))


def _is_unfinished(policies: Policies) -> ColumnElement[bool]:
    """Whether something can still come of an invoice: old debts that only wait for money are not loaded each minute."""
    unfinished: list[ColumnElement[bool]] = [false()]
    for policy in policies.by_id.values():
        last = next((step.act for step in reversed(policy.steps) if step.act in MESSAGES or step.act == "end"), "")
        taken = exists().where(dunning_step.c.invoice_id == open_item.c.invoice_id, dunning_step.c.act == last)
        named = (
            exists().where(
                dunning_notice.c.invoice_id == open_item.c.invoice_id,
                dunning_notice.c.act == step.act,
                dunning_notice.c.in_time,
            )
            for step in policy.steps
            if step.act in TAKING
        )
        mine = func.coalesce(dunning_group.c.policy_id, policies.default.id) == policy.id
        unfinished.append(mine & ~and_(taken, *named))
    return or_(*unfinished)


def due_acts(payer: Payer, today: date, *, fees_wait: bool) -> list[Act]:
    """What is to be done for one payer today; with `fees_wait` a step with a fee waits, for Stripe to be heard from."""
    policy = payer.policy
    if payer.held_until is not None and today < payer.held_until:
        return []
    overdue = sum(case.dunned.minor for case in payer.cases if case.due_on <= today)
    if payer.currency == policy.currency and overdue < policy.minimum:
        return []
    acts = []
    for case in payer.cases:
        step = next_step(policy, case, today)
        costs = step is not None and step.fee is not None and not case.fee_charged
        if step is not None and not (costs and fees_wait):
            acts.append(Act(case, step))
        elif step is None and payer.at_stake:
            lost: dict[str, list[Step]] = {}
            for taking in lost_notices(policy, case, today):
                lost.setdefault(policy.announcer(taking.act).act, []).append(taking)
            acts += [Act(case, _message(payer, act), tuple(steps)) for act, steps in lost.items()]
    return acts


def dun(tx: Connection, vault: Vault, payer_ids: Sequence[int], now: datetime) -> list[int]:
    """Take the due steps of these subscribers; returns the invoices."""
    lock_subscribers(tx, payer_ids)
    business = load_business(tx, vault)
    work = _Work(tx, vault, business, now, local_date(now, business.zone), load_sources(tx))
    silent = bool(trouble(tx))
    for payer in load_payers(tx, business, payer_ids, now).values():
        owed = total((debt.open for debt in open_by_subscriber(tx, [payer.id]).get(payer.id, [])), payer.currency)
        for act in due_acts(payer, work.today, fees_wait=silent):
            _take(work, payer, act, owed)
    queue_all(tx, business, work.letters)
    refresh_payers(tx, vault, work.touched, now, because="dunning")
    return work.done


def arrived_payers(tx: Connection, today: date) -> list[int]:
    """Subscribers whom a notice has reached since it was last looked at, or from whom one came back."""
    query = (
        select(dunning_notice.c.message_key, open_item.c.subscriber_id)
        .join(open_item, open_item.c.invoice_id == dunning_notice.c.invoice_id)
        .where(dunning_notice.c.arrived_on.is_(None))
    )
    waiting = tx.execute(query).all()
    reached = reached_at(tx, {row.message_key for row in waiting})
    arrived = {row.subscriber_id for row in waiting if row.message_key in reached}
    return sorted(arrived | {row.subscriber_id for row in _returned(tx, today)})


def _returned(tx: Connection, today: date, *among: ColumnElement[bool]) -> list[Row[Any]]:
    """Notices of days to come that bounced or were refused, and that no other channel had carried by then."""
    query = (
        select(dunning_notice, open_item.c.subscriber_id)
        .join(open_item, open_item.c.invoice_id == dunning_notice.c.invoice_id)
        .join(message, message.c.key == dunning_notice.c.message_key)
        .where(
            dunning_notice.c.on_day > today,
            dunning_notice.c.in_time.is_distinct_from(False),
            message.c.state.in_(["bounced", "refused"]),
            *among,
        )
    )
    rows = tx.execute(query).all()
    reached = reached_at(tx, {row.message_key for row in rows})
    return [row for row in rows if row.message_key not in reached]


def note_arrivals(tx: Connection, vault: Vault, payer_ids: Sequence[int], now: datetime) -> list[int]:
    """Note which notices have reached these subscribers, and whether early enough for the dates they name.

    One that came back before its date has not arrived. Access is decided anew with that; returns the invoices.
    """
    lock_subscribers(tx, payer_ids)
    business = load_business(tx, vault)
    policies = load_policies(tx, business)
    theirs = open_item.c.subscriber_id == func.any(list(payer_ids))
    returned = [row.id for row in _returned(tx, local_date(now, business.zone), theirs)]
    came_back = update(dunning_notice).where(dunning_notice.c.id == func.any(returned))
    tx.execute(came_back.values(arrived_on=None, in_time=False))
    waiting = tx.execute(
        select(dunning_notice, dunning_group.c.policy_id)
        .join(open_item, open_item.c.invoice_id == dunning_notice.c.invoice_id)
        .outerjoin(dunning_group, dunning_group.c.subscriber_id == open_item.c.subscriber_id)
        .where(dunning_notice.c.arrived_on.is_(None), theirs)
    ).all()
    reached = reached_at(tx, {row.message_key for row in waiting})
    noted = [row for row in waiting if row.message_key in reached]
    for row in noted:
        day = local_date(reached[row.message_key], business.zone)
        early = in_time(policies.of(row.policy_id), row.on_day, day)
        tx.execute(update(dunning_notice).where(dunning_notice.c.id == row.id).values(arrived_on=day, in_time=early))
    refresh_payers(tx, vault, payer_ids, now, because="dunning")
    return [row.invoice_id for row in noted]


def _message(payer: Payer, act: str) -> Step:
    found = payer.policy.step(act)
    assert found is not None
    return found


def _take(work: _Work, payer: Payer, act: Act, owed: Money) -> None:
    step, case = act.step, act.case
    if step.act == "end":
        if _end_services(work, payer, case):
            _note_step(work, case, step, None)
        return
    fee, charge_id = None, None
    if step.fee is not None and not act.again and not case.fee_charged:
        fee, charge_id = charge_late_fee(work.tx, work.business, payer, case, step.fee, work.today)
    announces = act.again or (payer.policy.announces(step.act) if payer.at_stake else ())
    kept = [each for each in announces if is_announced(payer.policy, case, each, work.today)]
    key = f"{step.act}:{case.invoice_id}" + (f":{case.letters + 1}" if act.again else "")
    named: dict[str, date] = {}
    for taking in announces:
        if taking in kept:  # by another message, before the policy changed: that date stays
            continue
        named[taking.act] = named_date(payer.policy, case, taking, max([work.today, *named.values()]))
    if act.again:
        withdraw(work.tx, {case.notices[each].key for each in named if each in case.notices}, "Its date has passed.")
    _name_dates(work, payer, case, key, named)
    told = {each.act: case.notices[each.act].on for each in kept if case.notices[each.act].on > work.today} | named
    work.letters.append(write_letter(work.business, work.sources, payer, case, step, key, told, fee, owed, work.today))
    if not act.again:
        _note_step(work, case, step, charge_id)


def _name_dates(work: _Work, payer: Payer, case: Case, key: str, named: dict[str, date]) -> None:
    rows = [
        {"invoice_id": case.invoice_id, "act": act, "on_day": day, "message_key": key, "created_at": work.now}
        for act, day in named.items()
    ]
    if rows:
        work.tx.execute(insert(dunning_notice), rows)
        work.touched.add(payer.id)


def _note_step(work: _Work, case: Case, step: Step, charge_id: int | None) -> None:
    row = {"invoice_id": case.invoice_id, "act": step.act, "on_day": work.today, "charge_id": charge_id, "at": work.now}
    work.tx.execute(insert(dunning_step).values(row))
    work.done.append(case.invoice_id)


def _end_services(work: _Work, payer: Payer, case: Case) -> bool:
    """Cancel what the debt has walled in; a service that a person keeps closed for another reason stays.

    False when all that the debt reaches is online just now, as after an exemption: it has to be walled in first.
    """
    walled = literal(Reason.DEBT.value) == func.any(access.c.reasons)
    query = (
        select(service.c.id, walled.label("walled"))
        .join(access, access.c.service_id == service.c.id)
        .where(service.c.payer_id == payer.id, service.c.ends_on.is_(None))
        .order_by(service.c.id)
    )
    touched = work.tx.execute(query).all()
    if work.business.debt_reach == "service":
        billed = billed_services(work.tx, [case.invoice_id]).get(case.invoice_id)
        touched = [row for row in touched if billed is None or row.id in billed]
    for row in touched:
        if row.walled:
            cancel(work.tx, work.vault, "dunning", row.id, work.today, NON_PAYMENT)
    return not touched or any(row.walled for row in touched)
