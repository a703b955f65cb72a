"""Revenue as it was earned, and what was invoiced but is not earned yet, by tax class; billing.earned has the rules."""

from datetime import date

from sqlalchemy import Connection, func, literal, or_, select, union_all

from base.calendar import Period
from base.money import Money
from billing.earned import Line, earned_before
from billing.tables import credit_note, credit_note_line, invoice, invoice_line

ByClass = dict[tuple[int | None, str], Money]
"(tax class, currency) -> money; class None: of before it was kept."


def earned_between(tx: Connection, start: date, end: date) -> ByClass:
    """What was earned on the days [start, end), as far as it is invoiced by now."""
    found: ByClass = {}
    for tax_class, line, count in _lines(tx, earned_from=start, issued_or_earned_before=end):
        _add(found, tax_class, line, count, earned_before(line, end) - earned_before(line, start))
    return {key: amount for key, amount in found.items() if amount}


def unearned_before(tx: Connection, day: date) -> ByClass:
    """What was invoiced before `day`, less credit notes, for that day and the days after it."""
    found: ByClass = {}
    for tax_class, line, count in _lines(tx, earned_from=day, issued_or_earned_before=None):
        if line.issued_on < day:
            _add(found, tax_class, line, count, line.net - earned_before(line, day))
    return {key: amount for key, amount in found.items() if amount}


def _add(found: ByClass, tax_class: int | None, line: Line, count: int, each: Money) -> None:
    key = (tax_class, line.net.currency)
    found[key] = found.get(key, Money(0, line.net.currency)) + Money(each.minor * count, line.net.currency)


def _lines(
    tx: Connection, *, earned_from: date, issued_or_earned_before: date | None
) -> list[tuple[int | None, Line, int]]:
    """Lines that may earn something from a day on, equal ones together with how many they are.

    A month of a hundred thousand services has as many lines, but few different ones.
    """
    start = func.coalesce(credit_note_line.c.period_start, invoice_line.c.period_start)
    end = func.coalesce(credit_note_line.c.period_end, invoice_line.c.period_end)
    invoiced = (
        select(
            invoice_line.c.tax_class_id,
            invoice.c.currency,
            invoice.c.issued_on,
            invoice_line.c.period_start.label("start"),
            invoice_line.c.period_end.label("end"),
            invoice_line.c.net_minor.label("net"),
            literal(False).label("takes_back"),
        )
        .join(invoice, invoice.c.id == invoice_line.c.invoice_id)
        .where(invoice_line.c.kind.not_in(("deposit", "opening")))
    )
    credited = (
        select(
            invoice_line.c.tax_class_id,
            credit_note.c.currency,
            credit_note.c.issued_on,
            start.label("start"),
            end.label("end"),
            (-credit_note_line.c.net_minor).label("net"),
            literal(True).label("takes_back"),
        )
        .join(credit_note, credit_note.c.id == credit_note_line.c.credit_note_id)
        .join(invoice_line, invoice_line.c.id == credit_note_line.c.invoice_line_id)
        .where(invoice_line.c.kind.not_in(("deposit", "opening")))
    )
    each = union_all(invoiced, credited).subquery()
    query = (
        select(*each.c, func.count().label("lines"))
        .where(or_(each.c.end > earned_from, each.c.issued_on >= earned_from), each.c.net != 0)
        .group_by(*each.c)
    )
    if issued_or_earned_before is not None:
        query = query.where(or_(each.c.issued_on < issued_or_earned_before, each.c.start < issued_or_earned_before))
    return [
        (
            row.tax_class_id,
            Line(
                Money(row.net, row.currency),
                row.issued_on,
                None if row.start is None else Period(row.start, row.end),
                row.takes_back,
            ),
            row.lines,
        )
        for row in tx.execute(query)
    ]
