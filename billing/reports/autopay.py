"""How many accounts pay by themselves. Pure.

Enrolment is enrolled ÷ billable accounts at the end of a day: those that pay for at least one service that is active
and not paused. Enrolled is who agreed and has a card that can be charged.
"""

from collections.abc import Collection, Mapping
from datetime import date
from fractions import Fraction

from billing.reports.shape import Column, Report, Row, Target, Unit, Value, Window, by_month, share

NOBODY_CAN = "No Stripe key is set, so nobody can enrol: there is no rate, which is not the same as 0 %."


def autopay(
    enrolled: Mapping[date, Collection[int]] | None, billable: Mapping[date, Collection[int]], window: Window,
    target_percent: int,
) -> Report:  # fmt: skip
    """Autopay enrolment on `window.day` and at each month's end; ids of accounts by day.

    `enrolled` is None where enrolling is not possible at all: then there is no rate. A day that is missing in
    `billable` has no rate either.
    """

    def values(each: Window) -> tuple[Value, ...]:
        accounts = set(billable.get(each.day, ()))
        if enrolled is None:
            return None, None, len(accounts) or None
        joined = len(accounts & set(enrolled.get(each.day, ())))
        return share(joined, len(accounts)), joined, len(accounts)

    rate, joined, accounts = values(window)
    return Report(
        name="autopay",
        title="Autopay enrolment",
        window=window,
        on_a_day=True,
        columns=(Column("enrolled", Unit.COUNT), Column("billable", Unit.COUNT), Column("rate", Unit.SHARE)),
        rows=(Row("accounts", (joined, accounts, rate)),),
        total=None,
        headline=rate,
        trend_columns=(
            Column("enrolment", Unit.SHARE),
            Column("enrolled", Unit.COUNT),
            Column("billable", Unit.COUNT),
        ),
        trend=by_month(window, values),
        target=Target(Fraction(target_percent, 100), at_most=False),
        notes=(NOBODY_CAN,) if enrolled is None else (),
    )
