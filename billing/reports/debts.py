"""What is outstanding and how old it is, and how many days of sales that is (DSO). Pure.

Sources of the formulas: the usual definitions of credit management. What is open of an invoice on a day is its total
less every payment, credit note and write-off that had been applied to it by then; the sum over all invoices is the
ledger's account 'receivable' on that day.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

from billing.reports.shape import (
    Column,
    Report,
    Row,
    Target,
    Unit,
    Value,
    Window,
    by_month,
    day_before,
    month_of,
    share,
)

BUCKETS = (("current", 0), ("1-30 days", 30), ("31-60 days", 60), ("61-90 days", 90), ("over 90 days", None))
WINDOW_DAYS = 90


@dataclass(frozen=True, slots=True)
class Movement:
    """On `day`, so much more (or less, negative) was open of invoices that are due on `due_on`."""

    day: date
    due_on: date
    minor: int


@dataclass(frozen=True, slots=True)
class Sale:
    """What was invoiced on a day, tax included; `voided_on`: when credit notes had taken all of it back."""

    issued_on: date
    voided_on: date | None
    minor: int


def ageing_on(movements: Iterable[Movement], day: date) -> tuple[int, ...]:
    """What is open at the end of `day`, one amount per bucket of BUCKETS: days since the due date, 0 and less first."""
    amounts = [0] * len(BUCKETS)
    for each in movements:
        if each.day <= day:
            amounts[_bucket((day - each.due_on).days)] += each.minor
    return tuple(amounts)


def sales_between(sales: Iterable[Sale], start: date, end: date, on: date) -> int:
    """What was invoiced on the days [start, end), tax included, without what was voided by the end of `on`."""
    return sum(
        each.minor
        for each in sales
        if start <= each.issued_on < end and (each.voided_on is None or each.voided_on > on)
    )


def simple_dso(open_minor: int, sales: Sequence[Sale], on: date) -> Fraction | None:
    """Open ÷ sales of the 90 days that end with `on` × 90; of what is not yet due alone it is the best possible DSO.

    None without sales.
    """
    sold = sales_between(sales, on - timedelta(days=WINDOW_DAYS - 1), on + timedelta(days=1), on)
    return Fraction(open_minor * WINDOW_DAYS, sold) if sold else None


def count_back_dso(open_minor: int, sales: Sequence[Sale], on: date) -> Fraction | None:
    """Days of the latest sales that make up what is open: whole months back from `on`, then a part of one.

    A month's sales are taken from what is open and its days are added (of the month of `on`, the days up to it); of the
    month whose sales exceed the rest, rest ÷ sales × days. None where all sales there ever were do not suffice.
    """
    rest, days, month = open_minor, Fraction(0), month_of(on)
    earliest = min((each.issued_on for each in sales), default=on)
    end = on + timedelta(days=1)
    while rest > 0:
        if end <= earliest:
            return None
        sold, length = sales_between(sales, month.start, end, on), (end - month.start).days
        if sold > rest:
            return days + Fraction(rest * length, sold)
        rest, days = rest - sold, days + length
        end, month = month.start, month_of(day_before(month.start))
    return days


def ageing(movements: Sequence[Movement], window: Window) -> Report:
    """Outstanding and ageing by due date on `window.day`; its sum is the ledger's receivable on that day."""
    months = [ageing_on(movements, each.day) for each in window.trend]
    now = ageing_on(movements, window.day)
    rows = tuple(
        Row(label, (share(now[index], sum(now)), now[index]), tuple(month[index] for month in months))
        for index, (label, _) in enumerate(BUCKETS)
    )

    def values(each: Window) -> tuple[Value, ...]:
        found = ageing_on(movements, each.day)
        return sum(found), sum(found[1:]), share(sum(found[1:]), sum(found)), found[-1]

    return Report(
        name="ageing",
        title="Outstanding and ageing",
        window=window,
        on_a_day=True,
        columns=(Column("share", Unit.SHARE), Column("open", Unit.MONEY)),
        rows=rows,
        total=Row("outstanding", (share(sum(now), sum(now)), sum(now)), tuple(sum(month) for month in months)),
        headline=sum(now),
        trend_columns=(
            Column("outstanding", Unit.MONEY),
            Column("overdue", Unit.MONEY),
            Column("overdue share", Unit.SHARE),
            Column("over 90 days", Unit.MONEY),
        ),
        trend=by_month(window, values),
    )


def dso(movements: Sequence[Movement], sales: Sequence[Sale], window: Window, target_days: int) -> Report:
    """Days sales outstanding on `window.day`: simple, best possible, average days delinquent, count-back."""

    def values(each: Window) -> tuple[Value, ...]:
        found = ageing_on(movements, each.day)
        simple = simple_dso(sum(found), sales, each.day)
        best = simple_dso(found[0], sales, each.day)
        late = None if simple is None or best is None else simple - best
        return simple, best, late, count_back_dso(sum(found), sales, each.day)

    now = values(window)
    labels = ("simple", "best possible", "average days delinquent", "count-back")
    return Report(
        name="dso",
        title="Days sales outstanding (DSO)",
        window=window,
        on_a_day=True,
        columns=(Column("days", Unit.DAYS),),
        rows=tuple(Row(label, (value,)) for label, value in zip(labels, now, strict=True)),
        total=None,
        headline=now[0],
        trend_columns=tuple(
            Column(label, Unit.DAYS) for label in ("simple", "best possible", "delinquent", "count-back")
        ),
        trend=by_month(window, values),
        target=Target(Fraction(target_days), at_most=True),
    )


def _bucket(days: int) -> int:
    return next(index for index, (_, most) in enumerate(BUCKETS) if most is None or days <= most)
