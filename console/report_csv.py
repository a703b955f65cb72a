"""A report as CSV: one line per figure, raw numbers, ISO dates; nothing in it is a formula to a spreadsheet."""

import csv
from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import TextIO

from base.i18n import decimal_text
from base.money import Money
from billing.reports.shape import Column, Report, Unit, Value

HEAD = ("report", "from", "to", "on", "table", "label", "measure", "unit", "value")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"What a spreadsheet takes for the beginning of a formula (OWASP: CSV injection)."


def write_csv(report: Report, file: TextIO) -> None:
    """Rows, total and trend; months are named as in ISO 8601, such as 2026-11."""
    window = report.window
    period = (window.day, window.day) if report.on_a_day else (window.period.start, window.period.last_day)
    told = (report.name, *period, window.day if report.on_a_day else window.on)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEAD)
    for table, label, measure, unit, value in _figures(report):
        writer.writerow((*told, table, safe(label), measure, unit, value))


def safe(text: str) -> str:
    """A text that no spreadsheet calculates: one that begins like a formula gets an apostrophe in front."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _figures(report: Report) -> Iterator[tuple[str, str, str, str, str]]:
    total = () if report.total is None else (report.total,)
    for table, rows in (("rows", report.rows), ("total", total), ("below", report.below)):
        for row in rows:
            for told in _told(row.values, report.columns, report.window.currency):
                yield (table, row.label, *told)
            for month, value in zip(report.trend, row.months, strict=False):
                for told in _told([value], report.columns[-1:], report.window.currency):
                    yield (f"{table} {month.first:%Y-%m}", row.label, *told)
    for month in report.trend:
        for told in _told(month.values, report.trend_columns, report.window.currency):
            yield ("trend", f"{month.first:%Y-%m}", *told)


def _told(values: Sequence[Value], columns: Sequence[Column], currency: str) -> Iterator[tuple[str, str, str]]:
    for value, column in zip(values, columns, strict=True):
        unit = currency if column.unit is Unit.MONEY else column.unit.value
        yield column.name, unit, raw(value, column.unit, currency)


def raw(value: Value, unit: Unit, currency: str) -> str:
    """A number for machines: amounts in whole units, shares in per cent, at most four decimals; empty for none."""
    if value is None:
        return ""
    if unit is Unit.MONEY:
        return decimal_text(Money(int(value), currency))
    exact = Decimal(value.numerator) / Decimal(value.denominator) * (100 if unit is Unit.SHARE else 1)
    rounded = exact.quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP).normalize()
    return f"{rounded:f}"
