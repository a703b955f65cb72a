"""How often collecting by card succeeds. Pure: any sequence of attempts, whoever made them.

Rates are over decided attempts: succeeded ÷ (succeeded + failed). Pending and unknown ones are listed apart, and those
that never reached the gateway are no attempts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum

from billing.reports.shape import Column, Report, Row, Unit, Value, Window, by_month, share


class Outcome(Enum):
    """What became of an attempt."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    "Declined, or the page was left without paying."
    PENDING = "pending"
    UNKNOWN = "unknown"
    NOT_SENT = "not sent"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to collect some invoices."""

    id: int
    "In the order in which they were made."
    day: date
    outcome: Outcome
    invoice_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Success:
    """Counts of a period."""

    succeeded: int
    "Attempts."
    decided: int
    "Attempts."
    first_succeeded: int
    "Invoices whose first decided attempt succeeded."
    tried: int
    "Invoices whose first decided attempt was in the period."
    recovered: int
    "Invoices whose first failed and that a later one collected."


@dataclass(frozen=True, slots=True)
class _History:
    """What is known of all attempts at the end of a day."""

    decided: Sequence[Attempt]
    first: dict[int, Attempt]
    "The first decided attempt of each invoice."
    collected: set[int]
    "Invoices."


def success(attempts: Iterable[Attempt], window: Window) -> Success:
    """All: attempts made in the period. First and recovered: invoices first tried in it, recovered by `window.on`."""
    return _count(_history(attempts, window.on), window)


def _history(attempts: Iterable[Attempt], on: date) -> _History:
    known = (each for each in attempts if each.day <= on and each.outcome in (Outcome.SUCCEEDED, Outcome.FAILED))
    decided = sorted(known, key=lambda each: each.id)
    first: dict[int, Attempt] = {}
    collected: set[int] = set()
    for each in decided:
        for invoice_id in each.invoice_ids:
            first.setdefault(invoice_id, each)
        if each.outcome is Outcome.SUCCEEDED:
            collected.update(each.invoice_ids)
    return _History(decided, first, collected)


def _count(history: _History, window: Window) -> Success:
    inside = [each for each in history.decided if window.has(each.day)]
    tried = [
        (invoice_id, each.outcome)
        for each in inside
        for invoice_id in each.invoice_ids
        if history.first[invoice_id] is each
    ]
    failed_first = [invoice_id for invoice_id, outcome in tried if outcome is Outcome.FAILED]
    return Success(
        succeeded=sum(each.outcome is Outcome.SUCCEEDED for each in inside),
        decided=len(inside),
        first_succeeded=len(tried) - len(failed_first),
        tried=len(tried),
        recovered=sum(each in history.collected for each in failed_first),
    )


def payment_success(attempts: Sequence[Attempt], window: Window) -> Report:
    """Payment success: first attempt, all attempts, recovered; and what cannot be counted."""
    history = _history(attempts, window.on)

    def values(each: Window) -> tuple[Value, ...]:
        found = _count(history, each)
        return (
            share(found.succeeded, found.decided),
            share(found.first_succeeded, found.tried),
            share(found.recovered, found.tried - found.first_succeeded),
            found.decided,
            listed(each, Outcome.PENDING) + listed(each, Outcome.UNKNOWN),
        )

    def listed(each: Window, outcome: Outcome) -> int:
        return sum(found.outcome is outcome and each.has(found.day) for found in attempts)

    now = _count(history, window)
    failed_first = now.tried - now.first_succeeded
    return Report(
        name="payment-success",
        title="Payment success",
        window=window,
        columns=(Column("succeeded", Unit.COUNT), Column("tried", Unit.COUNT), Column("rate", Unit.SHARE)),
        rows=(
            Row("first attempt (invoices)", (now.first_succeeded, now.tried, share(now.first_succeeded, now.tried))),
            Row("all attempts", (now.succeeded, now.decided, share(now.succeeded, now.decided))),
            Row("recovered (invoices)", (now.recovered, failed_first, share(now.recovered, failed_first))),
            Row("pending, not counted", (None, listed(window, Outcome.PENDING), None)),
            Row("unknown, not counted", (None, listed(window, Outcome.UNKNOWN), None)),
            Row("never reached the gateway, not counted", (None, listed(window, Outcome.NOT_SENT), None)),
        ),
        total=None,
        headline=share(now.succeeded, now.decided),
        trend_columns=(
            Column("all", Unit.SHARE),
            Column("first attempt", Unit.SHARE),
            Column("recovered", Unit.SHARE),
            Column("attempts", Unit.COUNT),
            Column("pending or unknown", Unit.COUNT),
        ),
        trend=by_month(window, values),
        notes=("A hosted page that was left without paying counts as failed: Stripe does not say why it was left.",),
    )  # fmt: skip
