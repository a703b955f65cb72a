"""How much of what was billed is paid, and how late. Pure.

An invoice counts with its total less the credit notes that name it; one that was credited whole was never due. What is
applied to it of payments, and of credit that came from elsewhere, is collected; a write-off is not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from billing.reports.shape import Column, Month, Report, Row, Target, Unit, Value, Window, by_month, share


@dataclass(frozen=True, slots=True)
class Bills:
    """Invoices that are alike in their days, as they stand at the end of the day that was asked for."""

    issued_on: date
    due_on: date
    cleared_on: date | None
    "The day on which nothing was open any more; None: something is."
    given_up: bool
    "Something of it was written off."
    invoices: int
    billed_minor: int
    "Their totals less the credit notes that name them."
    collected_minor: int
    "Of that, what was paid."


@dataclass(frozen=True, slots=True)
class Received:
    """Money that came in on a day, less what went back on it."""

    day: date
    minor: int


@dataclass(frozen=True, slots=True)
class Lateness:
    """Of the invoices that fell due in a period, those that were late."""

    due: int
    late: int
    due_minor: int
    late_minor: int
    days_late: Fraction | None
    "Of the late ones, weighted by amount, until they were paid, given up or `on`."


def cohort(bills: Iterable[Bills], window: Window) -> tuple[int, int]:
    """(billed, collected by `on`) of the invoices that were issued in the period."""
    chosen = [each for each in bills if window.has(each.issued_on)]
    return sum(each.billed_minor for each in chosen), sum(each.collected_minor for each in chosen)


def cash(bills: Iterable[Bills], received: Iterable[Received], window: Window) -> tuple[int, int]:
    """(due, received): what fell due in the period, and all money that came in during it less what went back.

    Whatever it was for.
    """
    due = sum(each.billed_minor for each in bills if window.has(each.due_on))
    return due, sum(each.minor for each in received if window.has(each.day))


def lateness(bills: Iterable[Bills], window: Window) -> Lateness:
    """Late ÷ due, by count and amount: due in the period, the due day over by `on`, and not cleared on or before it.

    Part payments do not count: the day decides on which nothing was open any more. What was written off is late.
    """
    due = [each for each in bills if window.has(each.due_on) and each.due_on < window.on]
    late = [each for each in due if each.given_up or each.cleared_on is None or each.cleared_on > each.due_on]
    late_minor = sum(each.billed_minor for each in late)
    weighted = sum(
        each.billed_minor * max(0, ((each.cleared_on or window.on) - each.due_on).days)  # given up before it was due
        for each in late
    )
    return Lateness(
        due=sum(each.invoices for each in due),
        late=sum(each.invoices for each in late),
        due_minor=sum(each.billed_minor for each in due),
        late_minor=late_minor,
        days_late=Fraction(weighted, late_minor) if late_minor else None,
    )


def collection(bills: Sequence[Bills], received: Sequence[Received], window: Window, target_percent: int) -> Report:
    """Collection rate: of a cohort (invoices issued in the period, paid by `on`), and in cash (received ÷ due)."""

    def values(each: Window) -> tuple[Value, ...]:
        billed, collected = cohort(bills, each)
        due, came = cash(bills, received, each)
        return share(collected, billed), billed, collected, share(came, due), due, came

    def month(each: Window) -> Month:
        waits = any(each.has(bill.issued_on) and bill.due_on >= each.on for bill in bills)
        return Month(each.period.start, values(each), each.runs or waits)

    rate, billed, collected, cash_rate, due, came = values(window)
    return Report(
        name="collection",
        title="Collection rate",
        window=window,
        columns=(Column("to collect", Unit.MONEY), Column("collected", Unit.MONEY), Column("rate", Unit.SHARE)),
        rows=(
            Row("cohort: of the invoices issued in the period", (billed, collected, rate)),
            Row("cash: received in the period for what fell due in it", (due, came, cash_rate)),
        ),
        total=None,
        headline=rate,
        trend_columns=(
            Column("cohort rate", Unit.SHARE),
            Column("issued", Unit.MONEY),
            Column("collected", Unit.MONEY),
            Column("cash rate", Unit.SHARE),
            Column("fell due", Unit.MONEY),
            Column("received", Unit.MONEY),
        ),
        trend=tuple(month(each) for each in window.trend),
        target=Target(Fraction(target_percent, 100), at_most=False),
    )


def late(bills: Sequence[Bills], window: Window, target_percent: int) -> Report:
    """Late payments: share by count and amount of what fell due in the period, and the average days late."""

    def values(each: Window) -> tuple[Value, ...]:
        found = lateness(bills, each)
        return (
            share(found.late, found.due),
            share(found.late_minor, found.due_minor),
            found.days_late,
            found.due,
            found.late,
            found.late_minor,
        )

    now = lateness(bills, window)
    return Report(
        name="late",
        title="Late payments",
        window=window,
        columns=(Column("fell due", Unit.COUNT), Column("amount due", Unit.MONEY), Column("late", Unit.COUNT),
                 Column("amount late", Unit.MONEY), Column("late by count", Unit.SHARE),
                 Column("late by amount", Unit.SHARE), Column("days late", Unit.DAYS)),
        rows=(
            Row(
                "invoices",
                (now.due, now.due_minor, now.late, now.late_minor, share(now.late, now.due),
                 share(now.late_minor, now.due_minor), now.days_late),
            ),
        ),
        total=None,
        headline=share(now.late, now.due),
        trend_columns=(
            Column("late by count", Unit.SHARE),
            Column("by amount", Unit.SHARE),
            Column("days late", Unit.DAYS),
            Column("fell due", Unit.COUNT),
            Column("late", Unit.COUNT),
            Column("amount late", Unit.MONEY),
        ),
        trend=by_month(window, values),
        target=Target(Fraction(target_percent, 100), at_most=True),
    )  # fmt: skip
