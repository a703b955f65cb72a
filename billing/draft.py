"""Which invoice lines are due, decided from what a subscriber bought; nothing here reads a clock or a database.

What recurs (a plan, an add-on, rented equipment) is billed piece by piece from `billed_until` on. A piece ends where
its period ends, where other terms begin, or where the service ends; periods are counted from the anchor, so the 31st
stays the 31st. Whatever was missed is caught up. The pieces of one period sum to its price exactly, because each is
the difference of two rounded shares of it, counted from the period's first day.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from base.calendar import Cycle, Period, period_around
from base.money import Money

FAR = date.max


@dataclass(frozen=True, slots=True)
class Terms:
    """What is sold from a day on, and how it is billed."""

    from_on: date
    text: str
    cycle: Cycle
    prices: tuple[tuple[date, Money], ...]
    "(from, price of one whole period), oldest first; before the first of the days its price holds too."
    inclusive: bool
    "Tax is in the price."
    tax_class_id: int
    anchor: date
    "A day on which a period begins; all others are counted from it."
    in_arrears: bool = False
    prorated: bool = True
    "Else a piece costs the whole price where it begins a period or the service, and nothing elsewhere."
    prepaid: bool = False
    "Its periods are paid from the balance (billing.prepaid.renewal): no bill run looks at them."
    first_period: str = "prorate"
    "prorate; prorate_next: and bill the first whole period with it; full: the first piece costs a whole period."

    def price_on(self, day: date) -> Money:
        """The price of a period that begins on `day`."""
        known = [price for begins, price in self.prices if begins <= day]
        return known[-1] if known else self.prices[0][1]


@dataclass(frozen=True, slots=True)
class Discount:
    """What makes a price lower on the days [from_on, until_on)."""

    text: str
    from_on: date
    until_on: date
    percent: Decimal | None
    amount: Money | None
    "Per whole period; exactly one of the two is given."


@dataclass(frozen=True, slots=True)
class Recurring:
    """Something of a service that is billed again and again."""

    service_id: int
    service_product_id: int | None
    "None: the plan itself."
    login: str
    quantity: int
    starts_on: date
    ends_on: date
    "First day without it; FAR: not known."
    billed_until: date
    terms: tuple[Terms, ...]
    "By from_on, the first not later than starts_on."
    skipped: tuple[Period, ...] = ()
    "Days that cost nothing."
    discounts: tuple[Discount, ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """A line that is due, before tax."""

    kind: str
    "plan, product, discount, or the kind of a charge."
    service_id: int | None
    text: str
    amount: Money
    "As priced: net, or gross where inclusive."
    inclusive: bool
    tax_class_id: int
    supplied_on: date
    "The day whose tax rates hold: the first of the period."
    period: Period | None = None
    quantity: int = 1
    service_product_id: int | None = None
    charge_id: int | None = None
    by_day: bool = True
    "Else it is given back whole or not at all."


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a period, or all of it, that is billed at once."""

    terms: Terms
    days: Period
    whole: Period
    "The period that it is a part of."


def next_piece(each: Recurring, start: date) -> Piece | None:
    """The piece that begins on `start`; None when nothing is left to be billed."""
    if start >= each.ends_on:
        return None
    held = [index for index, terms in enumerate(each.terms) if terms.from_on <= start]
    index = held[-1] if held else 0
    terms = each.terms[index]
    if terms.prepaid:
        return None
    whole = period_around(terms.anchor, terms.cycle, start)
    ends = [whole.end, each.ends_on, *(later.from_on for later in each.terms[index + 1 : index + 2])]
    return Piece(terms, Period(start, min(ends)), whole)


def due_on(each: Recurring, piece: Piece, days_before: int) -> date:
    """The day from which a piece may be billed: after its end in arrears, else `days_before` its period begins."""
    if piece.terms.in_arrears:
        return piece.days.end
    start = piece.days.start
    if piece.terms.first_period == "prorate_next":
        first = period_around(piece.terms.anchor, piece.terms.cycle, each.starts_on)
        if first.start < each.starts_on and start == first.end:
            start = each.starts_on
    return start - timedelta(days=days_before)


def due_lines(each: Recurring, today: date, days_before: int) -> tuple[list[Due], date]:
    """The lines of `each` that are due on `today`, in order, and the first day that is not billed after them."""
    lines: list[Due] = []
    billed_until = each.billed_until
    while (piece := next_piece(each, billed_until)) is not None and due_on(each, piece, days_before) <= today:
        for days in without(piece.days, each.skipped):
            lines += _lines(each, piece, days)
        billed_until = piece.days.end
    return lines, billed_until


