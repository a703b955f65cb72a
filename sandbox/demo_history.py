"""When the pretend provider's subscribers came and how they pay, so that each has the wanted fate today. Pure.

With the default terms an invoice is issued a day before its period and is due 14 days later; by the standard dunning
policy it is reminded of 3 days after that, and walls in 21 days after that.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from base.business import Business
from base.calendar import add_months
from billing.dunning.policy import Policy
from sandbox.demo_people import PEOPLE, Fate, Person

RECENT = 45  # days: within them everybody who is not late today has paid in time
# Days since the newest periods of those who pay in time began: the first has paid all, the second is billed today.
NEWEST = (10, -1, 6, 15, 20, 25)
_LONGEST = 4  # months


@dataclass(frozen=True, slots=True)
class Course:
    """One subscriber's time with the provider."""

    person: Person
    starts_on: date
    pays_after: int
    "Days from issue to payment, usually."
    slow_until: date
    "Before this day of issue they paid later."
    slow_after: int
    "Days from issue to payment then."
    stops_on: date | None
    "From this day of issue on nothing is paid."

    def pays_on(self, issued_on: date) -> date | None:
        """The day on which an invoice of that day is paid; None: not yet."""
        if self.stops_on is not None and issued_on >= self.stops_on:
            return None
        return issued_on + timedelta(days=self.slow_after if issued_on < self.slow_until else self.pays_after)


def courses(today: date, business: Business, policy: Policy) -> list[Course]:
    """Everybody's course, in order of PEOPLE."""
    return [_course(place, person, today, business, policy) for place, person in enumerate(PEOPLE)]


def _course(place: int, person: Person, today: date, business: Business, policy: Policy) -> Course:
    months = 2 + place % (_LONGEST - 1)
    newest = _newest_period(place, person.fate, today, business, policy)
    unpaid = person.fate in (Fate.LATE, Fate.WALLED)
    # some once needed a reminder, some even learnt what walled means
    wall = _days(policy, "wall")
    slow_after = {0: business.due_days + _days(policy, "reminder_1") + 1, 5: business.due_days + wall + 2}.get(
        place % 7, 0
    )
    return Course(
        person=person,
        starts_on=add_months(newest, -months),
        pays_after=3 + 7 * place % 10,
        slow_until=today - timedelta(days=RECENT) if slow_after else date.min,
        slow_after=slow_after,
        stops_on=newest - timedelta(days=business.issue_days_before) if unpaid else None,
    )


def _newest_period(place: int, fate: Fate, today: date, business: Business, policy: Policy) -> date:
    """The day on which the newest (or newest unpaid) period began."""
    due = business.due_days - business.issue_days_before  # days from the beginning of a period until it is due
    if fate is Fate.LATE:
        days = due + _days(policy, "reminder_1")
        latest = due + _days(policy, "wall") - 1
    elif fate is Fate.WALLED:
        days = due + _days(policy, "wall") + 3 * (place % 4)
        latest = days + 3
    else:
        days = latest = NEWEST[place % len(NEWEST)]
    # a day that every month has, so that counting months back and forth leads to the same day
    possible = [today - timedelta(days=ago) for ago in range(days, latest + 1)]
    return next((day for day in possible if day.day <= 28), possible[0])


def _days(policy: Policy, act: str) -> int:
    """Days from the due date to a step."""
    step = policy.step(act)
    assert step is not None
    return step.days
