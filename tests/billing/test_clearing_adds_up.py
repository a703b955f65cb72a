"""Whatever moves at Stripe in whatever order: both sides agree, and an unbooked refund is the only difference."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from base import clock
from base.crypto import Vault
from base.database import transaction
from base.money import Money
from billing.clearing.fetch import fetch
from billing.clearing.payouts import last_payouts, match_payout
from billing.clearing.reconcile import reconcile
from billing.ledger import Posting, check_books, post
from billing.payments import record_payment
from billing.tables import payment, posting
from tests.billing.collecting import Till, emulate, open_till

emulator = pytest.fixture(emulate)
till = pytest.fixture(open_till)

DEEDS = ("charge", "other", "refund", "refund_other", "fee", "day", "day", "pay_out", "fail", "arrive", "fetch", "bank")
STEPS = st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(1, 9999)), min_size=3, max_size=14)
ALL = [("charge", 900), ("other", 500), ("refund", 100), ("fee", 7), ("day", 1), ("day", 1), ("day", 1), ("fetch", 1),
       ("bank", 1), ("fail", 1), ("bank", 1), ("refund_other", 20), ("charge", 800)]  # fmt: skip


def act(till: Till, vault: Vault, who: int, deed: str, number: int, ours: list[str], others: list[str]) -> None:
    control, emulated = till.emulator.control, till.stripe.v1
    if deed in ("charge", "other"):
        made = control("charges", amount=100 + number, currency="eur")
        (ours if deed == "charge" else others).append(made["id"])
        if deed == "charge":
            with transaction() as tx:
                record_payment(tx, vault, till.business(tx), subscriber_id=who, amount=Money(100 + number, "EUR"),
                               method="card", author="stripe", gateway_id=made["id"], now=clock.now())  # fmt: skip
    elif deed in ("refund", "refund_other") and (ids := ours if deed == "refund" else others):
        intent = ids[number % len(ids)]
        left = emulated.payment_intents.retrieve(intent, params={"expand": ["latest_charge"]}).latest_charge
        amount = min(number % 90 + 1, left.amount - left.amount_refunded)
        if amount:
            made = emulated.refunds.create(params={"payment_intent": intent, "amount": amount})
            if deed == "refund":
                with transaction() as tx:
                    sides = [
                        Posting("stripe", None, Money(-amount, "EUR")),
                        Posting("rounding", None, Money(amount, "EUR")),
                    ]
                    post(tx, clock.now().date(), "Refund", f"refund:{made.id}", sides)
    elif deed == "fee":
        control("fees", amount=number, currency="eur")
    elif deed == "day":
        control("clock", advance=86400)
    elif deed == "pay_out":
        control("payouts")
    elif deed in ("fail", "arrive"):
        for each in emulated.payouts.list(params={"limit": 1}).data:
            if deed == "fail" and each.status != "failed":
                control(f"payouts/{each.id}", fail="account_closed")
            elif deed == "arrive" and each.status == "in_transit":
                control(f"payouts/{each.id}", arrive=True)
    elif deed == "fetch":
        fetch(vault)
    elif deed == "bank":
        with transaction() as tx:
            for row in last_payouts(tx):
                sign = -1 if row.banked_on else 1
                match_payout(tx, day=row.arrives_on, amount=Money(sign * row.amount_minor, "EUR"))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@example(ALL)
@given(STEPS)
def test_any_mix_reconciles_to_zero(till: Till, steps: list[tuple[str, int]]):
    vault = till.provider.vault
    who = till.provider.subscriber()
    ours: list[str] = []
    others: list[str] = []
    for deed, number in steps:
        act(till, vault, who, deed, number, ours, others)
    fetch(vault)
    with transaction() as tx:
        found = reconcile(tx)
        assert found.agrees, found
        assert check_books(tx) == []
        on_the_way = sum(
            row.amount_minor * ((row.state != "failed") - (row.banked_on is not None) + (row.returned_on is not None))
            for row in last_payouts(tx, 1000)
        )
        sums = select(func.coalesce(func.sum(posting.c.amount_minor), 0))
        assert tx.scalar(sums.where(posting.c.account == "payouts")) == on_the_way
        assert tx.scalar(select(func.count()).select_from(payment)) >= len(ours)
