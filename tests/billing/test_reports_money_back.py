"""Debt that is open again ages from the day on which it was, and money that went back was not received."""

from datetime import date

import pytest

from base import clock
from base.business import load_business
from base.database import transaction
from base.money import Money
from billing.ledger import check_books
from billing.money_back.refunds import refund_by_hand
from billing.reports.catalogue import REPORTS
from billing.reports.shape import Window, month_of
from tests.billing.dunned import april, bill, march
from tests.billing.provider import Provider
from tests.billing.test_reversals import GROSS, pay, reverse

BUCKETS = ["current", "1-30 days", "31-60 days", "61-90 days", "over 90 days"]


def aged(provider: Provider, on: date) -> list[int]:
    """What is open at the end of a day by its age."""
    found = made(provider, "ageing", on)
    values = {row.label: int(row.values[1] or 0) for row in found.rows}
    return [values[label] for label in BUCKETS]


def received(provider: Provider, on: date) -> tuple[list[int], int]:
    """Received in each month up to the day, and in its month."""
    found = made(provider, "collection", on)
    return [int(month.values[5] or 0) for month in found.trend], int(found.rows[1].values[1] or 0)


def made(provider: Provider, name: str, on: date):
    with transaction() as tx:
        assert check_books(tx) == []
        window = Window(month_of(on), on, "EUR", months=2)
        return REPORTS[name].make(tx, load_business(tx, provider.vault), window)


def test_a_bounced_cheque_ages_from_the_day_it_bounced(provider: Provider):
    """35.99, due on 15 March, paid on the 20th, bounced on 25 April, paid again in parts on 2 and 30 May."""
    who, _ = bill(provider)
    cheque = pay(provider, who, GROSS, march(20))
    reverse(provider, cheque, april(25))
    assert aged(provider, march(19)) == [0, GROSS, 0, 0, 0]  # 4 days after the 15th
    assert aged(provider, march(31)) == [0, 0, 0, 0, 0]
    assert aged(provider, april(25)) == [GROSS, 0, 0, 0, 0]  # due that day; by its first date it would be 41 days old
    assert aged(provider, april(30)) == [0, GROSS, 0, 0, 0]  # 5 days
    pay(provider, who, 1000, date(2026, 5, 2), "cash")
    assert aged(provider, date(2026, 5, 26)) == [0, 0, GROSS - 1000, 0, 0]  # 31 days after 25 April
    again = pay(provider, who, GROSS - 1000, date(2026, 5, 30), "cash")
    assert aged(provider, date(2026, 5, 30)) == [0, 0, 0, 0, 0]
    reverse(provider, again, date(2026, 6, 10))  # settled and open once more: it counts from 10 June
    assert aged(provider, date(2026, 6, 11)) == [0, GROSS - 1000, 0, 0, 0]
    assert aged(provider, date(2026, 5, 29)) == [0, 0, GROSS - 1000, 0, 0]  # the past stays: 34 days after 25 April


def test_what_was_only_part_paid_keeps_its_date(provider: Provider):
    """10.00 of 35.99 bounce: the invoice was open all the time, and is as old as it is."""
    who, _ = bill(provider)
    reverse(provider, pay(provider, who, 1000, march(20)), april(25))
    assert aged(provider, april(30)) == [0, 0, GROSS, 0, 0]  # 46 days after 15 March


def test_received_is_less_what_went_back(provider: Provider):
    """March: 35.99 by cheque. April: 50.00 in cash, the cheque bounces, 12.00 are given back: 50.00 - 47.99 = 2.01."""
    who, _ = bill(provider)
    cheque = pay(provider, who, GROSS, march(20))
    cash = pay(provider, who, 5000, april(2), "cash")
    reverse(provider, cheque, april(25))
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        part = Money(1200, "EUR")
        refund_by_hand(tx, provider.vault, business, "staff:1", cash, part, "cash", "asked", clock.now())
    assert received(provider, april(30)) == ([GROSS, 201], 201)
    assert received(provider, march(31))[1] == GROSS


@pytest.mark.parametrize("deed", ["reverse", "refund"])
def test_what_is_not_due_yet_stays_so(provider: Provider, deed: str):
    who, _ = bill(provider)
    paid = pay(provider, who, GROSS, march(2), "cash")
    if deed == "reverse":
        reverse(provider, paid, march(4))
    else:
        with transaction() as tx:
            business = load_business(tx, provider.vault)
            refund_by_hand(tx, provider.vault, business, "staff:1", paid, None, "cash", "asked", clock.now())
    assert aged(provider, march(15)) == [GROSS, 0, 0, 0, 0]
    assert aged(provider, march(16)) == [0, GROSS, 0, 0, 0]
