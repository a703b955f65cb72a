"""From which day the periods of a service are counted that another system has billed so far. Pure."""

from datetime import date, timedelta

from base.calendar import Cycle, add_months, period_around


def anchor_for(billing_day: int | None, starts_on: date) -> date:
    """The day from which the periods of a service that begins on `starts_on` are counted.

    With a billing day it is the first one on or after the start in a month that has it, so that 31 stays 31.
    """
    if billing_day is None:
        return starts_on
    months = (date(starts_on.year + index // 12, index % 12 + 1, 1) for index in range(starts_on.month - 1, 24))
    for first in months:
        if (day := _in_month(first, billing_day)) is not None and day >= starts_on:
            return day
    raise AssertionError("every year has a 31st")


def anchor_after(starts_on: date, paid_until: date | None, billing_day: int | None, cycle: Cycle) -> date:
    """As anchor_for, but so that a period begins where the old system's last one ended, if that can be.

    It can where the subscriber has no billing day, or `paid_until` lies on it; else the days from `paid_until` to the
    billing day are a part of a period.
    """
    usual = anchor_for(billing_day, starts_on)
    if paid_until is None or is_boundary(usual, cycle, paid_until):
        return usual
    if billing_day is None or cycle.unit != "month":
        return paid_until
    if paid_until.day != min(billing_day, _last_day(paid_until)):
        return usual
    # a month of their rhythm that has the billing day, so that 31 stays 31
    firsts = (add_months(paid_until.replace(day=1), index * cycle.length) for index in range(13))
    return next((day for first in firsts if (day := _in_month(first, billing_day)) is not None), paid_until)


def is_boundary(anchor: date, cycle: Cycle, day: date) -> bool:
    """Whether a period begins on `day`."""
    return period_around(anchor, cycle, day).start == day


def _in_month(first: date, day: int) -> date | None:
    return first.replace(day=day) if day <= _last_day(first) else None


def _last_day(day: date) -> int:
    return (add_months(day.replace(day=1), 1) - timedelta(days=1)).day
