"""Revenue as it is earned, day by day; and what was invoiced but is not earned yet.

A line with a period earns its net over the days of the period, in rounded shares whose sum is the net. A line without
one is earned on the day it is issued. A credit note takes back: what it gives back for days to come is taken from those
days, what it gives back for days gone by is taken on the day it is issued, so that a month that is over keeps what it
had. Its lines have the days that they name, else those of the invoice's line. A line that is invoiced after its period
(in arrears) is earned in its period all the same. Deposits are never earned. Pure.
"""

from dataclasses import dataclass
from datetime import date

from base.calendar import Period
from base.money import Money


@dataclass(frozen=True, slots=True)
class Line:
    """What a line of an invoice brings, or one of a credit note takes back (negative)."""

    net: Money
    issued_on: date
    period: Period | None = None
    takes_back: bool = False
    "It is of a credit note: it changes nothing before the day it is issued."


def earned_before(line: Line, day: date) -> Money:
    """What of a line is earned on the days before `day`; it never passes the line's net."""
    if line.period is None or line.takes_back:
        if day <= line.issued_on:
            return Money(0, line.net.currency)
        if line.period is None:
            return line.net
    days = min(max((day - line.period.start).days, 0), line.period.days)
    return line.net.portion(days, line.period.days)
