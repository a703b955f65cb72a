"""Add-ons, rent, deposits, discounts and coupons on a service, to the cent."""

from datetime import date

import pytest
from sqlalchemy import select

from base.database import transaction
from base.money import Money
from billing import endings, extras
from billing.invoices import balance, load_invoice
from billing.ledger import check_books
from billing.plans import class_of_percent
from billing.refused import Refused
from billing.tables import service_product
from billing.tick import run
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)


def eur(minor):
    return Money(minor, "EUR")


@pytest.fixture
def line(provider: Provider):
    provider.travel(noon(MARCH))
    made = provider.service(provider.subscriber(), provider.plan(price=3100), MARCH)
    yield made
    with transaction() as tx:
        assert check_books(tx) == []


def day(provider, number, month=3):
    run(provider.travel(noon(date(2026, month, number))))


def goods(name="Static address", kind="addon", minor=310, tax="20"):
    with transaction() as tx:
        tax_class_id = class_of_percent(tx, "x", tax)
        return extras.add_product(tx, "x", name=name, kind=kind, price=eur(minor), tax_class_id=tax_class_id)


def do(provider, deed, *args, **more):
    with transaction() as tx:
        return deed(tx, provider.vault, "staff:1", *args, **more)


def owes():
    with transaction() as tx:
        return balance(tx, 1).minor


def test_an_add_on_is_billed_with_the_periods_from_its_first_day_on(provider, line):
    day(provider, 1)
    day(provider, 11)
    do(provider, extras.sell_product, line, goods(), quantity=2)
    day(provider, 11)
    with transaction() as tx:
        (found,) = load_invoice(tx, 2).lines
    assert (found.text, found.net, found.quantity) == ("Static address (line2)", eur(420), 2)
    assert (found.period.start, found.period.end) == (date(2026, 3, 11), date(2026, 4, 1))
    day(provider, 31)
    with transaction() as tx:
        assert [each.net for each in load_invoice(tx, 3).lines] == [eur(3100), eur(620)]
        row = tx.execute(select(service_product)).one()
    day(provider, 16, month=4)
    do(provider, extras.take_back_product, row.id)
    day(provider, 30, month=4)
    with transaction() as tx:
        assert [each.net for each in load_invoice(tx, 4).lines] == [eur(3100)]
    assert owes() == (3100 + 420 + 3100 + 310 + 3100) * 12 // 10  # half of April given back


def test_what_is_sold_once_is_charged_once_and_a_deposit_comes_back(provider, line):
    do(provider, extras.sell_product, line, goods("Cable", "one_off", 500))
    do(provider, extras.sell_product, line, goods("Router deposit", "deposit", 5000, "0"))
    day(provider, 1)
    assert owes() == 3720 + 600 + 5000
    do(provider, endings.cancel, line, date(2026, 4, 1), "moved")
    day(provider, 31)
    assert owes() == 3720 + 600 + 5000
    day(provider, 1, 4)
    assert owes() == 3720 + 600
    day(provider, 1, 4)  # once
    assert owes() == 3720 + 600


@pytest.mark.parametrize(
    ("off", "months"),
    [({"percent_off": "50"}, [1550, 1550, 3100]), ({"amount_off": eur(5000)}, [0, 0, 3100])],
)
def test_a_discount_holds_for_so_many_periods(provider, line, off, months):
    do(provider, extras.add_discount, line, text="Welcome", cycles=2, **off)
    for number, month in ((1, 3), (31, 3), (30, 4)):
        day(provider, number, month)
    assert owes() == sum(months) * 12 // 10


def test_a_coupon_is_taken_while_it_is_valid_and_once_per_service(provider, line):
    with transaction() as tx:
        extras.add_coupon(tx, "x", code="SPRING", text="Spring", currency="EUR", percent_off="10", most_uses=1)
        extras.add_coupon(tx, "x", code="OLD", text="Old", currency="EUR", percent_off="10", valid_until=MARCH)
        with pytest.raises(Refused, match="already"):
            extras.add_coupon(tx, "x", code="spring", text="Spring", currency="EUR", percent_off="10")
    other = provider.service(1, provider.plan(price=1000), MARCH)
    do(provider, extras.redeem_coupon, line, " spring ")
    for where, code in ((line, "SPRING"), (other, "SPRING"), (line, "OLD"), (line, "NONE")):
        with pytest.raises(Refused):
            do(provider, extras.redeem_coupon, where, code)
    day(provider, 1)
    assert owes() == (2790 + 1000) * 12 // 10


@pytest.mark.parametrize(
    ("deed", "args", "more", "message"),
    [
        (extras.sell_product, (99,), {}, "no such product"),
        (extras.add_discount, (), {"text": "x"}, "either"),
        (extras.add_discount, (), {"text": "x", "percent_off": "0"}, "more than nothing"),
        (extras.add_discount, (), {"text": "x", "amount_off": Money(1, "USD")}, "priced in EUR"),
        (extras.add_discount, (), {"text": " ", "percent_off": "5"}, "needs a text"),
        (extras.add_discount, (), {"text": "x", "percent_off": "5", "cycles": 0}, "1 period or more"),
    ],
)
def test_what_cannot_be_is_refused_in_words(provider, line, deed, args, more, message):
    with pytest.raises(Refused, match=message):
        do(provider, deed, line, *args, **more)


def test_a_product_that_cannot_be_is_refused(provider, line):
    goods()
    for more, message in (({"kind": "gift"}, "one of"), ({"minor": -1}, "not negative"), ({}, "exists already")):
        with pytest.raises(Refused, match=message):
            goods(**more)
    with pytest.raises(Refused, match="quantity"):
        do(provider, extras.sell_product, line, 1, quantity=0)
    with pytest.raises(Refused, match="no such add-on"):
        do(provider, extras.take_back_product, 7)
