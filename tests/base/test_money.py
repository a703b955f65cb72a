"""Money: integers, one currency, one place that rounds."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.money import MixedCurrencies, Money, round_minor, split, total

minors = st.integers(-(10**12), 10**12)


def test_refuses_floats_and_odd_currencies():
    with pytest.raises(TypeError, match="integer"):
        Money(1.5, "EUR")
    with pytest.raises(TypeError):
        Money(True, "EUR")
    for wrong in ("eur", "EURO", "€€€", ""):
        with pytest.raises(ValueError, match="ISO 4217"):
            Money(1, wrong)


def test_currencies_do_not_mix():
    for act in (lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a < b, lambda a, b: a <= b):
        with pytest.raises(MixedCurrencies, match="EUR and USD"):
            act(Money(1, "EUR"), Money(1, "USD"))


@pytest.mark.parametrize(
    ("value", "rounded"), [("0.5", 1), ("1.5", 2), ("2.5", 3), ("-0.5", -1), ("2.4999", 2), ("-2.5", -3)]
)
def test_half_rounds_away_from_zero(value, rounded):
    assert round_minor(Decimal(value)) == rounded


def test_tax_of_one_invoice():
    assert Money(2999, "EUR").times(Decimal("0.20")) == Money(600, "EUR")  # 599.8


@given(minors, st.lists(st.integers(0, 1000), min_size=1, max_size=12).filter(any))
def test_split_loses_nothing_and_is_fair(minor, weights):
    parts = split(Money(minor, "EUR"), weights)
    assert total(parts, "EUR") == Money(minor, "EUR")
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part.minor * whole - minor * weight) < whole
        assert weight or not part


@given(minors, minors)
def test_sum_and_difference_are_inverse(a, b):
    assert Money(a, "JPY") + Money(b, "JPY") - Money(b, "JPY") == Money(a, "JPY")
    assert Money(a, "JPY") + -Money(a, "JPY") == Money(0, "JPY")
