"""Money that Stripe exchanges on the way: each currency adds up to the minor unit, whatever becomes of it."""

import pytest
from sqlalchemy import select, text

from base import jobs
from base.database import transaction
from billing.clearing import suspense
from billing.clearing.reconcile import reconcile
from billing.clearing.tables import stripe_transaction
from billing.money_back import card
from billing.tables import payment
from tests.billing.collecting import Till, emulate, open_till, work
from tests.billing.test_clearing import booked, fetched, pass_days
from tests.billing.test_disputes import tell
from tests.sandbox.emulator import Emulator

emulator = pytest.fixture(emulate)
till = pytest.fixture(open_till)
RATE = 0.91737
GROSS = 3599
FEE = 134  # of it, in dollars


def euro(minor: int, rate: float = RATE) -> int:
    return round(minor * rate)


def charged(till: Till, emulator: Emulator, currency: str = "USD", price: int = 2999) -> int:
    """Somebody pays by card in a currency that Stripe exchanges into euro."""
    emulator.control("dials", settles_in="eur", exchange_rate=RATE)
    who = till.customer("pm_card_visa", currency=currency, price=price)
    fetched(till)
    till.bill()
    return who


def test_each_currency_adds_up_by_itself(till: Till, emulator: Emulator):
    charged(till, emulator)
    assert fetched(till).agrees
    assert (booked("stripe", "USD"), booked("stripe", "EUR")) == (0, euro(GROSS) - euro(FEE))
    assert (booked("exchange", "USD"), booked("exchange", "EUR")) == (GROSS, -euro(GROSS))
    assert (booked("gateway_fees", "USD"), booked("gateway_fees", "EUR")) == (0, euro(FEE))
    with transaction() as tx:
        row = tx.execute(select(stripe_transaction)).one()
    assert (row.kind, row.amount_minor, row.currency) == ("converted", euro(GROSS), "EUR")
    assert (row.charged_minor, row.charged_currency) == (GROSS, "USD")


def test_a_currency_without_minor_units_is_exchanged_into_one_that_has_them(till: Till, emulator: Emulator):
    emulator.control("dials", settles_in="eur", exchange_rate=0.61)
    till.customer("pm_card_visa", currency="JPY", price=2999)
    fetched(till)
    till.bill()
    assert fetched(till).agrees
    assert (booked("stripe", "JPY"), booked("exchange", "JPY")) == (0, 3599)
    assert booked("exchange", "EUR") == -euro(3599, 0.61)


def test_what_is_not_recorded_yet_has_its_reason_in_the_currency_of_the_payer(till: Till, emulator: Emulator):
    charged(till, emulator)
    with transaction() as tx:
        found = reconcile(tx)
    assert [(each.why, each.amount.minor, each.amount.currency) for side in found.sides for each in side.items] == [
        ("not_fetched", GROSS, "USD")
    ]
    assert found.explained
    assert fetched(till).agrees
    with transaction() as tx:
        tx.execute(text("ALTER TABLE payment DISABLE TRIGGER ALL"))
        tx.execute(text("ALTER TABLE posting DISABLE TRIGGER ALL"))
        tx.execute(payment.update().values(gateway_id=None, method="opening"))
        tx.execute(text("DELETE FROM posting USING entry WHERE entry.id = entry_id AND source LIKE 'payment:%'"))
        found = reconcile(tx)
        assert [(each.why, each.amount.minor, each.amount.currency) for side in found.sides for each in side.items] == [
            ("not_recorded", -GROSS, "USD")
        ]
        assert found.explained
        tx.rollback()


def test_a_refund_at_another_rate_leaves_the_difference_in_exchange(till: Till, emulator: Emulator):
    charged(till, emulator)
    fetched(till)
    emulator.control("dials", exchange_rate=0.95)
    made = till.stripe.v1.refunds.create(params={"payment_intent": till.case().intent_id, "amount": 1000})
    card.hear(till.provider.vault, made.id)
    assert fetched(till).agrees
    assert booked("stripe", "USD") == 0
    assert booked("exchange", "USD") == GROSS - 1000
    assert booked("exchange", "EUR") == -euro(GROSS) + euro(1000, 0.95)


def test_a_dispute_is_taken_and_won_in_the_currency_that_lies_there(till: Till, emulator: Emulator):
    charged(till, emulator)
    fetched(till)
    disputed = emulator.control("disputes", payment_intent=till.case().intent_id)["id"]
    tell(till)
    assert fetched(till).agrees
    emulator.control("dials", exchange_rate=0.95)
    emulator.control(f"disputes/{disputed}", outcome="won")
    tell(till)
    assert fetched(till).agrees
    assert (booked("stripe", "USD"), booked("disputed", "USD")) == (0, 0)
    assert booked("exchange", "EUR") == -euro(GROSS) + euro(GROSS) - euro(GROSS, 0.95)


def test_the_payout_of_exchanged_money_and_other_business_in_another_currency(till: Till, emulator: Emulator):
    charged(till, emulator)
    emulator.control("charges", amount=2000, currency="usd", description="T-shirt")
    assert fetched(till).agrees
    assert (booked("suspense", "EUR"), booked("suspense", "USD")) == (-euro(2000), 0)
    with transaction() as tx:
        (shirt,) = suspense.in_suspense(tx)
        assert (shirt.amount_minor, shirt.currency) == (euro(2000), "EUR")
    pass_days(emulator, 3)
    assert fetched(till).agrees
    assert booked("stripe", "EUR") == 0
    assert booked("payouts", "EUR") > 0
    work(jobs.Kind.FETCH_BALANCE)
