"""Which access a service may have, decided from facts.

Rule 1: nothing here reads a clock, a setting, a socket or a database; facts and the time come in as arguments.
Rule 2: every rule gives a verdict with the instant at which time alone would change it; the worst verdict wins,
every verdict that is not FULL is a reason, and the earliest of the instants is when the decision must be reviewed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from base.access import AccessLevel, Decision, Reason
from base.calendar import Period, local_date, local_midnight
from billing.dunning.window import ALWAYS, Window


@dataclass(frozen=True, slots=True)
class Owed:
    """One open invoice that is dunned."""

    due_on: date
    open: int
    "Minor units."
    reduce_on: date | None = None
    "The day that a notice has named for going slower; None: no notice arrived in time."
    wall_on: date | None = None
    "The day that a notice has named for walling in."
    awaited: tuple[date, ...] = ()
    "Days named by notices of which it is not known yet whether they arrive in time."
    lapsed: frozenset[str] = frozenset()
    "'reduce_on', 'wall_on': days that hold only for whom debt has brought there already (dunning.rules.mark_lapsed)."
    walled: bool = False
    "It has walled a service in before, and a promise or an exemption may have let it out since."
    waits_until: date | None = None
    "First day on which no cheque under way would pay it: until then it takes nothing more away."


@dataclass(frozen=True, slots=True)
class Debt:
    """What a service's payer owes, as far as dunning has come."""

    invoices: tuple[Owed, ...]
    already: AccessLevel = AccessLevel.FULL
    "What debt has brought the service to so far."
    enough_since: date | None = date.min
    "The due date with which the minimum of the policy was due; None: less is due, and takes nothing more away."
    window: Window = ALWAYS
    held_until: date | None = None
    "First day on which no promise and no exemption holds."
    doubt_until: datetime | None = None
    "Until then they may have paid without our knowing, because Stripe is not heard from."
    demanded: bool = False
    "A reconnection fee that has to be paid first is open: who is walled in stays so."


@dataclass(frozen=True, slots=True)
class Usage:
    """What a service may use in a period, and has used."""

    period: Period
    cap: int
    "Octets."
    used: int
    level: AccessLevel
    "What it comes down to when the cap is reached; FULL: nothing happens."


