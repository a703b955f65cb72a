"""What a case comes to on a day: its next step, the date that a notice names, and the late fee. Pure.

A case is one invoice that is open. Law: at most one step a day, in order; nothing is taken away before a notice that
names its date has arrived `notice_days` before, and the date it names is the one that holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from base.money import Money
from billing.dunning.policy import MESSAGES, TAKING, Fee, Policy, Step


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that names the date on which something is taken away."""

    act: str
    "One of TAKING."
    on: date
    "The date it names."
    key: str
    "Of the message."
    arrived_on: date | None
    "When a server accepted it, or it was printed; None: not yet."
    in_time: bool
    "Whether that was early enough by the policy of then; only then does the date hold."
    returned: bool = False
    "It left and came back, and no other channel has carried it yet."


@dataclass(frozen=True, slots=True)
class Case:
    """One open invoice."""

    invoice_id: int
    number: str
    due_on: date
    open: Money
    dunned: Money
    "What of it is not fees: fees start nothing, bear no fee, and are paid last."
    taken: Mapping[str, date] = field(default_factory=dict)
    "Acts that were done, and when."
    notices: Mapping[str, Notice] = field(default_factory=dict)
    "The newest notice of each taking act."
    letters: int = 0
    "How many notices there have been: a further one needs a name of its own."
    fee_charged: bool = False
    "A late fee was charged for it."


def next_step(policy: Policy, case: Case, today: date) -> Step | None:
    """The step to be done today; None when there is none, or one was done today already."""
    if any(day >= today for day in case.taken.values()):
        return None
    step = upcoming(policy, case)
    if step is None or case.due_on + timedelta(days=step.days) > today:
        return None
    if step.act in TAKING:
        notice = case.notices.get(step.act)
        return step if notice is not None and notice.in_time and notice.on <= today else None
    return step


def upcoming(policy: Policy, case: Case) -> Step | None:
    """The first step that is still to be done by hand of the run: messages, and the end of a service.

    What lies before the furthest step that was done stays undone, for instance after a change of policy. Reducing and
    walling in need no hand: the date in their notice is enough.
    """
    furthest = max((policy.place(act) for act in case.taken), default=-1)
    return next((step for step in policy.steps[furthest + 1 :] if step.act in MESSAGES or step.act == "end"), None)


def outlook(policy: Policy, case: Case, today: date) -> tuple[tuple[date, str], ...]:
    """What comes next of a case if nothing is paid, as (date, act) in order: the next message, and the named dates.

    A date that no notice has named yet is not told: it hangs on the notice.
    """
    named = (each for each in case.notices.values() if policy.step(each.act) and each.act not in case.taken)
    found = [(each.on, each.act) for each in named if each.on > today or not each.in_time]
    step = upcoming(policy, case)
    if step is not None and step.act in MESSAGES:
        last = max(case.taken.values(), default=date.min)
        earliest = max(case.due_on + timedelta(days=step.days), today)
        found.append((max(earliest, last + timedelta(days=1)) if last != date.min else earliest, step.act))
    return tuple(sorted(found))


def came(case: Case, today: date) -> tuple[tuple[date, str], ...]:
    """What was done, as (date, act) in order: steps, and what was taken on the day that its notice named."""
    taken = [(each.on, each.act) for each in case.notices.values() if each.in_time and each.on <= today]
    return tuple(sorted({*((day, act) for act, day in case.taken.items()), *taken}))


def named_date(policy: Policy, case: Case, step: Step, today: date) -> date:
    """The date that a notice written today names for a taking step."""
    earliest = max(case.due_on + timedelta(days=step.days), today + timedelta(days=policy.notice_days))
    before = [notice.on for act, notice in case.notices.items() if policy.place(act) < policy.place(step.act)]
    return policy.window.next_day(max([earliest, *(day + timedelta(days=1) for day in before)]))


def lost_notices(policy: Policy, case: Case, today: date) -> list[Step]:
    """Taking steps that were to have been announced, and whose notice is missing or can no longer arrive in time."""
    found = []
    for act in case.taken:
        for step in policy.announces(act):
            if step.act not in case.taken and not is_announced(policy, case, step, today):
                found.append(step)
    return found


def is_announced(policy: Policy, case: Case, step: Step, today: date) -> bool:
    """Whether a notice of a taking step holds: it arrived in time, or it still can.

    One that came back gets until its date to arrive by another channel: who cannot be reached is not written to daily.
    """
    notice = case.notices.get(step.act)
    if notice is None or notice.in_time:
        return notice is not None
    if notice.returned:
        return today < notice.on
    return notice.arrived_on is None and in_time(policy, notice.on, today)


def in_time(policy: Policy, on: date, today: date) -> bool:
    """Whether a notice that arrives today is early enough for the date it names."""
    return today + timedelta(days=policy.notice_days) <= on


def late_fee(policy: Policy, fee: Fee, case: Case) -> Money:
    """What a fee comes to, never on a fee: flat, percent of what is open, or the greater of the two."""
    base = case.dunned
    percent = base.times(fee.percent / 100)
    flat = Money(fee.flat if base.currency == policy.currency else 0, base.currency)
    return max(percent, flat)
