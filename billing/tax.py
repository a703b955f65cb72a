"""Tax of a document: computed over everything that bears the same taxes and rounded there once (EN 16931 BT-117).

A price is net (tax is added to it) or inclusive (tax is in it). Net prices stand as they are, and each tax is taken on
their exact sum. Of inclusive prices the sum stands to the cent, and tax is what is left when the net is taken out.
Everything is counted in whole numbers; what is rounded is rounded by base.money.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import lcm

from base.money import Money, split, total


@dataclass(frozen=True, slots=True)
class Tax:
    """One tax that a line bears; a compound one is also taken on the taxes before it."""

    name: str
    percent: Decimal
    category: str = "S"
    "UNCL5305: S, Z, E, AE, K, G or O (EN 16931 BT-118)."
    compound: bool = False


@dataclass(frozen=True, slots=True)
class Taxed:
    """A line as priced: `amount` is net, or gross where `inclusive`; negative for a discount."""

    amount: Money
    inclusive: bool
    taxes: tuple[Tax, ...]
    "In the order in which compound ones are taken; none: no tax, and no row in the tax table."


@dataclass(frozen=True, slots=True)
class TaxGroup:
    """A row of a document's tax table: what bears the tax (EN 16931 BT-116) and the tax on it (BT-117)."""

    name: str
    percent: Decimal
    category: str
    net: Money
    tax: Money


@dataclass(frozen=True, slots=True)
class Totals:
    """What lines come to: a net for each, the tax table by percent and name, and the sums."""

    nets: tuple[Money, ...]
    groups: tuple[TaxGroup, ...]
    net: Money
    tax: Money
    total: Money


Bearing = tuple[bool, tuple[Tax, ...]]  # inclusive, taxes: lines that have both alike are taxed together
Row = tuple[str, Decimal, str]  # name, percent, category: what is one row of the tax table


def compute(lines: Sequence[Taxed], currency: str) -> Totals:
    """What the lines come to. Nets sum to the net, and inclusive lines to the cent to what they are priced at."""
    nets = _nets(lines, currency)
    rows = _rows(lines, [line.amount for line in lines], nets, currency)
    return _totals(nets, rows, currency)


def credit(lines: Sequence[Taxed], before: Sequence[Money], now: Sequence[Money], currency: str) -> Totals:
    """What giving back `now` of each line is worth after `before` was given back, all three as priced.

    Each amount has the sign of its line and goes no further than the line does (else ValueError). Worth is the
    difference of two states of the whole document, so steps of any size sum to what was charged, per line and per row;
    a line that is given back whole is worth the net that it was charged at. Rows of untouched lines are left out.
    """
    charged = _nets(lines, currency)
    after = [old + more for old, more in zip(before, now, strict=True)]
    for line, old, new in zip(lines, before, after, strict=True):
        way = -1 if line.amount.minor < 0 else 1
        if not 0 <= old.minor * way <= new.minor * way <= line.amount.minor * way:
            raise ValueError(f"of {line.amount} cannot be given back {old} and then {new} in all")
    nets_before = [_part(net, each, line.amount) for net, each, line in zip(charged, before, lines, strict=True)]
    nets_after = [_part(net, each, line.amount) for net, each, line in zip(charged, after, lines, strict=True)]
    rows_before = _rows(lines, before, nets_before, currency)
    rows_after = _rows(lines, after, nets_after, currency)
    touched = {_row(tax) for line, each in zip(lines, now, strict=True) if each for tax in line.taxes}
    rows = {
        row: (net - rows_before[row][0], tax - rows_before[row][1])
        for row, (net, tax) in rows_after.items()
        if row in touched
    }
    return _totals([new - old for new, old in zip(nets_after, nets_before, strict=True)], rows, currency)


def percent_text(percent: Decimal) -> str:
    """The rate as people write it: '20', '5.5'."""
    return f"{percent.normalize():f}"


