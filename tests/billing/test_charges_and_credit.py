"""What is billed beside plans, credit notes, and plans that cannot be."""

from datetime import date

import pytest
from sqlalchemy import func, select

from base.business import load_business
from base.calendar import Cycle
from base.database import transaction
from base.money import Money
from billing import changes, endings
from billing.charges import add_charge, drop_charge
from billing.credit_notes import credit_invoice, write_off_invoice
from billing.invoices import load_invoice
from billing.ledger import check_books
from billing.plans import add_plan, change_price, class_of_percent, retire
from billing.refused import Refused
from billing.settle import credits_by_subscriber
from billing.tables import charge, discount, invoice_line
from tests.billing.march import MARCH, day, do, documents, eur, owes
from tests.billing.provider import Provider, noon


@pytest.fixture
def anna(provider: Provider):
    provider.travel(noon(MARCH))
    return provider.subscriber()


@pytest.fixture(autouse=True)
def books_stay_right(provider: Provider):
    yield
    with transaction() as tx:
        assert check_books(tx) == []


def test_credit_without_days_makes_the_days_cheaper(provider: Provider, anna):
    line = provider.service(anna, provider.plan(price=3100), MARCH)
    now = day(provider, 1)
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        line_id = tx.scalar(select(invoice_line.c.id))
        credit_invoice(tx, provider.vault, business, "staff:1", 1, "Outage", now, {line_id: eur(310)})
    do(provider, endings.cancel, line, date(2026, 3, 11), "moved")
    assert owes(anna) == 900 * 12 // 10  # 10 of 31 days of 27.90


def test_a_set_up_fee_comes_with_the_first_bill_that_is_issued_before_the_first_day(provider: Provider, anna):
    provider.service(anna, provider.plan(price=3100, setup_fee=eur(1000)), date(2026, 4, 1))
    day(provider, 31)
    assert documents() == [("INV-000001", 4920)]


def test_a_discount_by_amount_never_gives_back_less_than_nothing(provider: Provider, anna):
    line = provider.service(anna, provider.plan(price=3100), MARCH)
    with transaction() as tx:
        values = {"service_id": line, "text": "Off", "amount_minor": 6200, "from_on": date(2026, 3, 11)}
        tx.execute(discount.insert().values(author="x", until_on=date(2026, 4, 1), **values))
    day(provider, 1)
    assert documents() == [("INV-000001", 1200)]
    do(provider, endings.cancel, line, date(2026, 3, 11), "moved")
    assert owes(anna) == 1200


