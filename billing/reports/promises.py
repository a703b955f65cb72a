"""Promises to pay, and whether they were kept. Pure.

Kept ÷ (kept + broken), by count and amount, of the promises whose last day lay in the period and is over. A promise is
kept when it was fulfilled on its last day or before; later is broken, though the money came.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from billing.reports.shape import Column, Report, Row, Unit, Value, Window, by_month, share


@dataclass(frozen=True, slots=True)
class Promise:
    """Somebody promised to pay so much by a day."""

    made_on: date
    minor: int
    until: date
    "The last day on which it is kept."
    kept_on: date | None
    "When what was promised had been paid; None: not yet."


def promises(made: Sequence[Promise], window: Window) -> Report:
    """Promises kept and broken in the period, and those still open at the end of `window.on`."""

    def values(each: Window) -> tuple[Value, ...]:
        kept, broken = _ended(made, each)
        return (
            share(len(kept), len(kept) + len(broken)),
            share(_minor(kept), _minor(kept) + _minor(broken)),
            len(kept),
            len(broken),
        )

    kept, broken = _ended(made, window)
    open_ = [each for each in made if each.made_on <= window.on <= each.until and not _is_kept(each, window.on)]
    by_count, by_amount, *_ = values(window)
    return Report(
        name="promises",
        title="Promises kept",
        window=window,
        columns=(Column("promises", Unit.COUNT), Column("share", Unit.SHARE),
                 Column("amount", Unit.MONEY), Column("of the amount", Unit.SHARE)),
        rows=(
            Row("kept", (len(kept), by_count, _minor(kept), by_amount)),
            Row("broken", (len(broken), share(len(broken), len(kept) + len(broken)), _minor(broken),
                           share(_minor(broken), _minor(kept) + _minor(broken)))),
            Row("still open, not counted", (len(open_), None, _minor(open_), None)),
        ),
        total=None,
        headline=by_count,
        trend_columns=(
            Column("kept by count", Unit.SHARE),
            Column("by amount", Unit.SHARE),
            Column("kept", Unit.COUNT),
            Column("broken", Unit.COUNT),
        ),
        trend=by_month(window, values),
    )  # fmt: skip


def _ended(made: Iterable[Promise], window: Window) -> tuple[list[Promise], list[Promise]]:
    """(kept, broken) of those whose last day lay in the period and is over by the end of `window.on`."""
    ended = [each for each in made if window.has(each.until)]
    kept = [each for each in ended if _is_kept(each, window.on)]
    return kept, [each for each in ended if each not in kept and each.until < window.on]


def _is_kept(each: Promise, on: date) -> bool:
    return each.kept_on is not None and each.kept_on <= min(each.until, on)


def _minor(found: Iterable[Promise]) -> int:
    return sum(each.minor for each in found)
