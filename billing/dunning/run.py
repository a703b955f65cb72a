"""The daily work of dunning: arrived notices noted, due steps taken, each in the transaction that says so.

Run it as often as you like: a case takes one step a day, and a step once.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy import Connection, func, insert, literal, select, update

from base.access import Reason
from base.business import Business, load_business
from base.calendar import local_date
from base.crypto import Vault, open_vault
from base.database import transaction
from base.money import Money, total
from base.settings import settings
from base.tables import policy as access
from base.tables import service
from billing.apply import refresh_access
from billing.dunning.cases import Payer, load_payers
from billing.dunning.doubt import trouble
from billing.dunning.fees import charge_late_fee
from billing.dunning.letters import write_letter
from billing.dunning.policies import load_policies
from billing.dunning.policy import Step
from billing.dunning.promises import settle_promises
from billing.dunning.rules import Case, in_time, lost_notices, named_date, next_step
from billing.dunning.tables import dunning_group, dunning_notice, dunning_step
from billing.endings import cancel
from billing.mail_sources import load_sources
from billing.mail_words import Sources
from billing.outbox import Outgoing, queue_all, reached_at, withdraw
from billing.settle import lock_subscribers, open_by_subscriber
from billing.sweep import sweep
from billing.tables import invoice, open_item

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
        settle_promises(tx, vault, business, now)
        arrived = arrived_payers(tx)

    def note(tx: Connection, payer_ids: list[int]) -> list[int]:
        return note_arrivals(tx, vault, payer_ids, now)

    def act(tx: Connection, payer_ids: list[int]) -> list[int]:
        return dun(tx, vault, payer_ids, now)

    sweep("note arrived notices", arrived, note, size=CHUNK)
    with transaction() as tx:
        due = due_payers(tx, business, now)
    return sweep("dun", due, act, size=CHUNK)


def due_payers(tx: Connection, business: Business, now: datetime) -> list[int]:
    """Subscribers for whom there is something to do now, in order of their ids."""
    today = local_date(now, business.zone)
    overdue = select(open_item.c.subscriber_id).where(open_item.c.dunned, open_item.c.due_on <= today).distinct()
    payers = load_payers(tx, business, list(tx.scalars(overdue)), now)
    silent = bool(trouble(tx))
    return sorted(payer.id for payer in payers.values() if due_acts(payer, today, fees_wait=silent))


def due_acts(payer: Payer, today: date, *, fees_wait: bool) -> list[Act]:
    """What is to be done for one payer today; with `fees_wait` a step with a fee waits, for Stripe to be heard from."""
    policy = payer.policy
    if payer.held_until is not None and today < payer.held_until:
        return []
    overdue = sum(case.open.minor for case in payer.cases if case.due_on <= today)
    if payer.currency == policy.currency and overdue < policy.minimum:
        return []
    acts = []
    for case in payer.cases:
        step = next_step(policy, case, today)
        if step is not None and not (step.fee is not None and fees_wait):
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
    _refresh(tx, vault, work.touched, now)
    return work.done


def arrived_payers(tx: Connection) -> list[int]:
    """Subscribers whom a notice has reached since it was last looked at."""
    query = (
        select(dunning_notice.c.message_key, invoice.c.subscriber_id)
        .join(invoice, invoice.c.id == dunning_notice.c.invoice_id)
        .where(dunning_notice.c.arrived_on.is_(None))
    )
    waiting = tx.execute(query).all()
    reached = reached_at(tx, {row.message_key for row in waiting})
    return sorted({row.subscriber_id for row in waiting if row.message_key in reached})


def note_arrivals(tx: Connection, vault: Vault, payer_ids: Sequence[int], now: datetime) -> list[int]:
    """Note which notices have reached these subscribers, and whether early enough for the dates they name.

    Access is decided anew with that; returns the invoices.
    """
    lock_subscribers(tx, payer_ids)
    business = load_business(tx, vault)
    policies = load_policies(tx, business)
    waiting = tx.execute(
        select(dunning_notice, dunning_group.c.policy_id)
        .join(invoice, invoice.c.id == dunning_notice.c.invoice_id)
        .outerjoin(dunning_group, dunning_group.c.subscriber_id == invoice.c.subscriber_id)
        .where(dunning_notice.c.arrived_on.is_(None), invoice.c.subscriber_id == func.any(list(payer_ids)))
    ).all()
    reached = reached_at(tx, {row.message_key for row in waiting})
    noted = [row for row in waiting if row.message_key in reached]
    for row in noted:
        day = local_date(reached[row.message_key], business.zone)
        early = in_time(policies.of(row.policy_id), row.on_day, day)
        tx.execute(update(dunning_notice).where(dunning_notice.c.id == row.id).values(arrived_on=day, in_time=early))
    _refresh(tx, vault, payer_ids, now)
    return [row.invoice_id for row in noted]


def _refresh(tx: Connection, vault: Vault, payer_ids: Collection[int], now: datetime) -> None:
    paid_for = tx.scalars(select(service.c.id).where(service.c.payer_id == func.any(sorted(payer_ids))))
    refresh_access(tx, vault, list(paid_for), now, because="dunning")


def _message(payer: Payer, act: str) -> Step:
    found = payer.policy.step(act)
    assert found is not None
    return found


def _take(work: _Work, payer: Payer, act: Act, owed: Money) -> None:
    step, case = act.step, act.case
    if step.act == "end":
        _end_services(work, payer)
        _note_step(work, case, step, None)
        return
    fee, charge_id = None, None
    if step.fee is not None and not act.again:
        fee, charge_id = charge_late_fee(work.tx, work.business, payer, case, step.fee, work.today)
    announced = act.again or (payer.policy.announces(step.act) if payer.at_stake else ())
    key = f"{step.act}:{case.invoice_id}" + (f":{case.letters + 1}" if act.again else "")
    named: dict[str, date] = {}
    for taking in announced:
        named[taking.act] = named_date(payer.policy, case, taking, max([work.today, *named.values()]))
    if act.again:
        withdraw(work.tx, {case.notices[each].key for each in named if each in case.notices}, "Its date has passed.")
    _name_dates(work, payer, case, key, named)
    work.letters.append(write_letter(work.business, work.sources, payer, case, step, key, named, fee, owed, work.today))
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


def _end_services(work: _Work, payer: Payer) -> None:
    """Cancel what debt has walled in; a service that a person keeps closed for another reason stays."""
    walled = (
        select(service.c.id)
        .join(access, access.c.service_id == service.c.id)
        .where(
            service.c.payer_id == payer.id,
            service.c.ends_on.is_(None),
            literal(Reason.DEBT.value) == func.any(access.c.reasons),
        )
        .order_by(service.c.id)
    )
    for service_id in list(work.tx.scalars(walled)):
        cancel(work.tx, work.vault, "dunning", service_id, work.today, NON_PAYMENT)
