"""Pauses, ends, and lines that go over to somebody else, to the cent and to the day."""

from datetime import date

import pytest
from sqlalchemy import select

from base.access import AccessLevel, Reason
from base.database import transaction
from base.tables import service
from billing import changes, endings
from billing.charges import add_charge
from billing.ledger import check_books
from billing.plans import class_of_percent
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


def test_a_pause_is_not_billed_and_what_was_is_given_back(provider: Provider, anna):
    line = provider.service(anna, provider.plan(price=3100), MARCH)
    day(provider, 1)
    do(provider, changes.pause, line, date(2026, 3, 11), date(2026, 4, 11), "in Spain")
    assert documents() == [("INV-000001", 3720), ("CN-000001", 2520)]
    assert access(line)[0] == AccessLevel.FULL
    provider.pay(anna, 5000)
    day(provider, 11)
    assert access(line)[::2] == (AccessLevel.WALLED, [Reason.PAUSED.value])
    day(provider, 31)
    with transaction() as tx:
        april = tx.execute(select(invoice_line).order_by(invoice_line.c.id.desc())).first()
    assert (april.period_start, april.period_end, april.net_minor) == (date(2026, 4, 11), date(2026, 5, 1), 2067)
    day(provider, 11, month=4)
    assert access(line)[0] == AccessLevel.FULL


def test_who_comes_back_early_pays_from_that_day(provider: Provider, anna):
    line = provider.service(anna, provider.plan(price=3100), MARCH)
    day(provider, 1)
    do(provider, changes.pause, line, date(2026, 3, 11), None)
    day(provider, 21)
    do(provider, changes.resume, line)
    day(provider, 21)
    assert access(line)[0] == AccessLevel.FULL
    assert documents() == [("INV-000001", 3720), ("INV-000002", 1320), ("CN-000001", 2520)]
    day(provider, 31)
    assert documents()[2] == ("INV-000003", 3720)
    assert owes(anna) == 3720 + 1320 - 2520 + 3720


def test_a_pause_that_never_began_costs_nothing(provider: Provider, anna):
    line = provider.service(anna, provider.plan(price=3100), MARCH)
    day(provider, 1)
    do(provider, changes.pause, line, date(2026, 3, 11), date(2026, 3, 21))
    do(provider, changes.resume, line)
    assert owes(anna) == 1200  # the days that were given back are billed when they come
    day(provider, 10)
    assert owes(anna) == 3720


def test_the_end_gives_back_days_and_deposit_and_charges_what_was_agreed(provider: Provider, anna):
    plan_id = provider.plan(price=3100, minimum_months=12, early_end_fee=eur(5000), setup_fee=eur(1000))
    line = provider.service(anna, plan_id, MARCH)
    with transaction() as tx:
        add_charge(
            tx, subscriber_id=anna, service_id=line, kind="deposit", text="Deposit for the router", amount=eur(4000),
            tax_class_id=class_of_percent(tx, "staff:1", "0"), on_day=MARCH, author="staff:1",
        )  # fmt: skip
    day(provider, 1)
    assert documents() == [("INV-000001", 3720 + 1200 + 4000)]
    day(provider, 11)
    do(provider, endings.cancel, line, date(2026, 3, 21), "moved away")
    day(provider, 11)
    assert documents()[1:] == [("INV-000002", 6000), ("CN-000001", 1320)]
    assert access(line)[0] == AccessLevel.FULL
    day(provider, 20)
    assert owes(anna) == 1200 + 6000 + 2400 + 4000  # the deposit is kept until the line has ended
    day(provider, 21)
    assert documents()[3:] == [("CN-000002", 4000)]
    assert access(line)[0] == AccessLevel.BLOCKED
    day(provider, 30)
    assert len(documents()) == 4
    assert owes(anna) == 1200 + 6000 + 2400  # set-up, leaving early, 20 days


def test_an_end_is_corrected_and_taken_back(provider: Provider, anna):
    line = provider.service(anna, provider.plan(price=3100, minimum_months=12, early_end_fee=eur(5000)), MARCH)
    day(provider, 1)
    do(provider, endings.cancel, line, date(2026, 3, 21), "moved")
    day(provider, 1)
    with pytest.raises(Refused, match="set already"):
        do(provider, endings.cancel, line, date(2026, 3, 28), "moved")
    do(provider, endings.keep, line)
    assert owes(anna) == 2400  # 20 days; the others are billed when they come
    do(provider, endings.cancel, line, date(2026, 3, 28), "moved")
    day(provider, 27)
    assert owes(anna) == 2700 * 12 // 10 + 6000
    day(provider, 28)
    with pytest.raises(Refused, match="No end is planned"):
        do(provider, endings.keep, line)


def test_what_waits_is_billed_with_the_end_and_a_deposit_that_was_not_is_dropped(provider: Provider, anna):
    line = provider.service(anna, provider.plan(price=3100), MARCH)
    day(provider, 1)
    with transaction() as tx:
        for kind, minor in (("equipment", 4000), ("deposit", 2000)):
            add_charge(
                tx, subscriber_id=anna, service_id=line, kind=kind, text=kind, amount=eur(minor),
                tax_class_id=class_of_percent(tx, "staff:1", "0"), on_day=MARCH, author="staff:1",
            )  # fmt: skip
    do(provider, endings.cancel, line, date(2026, 3, 21), "moved")
    day(provider, 1)
    assert owes(anna) == 2400 + 4000


def test_somebody_else_pays(provider: Provider, anna):
    landlord = provider.subscriber("Bert")
    line = provider.service(anna, provider.plan(price=3100), MARCH)
    do(provider, changes.set_payer, line, landlord)
    day(provider, 1)
    assert (owes(anna), owes(landlord)) == (0, 3720)
    provider.live(date(2026, 3, 15), date(2026, 4, 5))
    assert access(line)[0] == AccessLevel.WALLED


def test_a_line_is_handed_over(provider: Provider, anna):
    bert = provider.subscriber("Bert")
    line = provider.service(anna, provider.plan(price=3100), MARCH)
    day(provider, 11)
    new = do(provider, endings.hand_over, line, bert)
    day(provider, 11)
    with transaction() as tx:
        logins = dict(tx.execute(select(service.c.id, service.c.login)).all())
    assert (logins[new], logins[line]) == ("line2", f"line2 (until 2026-03-11, {line})")
    assert (owes(anna), owes(bert)) == (1200, 3720)
    assert (access(line)[0], access(new)[0]) == (AccessLevel.BLOCKED, AccessLevel.FULL)
