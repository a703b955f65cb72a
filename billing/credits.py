"""What of a bill is given back when days that it covers are not used after all. Pure.

Law: used + credited = charged. The credit of some days of a line is the difference of two rounded shares of what the
line charged, so any division of its days sums to the charge exactly, and days credited once are never credited again.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from base.calendar import Period
from base.money import Money, total
from billing.draft import overlap, share, without


@dataclass(frozen=True, slots=True)
class Billed:
    """A line of an invoice that covers days, and what was credited of it before."""

    invoice_id: int
    invoice_line_id: int
    text: str
    amount: Money
    "As priced; negative for a discount."
    period: Period
    credited: tuple[Period, ...] = ()


@dataclass(frozen=True, slots=True)
class Credit:
    """What of one line is given back."""

    line: Billed
    days: Period
    amount: Money
    "As priced, with the sign of the line."


def unused(lines: Iterable[Billed], days: Period) -> list[Credit]:
    """The credits for `days` that the lines cover and nobody was given back yet."""
    return [
        Credit(line, part, share(line.amount, line.period, part))
        for line in lines
        if (common := overlap(line.period, days)) is not None
        for part in without(common, line.credited)
    ]


def value(credits: Iterable[Credit], currency: str) -> Money:
    """What the credits come to, as priced."""
    return total((each.amount for each in credits), currency)
