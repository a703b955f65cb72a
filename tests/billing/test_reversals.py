"""Payments that were none: what they had settled is open again, announced from the start, and walls again."""

from datetime import date, timedelta

import pytest
from sqlalchemy import select

from base.access import AccessLevel
from base.business import load_business
from base.database import transaction
from base.money import Money
from billing.dunning.tables import dunning_anew, dunning_notice
from billing.ledger import check_books, receivable, statement
from billing.money_back.reversals import reverse_payment
from billing.payments import record_payment
from billing.refused import Refused
from billing.settle import open_invoices
from billing.tables import charge, message, open_item, payment
from tests.billing.dunned import adopt, april, bill, body, march, sent, tax_class_id
from tests.billing.provider import Provider, noon

GROSS = 3599


def pay(provider: Provider, who: int, minor: int, day: date, method: str = "cheque", **more) -> int:
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        return record_payment(
            tx, provider.vault, business, subscriber_id=who, amount=Money(minor, "EUR"), method=method,
            author="staff:1", now=provider.travel(noon(day)), **more,
        ).payment_id  # fmt: skip


def reverse(provider: Provider, payment_id: int, day: date, reason: str = "bounced", **more):
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        now = provider.travel(noon(day))
        return reverse_payment(tx, provider.vault, business, "staff:1", payment_id, reason, now, **more)


def right() -> None:
    with transaction() as tx:
        assert check_books(tx) == []


def test_what_a_bounced_cheque_had_settled_is_open_again_from_that_day(provider: Provider):
    who, _ = bill(provider)
    cheque = pay(provider, who, GROSS, march(20))
    with transaction() as tx:
        assert open_invoices(tx, who) == []
    reverse(provider, cheque, march(26))
    with transaction() as tx:
        (debt,) = open_invoices(tx, who)
        assert (debt.open.minor, debt.due_on) == (GROSS, march(26))
        assert receivable(tx, who).minor == GROSS
        assert "reversed: bounced" in statement(tx, who)[-1].text
    assert "R-000001" in body("money_back")
    assert "INV-000001" in body("money_back")
    right()


def test_a_debt_that_was_not_due_yet_keeps_its_date(provider: Provider):
    who, _ = bill(provider)
    reverse(provider, pay(provider, who, GROSS, march(2)), march(4))
    with transaction() as tx:
        assert open_invoices(tx, who)[0].due_on == march(15)
    right()


def test_it_walls_again_only_after_new_notices_and_access_is_back_the_moment_it_is_paid(provider: Provider):
    who, service_id = bill(provider)
    provider.live(march(2), april(20))
    assert provider.level(service_id) is AccessLevel.WALLED
    first = sent()
    cheque = pay(provider, who, GROSS, april(20))
    assert provider.level(service_id) is AccessLevel.FULL
    reverse(provider, cheque, april(25))
    assert provider.level(service_id) is AccessLevel.FULL  # nothing was announced of this debt
    walled_on = None
    for ahead in range(60):
        day = april(25) + timedelta(days=ahead)
        provider.live(day, day)
        if provider.level(service_id) is AccessLevel.WALLED:
            walled_on = day
            break
    again = [(kind, (day - april(25)).days) for kind, day in sent()[len(first) :]]
    assert again == [(kind, (day - march(15)).days) for kind, day in first if day >= march(15)]
    with transaction() as tx:
        named = select(dunning_notice.c.on_day).where(
            dunning_notice.c.act == "wall", dunning_notice.c.withdrawn_at.is_(None)
        )
        assert tx.scalars(named).one() == walled_on
        assert tx.execute(select(dunning_anew)).one().walls  # what was done before is kept
    pay(provider, who, GROSS, walled_on, method="cash")
    assert provider.level(service_id) is AccessLevel.FULL
    right()


def test_a_part_that_bounces_ends_no_wall(provider: Provider):
    who, service_id = bill(provider)
    provider.live(march(2), april(20))
    part = pay(provider, who, 100, april(20))
    reverse(provider, part, april(21))
    assert provider.level(service_id) is AccessLevel.WALLED
    with transaction() as tx:
        assert open_invoices(tx, who)[0].due_on == march(15)
    right()


def test_another_credit_settles_what_opens_again(provider: Provider):
    who, _ = bill(provider)
    cheque = pay(provider, who, GROSS, march(20))
    pay(provider, who, GROSS, march(21), method="cash")
    reverse(provider, cheque, march(22))
    with transaction() as tx:
        assert open_invoices(tx, who) == []
    assert "To be paid again" not in body("money_back")
    right()


def test_it_may_be_paid_again_by_the_same_hand(provider: Provider):
    who, _ = bill(provider)
    for day in (20, 22):
        reverse(provider, pay(provider, who, GROSS, march(day)), march(day + 1))
    with transaction() as tx:
        assert len(tx.execute(select(dunning_anew)).all()) == 2
        assert open_invoices(tx, who)[0].due_on == march(23)
    right()


def test_money_of_another_subscriber_is_moved_in_one_act(provider: Provider):
    who, _ = bill(provider)
    other, _ = bill(provider, name="Bert", email="bert@example.net")
    mistaken = pay(provider, who, GROSS, march(10), method="transfer")
    done = reverse(provider, mistaken, march(12), "wrong subscriber", move_to=other)
    with transaction() as tx:
        assert [each.open.minor for each in open_invoices(tx, who)] == [GROSS]
        assert open_invoices(tx, other) == []
        row = tx.execute(select(payment).where(payment.c.id == done.moved_to)).one()
        assert (row.note, row.received_on, row.receipt_number) == ("Moved: was R-000001", march(10), "R-000002")
    assert "by mistake" in body("money_back")
    right()


def test_a_fee_is_a_charge_of_its_own(provider: Provider):
    who, _ = bill(provider)
    adopt(provider, fee_tax_class_id=tax_class_id())
    done = reverse(provider, pay(provider, who, GROSS, march(20)), march(22), fee=Money(750, "EUR"))
    with transaction() as tx:
        row = tx.execute(select(charge).where(charge.c.id == done.charge_id)).one()
        assert (row.amount_minor, row.text, row.bill_on) == (750, "Fee for the returned payment R-000001", march(22))
    provider.live(march(23), march(23))
    with transaction() as tx:
        assert [each.open.minor for each in open_invoices(tx, who)] == [GROSS, 900]
    right()


@pytest.mark.parametrize("reason", ["", "bounced"])
def test_what_cannot_be_reversed_is_refused_in_words(provider: Provider, reason: str):
    who, _ = bill(provider)
    cheque = pay(provider, who, GROSS, march(20))
    if not reason:
        with pytest.raises(Refused, match="reason"):
            reverse(provider, cheque, march(21), reason)
        return
    reverse(provider, cheque, march(21))
    card = pay(provider, who, GROSS, march(22), method="card", gateway_id="pi_1")
    for payment_id, words in ((cheque, "reversed already"), (card, "refund it"), (99, "no such payment")):
        with pytest.raises(Refused, match=words):
            reverse(provider, payment_id, march(23))
    right()


def test_a_reminder_that_has_not_left_is_not_sent_any_more(provider: Provider):
    who, _ = bill(provider)
    provider.live(march(2), march(22))
    from billing import tick

    tick.run(provider.travel(noon(march(23))))
    cheque = pay(provider, who, GROSS, march(23))
    reverse(provider, cheque, march(23))
    with transaction() as tx:
        states = set(tx.scalars(select(message.c.state).where(message.c.kind.like("reminder%"))))
        assert "queued" not in states
        assert tx.scalars(select(open_item.c.reopened)).all() == [True]
    right()
