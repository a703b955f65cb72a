"""Which access a service may have, decided from facts.

Rule 1: nothing here reads a clock, a setting, a socket or a database; facts and the time come in as arguments.
Rule 2: every rule gives a verdict with the local date at which time alone would change it; the worst verdict wins,
every verdict that is not FULL is a reason, and the earliest of the dates is when the decision must be reviewed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from base.access import AccessLevel, Decision, Reason
from base.calendar import Period, local_date, local_midnight


@dataclass(frozen=True, slots=True)
class Facts:
    """What access depends on, for one service."""

    service_id: int
    starts_on: date
    ends_on: date | None
    "First day without service."
    staff_order: str
    "'none', 'suspended' or 'blocked'."
    oldest_due_on: date | None
    "Due date of the payer's oldest invoice that is not fully paid."
    wall_after_days: int
    "Days after the due date at which debt walls the service in (1 or more)."
    zone: ZoneInfo
    pauses: tuple[Period, ...] = ()
    "Days on which the service is paused, in order."


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says."""

    level: AccessLevel
    reason: Reason | None
    "None exactly when the level is FULL."
    until: date | None
    "The local date that changes this verdict by itself."


_FINE = Verdict(AccessLevel.FULL, None, None)


def by_term(facts: Facts, today: date) -> Verdict:
    """Before its first day and after its last a service is blocked; one cancelled before it began has ended."""
    if facts.ends_on is not None and facts.ends_on <= max(today, facts.starts_on):
        return Verdict(AccessLevel.BLOCKED, Reason.ENDED, None)
    if today < facts.starts_on:
        return Verdict(AccessLevel.BLOCKED, Reason.NOT_ACTIVE_YET, facts.starts_on)
    return Verdict(AccessLevel.FULL, None, facts.ends_on)


def by_staff(facts: Facts, today: date) -> Verdict:
    """What a member of staff ordered holds until somebody takes it back."""
    if facts.staff_order == "blocked":
        return Verdict(AccessLevel.BLOCKED, Reason.STAFF_BLOCKED, None)
    if facts.staff_order == "suspended":
        return Verdict(AccessLevel.WALLED, Reason.STAFF_SUSPENDED, None)
    return _FINE


def by_pause(facts: Facts, today: date) -> Verdict:
    """A paused service reaches only the portal, where the pause can be ended."""
    for pause in facts.pauses:
        if today < pause.start:
            return Verdict(AccessLevel.FULL, None, pause.start)
        if today < pause.end:
            until = None if pause.end == date.max else pause.end
            return Verdict(AccessLevel.WALLED, Reason.PAUSED, until)
    return _FINE


def wall_on(oldest_due_on: date, wall_after_days: int) -> date:
    """The local date at whose first instant debt walls the services in."""
    return oldest_due_on + timedelta(days=wall_after_days)


def by_debt(facts: Facts, today: date) -> Verdict:
    """Debt walls in once the grace time after the oldest due date is over."""
    if facts.oldest_due_on is None:
        return _FINE
    day = wall_on(facts.oldest_due_on, facts.wall_after_days)
    if today >= day:
        return Verdict(AccessLevel.WALLED, Reason.DEBT, None)
    return Verdict(AccessLevel.FULL, None, day)


RULES: tuple[Callable[[Facts, date], Verdict], ...] = (by_term, by_staff, by_debt, by_pause)


def decide_access(facts: Facts, now: datetime) -> Decision:
    """The worst verdict of all rules, every reason (worst first), and when time alone will change it."""
    today = local_date(now, facts.zone)
    verdicts = sorted((rule(facts, today) for rule in RULES), key=lambda verdict: -verdict.level)
    dates = [verdict.until for verdict in verdicts if verdict.until is not None]
    return Decision(
        level=verdicts[0].level,
        reasons=tuple(verdict.reason for verdict in verdicts if verdict.reason is not None),
        review_at=local_midnight(min(dates), facts.zone) if dates else None,
    )
