"""Which invoice a payment settles: those it was meant for, then the oldest. Pure; sums are exact."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

from base.money import Money, total


@dataclass(frozen=True, slots=True)
class OpenInvoice:
    """An invoice of which something is still to be paid."""

    id: int
    number: str
    due_on: date
    total: Money
    open: Money


@dataclass(frozen=True, slots=True)
class Agreed:
    """Invoices that are paid in parts, by an instalment plan."""

    invoice_ids: frozenset[int]
    later: Money
    "What of them is to be paid on days to come only."


def allocate(
    amount: Money, open: Iterable[OpenInvoice], prefer: Collection[int], agreed: Agreed | None = None
) -> list[tuple[int, Money]]:
    """(invoice id, part of `amount`) for each invoice that gets something; what is left over appears nowhere.

    Invoices named in `prefer` come first; within all groups the one due first, then the one issued first. Where an
    instalment plan is agreed, what is due of it comes before all that nobody named, and its parts to come come last.
    """
    order = sorted(open, key=lambda invoice: (invoice.due_on, invoice.id))
    nothing = Money(0, amount.currency)
    rest = {each.id: each.open for each in order}
    parts: dict[int, Money] = {}
    left = amount

    def take(chosen: Iterable[int], most: Money) -> Money:
        """Pay these, `most` at most; returns what is left of the amount."""
        most = min(most, left)
        spent = nothing
        for each in chosen:
            part = min(most - spent, rest[each])
            if nothing < part:
                parts[each] = parts.get(each, nothing) + part
                rest[each] = rest[each] - part
                spent = spent + part
        return left - spent

    left = take([each.id for each in order if each.id in prefer], left)
    if agreed is not None:
        planned = [each.id for each in order if each.id in agreed.invoice_ids]
        due = total((rest[each] for each in planned), amount.currency) - agreed.later
        left = take(planned, max(nothing, due))
        left = take([each.id for each in order if each.id not in agreed.invoice_ids], left)
    left = take([each.id for each in order], left)
    return list(parts.items())
