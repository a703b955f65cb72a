"""One debt, one wall, one fee: it stays until it is paid, is billed with the wall, and is whose debt it was."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from base import clock
from base.access import AccessLevel
from base.business import load_business
from base.database import transaction
from base.money import Money
from billing import tick
from billing.changes import set_payer
from billing.charges import add_charge
from billing.dunning.cases import demanding
from billing.dunning.exemptions import end_exemption, exempt
from billing.dunning.fees import waive
from billing.dunning.policy import Step
from billing.dunning.promises import make_promise, settle_promises
from billing.ledger import check_books
from billing.settle import open_invoices
from billing.tables import charge, message
from billing.walled import set_walled_billing
from tests.billing.dunned import MARCH, adopt, april, bill, body, charges, march, sent, tax_class_id
from tests.billing.provider import Provider, noon

QUICK = (Step(0, "due_notice"), Step(3, "final_notice"), Step(8, "wall"))


def owed(subscriber_id: int) -> list[int]:
    with transaction() as tx:
        return [each.open.minor for each in open_invoices(tx, subscriber_id)]


def test_a_wall_does_not_open_because_walled_days_are_credited_below_the_minimum(provider: Provider):
    adopt(provider, steps=QUICK, minimum=2500)
    provider.live(MARCH, MARCH)
    service_id = provider.service(provider.subscriber(), provider.plan(price=3100, tax="0"), MARCH)
    with transaction() as tx:
        set_walled_billing(tx, "staff:1", 1, "days")
    provider.live(MARCH, march(23))
    for ahead in range(14):
        provider.live(march(23) + timedelta(days=ahead), march(23) + timedelta(days=ahead))
        assert provider.level(service_id) == AccessLevel.WALLED, ahead
    assert owed(1) == [2200]  # 9 of 31 days were given back, and nothing was billed since
    provider.pay(1, 2200)
    assert provider.level(service_id) == AccessLevel.FULL


def test_a_part_payment_below_the_minimum_does_not_open_a_wall(provider: Provider):
    adopt(provider, minimum=1000)
    subscriber_id, service_id = bill(provider)
    provider.live(march(2), april(5))
    provider.pay(subscriber_id, 3000)
    assert provider.level(service_id) == AccessLevel.WALLED
    with transaction() as tx:
        exempt(
            tx,
            provider.vault,
            load_business(tx, provider.vault),
            "staff:1",
            subscriber_id,
            april(8),
            "!",
            noon(april(5)),
        )
    assert provider.level(service_id) == AccessLevel.FULL
    provider.live(april(6), april(8))
    assert provider.level(service_id) == AccessLevel.WALLED  # what is left is the same debt
    provider.pay(subscriber_id, 599)
    assert provider.level(service_id) == AccessLevel.FULL


def test_an_old_notice_does_not_revive_when_the_debt_rises_again_above_the_minimum(provider: Provider):
    adopt(provider, minimum=3000)
    subscriber_id, service_id = bill(provider)
    provider.live(march(2), april(1))
    assert sent("final_notice") == [("final_notice", march(29))]
    provider.pay(subscriber_id, 2000)  # 15.99 is left
    provider.live(april(2), april(2))
    provider.service(subscriber_id, provider.plan(cycle=12), april(3))  # 35.99 more, due on the 17th
    provider.live(april(3), april(16))
    assert len(sent("final_notice")) == 1
    provider.live(april(17), april(21))
    assert provider.level(service_id) == AccessLevel.FULL
    assert sent("final_notice")[1:] == [("final_notice", april(17))]
    assert "from Apr 22, 2026 on" in body("final_notice")
    provider.live(april(22), april(22))
    assert provider.level(service_id) == AccessLevel.WALLED


FIRST = {"reconnection": {"debt": 1000}, "reconnection_first": True}


def test_a_broken_promise_bills_the_fee_with_the_wall(provider: Provider):
    subscriber_id, service_id = bill(provider)
    adopt(provider, **FIRST, fee_tax_class_id=tax_class_id())
    provider.live(march(2), april(4))
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        make_promise(tx, provider.vault, business, "staff:1", subscriber_id, april(8), clock.now())
    provider.live(april(5), april(8))
    with transaction() as tx:
        settle_promises(tx, provider.vault, [subscriber_id], provider.travel(noon(april(9))))
    assert (provider.level(service_id), owed(subscriber_id)) == (AccessLevel.WALLED, [3599, 1200])
    provider.pay(subscriber_id, 4799)
    assert provider.level(service_id) == AccessLevel.FULL


def test_the_end_of_an_exemption_bills_the_fee_with_the_wall(provider: Provider):
    subscriber_id, service_id = bill(provider)
    adopt(provider, **FIRST, fee_tax_class_id=tax_class_id())
    provider.live(march(2), april(4))
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        exempt(tx, provider.vault, business, "staff:1", subscriber_id, april(20), "In hospital", clock.now())
    provider.live(april(5), april(9))
    with transaction() as tx:
        end_exemption(tx, provider.vault, business, "staff:1", subscriber_id, clock.now())
    assert (provider.level(service_id), owed(subscriber_id)) == (AccessLevel.WALLED, [3599, 1200])


def test_a_notice_that_walls_on_its_arrival_bills_the_fee_with_the_wall(provider: Provider):
    steps = (Step(14, "final_notice"), Step(15, "wall"))
    subscriber_id, service_id = bill(provider)
    adopt(provider, **FIRST, fee_tax_class_id=tax_class_id(), steps=steps, notice_days=0)
    provider.live(march(2), march(28))
    tick.run(provider.travel(noon(march(29))))  # the mail leaves on the next day only
    with transaction() as tx:
        tx.execute(update(message).where(message.c.state == "queued").values(state="sent", sent_at=noon(march(30))))
    tick.run(provider.travel(noon(march(30))))
    assert (provider.level(service_id), owed(subscriber_id)) == (AccessLevel.WALLED, [3599, 1200])


def test_the_fee_is_his_whose_debt_it_was(provider: Provider):
    subscriber_id, service_id = bill(provider)
    landlord = provider.subscriber("Landlord", email="landlord@example.net")
    adopt(provider, reconnection={"debt": 1000}, fee_tax_class_id=tax_class_id())
    provider.live(march(2), april(5))
    with transaction() as tx:
        set_payer(tx, provider.vault, "staff:1", service_id, landlord)
    assert provider.level(service_id) == AccessLevel.FULL
    with transaction() as tx:
        assert tx.execute(select(charge.c.subscriber_id, charge.c.amount_minor)).all() == [(subscriber_id, 1000)]


@pytest.mark.parametrize("first", [False, True])
def test_one_debt_costs_one_fee_however_often_the_wall_opens_meanwhile(provider: Provider, first: bool):
    subscriber_id, service_id = bill(provider)
    adopt(provider, reconnection={"debt": 1000}, reconnection_first=first, fee_tax_class_id=tax_class_id())
    provider.live(march(2), april(5))
    for day in (6, 8, 10):
        provider.live(april(day), april(day))
        with transaction() as tx:
            business = load_business(tx, provider.vault)
            exempt(tx, provider.vault, business, "staff:1", subscriber_id, april(20), "Once more", clock.now())
        assert provider.level(service_id) == AccessLevel.FULL
        provider.live(april(day + 1), april(day + 1))
        with transaction() as tx:
            end_exemption(tx, provider.vault, business, "staff:1", subscriber_id, clock.now())
        assert provider.level(service_id) == AccessLevel.WALLED
    provider.pay(subscriber_id, sum(owed(subscriber_id)))
    assert provider.level(service_id) == AccessLevel.FULL
    assert charges() == [("reconnection", 1000)]
    with transaction() as tx:
        assert check_books(tx) == []


def test_another_debt_costs_another_fee(provider: Provider):
    subscriber_id, service_id = bill(provider)
    adopt(provider, reconnection={"debt": 1000}, fee_tax_class_id=tax_class_id())
    provider.live(march(2), april(5))
    provider.pay(subscriber_id, 3599)
    provider.service(subscriber_id, provider.plan(cycle=12), april(6))
    provider.live(april(6), date_of_wall := april(6) + timedelta(days=35))
    assert provider.level(service_id) == AccessLevel.WALLED, date_of_wall
    provider.pay(subscriber_id, sum(owed(subscriber_id)))
    assert charges() == [("reconnection", 1000)] * 3  # once for the one line, then for each of the two


def test_a_fee_to_be_paid_first_holds_the_wall_whatever_else_is_on_its_invoice(provider: Provider):
    subscriber_id, service_id = bill(provider)
    provider.service(subscriber_id, provider.plan(), march(5))
    with transaction() as tx:
        charge_id = add_charge(
            tx, subscriber_id=subscriber_id, kind="reconnection", text="Reconnection", amount=Money(1000, "EUR"),
            tax_class_id=1, on_day=march(5), bill_on=march(5), author="dunning", service_id=service_id,
        )  # fmt: skip
    provider.live(march(5), march(5))
    assert owed(subscriber_id)[1:] == [4799]  # on one invoice with the second service
    with transaction() as tx:
        assert demanding(tx, [subscriber_id]) == {subscriber_id}
        waive(tx, provider.vault, load_business(tx, provider.vault), "staff:1", charge_id, clock.now())
        assert demanding(tx, [subscriber_id]) == set()
