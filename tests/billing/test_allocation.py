"""Which invoice a payment settles: sums exact, never too much, meant-for first, then oldest."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.money import MixedCurrencies, Money
from billing.allocation import OpenInvoice, allocate

FIRST = date(2026, 1, 1)


def invoice(number: int, days: int, minor: int) -> OpenInvoice:
    amount = Money(minor, "EUR")
    return OpenInvoice(number, f"INV-{number}", FIRST + timedelta(days=days), amount, amount)


invoices = st.lists(
    st.builds(invoice, st.integers(1, 40), st.integers(0, 5), st.integers(1, 10_000)),
    max_size=10,
    unique_by=lambda each: each.id,
)
amounts = st.builds(Money, st.integers(0, 60_000), st.just("EUR"))
preferences = st.sets(st.integers(1, 50), max_size=5)


def test_the_oldest_first_and_what_is_meant_before_it():
    debts = [invoice(3, 20, 1000), invoice(2, 10, 1000), invoice(1, 0, 1000)]
    assert allocate(Money(1500, "EUR"), debts, ()) == [(1, Money(1000, "EUR")), (2, Money(500, "EUR"))]
    assert allocate(Money(1500, "EUR"), debts, [3]) == [(3, Money(1000, "EUR")), (1, Money(500, "EUR"))]


def test_currencies_do_not_mix():
    with pytest.raises(MixedCurrencies):
        allocate(Money(5, "USD"), [invoice(1, 0, 1000)], ())


@given(amounts, invoices, preferences)
def test_every_cent_goes_where_it_belongs(amount, debts, prefer):
    parts = allocate(amount, debts, prefer)
    given_to = dict(parts)
    assert len(given_to) == len(parts)
    assert sum(part.minor for part in given_to.values()) == min(amount.minor, sum(each.open.minor for each in debts))
    for each in debts:
        assert 0 <= given_to.get(each.id, Money(0, "EUR")).minor <= each.open.minor
    assert all(part.minor > 0 for part in given_to.values())

    def rank(each: OpenInvoice) -> tuple[bool, date, int]:
        return (each.id not in prefer, each.due_on, each.id)

    for served in (each for each in debts if each.id in given_to):
        assert all(given_to[each.id] == each.open for each in debts if rank(each) < rank(served))
