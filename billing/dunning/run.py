"""The daily work of dunning: arrived notices noted, due steps taken, each in the transaction that says so.

Run it as often as you like: a case takes one step a day, and a step once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy import Connection, func, insert, literal, select

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
from billing.dunning.agenda import hold_still, note_looks, to_be_looked_at
from billing.dunning.arrivals import arrived_payers, note_arrivals, withdraw_notices
from billing.dunning.cases import Payer, load_payers
from billing.dunning.debts import billed_services
from billing.dunning.doubt import trouble
from billing.dunning.fees import charge_late_fee, with_tax
from billing.dunning.letters import fee_ahead, write_letter
from billing.dunning.policy import Step
from billing.dunning.promises import decided_payers, settle_promises
from billing.dunning.rules import (
    Case,
    Notice,
    enough_since,
    is_announced,
    is_overtaken,
    lost_notices,
    named_date,
    next_step,
)
from billing.dunning.tables import dunning_notice, dunning_step
from billing.endings import cancel
from billing.instalments.agreed import active_plans
from billing.instalments.plans import decided_payers as decided_plans
from billing.instalments.plans import settle_plans
from billing.links import link_to
from billing.mail_sources import load_sources
from billing.mail_words import Sources
from billing.outbox import Outgoing, queue_all
from billing.settle import lock_subscribers, open_by_subscriber
from billing.sweep import sweep

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
        planned = decided_plans(tx, today)

    def settle_parts(tx: Connection, payer_ids: list[int]) -> list[int]:
        return settle_plans(tx, vault, payer_ids, now)

    def settle(tx: Connection, payer_ids: list[int]) -> list[int]:
        return settle_promises(tx, vault, payer_ids, now)

    def note(tx: Connection, payer_ids: list[int]) -> list[int]:
        return note_arrivals(tx, vault, payer_ids, now)

    def act(tx: Connection, payer_ids: list[int]) -> list[int]:
        return dun(tx, vault, payer_ids, now)

    try:
        sweep("settle instalment plans", planned, settle_parts, size=CHUNK)
        sweep("settle promises", promised, settle, size=CHUNK)
        sweep("note arrived notices", arrived, note, size=CHUNK)
    finally:  # whose plan, promise or notice cannot be noted keeps nobody else's step back
        with transaction() as tx:
            due = due_payers(tx, business, now)
        done = sweep("dun", due, act, size=CHUNK)
    return done


def due_payers(tx: Connection, business: Business, now: datetime) -> list[int]:
    """Subscribers for whom there may be something to do now, in order of their ids."""
    return to_be_looked_at(tx, local_date(now, business.zone))


def due_acts(payer: Payer, today: date, *, fees_wait: bool) -> list[Act]:
    """What is to be done for one payer today; with `fees_wait` a step with a fee waits, for Stripe to be heard from."""
    policy = payer.policy
    if payer.held_until is not None and today < payer.held_until:
        return []
    if enough_since((case for case in payer.cases if case.due_on <= today), payer.minimum) is None:
        return []
    acts = []
    for case in payer.cases:
        if case.waits(today):
            continue
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
    """Take the due steps of these subscribers, and note when there may be more; returns the invoices."""
    hold_still(tx)
    lock_subscribers(tx, payer_ids)
    business = load_business(tx, vault)
    work = _Work(tx, vault, business, now, local_date(now, business.zone), load_sources(tx))
    silent = bool(trouble(tx))
    payers = load_payers(tx, business, payer_ids, now)
    acts = {payer.id: due_acts(payer, work.today, fees_wait=silent) for payer in payers.values()}
    writing = [payer_id for payer_id, found in acts.items() if found]
    owing, agreed = open_by_subscriber(tx, writing), active_plans(tx, writing)
    for payer_id, found in acts.items():
        in_parts = agreed[payer_id].invoice_ids if payer_id in agreed else ()
        demanded = (debt.open for debt in owing.get(payer_id, []) if debt.id not in in_parts)
        owed = total(demanded, payers[payer_id].currency)
        for act in found:
            _take(work, payers[payer_id], act, owed)
    if not silent:  # a fee waits for Stripe, not for a day
        note_looks(tx, payers.values(), {payer_id for payer_id, found in acts.items() if found}, work.today)
    queue_all(tx, business, work.letters)
    refresh_payers(tx, vault, work.touched, now, because="dunning")
    return work.done


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
    announces = tuple(each for each in announces if not is_overtaken(payer.policy, case, each, work.today))
    kept = [each for each in announces if is_announced(payer.policy, case, each, work.today)]
    anew = f":anew{case.begun}" if case.begun else ""
    key = f"{step.act}:{case.invoice_id}{anew}" + (f":{case.letters + 1}" if act.again else "")
    named: dict[str, date] = {}
    for taking in announces:
        if taking in kept:  # by another message, before the policy changed: that date stays
            continue
        named[taking.act] = named_date(payer.policy, case, taking, work.today, named)
    if act.again:
        old = {case.notices[each].key for each in named if each in case.notices}
        withdraw_notices(work.tx, old, "Its date has passed.", work.now)
        # what else that letter named and may still arrive in time, the new one names in its stead
        named |= {each: notice.on for each, notice in case.notices.items() if _goes_on(notice, old, named)}
    _name_dates(work, payer, case, key, named)
    told = {each.act: case.notices[each.act].on for each in kept if case.notices[each.act].on > work.today} | named
    ahead = fee_ahead(payer, case, step)
    ahead = None if ahead is None else with_tax(work.tx, payer, ahead, work.today)
    link = link_to(work.tx, case.invoice_id)
    work.letters.append(
        write_letter(work.business, work.sources, payer, case, step, key, told, fee, ahead, owed, work.today, link)
    )
    if not act.again:
        _note_step(work, case, step, charge_id)


def _goes_on(notice: Notice, withdrawn: set[str], named: Mapping[str, date]) -> bool:
    return notice.act not in named and notice.key in withdrawn and notice.arrived_on is None and not notice.returned


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
