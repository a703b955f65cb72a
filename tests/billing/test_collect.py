"""Cards on file: charged when a bill is issued, for what is owed that second, once; refused with sense."""

from datetime import date, timedelta

import pytest
from sqlalchemy import select, update

from base import clock
from base.database import transaction
from base.tables import job
from billing import checkout
from billing.checkout import Wish
from billing.collect import cards
from billing.collect.tables import attempt, card
from billing.tables import message
from billing.tick import run as tick
from billing.tomorrow import preview_day
from tests.billing.collecting import Till, emulate, open_till, work
from tests.billing.provider import noon

emulator = pytest.fixture(emulate)
till = pytest.fixture(open_till)

GROSS = 3599  # 29.99 and 20 % tax


def test_a_saved_card_is_charged_when_the_bill_is_issued(till: Till):
    till.customer("pm_card_visa")
    till.bill()
    assert till.cases() == [("paid", "succeeded")]
    assert till.taken() == till.recorded() == GROSS


def test_running_everything_again_charges_nothing_again(till: Till):
    till.customer("pm_card_visa")
    till.bill()
    for _ in range(2):
        tick(noon(date(2026, 3, 1)))
        work()
    assert till.taken() == till.recorded() == GROSS


def test_without_autopay_or_without_a_card_nothing_is_charged(till: Till):
    till.customer("pm_card_visa", autopay=False)
    till.customer(autopay=False, email="bert@example.net")
    till.bill()
    assert (till.cases(), till.taken()) == ([], 0)


def test_only_what_is_still_owed_at_that_second(till: Till):
    who = till.customer("pm_card_visa")
    till.provider.set(autopay_when="due")
    till.bill()
    assert (till.case().state, till.taken()) == ("waiting", 0)
    till.provider.pay(who, 1000)
    tick(till.provider.travel(noon(date(2026, 3, 15))))
    work()
    assert (till.taken(), till.recorded()) == (GROSS - 1000, GROSS)


def test_paid_otherwise_ends_the_case_and_its_intent(till: Till):
    who = till.customer("pm_card_chargeCustomerFail")
    till.bill()
    assert till.cases() == [("waiting", "declined")]
    till.provider.pay(who, GROSS)
    work()
    assert till.cases() == [("ended", "declined")]
    assert till.stripe.v1.payment_intents.retrieve(till.case().intent_id).status == "canceled"


def test_a_refusal_is_kept_told_and_tried_again_the_day_before_a_step_of_dunning(till: Till):
    till.customer("pm_card_chargeCustomerFail")
    till.bill()
    row = till.case()
    # due on 15 March: the due notice comes that day
    assert (row.next_try_at - timedelta(hours=8)).date() == date(2026, 3, 2)
    assert "generic_decline" in row.reason
    with transaction() as tx:
        tried = tx.execute(select(attempt)).one()
        assert (tried.decline_code, tried.advice_code, tried.network_code) == (
            "generic_decline",
            "try_again_later",
            "01",
        )
        told = tx.execute(select(message).where(message.c.kind == "card_failed")).one()
    assert "Visa … 0341" in told.body
    assert "02/03/2026" in told.body or "Mar 2, 2026" in told.body


def test_after_its_tries_it_rests_until_there_is_another_card(till: Till):
    who = till.customer("pm_card_chargeCustomerFail")
    till.bill()
    tried = []
    while till.case().state == "waiting":
        tried.append(till.case().next_try_at.date())
        tick(till.provider.travel(till.case().next_try_at))
        work()
    days = [(day - date(2026, 3, 1)).days for day in tried]
    assert days == [1, 4, 9, 16]  # the last is the day before the first reminder
    assert till.cases() == [("customer", " ".join(["declined"] * 5))]
    till.keep(who)
    work()
    assert (till.cases()[0][0], till.taken()) == ("paid", GROSS)


def test_a_bank_that_wants_its_customer_is_not_tried_again(till: Till):
    till.customer("pm_card_authenticationRequired")
    till.bill()
    assert till.cases() == [("customer", "declined")]
    with transaction() as tx:
        assert tx.scalars(select(attempt.c.meaning)).one() == "customer"
    for ahead in range(1, 20):
        tick(till.provider.travel(noon(date(2026, 3, 1) + timedelta(days=ahead))))
        work()
    assert till.cases() == [("customer", "declined")]


def test_the_other_card_is_charged_only_where_that_is_allowed(till: Till):
    who = till.customer("pm_card_chargeCustomerFail")
    till.keep(who, "pm_card_visa")
    with transaction() as tx:
        rows = tx.execute(select(card).order_by(card.c.id)).all()
        assert [row.is_default for row in rows] == [True, False]
    till.bill()
    assert till.cases() == [("waiting", "declined")]
    till.provider.set(autopay_other_card="yes")
    tick(till.provider.travel(till.case().next_try_at))
    work()
    assert (till.cases(), till.taken()) == ([("paid", "declined succeeded")], GROSS)


