"""Whom a change of policy would hit: every open case under the policy as it is and as it would be."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

from sqlalchemy import Connection, select

from base.access import AccessLevel
from base.business import Business
from base.calendar import local_date
from base.money import Money, total
from billing.decide import Facts, decide_access
from billing.dunning.cases import Payer, load_payers
from billing.dunning.debts import debt_of
from billing.dunning.policies import load_policies
from billing.dunning.policy import Policy, check_policy
from billing.dunning.rules import outlook
from billing.dunning.run import due_acts
from billing.tables import open_item


@dataclass(frozen=True, slots=True)
class Hit:
    """One subscriber for whom the change makes a difference."""

    number: str
    name: str
    open: Money
    level_before: AccessLevel
    "What debt lets their services have now."
    level_after: AccessLevel
    before: str
    "What comes next, such as '2026-04-05 wall'; '' when nothing does."
    after: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a change of policy does to the cases that are open."""

    looked_at: int
    "Subscribers dunned by this policy who have open invoices."
    hits: tuple[Hit, ...]
    acts_today: Mapping[str, int]
    "Messages that would leave today, by their act."


def compare(tx: Connection, business: Business, policy: Policy, now: datetime) -> Comparison:
    """What `policy`, in place of the one with its id, does to those who are dunned by it; Refused when it is wrong.

    A policy without an id is compared with the default, as if all of it went over.
    """
    check_policy(policy)
    policies = load_policies(tx, business)
    known = policies.of(policy.id or None)
    changed = replace(policy, id=known.id, window=replace(policy.window, holidays=known.window.holidays))
    payers = load_payers(tx, business, list(tx.scalars(select(open_item.c.subscriber_id).distinct())), now, policies)
    ours = [payer for payer in payers.values() if payer.policy.id == known.id]
    today = local_date(now, business.zone)
    hits, acts = [], dict[str, int]()
    for payer in sorted(ours, key=lambda payer: payer.number):
        other = payer.by(changed)
        for act in due_acts(other, today, fees_wait=False):
            acts[act.step.act] = acts.get(act.step.act, 0) + 1
        hit = Hit(
            number=payer.number,
            name=payer.name,
            open=total((case.open for case in payer.cases), payer.currency),
            level_before=_level(payer, business, now),
            level_after=_level(other, business, now),
            before=_next(payer, today),
            after=_next(other, today),
        )
        if (hit.level_before, hit.before) != (hit.level_after, hit.after):
            hits.append(hit)
    return Comparison(len(ours), tuple(hits), acts)


def _next(payer: Payer, today: date) -> str:
    """The first thing that comes of any of their cases."""
    if payer.held_until is not None and today < payer.held_until:
        return f"{payer.held_until} dunned again"
    steps = [step for case in payer.cases for step in outlook(payer.policy, case, today) if step[0] >= today]
    return "{} {}".format(*min(steps)) if steps else ""


def _level(payer: Payer, business: Business, now: datetime) -> AccessLevel:
    """What their debt lets a service have that has nothing else against it."""
    walled = any(case.walled_now for case in payer.cases)
    debt = replace(debt_of(payer, payer.cases), already=AccessLevel.WALLED if walled else AccessLevel.FULL)
    facts = Facts(0, date.min, None, "none", business.zone, debt)
    return decide_access(facts, now).level
