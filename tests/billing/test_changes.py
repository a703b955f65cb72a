"""Another plan or price in a service's life, to the cent and to the day."""

from datetime import date

import pytest
from sqlalchemy import select

from base.access import AccessLevel
from base.database import transaction
from base.money import Money
from billing import changes, endings
from billing.invoices import open_invoices
from billing.ledger import check_books
from billing.plans import change_price
from billing.refused import Refused
from billing.tables import invoice_line
from tests.billing.march import MARCH, access, day, do, documents, eur, owes
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


def test_a_dearer_plan_now_is_paid_for_by_the_day(provider: Provider, anna):
    """March at 31.00 plus tax; on the 11th to 62.00: 10 days of the one, 21 of the other."""
    home = provider.plan(price=3100)
    pro = provider.plan(price=6200, rate_down=300_000_000)
    line = provider.service(anna, home, MARCH)
    day(provider, 1)
    day(provider, 11)
    assert do(provider, changes.change_plan, line, pro) == date(2026, 3, 11)
    assert access(line) == (AccessLevel.FULL, 300_000_000, [])
    day(provider, 11)
    assert documents() == [("INV-000001", 3720), ("INV-000002", 5040), ("CN-000001", 2520)]
    assert owes(anna) == 1200 + 5040
    with transaction() as tx:
        assert [(each.number, each.open) for each in open_invoices(tx, anna)] == [
            ("INV-000001", eur(1200)),
            ("INV-000002", eur(5040)),
        ]
    day(provider, 31)
    assert documents()[2] == ("INV-000003", 7440)


def test_the_preview_says_what_the_change_will_do_and_does_nothing(provider: Provider, anna):
    home, pro = provider.plan(price=3100), provider.plan(price=6200)
    line = provider.service(anna, home, MARCH)
    day(provider, 11)
    before = documents()
    found = do(provider, changes.preview_change, line, pro)
    assert (found.on, found.credited, found.charged) == (date(2026, 3, 11), eur(2520), eur(5040))
    later = do(provider, changes.preview_change, line, pro, at_boundary=True)
    assert (later.on, later.credited, later.charged) == (date(2026, 4, 1), eur(0), eur(0))
    assert documents() == before
    do(provider, changes.change_plan, line, pro)
    day(provider, 11)
    assert documents() == [*before[:1], ("INV-000002", 5040), ("CN-000001", 2520)]


def test_twice_in_one_day_and_back_again_costs_nothing(provider: Provider, anna):
    home, pro = provider.plan(price=3100), provider.plan(price=6200)
    line = provider.service(anna, home, MARCH)
    for plan_id in (None, pro, home):
        if plan_id is not None:
            do(provider, changes.change_plan, line, plan_id)
        day(provider, 1)
    assert owes(anna) == 3720


def test_another_plan_at_the_boundary_moves_no_money(provider: Provider, anna):
    home, pro = provider.plan(price=3100), provider.plan(price=6200, rate_down=300_000_000)
    line = provider.service(anna, home, MARCH)
    day(provider, 11)
    provider.pay(anna, 20_000)
    assert do(provider, changes.change_plan, line, pro, at_boundary=True) == date(2026, 4, 1)
    day(provider, 31)
    assert access(line)[1] == 100_000_000
    assert documents() == [("INV-000001", 3720), ("INV-000002", 7440)]
    day(provider, 1, month=4)
    assert access(line)[1] == 300_000_000


def test_another_cycle_on_the_31st(provider: Provider, anna):
    provider.travel(noon(date(2026, 1, 31)))
    monthly, yearly = provider.plan(price=3100), provider.plan(price=36500, cycle=12)
    line = provider.service(anna, monthly, date(2026, 1, 31))
    day(provider, 1)
    do(provider, changes.change_plan, line, yearly)
    day(provider, 1)
    with transaction() as tx:
        lines = tx.execute(select(invoice_line).order_by(invoice_line.c.id.desc())).first()
    assert (lines.period_start, lines.period_end, lines.net_minor) == (MARCH, date(2027, 3, 1), 36500)


def test_in_arrears_both_plans_are_billed_for_their_days(provider: Provider, anna):
    home = provider.plan(price=3100, in_arrears=True)
    pro = provider.plan(price=6200, in_arrears=True)
    line = provider.service(anna, home, MARCH)
    day(provider, 11)
    do(provider, changes.change_plan, line, pro)
    day(provider, 11)
    day(provider, 1, month=4)
    assert documents() == [("INV-000001", 1200), ("INV-000002", 5040)]


def test_a_plan_that_is_not_prorated_is_neither_given_back_nor_billed_again(provider: Provider, anna):
    home, pro = provider.plan(price=3100, prorated=False), provider.plan(price=6200, prorated=False)
    line = provider.service(anna, home, MARCH)
    day(provider, 2)
    do(provider, changes.pause, line, date(2026, 3, 2), None)
    do(provider, changes.resume, line)
    do(provider, changes.change_plan, line, pro)
    day(provider, 30)
    assert owes(anna) == 3720
    day(provider, 31)
    assert owes(anna) == 3720 + 7440


def test_in_arrears_a_price_of_its_own_holds_for_the_days_it_was_agreed_for(provider: Provider, anna):
    home, pro = provider.plan(price=3100, in_arrears=True), provider.plan(price=6200, in_arrears=True)
    line = provider.service(anna, home, MARCH)
    do(provider, changes.set_price, line, eur(1550), "from April on")
    day(provider, 1, month=4)
    assert owes(anna) == 3720
    day(provider, 16, month=4)
    assert do(provider, changes.change_plan, line, pro, at_boundary=True) == date(2026, 5, 1)
    day(provider, 1, month=5)
    assert owes(anna) == 3720 + 1860


def test_another_cycle_leaves_the_old_days_their_old_measure(provider: Provider, anna):
    home = provider.plan(price=3100, in_arrears=True)
    quarterly = provider.plan(price=9000, cycle=3, in_arrears=True)
    line = provider.service(anna, home, MARCH)
    day(provider, 11)
    do(provider, changes.change_plan, line, quarterly)
    day(provider, 11)
    assert documents() == [("INV-000001", 1200)]


def test_a_dearer_price_does_not_reach_into_a_period_that_began_before(provider: Provider, anna):
    home = provider.plan(price=3100)
    line = provider.service(anna, home, MARCH)
    day(provider, 1)
    with transaction() as tx:
        change_price(tx, "staff:1", home, eur(6200), date(2026, 3, 15), today=MARCH)
    day(provider, 16)
    do(provider, changes.pause, line, date(2026, 3, 16), date(2026, 3, 17))
    do(provider, changes.resume, line)
    day(provider, 16)
    assert owes(anna) == 3720


@pytest.mark.parametrize(
    ("deed", "args", "message"),
    [
        (changes.change_plan, (99,), "no such plan"),
        (changes.set_price, (eur(1), " "), "needs a reason"),
        (changes.set_price, (Money(1, "USD"), "x"), "priced in EUR"),
        (changes.pause, (date(2026, 2, 1), None), "today or later"),
        (changes.pause, (MARCH, MARCH), "after it began"),
        (changes.resume, (), "not paused"),
        (endings.cancel, (date(2026, 2, 28), "x"), "today or later"),
        (endings.cancel, (MARCH, ""), "Why does it end"),
        (changes.set_payer, (99,), "no such subscriber"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(provider: Provider, anna, deed, args, message):
    line = provider.service(anna, provider.plan(), MARCH)
    with pytest.raises(Refused, match=message):
        do(provider, deed, line, *args)
    with pytest.raises(Refused, match="no such service"):
        do(provider, deed, 99, *args)
