"""A report as plain text: aligned tables in the provider's language, a sparkline per row, a bar per month."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from base.i18n import format_date, format_money, format_month, format_number
from base.money import Money
from billing.reports.shape import Column, Month, Report, Row, Unit, Value

SPARKS = "▁▂▃▄▅▆▇█"
BAR = 12  # characters of a month's bar at most
NOTHING = "-"


def show(report: Report, language: str) -> str:
    """The whole report as lines of text."""
    window = report.window
    blocks = [f"{report.title}\n{_days(report, language)}, {window.currency}", _table(report, language)]
    if said := _verdict(report, language):
        blocks.append(said)
    if window.months > 1:
        blocks.append(_trend(report, language))
    blocks += report.notes
    return "\n\n".join(blocks)


def _days(report: Report, language: str) -> str:
    window = report.window
    if report.on_a_day:
        return f"at the end of {format_date(window.day, language)}"
    first, last = (format_date(day, language) for day in (window.period.start, window.period.last_day))
    return f"{first} to {last}, as of {format_date(window.on, language)}"


def text_of(value: Value, unit: Unit, currency: str, language: str) -> str:
    """A value as people read it: '€1,234.50', '95.3 %', '12.4', '3'."""
    if value is None:
        return NOTHING
    if unit is Unit.MONEY:
        return format_money(Money(int(value), currency), language)
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    if unit is Unit.SHARE:
        return f"{format_number(exact * 100, 1, language)} %"
    if unit is Unit.DAYS:
        return format_number(exact, 1, language)
    return format_number(exact, 0, language) + (" ms" if unit is Unit.MILLISECONDS else "")


def sparkline(values: Sequence[Value]) -> str:
    """One character per value, from nothing to the highest; a blank where there is no value."""
    top = max((value for value in values if value is not None), default=0)
    return "".join(" " if value is None else SPARKS[_step(value, top, len(SPARKS) - 1)] for value in values)


def _step(value: int | Fraction, top: int | Fraction, steps: int) -> int:
    return 0 if top <= 0 or value <= 0 else max(1, int(Fraction(value) * steps / Fraction(top) + Fraction(1, 2)))


def _table(report: Report, language: str) -> str:
    sparks = any(row.months for row in report.rows) and report.window.months > 1
    head = ["", *(column.name for column in report.columns), *(["by month"] if sparks else [])]
    lines = [_cells(row, report, language, sparks) for row in report.rows]
    rule = len(lines)
    lines += [
        _cells(row, report, language, sparks) for row in [*([report.total] if report.total else []), *report.below]
    ]
    return _aligned([head, *lines], rules={1, rule + 1} if report.total else {1})


def _cells(row: Row, report: Report, language: str, sparks: bool) -> list[str]:
    values = _texts(row.values, report.columns, report.window.currency, language)
    return [row.label, *values, *([sparkline(row.months[_began(report) :])] if sparks else [])]


def _texts(values: Sequence[Value], columns: Sequence[Column], currency: str, language: str) -> list[str]:
    return [text_of(value, column.unit, currency, language) for value, column in zip(values, columns, strict=True)]


def _verdict(report: Report, language: str) -> str:
    if report.target is None:
        return ""
    unit = report.trend_columns[0].unit
    bound = "at most" if report.target.at_most else "at least"
    wanted = f"Target: {report.trend_columns[0].name} {bound} {text_of(report.target.value, unit, '', language)}"
    if unit is Unit.DAYS:
        wanted += " days"
    if report.met is None:
        return f"{wanted}; there is nothing to hold against it."
    return f"{wanted}: {'✓ met' if report.met else '✗ missed'}."


def _began(report: Report) -> int:
    """The first month in which there was anything; the months before it are not worth a line."""
    busy = [index for index, month in enumerate(report.trend) if any(month.values)]
    return busy[0] if busy else len(report.trend) - 1


def _trend(report: Report, language: str) -> str:
    top = max((month.values[0] for month in report.trend if month.values[0] is not None), default=0)
    marks = ["target"] if report.target else []
    head = ["", *(column.name for column in report.trend_columns), "", *marks]
    lines = [
        [
            format_month(month.first, language),
            *_texts(month.values, report.trend_columns, report.window.currency, language),
            "█" * _step(month.values[0] or 0, top, BAR),
            *([_mark(report, month)] if report.target else []),
        ]
        for month in report.trend[_began(report) :]
    ]
    return _aligned([head, *lines], rules={1}, bar=len(report.trend_columns) + 1)


def _mark(report: Report, month: Month) -> str:
    assert report.target is not None
    met = report.target.met(month.values[0])
    if met is None:
        return ""
    if month.runs and not met:
        return "… too early"
    return "✓ met" if met else "✗ missed"


def _aligned(lines: Sequence[Sequence[str]], rules: set[int], bar: int | None = None) -> str:
    """Columns under each other, numbers to the right, the first column and what follows `bar` to the left."""
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    texts = []
    for number, line in enumerate(lines):
        if number in rules:
            texts.append("  ".join("─" * width for width in widths).rstrip())
        cells = [
            cell.ljust(width) if index == 0 or (bar is not None and index >= bar) else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        texts.append("  ".join(cells).rstrip())
    return "\n".join(texts)
