"""Lines as documents show them, read alike for invoices and credit notes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from base.calendar import Period
from base.money import Money
from billing.paper import taxes_from_json
from billing.tax import Tax, percent_text


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an invoice or a credit note."""

    kind: str
    service_id: int | None
    text: str
    period: Period | None
    net: Money
    taxes: tuple[Tax, ...]
    quantity: int = 1

    @property
    def tax_rate(self) -> str:
        """Its rates as printed: '20 %', '5 % + 9.975 %'; empty where no tax is known."""
        return " + ".join(f"{percent_text(tax.percent)} %" for tax in self.taxes)


def lines_of(rows: Iterable[Row[Any]], currency: str) -> tuple[Line, ...]:
    """Rows with kind, service_id, text, quantity, period_start, period_end, net_minor and taxes, as lines."""
    return tuple(
        Line(
            kind=row.kind,
            service_id=row.service_id,
            text=row.text,
            period=None if row.period_start is None else Period(row.period_start, row.period_end),
            net=Money(row.net_minor, currency),
            taxes=taxes_from_json(row.taxes),
            quantity=row.quantity,
        )
        for row in rows
    )
