"""How long it takes from a payment to a line that works. Pure.

Time to restore is from the real time at which the payment that ended a suspension was recorded to the acknowledgement
by the NAS of the last of the service's sessions. Percentiles are by nearest rank: the smallest time that at least so
many per cent of all do not exceed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from billing.reports.shape import Column, Report, Row, Unit, Value, Window, by_month


@dataclass(frozen=True, slots=True)
class Restored:
    """A payment gave a service better access."""

    day: date
    "Business date."
    milliseconds: int | None
    "None: no NAS acknowledged it, mostly because no session was open."


def percentile(times: Iterable[int], percent: int) -> int | None:
    """By nearest rank; None of none."""
    order = sorted(times)
    return order[-(-percent * len(order) // 100) - 1] if order else None


def restoring(restored: Sequence[Restored], window: Window) -> Report:
    """Time to restore after a payment: p50, p95 and the slowest."""

    def values(each: Window) -> tuple[Value, ...]:
        found = [one for one in restored if each.has(one.day)]
        times = [one.milliseconds for one in found if one.milliseconds is not None]
        return (
            percentile(times, 50),
            percentile(times, 95),
            max(times, default=None),
            len(times),
            len(found) - len(times),
        )

    return Report(
        name="time-to-restore",
        title="Time to restore after a payment",
        window=window,
        columns=(
            Column("p50", Unit.MILLISECONDS),
            Column("p95", Unit.MILLISECONDS),
            Column("slowest", Unit.MILLISECONDS),
            Column("restored", Unit.COUNT),
            Column("without session", Unit.COUNT),
        ),
        rows=(Row("payment to acknowledgement", values(window)),),
        total=None,
        headline=values(window)[1],
        trend_columns=(
            Column("p95", Unit.MILLISECONDS),
            Column("p50", Unit.MILLISECONDS),
            Column("slowest", Unit.MILLISECONDS),
            Column("restored", Unit.COUNT),
            Column("without session", Unit.COUNT),
        ),
        trend=by_month(window, lambda each: _p95_first(values(each))),
    )


def _p95_first(values: tuple[Value, ...]) -> tuple[Value, ...]:
    return (values[1], values[0], *values[2:])
