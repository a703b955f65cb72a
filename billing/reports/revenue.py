"""What was invoiced: by month, by what was sold and by tax. Pure.

Revenue is the net of invoices issued less the net of credit notes issued, each on its own day. Tax and deposits are no
revenue. It is revenue as invoiced: a year billed in advance counts in the month of its invoice.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from billing.reports.shape import Column, Report, Row, Unit, Value, Window, by_month, share

KINDS = {
    "plan": "Plans",
    "product": "Add-ons and rent",
    "setup": "Set-up",
    "one_off": "One-off charges",
    "early_end": "Early endings",
    "equipment": "Equipment not returned",
    "late_fee": "Late fees",
    "reconnection": "Reconnections",
}
"Kinds of lines in words, in the order of the table; one that is not here is shown by its name."


@dataclass(frozen=True, slots=True)
class Sold:
    """Net amounts of lines that are alike, in one month."""

    month: date
    "Its first day."
    inside: bool
    "In the period that was asked for."
    kind: str
    "A key of KINDS; what a discount takes off belongs to what it makes cheaper."
    name: str
    "Of the plan or product; empty for the others."
    invoiced: int
    credited: int

    @property
    def minor(self) -> int:
        """Revenue."""
        return self.invoiced - self.credited


@dataclass(frozen=True, slots=True)
class Taxed:
    """What one row of the tax tables of invoices came to, less that of credit notes, in one month."""

    month: date
    inside: bool
    name: str
    percent: str
    category: str
    base: int
    tax: int

    @property
    def label(self) -> str:
        """'VAT 20 % (S)'."""
        return f"{self.name} {self.percent} % ({self.category})"


def revenue(sold: Sequence[Sold], taxed: Sequence[Taxed], window: Window) -> Report:
    """Revenue by kind of what was sold, and by month with the tax on it."""

    def month(each: Window) -> tuple[Value, ...]:
        lines = [line for line in sold if line.month == each.period.start]
        tax = sum(row.tax for row in taxed if row.month == each.period.start)
        invoiced, credited = sum(line.invoiced for line in lines), sum(line.credited for line in lines)
        return invoiced - credited, invoiced, credited, tax

    order = list(KINDS.values())
    report = _by(sold, window, "revenue", "Revenue", lambda line: KINDS.get(line.kind, line.kind))
    rows = sorted(report.rows, key=lambda row: order.index(row.label) if row.label in order else len(order))
    return replace(
        report,
        rows=tuple(rows),
        trend_columns=tuple(Column(name, Unit.MONEY) for name in ("revenue", "invoiced", "credited", "tax")),
        trend=by_month(window, month),
    )


def revenue_by_plan(sold: Sequence[Sold], window: Window) -> Report:
    """Revenue by plan; what was sold beside plans follows, each product and kind of charge on its own."""

    def label(line: Sold) -> str:
        return line.name or KINDS.get(line.kind, line.kind)

    kinds = {label(line): list(KINDS).index(line.kind) if line.kind in KINDS else len(KINDS) for line in sold}
    report = _by(sold, window, "revenue-by-plan", "Revenue by plan", label)
    rows = sorted(report.rows, key=lambda row: (kinds[row.label], -int(row.values[-1] or 0), row.label))
    return replace(report, rows=tuple(rows))


def revenue_by_tax(taxed: Sequence[Taxed], window: Window) -> Report:
    """Tax base and tax by rate, as invoices and credit notes show them; what bears two taxes is in two bases."""
    labels = sorted({row.label for row in taxed})
    starts = [each.period.start for each in window.trend]

    def tax_of(label: str, month: date) -> int:
        return sum(row.tax for row in taxed if row.label == label and row.month == month)

    def row(label: str) -> Row:
        inside = [each for each in taxed if each.label == label and each.inside]
        values = sum(each.base for each in inside), sum(each.tax for each in inside)
        return Row(label, values, tuple(tax_of(label, start) for start in starts))

    rows = tuple(row(label) for label in labels)
    whole = sum(each.tax for each in taxed if each.inside)
    months = tuple(sum(each.tax for each in taxed if each.month == start) for start in starts)
    return Report(
        name="revenue-by-tax",
        title="Revenue by tax",
        window=window,
        columns=(Column("base", Unit.MONEY), Column("tax", Unit.MONEY)),
        rows=tuple(each for each in rows if any(each.values) or any(each.months)),
        total=Row("tax", (None, whole), months),
        headline=whole,
        trend_columns=(Column("tax", Unit.MONEY),),
        trend=by_month(window, lambda each: (months[starts.index(each.period.start)],)),
        notes=("What bears two taxes is in the base of both, and deposits are in the base: bases have no sum.",),
    )


def _by(sold: Sequence[Sold], window: Window, name: str, title: str, label: Callable[[Sold], str]) -> Report:
    starts = [each.period.start for each in window.trend]

    def row(text: str, lines: Iterable[Sold], whole: int) -> Row:
        lines = list(lines)
        inside = [line for line in lines if line.inside]
        invoiced, credited = sum(line.invoiced for line in inside), sum(line.credited for line in inside)
        months = tuple(sum(line.minor for line in lines if line.month == start) for start in starts)
        return Row(text, (invoiced, credited, share(invoiced - credited, whole), invoiced - credited), months)

    whole = sum(line.minor for line in sold if line.inside)
    labels = dict.fromkeys(label(line) for line in sold)
    rows = [row(text, (line for line in sold if label(line) == text), whole) for text in labels]
    total = row("all", sold, whole)
    return Report(
        name=name,
        title=title,
        window=window,
        columns=(
            Column("invoiced", Unit.MONEY),
            Column("credited", Unit.MONEY),
            Column("share", Unit.SHARE),
            Column("revenue", Unit.MONEY),
        ),
        rows=tuple(each for each in rows if any(each.values) or any(each.months)),
        total=total,
        headline=whole,
        trend_columns=(Column("revenue", Unit.MONEY),),
        trend=by_month(window, lambda each: (total.months[starts.index(each.period.start)],)),
    )
