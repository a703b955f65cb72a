"""Tax: taken on what bears the same taxes, rounded there once, and given back as it was charged."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.money import Money, split, total
from billing.tax import Tax, Taxed, TaxGroup, Totals, compute, credit, percent_text

VAT20 = Tax("VAT", Decimal("20"))
VAT55 = Tax("VAT", Decimal("5.5"))
VAT19 = Tax("USt", Decimal("19"))
GST = Tax("GST", Decimal("5"))
QST = Tax("QST", Decimal("9.975"), compound=True)
STATE = Tax("State tax", Decimal("6.25"))
COUNTY = Tax("County tax", Decimal("1.125"))
EXEMPT = Tax("VAT", Decimal("0"), "E")

bearings = st.sampled_from(
    [(VAT20,), (VAT55,), (VAT19,), (GST, QST), (STATE, COUNTY), (STATE, COUNTY, QST), (EXEMPT,), (EXEMPT, GST), ()]
)
amounts = st.one_of(st.integers(-300, 300), st.integers(-(10**9), 10**9))


def lists_of(inclusive: st.SearchStrategy[bool]) -> st.SearchStrategy[list[Taxed]]:
    line = st.builds(Taxed, st.builds(Money, amounts, st.just("EUR")), inclusive, bearings)
    return st.lists(line, max_size=9)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def net(minor: int, *taxes: Tax) -> Taxed:
    return Taxed(eur(minor), False, taxes)


def gross(minor: int, *taxes: Tax) -> Taxed:
    return Taxed(eur(minor), True, taxes)


def rates(taxes: tuple[Tax, ...]) -> list[Fraction]:
    """The definition, said once more: a compound tax is also taken on the taxes before it."""
    found: list[Fraction] = []
    for tax in taxes:
        found.append(Fraction(tax.percent) / 100 * (1 + (sum(found) if tax.compound else 0)))
    return found


def rows(totals: Totals) -> dict[tuple[str, Decimal, str], tuple[int, int]]:
    return {(g.name, g.percent, g.category): (g.net.minor, g.tax.minor) for g in totals.groups if g.net or g.tax}


def test_a_net_price_has_tax_added():
    totals = compute([net(2999, VAT20)], "EUR")
    assert totals == Totals(
        (eur(2999),), (TaxGroup("VAT", Decimal("20"), "S", eur(2999), eur(600)),), eur(2999), eur(600), eur(3599)
    )


def test_tax_is_rounded_once_per_rate_and_not_per_line():
    totals = compute([net(1002, VAT20)] * 3, "EUR")
    assert (totals.net, totals.tax) == (eur(3006), eur(601))
    assert 3 * eur(1002).times(Decimal("0.20")).minor == 600  # what rounding per line would have taken


def test_several_rates_are_rows_by_percent_and_name():
    exempt = Tax("VAT", Decimal("0"), "E")
    lines = [net(100, VAT20), net(100, VAT55), net(100, Tax("VAT", Decimal("20.0"))), net(70, exempt), net(5)]
    totals = compute(lines, "EUR")
    assert totals.groups == (
        TaxGroup("VAT", Decimal("0"), "E", eur(70), eur(0)),
        TaxGroup("VAT", Decimal("5.5"), "S", eur(100), eur(6)),
        TaxGroup("VAT", Decimal("20"), "S", eur(200), eur(40)),
    )
    assert [percent_text(group.percent) for group in totals.groups] == ["0", "5.5", "20"]
    assert totals.net == eur(375), "what bears no tax at all counts too"
    assert totals.total == eur(421)


def test_two_taxes_on_a_line_count_its_net_once():
    totals = compute([net(10000, STATE, COUNTY), net(2000, STATE)], "EUR")
    assert totals.groups == (
        TaxGroup("County tax", Decimal("1.125"), "S", eur(10000), eur(113)),
        TaxGroup("State tax", Decimal("6.25"), "S", eur(12000), eur(750)),
    )
    assert (totals.net, totals.tax, totals.total) == (eur(12000), eur(863), eur(12863))


def test_a_compound_tax_is_taken_on_the_tax_before_it():
    totals = compute([net(10000, GST, QST)], "EUR")
    assert [group.tax for group in totals.groups] == [eur(500), eur(1047)]  # 9.975 % of 105.00; 998 of 100.00
    assert compute([net(10000, GST, replace(QST, compound=False))], "EUR").tax == eur(500 + 998)
    assert compute([net(10000, QST, GST)], "EUR").tax == eur(998 + 500), "only on what comes before it"


def test_of_an_inclusive_price_the_gross_stands():
    totals = compute([gross(1190, VAT19)], "EUR")
    assert (totals.net, totals.tax, totals.total) == (eur(1000), eur(190), eur(1190))
    # 999 is not the gross of any net at 19 %: 839 + 159 and 840 + 160 are its neighbours
    totals = compute([gross(999, VAT19)], "EUR")
    assert (totals.net, totals.tax, totals.total) == (eur(839), eur(160), eur(999))


def test_inclusive_nets_sum_to_the_net_of_the_sum():
    totals = compute([gross(100, VAT19)] * 3 + [gross(-50, VAT19)], "EUR")
    assert totals.net == eur(210)  # 250 / 1.19 = 210.08; 84 + 84 + 84 - 42 happens to be it
    assert totals.nets == (eur(84), eur(84), eur(84), eur(-42))
    totals = compute([gross(999, VAT19)] * 3, "EUR")
    assert totals.nets == (eur(840), eur(839), eur(839))  # 2997 / 1.19 = 2518.49
    assert totals.total == eur(2997)


def test_the_tax_in_an_inclusive_price_is_divided_without_rest():
    totals = compute([gross(1000, GST, QST)], "EUR")
    assert totals.net == eur(866)  # 1000 / 1.1547375 = 865.997
    assert [group.tax for group in totals.groups] == [eur(43), eur(91)]  # of 134: 43.30 and 90.70


def test_net_and_inclusive_prices_stand_on_one_document():
    totals = compute([net(1000, VAT19), gross(1190, VAT19)], "EUR")
    assert totals.groups == (TaxGroup("USt", Decimal("19"), "S", eur(2000), eur(380)),)


def test_minor_units_are_those_of_the_currency():
    yen = compute([Taxed(Money(1005, "JPY"), False, (Tax("JCT", Decimal("10")),))], "JPY")
    assert (yen.tax, yen.total) == (Money(101, "JPY"), Money(1106, "JPY"))
    dinar = compute([Taxed(Money(12345, "BHD"), True, (Tax("VAT", Decimal("10")),))], "BHD")  # 12.345
    assert (dinar.net, dinar.tax) == (Money(11223, "BHD"), Money(1122, "BHD"))


def test_nothing_comes_to_nothing():
    assert compute([], "EUR") == Totals((), (), eur(0), eur(0), eur(0))


def test_a_line_given_back_whole_is_worth_what_it_was_charged_at():
    lines = [gross(999, VAT19)] * 3 + [net(500, VAT20)]
    assert compute(lines, "EUR").nets[:3] == (eur(840), eur(839), eur(839))
    none = [eur(0)] * 4
    second = credit(lines, none, [eur(0), eur(999), eur(0), eur(0)], "EUR")
    assert second.nets == (eur(0), eur(839), eur(0), eur(0)), "and untouched lines are worth nothing"
    assert second.groups == (TaxGroup("USt", Decimal("19"), "S", eur(839), eur(160)),)
    assert second.total == eur(999)


def test_halves_of_a_tax_that_does_not_halve_sum_to_it():
    lines = [net(2999, VAT20)]
    first = credit(lines, [eur(0)], [eur(1499)], "EUR")
    second = credit(lines, [eur(1499)], [eur(1500)], "EUR")
    assert (first.total, second.total) == (eur(1499 + 300), eur(1500 + 300))
    odd = [net(5, VAT20)] * 5  # a cent of tax each, and rounded alone it stays one
    assert sum(credit(odd, [eur(0)] * 5, [eur(1)] * 5, "EUR").tax.minor for _ in range(5)) == 5
    few = [net(4, VAT20)]
    steps = [credit(few, [eur(given)], [eur(1)], "EUR").tax.minor for given in range(4)]
    assert steps == [0, 0, 1, 0], "not four times what a cent's tax rounds to"


def test_no_more_is_given_back_than_was_charged():
    for line, before, now in [(100, 60, 41), (100, -1, 1), (100, 0, -1), (-100, 0, 1), (-100, -60, -41), (0, 0, 1)]:
        with pytest.raises(ValueError):
            credit([net(line, VAT20)], [eur(before)], [eur(now)], "EUR")
    with pytest.raises(ValueError):
        credit([net(100, VAT20)], [], [eur(1)], "EUR")


@given(lists_of(st.just(False)))
def test_each_tax_on_net_prices_is_the_exact_one_to_half_a_cent(lines):
    totals = compute(lines, "EUR")
    assert list(totals.nets) == [line.amount for line in lines]
    exact: dict[tuple[str, Decimal, str], Fraction] = {}
    sources: dict[tuple[str, Decimal, str], set[tuple[Tax, ...]]] = {}
    for line in lines:
        for tax, rate in zip(line.taxes, rates(line.taxes), strict=True):
            row = (tax.name, tax.percent, tax.category)
            exact[row] = exact.get(row, Fraction(0)) + line.amount.minor * rate
            sources.setdefault(row, set()).add(line.taxes)
    for group in totals.groups:
        row = (group.name, group.percent, group.category)
        # a row that gathers several combinations of taxes was rounded once for each
        assert abs(group.tax.minor - exact[row]) <= Fraction(len(sources[row]), 2)
    assert {(g.name, g.percent, g.category) for g in totals.groups} == set(exact)
    # in which order they stand does not matter
    assert rows(compute(list(reversed(lines)), "EUR")) == rows(totals)


@given(lists_of(st.just(True)))
def test_inclusive_prices_stand_to_the_cent_and_each_net_is_the_exact_one_to_a_cent(lines):
    totals = compute(lines, "EUR")
    assert totals.total == total((line.amount for line in lines), "EUR")
    for line, charged in zip(lines, totals.nets, strict=True):
        assert abs(charged.minor - line.amount.minor / (1 + sum(rates(line.taxes)))) < 1
    for taxes in {line.taxes for line in lines}:
        same = [(line, charged) for line, charged in zip(lines, totals.nets, strict=True) if line.taxes == taxes]
        exact = sum(line.amount.minor for line, _ in same) / (1 + sum(rates(taxes)))
        assert abs(sum(charged.minor for _, charged in same) - exact) <= Fraction(1, 2)


@given(lists_of(st.booleans()))
def test_sums_hold_and_signs_mirror(lines):
    totals = compute(lines, "EUR")
    assert total(totals.nets, "EUR") == totals.net
    assert total((group.tax for group in totals.groups), "EUR") == totals.tax
    assert totals.net + totals.tax == totals.total
    assert list(totals.groups) == sorted(totals.groups, key=lambda g: (g.percent, g.name, g.category))
    mirrored = compute([replace(line, amount=-line.amount) for line in lines], "EUR")
    assert [-each for each in mirrored.nets] == list(totals.nets)
    assert {row: (-a, -b) for row, (a, b) in rows(mirrored).items()} == rows(totals)


@given(lists_of(st.booleans()), st.lists(st.lists(st.integers(0, 5), min_size=9, max_size=9), min_size=1, max_size=6))
def test_credits_in_any_steps_sum_to_what_was_charged(lines, steps):
    charged = compute(lines, "EUR")
    given_back = [eur(0)] * len(lines)
    nets = [0] * len(lines)
    found: dict[tuple[str, Decimal, str], tuple[int, int]] = {}
    parts = [split(line.amount, [*(step[i] for step in steps), 1]) for i, line in enumerate(lines)]
    for step in range(len(steps) + 1):
        now = [each[step] for each in parts]
        worth = credit(lines, given_back, now, "EUR")
        assert total(worth.nets, "EUR") == worth.net
        assert worth.net + worth.tax == worth.total
        assert all(amount or not value for amount, value in zip(now, worth.nets, strict=True))
        if all(line.inclusive for line in lines):
            assert worth.total == total(now, "EUR")
        for row, (a, b) in rows(worth).items():
            found[row] = (found.get(row, (0, 0))[0] + a, found.get(row, (0, 0))[1] + b)
        nets = [old + more.minor for old, more in zip(nets, worth.nets, strict=True)]
        given_back = [old + more for old, more in zip(given_back, now, strict=True)]
    assert nets == [each.minor for each in charged.nets]
    assert {row: pair for row, pair in found.items() if pair != (0, 0)} == rows(charged)


@given(st.sampled_from([Decimal(rate) for rate in ("0", "2.1", "5.5", "7", "8.875", "20", "20.0", "100")]))
def test_a_rate_is_written_as_it_is_meant(rate):
    assert Decimal(percent_text(rate)) == rate
    assert "E" not in percent_text(rate)
