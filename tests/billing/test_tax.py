"""Tax of an invoice: grouped by rate, rounded once per group."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from base.money import Money, total
from billing.tax import TaxGroup, percent_text, tax_groups

rates = st.sampled_from([Decimal(rate) for rate in ("0", "2.1", "5.5", "7", "8.875", "19", "20", "20.0")])
taxed = st.lists(st.tuples(rates, st.builds(Money, st.integers(0, 10**8), st.just("EUR"))), max_size=12)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def test_tax_is_rounded_once_per_rate_and_not_per_line():
    assert tax_groups([(Decimal("20"), eur(1002))] * 3, "EUR") == [TaxGroup(Decimal("20"), eur(3006), eur(601))]
    assert 3 * eur(1002).times(Decimal("0.20")).minor == 600  # what rounding per line would have taken


def test_the_same_rate_written_twice_is_one_group_and_the_lowest_comes_first():
    groups = tax_groups([(Decimal("20"), eur(100)), (Decimal("5.5"), eur(100)), (Decimal("20.0"), eur(100))], "EUR")
    assert groups == [TaxGroup(Decimal("5.5"), eur(100), eur(6)), TaxGroup(Decimal("20"), eur(200), eur(40))]
    assert [percent_text(group.percent) for group in groups] == ["5.5", "20"]


@given(taxed)
def test_nets_are_kept_and_each_tax_is_the_exact_one_to_half_a_cent(lines):
    groups = tax_groups(lines, "EUR")
    assert total((group.net for group in groups), "EUR") == total((net for _, net in lines), "EUR")
    assert len({group.percent for group in groups}) == len(groups)
    for group in groups:
        exact = sum(net.minor * percent for percent, net in lines if percent == group.percent) / 100
        assert abs(group.tax.minor - exact) <= Decimal("0.5")
    assert tax_groups(list(reversed(lines)), "EUR") == groups


@given(rates)
def test_a_rate_is_written_as_it_is_meant(rate):
    assert Decimal(percent_text(rate)) == rate
    assert "E" not in percent_text(Decimal("100"))