@lru_cache(maxsize=1024)
def _rates(taxes: tuple[Tax, ...]) -> tuple[tuple[int, ...], int]:
    """(parts, whole): of a net of `whole`, each tax takes its part, compound ones with what was taken before them."""
    rates: list[Fraction] = []
    for tax in taxes:
        rate = Fraction(tax.percent) / 100
        rates.append(rate * (1 + sum(rates)) if tax.compound else rate)
    whole = lcm(*(rate.denominator for rate in rates))
    return tuple(int(rate * whole) for rate in rates), whole


def _bearings(lines: Sequence[Taxed]) -> dict[Bearing, list[int]]:
    """The indexes of the lines that are taxed together."""
    found: dict[Bearing, list[int]] = {}
    for index, line in enumerate(lines):
        found.setdefault((line.inclusive, line.taxes), []).append(index)
    return found


def _nets(lines: Sequence[Taxed], currency: str) -> list[Money]:
    nets = [line.amount for line in lines]
    for (inclusive, taxes), indexes in _bearings(lines).items():
        if not inclusive:
            continue
        parts, whole = _rates(taxes)
        amounts = [lines[index].amount.minor for index in indexes]
        gross = total((lines[index].amount for index in indexes), currency)
        net = gross.portion(whole, whole + sum(parts))
        for index, minor in zip(indexes, _spread(net.minor, amounts, whole, whole + sum(parts)), strict=True):
            nets[index] = Money(minor, currency)
    return nets


def _spread(target: int, amounts: Sequence[int], part: int, whole: int) -> list[int]:
    """Each amount × part / whole to within one, together `target` (their sum rounded): largest remainder first.

    Amounts of both signs are welcome: each is rounded down, and `target` then lies no further up than the number of
    those that lost something. Counted in the direction of the first amount, so that a credit mirrors its charge.
    """
    way = next((-1 if amount < 0 else 1 for amount in amounts if amount), 1)
    exact = [divmod(way * amount * part, whole) for amount in amounts]
    left = way * target - sum(down for down, _ in exact)
    up = set(sorted(range(len(exact)), key=lambda index: (-exact[index][1], index))[:left])
    return [way * (down + (index in up)) for index, (down, _) in enumerate(exact)]


def _rows(
    lines: Sequence[Taxed], amounts: Sequence[Money], nets: Sequence[Money], currency: str
) -> dict[Row, tuple[Money, Money]]:
    """(net, tax) of each row when `amounts` with these nets bear the taxes of the lines."""
    nothing = Money(0, currency)
    rows: dict[Row, tuple[Money, Money]] = {}
    for (inclusive, taxes), indexes in _bearings(lines).items():
        parts, whole = _rates(taxes)
        net = total((nets[index] for index in indexes), currency)
        if inclusive and any(parts):
            taken = split(total((amounts[index] for index in indexes), currency) - net, parts)
        else:
            taken = [net.portion(part, whole) for part in parts]
        for tax, money in zip(taxes, taken, strict=True):
            others_net, others_tax = rows.get(_row(tax), (nothing, nothing))
            rows[_row(tax)] = (others_net + net, others_tax + money)
    return rows


def _row(tax: Tax) -> Row:
    return (tax.name, tax.percent, tax.category)


def _part(net: Money, given: Money, amount: Money) -> Money:
    """What of a line's net is given back with `given` of its amount."""
    return net.portion(abs(given.minor), abs(amount.minor)) if amount else net


def _totals(nets: Sequence[Money], rows: dict[Row, tuple[Money, Money]], currency: str) -> Totals:
    groups = [TaxGroup(*row, net, tax) for row, (net, tax) in rows.items()]
    groups.sort(key=lambda group: (group.percent, group.name, group.category))
    net, tax = total(nets, currency), total((group.tax for group in groups), currency)
    return Totals(tuple(nets), tuple(groups), net, tax, net + tax)