@dataclass(frozen=True, slots=True)
class Facts:
    """What access depends on, for one service."""

    service_id: int
    starts_on: date
    ends_on: date | None
    "First day without service."
    staff_order: str
    "'none', 'suspended' or 'blocked'."
    zone: ZoneInfo
    debt: Debt | None = None
    "None when no notice has named a date."
    prepaid: bool = False
    paid_until: datetime | None = None
    "Of a prepaid service; None: nothing was paid for yet."
    renewal_due: bool = False
    "Its paid time has just run out, and nobody has looked yet whether the balance pays for more."
    pauses: tuple[Period, ...] = ()
    "Days on which the service is paused, in order."
    usage: Usage | None = None
    "None: its plan has no cap."


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says."""

    level: AccessLevel
    reason: Reason | None
    "None exactly when the level is FULL."
    until: datetime | None
    "The instant (UTC) that changes this verdict by itself."


_FINE = Verdict(AccessLevel.FULL, None, None)


def by_term(facts: Facts, now: datetime) -> Verdict:
    """Before its first day and after its last a service is blocked; one cancelled before it began has ended."""
    today = local_date(now, facts.zone)
    if facts.ends_on is not None and facts.ends_on <= max(today, facts.starts_on):
        return Verdict(AccessLevel.BLOCKED, Reason.ENDED, None)
    if today < facts.starts_on:
        return Verdict(AccessLevel.BLOCKED, Reason.NOT_ACTIVE_YET, local_midnight(facts.starts_on, facts.zone))
    until = None if facts.ends_on is None else local_midnight(facts.ends_on, facts.zone)
    return Verdict(AccessLevel.FULL, None, until)


def by_staff(facts: Facts, now: datetime) -> Verdict:
    """What a member of staff ordered holds until somebody takes it back."""
    if facts.staff_order == "blocked":
        return Verdict(AccessLevel.BLOCKED, Reason.STAFF_BLOCKED, None)
    if facts.staff_order == "suspended":
        return Verdict(AccessLevel.WALLED, Reason.STAFF_SUSPENDED, None)
    return _FINE


def by_pause(facts: Facts, now: datetime) -> Verdict:
    """A paused service reaches only the portal, where the pause can be ended."""
    today = local_date(now, facts.zone)
    for pause in facts.pauses:
        if today < pause.start:
            return Verdict(AccessLevel.FULL, None, local_midnight(pause.start, facts.zone))
        if today < pause.end:
            until = None if pause.end == date.max else local_midnight(pause.end, facts.zone)
            return Verdict(AccessLevel.WALLED, Reason.PAUSED, until)
    return _FINE


def by_balance(facts: Facts, now: datetime) -> Verdict:
    """A prepaid service runs until its paid time is over; from then on it reaches only the pages where one pays."""
    if not facts.prepaid:
        return _FINE
    if facts.paid_until is None or facts.paid_until <= now:
        if facts.renewal_due:
            return Verdict(AccessLevel.FULL, None, facts.paid_until)  # it is past: the tick renews it or walls it in
        return Verdict(AccessLevel.WALLED, Reason.PREPAID_OVER, None)
    return Verdict(AccessLevel.FULL, None, facts.paid_until)


def by_debt(facts: Facts, now: datetime) -> Verdict:
    """Debt takes away what a notice has named, on the day it named, within the hours in which that may happen.

    What was taken stays taken until it is paid, a promise is accepted or an exemption begins: neither a weekend nor
    the silence of Stripe gives it back, nor that the debt falls below the minimum. Else a plan that credits the days
    on which it walls in would open and close its own wall.
    """
    debt, zone = facts.debt, facts.zone
    if debt is None:
        return _FINE
    walls = []
    if debt.demanded and debt.already >= AccessLevel.WALLED:  # it keeps the wall closed, and never builds one
        walls = [now if debt.held_until is None else local_midnight(debt.held_until, zone)]
    walls += [_begins(debt, day, AccessLevel.WALLED, zone, now) for day in _days(debt, "wall_on", AccessLevel.WALLED)]
    slows = [
        _begins(debt, day, AccessLevel.REDUCED, zone, now) for day in _days(debt, "reduce_on", AccessLevel.REDUCED)
    ]
    awaited = [local_midnight(day, zone) for each in debt.invoices for day in each.awaited]
    if any(begin <= now for begin in walls):
        return Verdict(AccessLevel.WALLED, Reason.DEBT, None)
    until = min((instant for instant in walls + slows + awaited if instant > now), default=None)
    if any(begin <= now for begin in slows):
        return Verdict(AccessLevel.REDUCED, Reason.DEBT_SLOWED, until)
    return Verdict(AccessLevel.FULL, None, until)


def _days(debt: Debt, what: str, level: AccessLevel) -> list[date]:
    """The days named for it: from which on enough is overdue, or that have brought the service there already."""
    found = []
    for each in debt.invoices:
        day: date | None = getattr(each, what)
        if day is None:
            continue
        waits = day if each.waits_until is None else max(day, each.waits_until)
        if debt.already >= level:
            found.append(day)
        elif each.walled:
            found.append(waits)
        elif what not in each.lapsed and debt.enough_since is not None:
            found.append(max(waits, debt.enough_since + timedelta(days=1)))
    return found


def _begins(debt: Debt, day: date, level: AccessLevel, zone: ZoneInfo, now: datetime) -> datetime:
    """When what was named for `day` takes hold, as seen at `now`; not later than `now`: it does."""
    begin = local_midnight(day if debt.held_until is None else max(day, debt.held_until), zone)
    if debt.already >= level:
        return begin
    if debt.doubt_until is not None:
        begin = max(begin, debt.doubt_until)
    return debt.window.next_open(max(begin, now), zone)


def by_usage(facts: Facts, now: datetime) -> Verdict:
    """A cap that is reached holds until the period ends; each period begins with a count of its own."""
    usage = facts.usage
    if usage is None:
        return _FINE
    begins, ends = (local_midnight(day, facts.zone) for day in (usage.period.start, usage.period.end))
    if now < begins:
        return Verdict(AccessLevel.FULL, None, begins)
    if now >= ends:
        return _FINE
    if usage.used < usage.cap or usage.level == AccessLevel.FULL:
        return Verdict(AccessLevel.FULL, None, ends)
    return Verdict(usage.level, Reason.CAP_REACHED, ends)


RULES: tuple[Callable[[Facts, datetime], Verdict], ...] = (by_term, by_staff, by_debt, by_balance, by_pause, by_usage)


def decide_access(facts: Facts, now: datetime) -> Decision:
    """The worst verdict of all rules, every reason (worst first), and when time alone will change it."""
    verdicts = sorted((rule(facts, now) for rule in RULES), key=lambda verdict: -verdict.level)
    return Decision(
        level=verdicts[0].level,
        reasons=tuple(verdict.reason for verdict in verdicts if verdict.reason is not None),
        review_at=min((verdict.until for verdict in verdicts if verdict.until is not None), default=None),
    )
