"""When a card that was refused is tried again, if at all. Pure.

Law: never more often than the card networks allow (per card number: refused once a day, 8 times in 14 days, 15 in 30),
and where a step of dunning is near, the day before it, so that the money has a last chance to come first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from base.calendar import local_date
from billing.collect.declines import Meaning

MORNING = time(8)  # local time of a later try: a bank day begins, and salaries have arrived
CAPS = ((timedelta(days=14), 8), (timedelta(days=30), 15))
# after the first, second … refusal of a case; then it is given up
_DAYS = {
    Meaning.LATER: (3, 5, 7, 7),
    Meaning.SOFT: (1, 3, 5, 7),
    Meaning.UNNAMED: (3, 7),
}
_SOON = (timedelta(minutes=30), timedelta(hours=4), timedelta(days=1))
NEAR = 2  # days that a try is moved at most, to be on the day before a step of dunning


@dataclass(frozen=True, slots=True)
class Refusal:
    """A card number was refused, in whatever case."""

    at: datetime
    by_issuer: bool = True
    "The issuer saw it and said no; what did not get so far may be repeated on the same day."


@dataclass(frozen=True, slots=True)
class Again:
    """The next try, and why then."""

    at: datetime
    because: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further try of this card for this case."""

    because: str


def after_refusal(
    meaning: Meaning, refusals: int, now: datetime, zone: ZoneInfo, steps: Sequence[date], history: Sequence[Refusal]
) -> Again | GiveUp:
    """What follows a refusal, the `refusals`-th (from 1) of its case.

    `steps`: the days of dunning's steps still to come. `history`: when this card number was refused before, in any
    case, this time included. Instants in UTC.
    """
    if meaning is Meaning.NEVER:
        return GiveUp("the card's issuer forbids further tries")
    if meaning is Meaning.CUSTOMER:
        return GiveUp("only the card's owner can do something about it")
    if meaning is Meaning.SOON:
        if refusals > len(_SOON):
            return GiveUp(f"it did not work {refusals} times")
        wanted = now + _SOON[refusals - 1]
        because = "the card could not be reached"
        at = allowed_at(wanted, history, zone)
    else:
        days = _DAYS[meaning]
        if refusals > len(days):
            return GiveUp(f"it was refused {refusals} times")
        today = local_date(now, zone)
        day, because = _near_step(today + timedelta(days=days[refusals - 1]), today, steps)
        at = _morning(day, zone)
        while allowed_at(at, history, zone) > at:
            day += _DAY
            at = _morning(day, zone)
    if at > now + timedelta(days=30):
        return GiveUp("the card was refused as often as its network allows")
    return Again(at, because)


_DAY = timedelta(days=1)


def _near_step(day: date, today: date, steps: Sequence[date]) -> tuple[date, str]:
    """The day, or the one before a step of dunning that is near it."""
    for step in sorted(steps):
        before = step - _DAY
        if before > today and abs((before - day).days) <= NEAR:
            return before, f"the day before the step of dunning on {step:%Y-%m-%d}"
    days = (day - today).days
    return day, f"{days} {'day' if days == 1 else 'days'} after the refusal"


def _morning(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, MORNING, zone).astimezone(UTC)


def allowed_at(wanted: datetime, history: Sequence[Refusal], zone: ZoneInfo) -> datetime:
    """The first instant from `wanted` on at which a card may be tried again."""
    at, moved = wanted, True
    while moved:
        before = at
        if any(each.by_issuer and local_date(each.at, zone) == local_date(at, zone) for each in history):
            at = _morning(local_date(at, zone) + _DAY, zone)
        for span, most in CAPS:
            inside = sorted(each.at for each in history if each.at > at - span)
            if len(inside) >= most:
                at = inside[len(inside) - most] + span
        moved = at != before
    return at
