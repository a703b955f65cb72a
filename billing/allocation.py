"""Which invoice a payment settles: those it was meant for, then the oldest. Pure; sums are exact."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

from base.money import Money


@dataclass(frozen=True, slots=True)
class OpenInvoice:
    """An invoice of which something is still to be paid."""

    id: int
    number: str
    due_on: date
    total: Money
    open: Money


def allocate(amount: Money, open: Iterable[OpenInvoice], prefer: Collection[int]) -> list[tuple[int, Money]]:
    """(invoice id, part of `amount`) for each invoice that gets something; what is left over appears nowhere.

    Invoices named in `prefer` come first; within both groups the one due first, then the one issued first.
    """
    left = amount
    nothing = Money(0, amount.currency)
    parts = []
    for each in sorted(open, key=lambda invoice: (invoice.id not in prefer, invoice.due_on, invoice.id)):
        part = min(left, each.open)
        if nothing < part:
            parts.append((each.id, part))
            left = left - part
    return parts
