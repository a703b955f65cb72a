"""How a debt is spread over days, what of it is due, and when a plan breaks. Pure.

What is open of a plan's invoices says how far it has come, whoever paid in whatever order: the parts are paid from the
first one on. Law: the parts sum to what they spread, to the smallest unit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from base.calendar import add_months
from base.money import Money, split, total


@dataclass(frozen=True, slots=True)
class Part:
    """So much on such a day."""

    due_on: date
    amount: Money


def spread(amount: Money, count: int, first: date, every_days: int | None = None) -> tuple[Part, ...]:
    """`count` parts of `amount` that differ by one minor unit at most, from `first` on, monthly or every so many days.

    A month's day is counted from `first`: 31 January, 28 February, 31 March. ValueError without a part.
    """
    if count < 1:
        raise ValueError("there is one part at least")
    days = (
        add_months(first, index) if every_days is None else first + timedelta(days=index * every_days)
        for index in range(count)
    )
    return tuple(Part(day, each) for day, each in zip(days, split(amount, [1] * count), strict=True))


def later_than(parts: Iterable[Part], day: date, currency: str) -> Money:
    """What is to be paid on days after `day` only."""
    return total((each.amount for each in parts if each.due_on > day), currency)


def due_by(parts: Iterable[Part], open: Money, day: date) -> Money:
    """What has to be paid by the end of `day`, of what is `open` now; nothing when that is paid already."""
    return max(Money(0, open.currency), open - later_than(parts, day, open.currency))


def left_of(parts: Sequence[Part], open: Money) -> tuple[Money, ...]:
    """What of each part is still to be paid; together what is open.

    More may be open than was agreed, because a payment of before went back: that comes with the first part.
    """
    found, rest = [], open
    for each in reversed(parts[1:]):
        found.append(min(each.amount, rest))
        rest = rest - found[-1]
    return (*((rest,) if parts else ()), *reversed(found))


def next_part(parts: Sequence[Part], open: Money) -> int | None:
    """The place of the first part that is not wholly paid; None: all are."""
    return next((index for index, left in enumerate(left_of(parts, open)) if left), None)


def breaks_on(parts: Sequence[Part], open: Money, grace_days: int) -> date | None:
    """The day on which a plan breaks if nothing more is paid: the next part is then late by more than the grace."""
    index = next_part(parts, open)
    return None if index is None else parts[index].due_on + timedelta(days=grace_days + 1)
