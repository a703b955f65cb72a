"""Late fees and fees for coming back: once, taxed, never on a fee, given back by whom the operator wants."""

from datetime import date
from decimal import Decimal

from sqlalchemy import select

from base import clock
from base.access import AccessLevel
from base.business import load_business
from base.database import transaction
from billing.collect.tables import checkout
from billing.dunning.cases import load_payers
from billing.dunning.fees import waive
from billing.dunning.policy import Fee, Step
from billing.dunning.tables import dunning_notice
from billing.ledger import check_books, receivable
from billing.services import set_staff_order
from billing.settle import open_invoices
from billing.tables import charge, invoice, message
from tests.billing.dunned import MARCH, adopt, bill, body, march, sent, tax_class_id
from tests.billing.provider import Provider, noon


def test_a_late_fee_is_warned_of_then_billed_once_and_starts_nothing_itself(provider: Provider):
    steps = (Step(3, "reminder_1"), Step(7, "final_notice", Fee(500, Decimal(10))), Step(14, "wall"))
    bill(provider)
    adopt(provider, steps=steps, fee_tax_class_id=tax_class_id())
    provider.live(march(2), date(2026, 5, 20))
    assert "a late fee of €6.00 is added" in body("reminder_1")
    assert "A late fee of €6.00 has been added." in body("final_notice")
    with transaction() as tx:
        fee = tx.execute(select(charge)).one()
        assert (fee.kind, fee.amount_minor, fee.text) == ("late_fee", 500, "Late fee for invoice INV-000001")
        second = tx.execute(select(invoice).where(invoice.c.id == fee.invoice_id)).one()
        assert (second.issued_on, second.total_minor) == (march(23), 600)  # by the next tick, with 20 % tax
        about = tx.scalars(select(message.c.invoice_id).where(message.c.kind != "invoice", message.c.invoice_id > 0))
        assert set(about) == {1}
        assert check_books(tx) == []


def test_a_percentage_is_taken_when_it_is_greater_and_never_on_a_fee(provider: Provider):
    steps = (Step(3, "reminder_1", Fee(100, Decimal(10))),)
    subscriber_id, _ = bill(provider)
    adopt(provider, steps=steps, fee_tax_class_id=tax_class_id(), fee_as="line")
    provider.live(march(2), march(20))
    with transaction() as tx:
        assert tx.scalars(select(charge.c.amount_minor)).one() == 360  # 10 % of 35.99
        assert tx.scalars(select(charge.c.invoice_id)).one() is None  # it waits for the next invoice
        business = load_business(tx, provider.vault)
        charge_id = tx.scalars(select(charge.c.id)).one()
        assert waive(tx, provider.vault, business, "staff:1", charge_id, clock.now()) is None
        assert tx.scalars(select(charge.c.dropped_at)).one() is not None
        assert receivable(tx, subscriber_id).minor == 3599


def test_a_billed_fee_is_waived_by_a_credit_note(provider: Provider):
    subscriber_id, _ = bill(provider)
    adopt(provider, steps=(Step(3, "reminder_1", Fee(500)),), fee_tax_class_id=tax_class_id())
    provider.live(march(2), march(20))
    with transaction() as tx:
        assert receivable(tx, subscriber_id).minor == 3599 + 600
        business = load_business(tx, provider.vault)
        charge_id = tx.scalars(select(charge.c.id)).one()
        assert waive(tx, provider.vault, business, "staff:1", charge_id, clock.now()) is not None
        assert receivable(tx, subscriber_id).minor == 3599
        assert check_books(tx) == []