def test_a_price_of_its_own_and_a_price_from_a_day_on(provider: Provider, anna):
    home = provider.plan(price=3100)
    line, other = provider.service(anna, home, MARCH), provider.service(anna, home, MARCH)
    do(provider, changes.set_price, line, eur(2000), "loyal for years")
    with transaction() as tx:
        change_price(tx, "staff:1", home, eur(4000), date(2026, 4, 1), today=MARCH)
    day(provider, 1)
    day(provider, 31)
    assert [total for _, total in documents()] == [(2000 + 3100) * 12 // 10, (2000 + 4000) * 12 // 10]
    assert other


def test_the_billing_day_is_the_same_for_all_services(provider: Provider, anna):
    with transaction() as tx:
        tx.execute(changes.subscriber.update().values(billing_day=31))
    day(provider, 10)
    provider.service(anna, provider.plan(price=3100), date(2026, 3, 10))
    day(provider, 10)
    day(provider, 30)
    with transaction() as tx:
        rows = tx.execute(select(invoice_line).order_by(invoice_line.c.id)).all()
    assert [(row.period_start.day, row.period_end.day, row.net_minor) for row in rows] == [
        (10, 31, 2100),
        (31, 30, 3100),
    ]


def test_an_invoice_is_cancelled_by_credit_note_and_one_can_be_given_up(provider: Provider, anna):
    provider.service(anna, provider.plan(price=3333), MARCH)
    day(provider, 1)
    now = day(provider, 31)
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        line_id = tx.scalar(select(invoice_line.c.id).where(invoice_line.c.invoice_id == 1))
        part = credit_invoice(tx, provider.vault, business, "staff:1", 1, "Outage", now, {line_id: eur(1000)})
        rest = credit_invoice(tx, provider.vault, business, "staff:1", 1, "Wrong plan", now)
        assert credit_invoice(tx, provider.vault, business, "staff:1", 1, "Again", now) is None
        assert (part, rest) == (1, 2)
        with pytest.raises(Refused, match="than was charged"):
            credit_invoice(tx, provider.vault, business, "staff:1", 1, "Again", now, {line_id: eur(1)})
        assert write_off_invoice(tx, provider.vault, business, "staff:1", 2, "gone abroad", now) == eur(4000)
        with pytest.raises(Refused, match="Nothing of invoice INV-000002 is open"):
            write_off_invoice(tx, provider.vault, business, "staff:1", 2, "gone abroad", now)
    assert documents() == [("INV-000001", 4000), ("INV-000002", 4000), ("CN-000001", 1200), ("CN-000002", 2800)]
    assert owes(anna) == 0


def test_credit_for_what_was_paid_is_used_by_the_next_invoice(provider: Provider, anna):
    provider.service(anna, provider.plan(price=3100), MARCH)
    now = day(provider, 1)
    provider.pay(anna, 3720)
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        credit_invoice(tx, provider.vault, business, "staff:1", 1, "Outage", now)
        assert [each.left for each in credits_by_subscriber(tx, [anna])[anna]] == [eur(3720)]
    day(provider, 31)
    with transaction() as tx:
        assert load_invoice(tx, 2).open == eur(0)
    assert owes(anna) == 0


def test_charges_wait_for_an_invoice_unless_they_ask_for_one(provider: Provider, anna):
    with transaction() as tx:
        plain = {
            "subscriber_id": anna,
            "amount": eur(500),
            "tax_class_id": class_of_percent(tx, "x", "20"),
            "on_day": MARCH,
            "author": "x",
        }
        add_charge(tx, kind="one_off", text="Cable", **plain)
        dropped = add_charge(tx, kind="one_off", text="Mistake", **plain)
        drop_charge(tx, "staff:1", dropped)
        with pytest.raises(Refused, match="no such charge"):
            drop_charge(tx, "staff:1", dropped)
    day(provider, 1)
    assert documents() == []
    with transaction() as tx:
        add_charge(tx, kind="one_off", text="Visit", bill_on=MARCH, **plain)
    day(provider, 1)
    assert documents() == [("INV-000001", 1200)]
    with transaction() as tx:
        assert tx.scalar(select(func.count()).where(charge.c.invoice_id == 1)) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"price": eur(-1)}, "not negative"),
        ({"price": eur(10**15)}, "slip of the hand"),
        ({"cycle": Cycle("month", 0)}, "A cycle is"),
        ({"cycle": Cycle("week", 521)}, "A cycle is"),
        ({"first_period": "later"}, "first_period is one of"),
        ({"setup_fee": Money(1, "JPY")}, "one currency"),
        ({"minimum_months": -1}, "minimum term"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_words(provider: Provider, more, message):
    fields = {"name": "Odd", "price": eur(100), "rate_down": 0, "rate_up": 0, **more}
    with transaction() as tx, pytest.raises(Refused, match=message):
        add_plan(tx, "staff:1", **fields)


def test_a_plan_in_use_is_retired_and_not_sold_any_more(provider: Provider, anna):
    home = provider.plan(price=3100)
    provider.service(anna, home, MARCH)
    with transaction() as tx:
        retire(tx, "staff:1", home, MARCH)
    with pytest.raises(Refused, match="no longer sold"):
        provider.service(anna, home, MARCH)
    day(provider, 1)
    assert documents() == [("INV-000001", 3720)]