def test_open_pages_are_closed_before_a_card_is_charged(till: Till):
    who = till.customer("pm_card_visa")
    till.provider.set(autopay_when="days", autopay_days=2)
    till.bill()
    url = checkout.start(till.provider.vault, who, "http://127.0.0.1:9", Wish())
    assert url.startswith("http://127.0.0.1")
    tick(till.provider.travel(noon(date(2026, 3, 3))))
    work()
    with transaction() as tx:
        assert tx.scalars(select(checkout.checkout.c.state)).one() == "expired"
    assert till.taken() == till.recorded() == GROSS


def test_a_page_that_was_paid_unheard_is_found_before_the_card_is_charged(till: Till):
    import requests

    who = till.customer("pm_card_visa")
    till.provider.set(autopay_when="days", autopay_days=2)
    till.bill()
    url = checkout.start(till.provider.vault, who, "http://127.0.0.1:9", Wish())
    form = {"number": "4242 4242 4242 4242", "expiry": "12 / 40", "cvc": "123", "name": "Anna"}
    assert requests.post(url, data=form, timeout=10, allow_redirects=False).status_code == 303
    tick(till.provider.travel(noon(date(2026, 3, 3))))
    work()
    assert till.taken() == till.recorded() == GROSS
    assert till.cases()[0][0] == "ended"


def test_an_answer_that_got_lost_is_asked_for_and_never_charged_twice(till: Till):
    till.customer("pm_card_visa")
    till.emulator.order(kind="error_500_after", path="/v1/payment_intents/*/confirm")
    till.bill()
    assert till.case().state == "unknown"
    assert till.case().held_until > clock.now()
    ask()
    assert till.cases() == [("paid", "succeeded")]
    assert till.taken() == till.recorded() == GROSS


def test_a_confirmation_that_never_arrived_is_made_again_once_that_is_sure(till: Till):
    till.customer("pm_card_visa")
    till.emulator.order(kind="error_500_before", path="/v1/payment_intents/*/confirm", times=3)
    till.bill()
    assert till.case().state == "unknown"
    ask()
    assert till.case().state == "unknown"  # it could still be under way
    ask(minutes=2)
    tick(clock.now())
    work()
    assert till.cases() == [("paid", "not_sent succeeded")]
    assert till.taken() == till.recorded() == GROSS


def test_a_lost_creation_is_sent_again_under_the_same_key(till: Till):
    till.customer("pm_card_visa")
    till.emulator.order(kind="error_500_before", path="/v1/payment_intents", times=3)
    till.bill()
    with transaction() as tx:
        tx.execute(update(job).values(run_after=clock.real()))  # it waits a second before it is sent again
    work()
    assert till.taken() == till.recorded() == GROSS
    assert len(till.stripe.v1.payment_intents.list().data) == 1


def test_the_day_is_told_whose_card_it_will_try(till: Till):
    till.customer("pm_card_visa")
    found = preview_day(date(2026, 2, 28))
    assert [(item.kind, item.amount and item.amount.minor) for item in found.items] == [
        ("charge", GROSS),
        ("invoice", GROSS),
        ("mail", None),
    ]
    assert till.cases() == []
    till.provider.set(autopay_when="due")
    assert "charge" not in {item.kind for item in preview_day(date(2026, 2, 28)).items}
    assert [item.kind for item in preview_day(date(2026, 3, 14)).items].count("charge") == 1


def test_too_little_for_a_card_waits_for_the_next_invoice(till: Till):
    till.customer("pm_card_visa", price=30)
    till.bill()
    assert (till.cases(), till.taken()) == ([], 0)
    till.bill(date(2026, 4, 1))
    assert (till.cases(), till.taken()) == ([("paid", "succeeded")], 72)


def test_a_switch_to_autopay_collects_recent_invoices_only(till: Till):
    who = till.customer("pm_card_visa", autopay=False)
    for month in (3, 4, 5):
        till.bill(date(2026, month, 1))
    with transaction() as tx:
        cards.set_autopay(tx, till.business(tx), "subscriber:1", who, True)
    work()
    assert till.taken() == 2 * GROSS


def test_a_removed_card_is_gone_at_stripe_and_charged_no_more(till: Till):
    who = till.customer("pm_card_visa")
    with transaction() as tx:
        only = tx.execute(select(card)).one()
    cards.remove_card(till.provider.vault, "subscriber:1", who, only.id)
    till.bill()
    assert (till.cases(), till.taken()) == ([], 0)
    assert till.stripe.v1.payment_methods.retrieve(only.method_id).customer is None


def ask(minutes: int = 0) -> None:
    """Let the sweep ask Stripe for what is unknown, as if it were its turn."""
    from sqlalchemy import text

    with transaction() as tx:
        tx.execute(text("UPDATE collection SET ask_at = clock_timestamp() WHERE ask_at IS NOT NULL"))
        if minutes:
            tx.execute(text(f"UPDATE attempt SET real_at = real_at - interval '{minutes} minutes'"))
    tick(clock.now())
    work()
