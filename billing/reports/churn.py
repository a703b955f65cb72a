"""Accounts that left, and those of them that left because they did not pay. Pure.

An account (a subscriber who pays) is active on a day on which it has a service, paused or not. It has churned in a
period when it was active on the day before the period and is not on its last day; its reason is that of the service
that ended last. Churn is churned ÷ active on the day before; in money, their MRR of that day ÷ all MRR of that day.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from billing.reports.shape import Column, Report, Row, Unit, Value, Window, by_month, day_before, share

NON_PAYMENT = "nonpayment"


@dataclass(frozen=True, slots=True)
class Start:
    """What there was at the end of a day, before a period begins."""

    day: date
    accounts: int
    mrr_minor: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Accounts that were active at the end of `before` and not any more on `last`, for one reason."""

    before: date
    last: date
    reason: str
    accounts: int
    mrr_minor: int
    "Of the day before."


def is_non_payment(reason: str) -> bool:
    """Whether a service ended because its payer did not pay: 'non-payment', however it is spelled."""
    return "".join(letter for letter in reason.lower() if letter.isalpha()) == NON_PAYMENT


def churn(starts: Sequence[Start], ended: Sequence[Ended], window: Window) -> Report:
    """Churn by reason in the period, and churn, churn for non-payment and lost MRR by month."""
    before = {each.day: each for each in starts}

    def of(each: Window) -> tuple[Start, list[Ended]]:
        day = day_before(each.period.start)
        gone = [found for found in ended if (found.before, found.last) == (day, each.day)]
        return before.get(day, Start(day, 0, 0)), gone

    def month(each: Window) -> tuple[Value, ...]:
        start, gone = of(each)
        unpaid = [found for found in gone if is_non_payment(found.reason)]
        return (
            share(_accounts(gone), start.accounts),
            share(_accounts(unpaid), start.accounts),
            share(sum(found.mrr_minor for found in gone), start.mrr_minor),
            start.accounts,
            _accounts(gone),
            _accounts(unpaid),
        )

    start, gone = of(window)

    def row(label: str, found: Sequence[Ended]) -> Row:
        lost = sum(each.mrr_minor for each in found)
        churned = _accounts(found)
        return Row(label, (churned, share(churned, start.accounts), lost, share(lost, start.mrr_minor)))

    unpaid = [each for each in gone if is_non_payment(each.reason)]
    reasons = sorted({each.reason for each in gone if each not in unpaid})
    return Report(
        name="churn",
        title="Churn",
        window=window,
        columns=(
            Column("accounts", Unit.COUNT),
            Column("of active before", Unit.SHARE),
            Column("MRR lost", Unit.MONEY),
            Column("of MRR before", Unit.SHARE),
        ),
        rows=(
            row("for non-payment", unpaid),
            *(row(f"other: {reason}", [each for each in gone if each.reason == reason]) for reason in reasons),
        ),
        total=row("all", gone),
        headline=share(_accounts(gone), start.accounts),
        trend_columns=(
            Column("churn", Unit.SHARE),
            Column("for non-payment", Unit.SHARE),
            Column("of MRR", Unit.SHARE),
            Column("active before", Unit.COUNT),
            Column("churned", Unit.COUNT),
            Column("of them unpaid", Unit.COUNT),
        ),
        trend=by_month(window, month),
    )


def _accounts(ended: Sequence[Ended]) -> int:
    return sum(each.accounts for each in ended)
