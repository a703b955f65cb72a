"""Monthly recurring revenue (MRR) and revenue per account (ARPU). Pure.

MRR of a day is what the services active on it are charged for again and again, as if every cycle were a month: net of
tax, after discounts, at a service's own price where it has one, add-ons and rent included. Paused services, charges
and set-up fees do not count. ARPU is MRR ÷ accounts that pay for at least one such service.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from base.calendar import Cycle
from base.money import Money
from billing.reports.shape import Column, Report, Row, Unit, Value, Window, by_month
from billing.tax import Tax

DAYS_OF_MONTH = Fraction(365, 12)
EXTRAS = "Add-ons and rent"


@dataclass(frozen=True, slots=True)
class Off:
    """A discount: either of the two."""

    percent: Decimal | None
    minor: int | None
    "Per cycle."


@dataclass(frozen=True, slots=True)
class Recurring:
    """Services, or add-ons of services, that cost the same on a day."""

    day: date
    label: str
    "Name of the plan, or EXTRAS."
    price_minor: int
    "Of all pieces of one service, per cycle."
    cycle: Cycle
    inclusive: bool
    taxes: tuple[Tax, ...]
    "That the payer bears."
    off: tuple[Off, ...]
    count: int

    @property
    def mrr(self) -> int:
        """What they are worth a month; each is rounded on its own, so that parts sum to the whole."""
        return monthly(self) * self.count


def monthly(each: Recurring) -> int:
    """What one of them is worth a month, net, in minor units, rounded half up once.

    price − discounts (in their order, never below nothing), ÷ (1 + taxes) where tax is in the price, × cycles in a
    month: 1 ÷ months of the cycle, or 365 ÷ 12 ÷ its days. Hours are bought when they are wanted, and recur no more
    than one-off goods do.
    """
    price = left = Fraction(each.price_minor)
    for off in each.off:
        wanted = price * Fraction(off.percent) / 100 if off.percent is not None else Fraction(off.minor or 0)
        left -= min(wanted, left)
    net = left / (1 + _rate(each.taxes)) if each.inclusive else left
    worth = net * cycles_in_month(each.cycle)
    return Money(worth.numerator, "XXX").portion(1, worth.denominator).minor


def cycles_in_month(cycle: Cycle) -> Fraction:
    """How many cycles a month has on average: 1/3 for a quarter, 365/84 for a week."""
    if cycle.unit == "month":
        return Fraction(1, cycle.length)
    return Fraction(0) if cycle.unit == "hour" else DAYS_OF_MONTH / cycle.days


def mrr_of(recurring: Iterable[Recurring]) -> int:
    """What they are worth a month together."""
    return sum(each.mrr for each in recurring)


def mrr(recurring: Sequence[Recurring], accounts: dict[date, int], window: Window) -> Report:
    """MRR by plan on `window.day`, and MRR, accounts and ARPU by month; `accounts`: paying ones by day."""

    def on(day: date) -> list[Recurring]:
        return [each for each in recurring if each.day == day]

    def values(each: Window) -> tuple[Value, ...]:
        worth, paying = mrr_of(on(each.day)), accounts.get(each.day, 0)
        return worth, paying, arpu(worth, paying)

    now = on(window.day)
    labels = sorted({each.label for each in recurring}, key=lambda label: (label == EXTRAS, label))
    rows = tuple(
        Row(
            label,
            (
                None if label == EXTRAS else sum(each.count for each in now if each.label == label),
                mrr_of(each for each in now if each.label == label),
            ),
            tuple(mrr_of(found for found in on(each.day) if found.label == label) for each in window.trend),
        )
        for label in labels
    )
    worth, paying, average = values(window)
    services = sum(each.count for each in now if each.label != EXTRAS)
    return Report(
        name="mrr",
        title="Monthly recurring revenue (MRR) and ARPU",
        window=window,
        on_a_day=True,
        columns=(Column("number", Unit.COUNT), Column("MRR", Unit.MONEY)),
        rows=rows,
        total=Row("all services", (services, worth), tuple(values(each)[0] for each in window.trend)),
        below=(
            Row("accounts, and per account (ARPU)", (paying, average), tuple(values(each)[2] for each in window.trend)),
        ),
        headline=worth,
        trend_columns=(Column("MRR", Unit.MONEY), Column("accounts", Unit.COUNT), Column("ARPU", Unit.MONEY)),
        trend=by_month(window, values),
    )


def arpu(worth: int, accounts: int) -> int | None:
    """MRR ÷ accounts, rounded half up; None without accounts."""
    return Money(worth, "XXX").portion(1, accounts).minor if accounts else None


def _rate(taxes: Iterable[Tax]) -> Fraction:
    """What they take of a net of 1; a compound one is also taken on those before it."""
    taken = Fraction(0)
    for tax in taxes:
        rate = Fraction(tax.percent) / 100
        taken += rate * (1 + taken) if tax.compound else rate
    return taken
