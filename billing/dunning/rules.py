"""What a case comes to on a day: its next step, the date that a notice names, and the late fee. Pure.

A case is one invoice that is open. Law: at most one step a day, in order; nothing is taken away before a notice that
names its date has arrived `notice_days` before, and the date it names is the one that holds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from base.money import Money
from billing.dunning.policy import MESSAGES, TAKING, Fee, Policy, Step

NONE: Mapping[str, date] = {}


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
    lapsed: bool = False
    "Since it arrived the debt has been under the minimum: a new notice is needed."

    @property
    def holds(self) -> bool:
        """Whether its date is one on which something may be taken away."""
        return self.in_time and not self.lapsed


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
    begun: int = 0
    "How often it was dunned anew: it had been settled, and the money went back."
    fee_charged: bool = False
    "A late fee was charged for it."
    walled_on: date | None = None
    "When it first walled a service in; None: it never did."
    walled_now: bool = False
    "A service is walled in because of it."
    waits_until: date | None = None
    "A cheque under way would pay it: before this day no step comes and nothing new is taken away."

    def waits(self, today: date) -> bool:
        """Whether a cheque under way keeps it from its next step."""
        return self.waits_until is not None and today < self.waits_until


def enough_since(cases: Iterable[Case], minimum: int) -> date | None:
    """The due date with which `minimum` (minor units) was due, by what is open now; None: it never is by that."""
    due = 0
    for case in sorted(cases, key=lambda case: case.due_on):
        due += case.dunned.minor
        if due >= minimum:
            return case.due_on
    return None


def mark_lapsed(cases: Iterable[Case], minimum: int) -> tuple[Case, ...]:
    """One payer's cases with their notices marked that have lapsed.

    A notice tells somebody who owes the minimum at the least. If what is still open of that does not come to it, the
    debt has been under the minimum since, and what has come on top wants a notice of its own. Whoever a case has
    walled in before has had his notice: only paying that case ends it.
    """
    found = tuple(cases)
    since = enough_since(found, minimum)

    def mark(case: Case, notice: Notice) -> Notice:
        told = notice.arrived_on
        stands = case.walled_on is not None or told is None or (since is not None and since <= told)
        return notice if notice.lapsed != stands else replace(notice, lapsed=not stands)

    return tuple(
        replace(case, notices={act: mark(case, notice) for act, notice in case.notices.items()}) for case in found
    )


def next_step(policy: Policy, case: Case, today: date) -> Step | None:
    """The step to be done today; None when there is none, or one was done today already."""
    if any(day >= today for day in case.taken.values()):
        return None
    step = upcoming(policy, case)
    if step is None or case.due_on + timedelta(days=step.days) > today:
        return None
    if step.act in TAKING:
        notice = case.notices.get(step.act)
        return step if notice is not None and notice.holds and notice.on <= today else None
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
    late = case.walled_on is None  # outside the hours of cut-offs, or while a promise holds
    found = [
        (each.on, each.act)
        for each in named
        if not each.lapsed and (each.on > today or not each.in_time or (late and each.act == "wall"))
    ]
    step = upcoming(policy, case)
    if step is not None and step.act in MESSAGES:
        last = max(case.taken.values(), default=date.min)
        earliest = max(case.due_on + timedelta(days=step.days), today)
        found.append((max(earliest, last + timedelta(days=1)) if last != date.min else earliest, step.act))
    return tuple(sorted(found))


def came(case: Case, today: date) -> tuple[tuple[date, str], ...]:
    """What was done, as (date, act) in order: steps, and what was taken on the day that its notice named."""
    named = case.notices.values()
    taken = [(each.on, each.act) for each in named if each.holds and each.on <= today and each.act == "reduce"]
    walled = [] if case.walled_on is None else [(case.walled_on, "wall")]
    return tuple(sorted({*((day, act) for act, day in case.taken.items()), *taken, *walled}))


def look_on(policy: Policy, case: Case, today: date) -> date:
    """The first day to come on which there may be something to do for a case, if nothing happens meanwhile.

    date.max: never. It is for a case for which there is nothing (more) to do today.
    """
    tomorrow = today + timedelta(days=1)
    days = []
    step = upcoming(policy, case)
    if step is not None:
        notice = case.notices.get(step.act)
        if step.act in MESSAGES:
            days.append(max(case.due_on + timedelta(days=step.days), tomorrow))
        elif notice is not None and notice.holds:
            days.append(max(notice.on, tomorrow))
    for act in case.taken:
        for taking in policy.announces(act):
            notice = case.notices.get(taking.act)
            if taking.act in case.taken or is_overtaken(policy, case, taking, today):
                continue
            if notice is None or notice.lapsed or notice.arrived_on is None or not notice.in_time:
                late = tomorrow  # announced anew as soon as somebody is there whom it would hit
                if notice is not None and is_announced(policy, case, taking, today):
                    late = notice.on if notice.returned else notice.on - timedelta(days=policy.notice_days - 1)
                days.append(max(late, tomorrow))
    return min(days, default=date.max)


def named_date(policy: Policy, case: Case, step: Step, today: date, beside: Mapping[str, date] = NONE) -> date:
    """The date that a notice written today names for a taking step; `beside`: those it names for steps before.

    What is late comes no closer after another step than the policy has it, or than a notice would leave.
    """
    earliest = max(case.due_on + timedelta(days=step.days), today + timedelta(days=policy.notice_days))
    before = [notice.on for act, notice in case.notices.items() if policy.place(act) < policy.place(step.act)]
    after = [day + timedelta(days=1) for day in before]
    for act, day in beside.items():
        earlier = policy.step(act)
        gap = 1 if earlier is None else min(step.days - earlier.days, policy.notice_days)
        after.append(day + timedelta(days=max(1, gap)))
    return policy.window.next_day(max([earliest, *after]))


def lost_notices(policy: Policy, case: Case, today: date) -> list[Step]:
    """Taking steps that were to have been announced, and whose notice is missing or can no longer arrive in time."""
    found = []
    for act in case.taken:
        for step in policy.announces(act):
            if step.act in case.taken or is_overtaken(policy, case, step, today):
                continue
            if not is_announced(policy, case, step, today):
                found.append(step)
    return found


def is_overtaken(policy: Policy, case: Case, step: Step, today: date) -> bool:
    """Whether something worse has come, or comes before a notice written today could bring this: going slower is no
    news to who is walled in."""
    place = policy.place(step.act)
    worse = [
        each.on
        for act, each in case.notices.items()
        if policy.place(act) > place and (each.holds or (each.arrived_on is None and not each.returned))
    ]
    return bool(worse) and min(worse) <= named_date(policy, case, step, today)


def is_announced(policy: Policy, case: Case, step: Step, today: date) -> bool:
    """Whether a notice of a taking step holds: it arrived in time, or it still can.

    One that came back gets until its date to arrive by another channel: who cannot be reached is not written to daily.
    """
    notice = case.notices.get(step.act)
    if notice is None or notice.in_time:
        return notice is not None and notice.holds
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