def test_what_is_left_is_fees_alone_and_walls_nobody(provider: Provider):
    steps = (Step(3, "reminder_1", Fee(500)), Step(10, "final_notice"), Step(21, "wall"))
    subscriber_id = provider.subscriber()
    provider.travel(noon(MARCH))
    service_id = provider.service(subscriber_id, provider.plan(), MARCH)
    provider.live(MARCH, MARCH)
    adopt(provider, steps=steps, fee_tax_class_id=tax_class_id(), fee_as="line")
    provider.live(march(2), march(31))  # the fee is a line of April's invoice
    provider.pay(subscriber_id, 3599 + 3599)
    provider.live(date(2026, 4, 1), date(2026, 4, 29))
    with transaction() as tx:
        assert [each.open.minor for each in open_invoices(tx, subscriber_id)] == [600]
        assert load_payers(tx, load_business(tx, provider.vault), [subscriber_id], clock.now()) == {}
    assert provider.level(service_id) == AccessLevel.FULL
    assert sent("reminder_1") == [("reminder_1", march(18))]


def test_coming_back_costs_on_the_next_invoice(provider: Provider):
    subscriber_id, service_id = bill(provider)
    adopt(provider, reconnection={"debt": 1000, "staff_suspended": 2000}, fee_tax_class_id=tax_class_id())
    provider.live(march(2), date(2026, 4, 5))
    provider.pay(subscriber_id, 3599)
    assert provider.level(service_id) == AccessLevel.FULL
    with transaction() as tx:
        set_staff_order(tx, provider.vault, "staff:1", service_id, "suspended", "")
        set_staff_order(tx, provider.vault, "staff:1", service_id, "none", "")
        rows = tx.execute(select(charge).order_by(charge.c.id)).all()
        assert [(row.kind, row.amount_minor, row.bill_on) for row in rows] == [
            ("reconnection", 1000, None),
            ("reconnection", 2000, None),
        ]


def test_coming_back_has_to_be_paid_first_where_the_operator_wants_it(provider: Provider):
    subscriber_id, service_id = bill(provider)
    adopt(provider, reconnection={"debt": 1000}, reconnection_first=True, fee_tax_class_id=tax_class_id())
    provider.live(march(2), date(2026, 4, 5))
    with transaction() as tx:
        assert [each.open.minor for each in open_invoices(tx, subscriber_id)] == [3599, 1200]  # in the same commit
    provider.pay(subscriber_id, 3599)
    assert provider.level(service_id) == AccessLevel.WALLED
    provider.live(date(2026, 4, 6), date(2026, 4, 8))
    provider.pay(subscriber_id, 1200)
    assert provider.level(service_id) == AccessLevel.FULL
    provider.live(date(2026, 4, 9), date(2026, 4, 12))
    with transaction() as tx:
        assert tx.scalars(select(charge.c.amount_minor)).all() == [1000]  # once for this time
        assert check_books(tx) == []


def test_while_stripe_is_silent_no_fee_is_charged_and_who_may_have_paid_stays_online(provider: Provider):
    anna, service_id = bill(provider)
    _, other = bill(provider)
    steps = (Step(3, "reminder_1"), Step(8, "reminder_2", Fee(500)), Step(14, "wall"))
    adopt(provider, steps=steps, fee_tax_class_id=tax_class_id())
    provider.live(march(2), march(22))
    with transaction() as tx:
        row = {"amount_minor": 3599, "currency": "EUR", "invoice_ids": [], "created_at": clock.now()}
        tx.execute(checkout.insert().values(subscriber_id=anna, state="unknown", **row))
    provider.live(march(23), march(25))
    assert sent("reminder_2") == []
    with transaction() as tx:
        tx.execute(checkout.insert().values(subscriber_id=anna, state="open", **row))  # Stripe answers again
    provider.live(march(26), march(26))
    assert len(sent("reminder_2")) == 2
    with transaction() as tx:
        tx.execute(checkout.insert().values(subscriber_id=anna, state="failed", **row))
        (named,) = set(tx.scalars(select(dunning_notice.c.on_day)))
    provider.live(march(27), named)
    assert (provider.level(service_id), provider.level(other)) == (AccessLevel.FULL, AccessLevel.WALLED)