def period_lines(each: Recurring, days: Period) -> list[Due]:
    """The lines of one whole period on `days`, by the terms of its first day; cut where the service ends."""
    if not each.starts_on <= days.start < each.ends_on:
        return []
    terms = [terms for terms in each.terms if terms.from_on <= days.start][-1]
    cut = Period(days.start, min(days.end, each.ends_on))
    return _lines(each, Piece(terms, cut, days), cut)


def next_due_on(each: Recurring, days_before: int) -> date | None:
    """The day on which the next piece becomes due; None when nothing is left to be billed."""
    piece = next_piece(each, each.billed_until)
    return None if piece is None else due_on(each, piece, days_before)


def price_of(piece: Piece) -> Money:
    """The price of the whole period of a piece: that of its first day, or of the terms' where they began later."""
    return piece.terms.price_on(max(piece.whole.start, piece.terms.from_on))


def is_by_day(piece: Piece, starts_on: date) -> bool:
    """Whether a piece costs by the day; else it is the whole price, which is given back whole or not at all."""
    first = piece.days.start == starts_on and piece.terms.first_period == "full"
    return piece.terms.prorated and not first


def cost(piece: Piece, days: Period, starts_on: date) -> Money:
    """What the days of a piece cost of one whole period's price."""
    price = price_of(piece)
    if piece.days.start == starts_on and piece.terms.first_period == "full":
        return price if days.start == piece.days.start else price - price
    if not piece.terms.prorated:
        begins = days.start in (piece.whole.start, starts_on)
        return price if begins else price - price
    return share(price, piece.whole, days)


def share(amount: Money, whole: Period, days: Period) -> Money:
    """What falls on `days` of an amount for the whole period; the shares of parts sum to the amount."""
    until_end = amount.portion((days.end - whole.start).days, whole.days)
    return until_end - amount.portion((days.start - whole.start).days, whole.days)


def without(days: Period, taken: Iterable[Period]) -> list[Period]:
    """What is left of `days`, in order."""
    left = [days]
    for each in taken:
        left = [part for old in left for part in _cut(old, each)]
    return left


def overlap(one: Period, other: Period) -> Period | None:
    """The days that both have; None when there are none."""
    start, end = max(one.start, other.start), min(one.end, other.end)
    return Period(start, end) if start < end else None


def _cut(days: Period, taken: Period) -> Iterator[Period]:
    if days.start < min(days.end, taken.start):
        yield Period(days.start, min(days.end, taken.start))
    if max(days.start, taken.end) < days.end:
        yield Period(max(days.start, taken.end), days.end)


def _lines(each: Recurring, piece: Piece, days: Period) -> list[Due]:
    amount = cost(piece, days, each.starts_on).times(Decimal(each.quantity))
    if not amount and price_of(piece):
        return []  # what has a price but costs nothing here is no line; what is free is one
    line = Due(
        kind="plan" if each.service_product_id is None else "product",
        service_id=each.service_id,
        text=f"{piece.terms.text} ({each.login})",
        amount=amount,
        inclusive=piece.terms.inclusive,
        tax_class_id=piece.terms.tax_class_id,
        supplied_on=days.start,
        period=days,
        quantity=each.quantity,
        service_product_id=each.service_product_id,
        by_day=is_by_day(piece, each.starts_on),
    )
    return [line, *_discounts(each.discounts, piece, line)]


def _discounts(discounts: Sequence[Discount], piece: Piece, line: Due) -> Iterator[Due]:
    """One line for each discount that holds on days of `line`, together at most what the line costs."""
    assert line.period is not None
    left = line.amount
    for each in discounts:
        days = overlap(line.period, Period(each.from_on, each.until_on))
        if days is None:
            continue
        there = share(line.amount, line.period, days)  # what the days cost on which it holds
        if each.percent is not None:
            off = there.times(each.percent.scaleb(-2))
        else:
            assert each.amount is not None
            off = min(share(each.amount, piece.whole, days), there)
        off = min(off, left)
        left = left - off
        if off:
            yield Due(
                kind="discount",
                service_id=line.service_id,
                text=each.text,
                amount=-off,
                inclusive=line.inclusive,
                tax_class_id=line.tax_class_id,
                supplied_on=line.supplied_on,
                period=days,
                service_product_id=line.service_product_id,
                by_day=line.by_day,
            )
