"""Stripe's side of the books: every movement booked once, payouts followed to the bank, and both sides agree."""

from datetime import date, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from base import clock, inbox, jobs
from base.database import transaction
from base.money import Money
from billing.clearing import suspense
from billing.clearing.fetch import fetch
from billing.clearing.payouts import contents, last_payouts, match_payout
from billing.clearing.reconcile import Reconciliation, reconcile
from billing.clearing.tables import payout, stripe_transaction
from billing.ledger import Posting, check_books, post
from billing.refused import Refused
from billing.tables import payment, posting
from tests.billing.collecting import Till, emulate, open_till, work
from tests.sandbox.emulator import Emulator

emulator = pytest.fixture(emulate)
till = pytest.fixture(open_till)

GROSS, FEE = 3599, 134  # 29.99 and 20 % tax; 2.9 % and 30


def booked(account: str, currency: str = "EUR") -> int:
    with transaction() as tx:
        query = select(posting.c.amount_minor).where(posting.c.account == account, posting.c.currency == currency)
        return sum(tx.scalars(query))


def fetched(till: Till) -> Reconciliation:
    """Fetch, and compare; the books are right besides."""
    fetch(till.provider.vault)
    with transaction() as tx:
        assert check_books(tx) == []
        return reconcile(tx)


def pass_days(emulator: Emulator, days: int) -> None:
    emulator.control("clock", advance=days * 86400)


def paid_out(till: Till, emulator: Emulator) -> str:
    """A card payment that is on its way to the bank."""
    till.customer("pm_card_visa")
    till.bill()
    pass_days(emulator, 3)
    fetched(till)
    with transaction() as tx:
        (row,) = last_payouts(tx)
        return str(row.payout_id)


def test_a_charge_costs_its_fee_and_both_sides_agree(till: Till):
    till.customer("pm_card_visa")
    till.bill()
    assert fetched(till).agrees
    assert (booked("stripe"), booked("gateway_fees")) == (GROSS - FEE, FEE)
    assert fetch(till.provider.vault) == 0
    assert booked("gateway_fees") == FEE


def test_what_lay_at_stripe_before_is_an_opening_balance(till: Till, emulator: Emulator):
    emulator.control("charges", amount=10_000, currency="eur")
    till.provider.travel(clock.real() + timedelta(days=1, seconds=60))
    till.customer("pm_card_visa")
    found = fetched(till)
    assert found.agrees
    assert (booked("opening"), booked("stripe"), booked("suspense")) == (-9680, 9680, 0)
    till.bill(date(2027, 3, 1))


def test_a_payout_goes_to_the_bank_with_its_contents(till: Till, emulator: Emulator):
    payout_id = paid_out(till, emulator)
    assert (booked("stripe"), booked("payouts"), booked("bank")) == (0, GROSS - FEE, 0)
    with transaction() as tx:
        (one,) = contents(tx, payout_id)
        assert (one.type, one.amount.minor, one.fee.minor, one.receipt) == ("charge", GROSS, FEE, "R-000001")
        (row,) = last_payouts(tx)
        wrong = Money(GROSS, "EUR")
        assert match_payout(tx, day=row.arrives_on, amount=wrong) is None
        late = row.arrives_on + timedelta(days=60)
        assert match_payout(tx, day=late, amount=Money(row.amount_minor, "EUR")) is None
        for _ in range(2):  # the same line twice
            arrived = match_payout(
                tx, day=row.arrives_on, amount=Money(row.amount_minor, "EUR"), text="STRIPE PAYMENTS", bank_line_id=7
            )
            assert arrived == payout_id
    assert (booked("payouts"), booked("bank")) == (0, GROSS - FEE)
    assert fetched(till).agrees


def test_the_line_that_names_a_payout_is_that_payout(till: Till, emulator: Emulator):
    first = paid_out(till, emulator)
    with transaction() as tx:
        row = last_payouts(tx)[0]._mapping
        twin = {name: row[name] for name in row if name != "id"} | {
            "payout_id": "po_twin_of_it",
            "traces": ["po_twin_of_it"],
        }
        tx.execute(payout.insert().values(**twin))
        amount = Money(row["amount_minor"], "EUR")
        assert match_payout(tx, day=row["arrives_on"], amount=amount, text="STRIPE po_twin _of_it") == "po_twin_of_it"
        assert match_payout(tx, day=row["arrives_on"], amount=amount, text="STRIPE") == first


def test_a_payout_that_comes_back_lies_at_stripe_again(till: Till, emulator: Emulator):
    payout_id = paid_out(till, emulator)
    pass_days(emulator, 3)
    fetched(till)
    with transaction() as tx:
        row = last_payouts(tx)[0]
        assert row.state == "paid"
        amount = Money(row.amount_minor, "EUR")
        assert match_payout(tx, day=row.arrives_on, amount=amount, bank_line_id=1) == payout_id
        assert match_payout(tx, day=row.arrives_on, amount=-amount, bank_line_id=2) is None
    emulator.control("dials", payouts="manual")
    emulator.control(f"payouts/{payout_id}", fail="account_closed")
    assert fetched(till).agrees
    assert (booked("stripe"), booked("payouts"), booked("bank")) == (GROSS - FEE, -(GROSS - FEE), GROSS - FEE)
    with transaction() as tx:
        row = last_payouts(tx)[0]
        assert (row.state, row.failure) == ("failed", "The bank account has been closed.")
        assert match_payout(tx, day=row.arrives_on + timedelta(days=2), amount=-amount, bank_line_id=2) == payout_id
    assert (booked("payouts"), booked("bank")) == (0, 0)


def test_other_business_waits_in_suspense_until_somebody_says_whose_it_is(till: Till, emulator: Emulator):
    who = till.customer("pm_card_visa")
    till.bill()
    fetched(till)
    emulator.control("charges", amount=3000, currency="eur", description="T-shirt")
    emulator.control("charges", amount=2000, currency="eur", intent=False)
    emulator.control("fees", amount=700, currency="eur")
    assert fetched(till).agrees
    assert booked("suspense") == -5000
    with transaction() as tx:
        shirt, bare = suspense.in_suspense(tx)
        suspense.leave(tx, "staff:1", shirt.txn_id, "the shop's")
        with pytest.raises(Refused, match="decided already"):
            suspense.assign(tx, till.provider.vault, till.business(tx), "staff:1", shirt.txn_id, who)
    with transaction() as tx:
        suspense.assign(tx, till.provider.vault, till.business(tx), "staff:1", bare.txn_id, who)
        assert suspense.in_suspense(tx) == []
    assert till.recorded() == GROSS + 2000
    assert booked("suspense") == -3000
    assert fetched(till).agrees


def test_a_charge_that_was_given_back_meanwhile_is_not_assigned(till: Till, emulator: Emulator):
    who = till.customer("pm_card_visa")
    fetched(till)
    intent = emulator.control("charges", amount=3000, currency="eur")["id"]
    till.stripe.v1.refunds.create(params={"payment_intent": intent, "amount": 1000})
    assert fetched(till).agrees
    assert booked("suspense") == -2000
    with transaction() as tx:
        charge = suspense.in_suspense(tx)[0]
        with pytest.raises(Refused, match="given back"):
            suspense.assign(tx, till.provider.vault, till.business(tx), "staff:1", charge.txn_id, who)


def test_a_difference_has_its_reason(till: Till, emulator: Emulator):
    till.customer("pm_card_visa")
    fetched(till)
    till.bill()
    with transaction() as tx:
        found = reconcile(tx)
    (side,) = found.sides
    assert [(each.why, each.amount.minor) for each in side.items] == [("not_fetched", GROSS)]
    assert found.explained
    assert not found.agrees
    assert fetched(till).agrees
    with transaction() as tx:  # charged, and nobody has told us yet
        tx.execute(text("ALTER TABLE payment DISABLE TRIGGER ALL"))
        tx.execute(payment.update().values(gateway_id="pi_of_somebody_else"))
        found = reconcile(tx)
        assert [each.why for each in found.sides[0].items] == ["not_fetched", "not_recorded"]
        assert found.explained
        tx.rollback()
    with transaction() as tx:  # a hand in the books
        sides = [Posting("stripe", None, Money(5, "EUR")), Posting("rounding", None, Money(-5, "EUR"))]
        post(tx, date(2026, 3, 1), "x", "stripe:x", sides)
        assert reconcile(tx).sides[0].unexplained == Money(5, "EUR")
        tx.rollback()


def test_a_refund_of_ours_is_booked_by_who_records_it(till: Till):
    till.customer("pm_card_visa")
    till.bill()
    till.stripe.v1.refunds.create(params={"payment_intent": till.case().intent_id, "amount": 1000})
    (side,) = fetched(till).sides
    assert [(each.why, each.amount.minor) for each in side.items] == [("given_back", 1000)]
    with transaction() as tx:
        sides = [Posting("stripe", None, Money(-1000, "EUR")), Posting("rounding", None, Money(1000, "EUR"))]
        post(tx, date(2026, 3, 1), "Refund", "refund:1", sides)
        assert reconcile(tx).agrees


def test_a_dispute_costs_its_fee_here_and_its_sum_elsewhere(till: Till, emulator: Emulator):
    till.customer("pm_card_visa")
    till.bill()
    disputed = emulator.control("disputes", payment_intent=till.case().intent_id)["id"]
    (side,) = fetched(till).sides
    assert (booked("gateway_fees"), side.difference.minor) == (FEE + 1500, GROSS)
    emulator.control(f"disputes/{disputed}", outcome="won")
    assert fetched(till).agrees
    assert booked("gateway_fees") == FEE


def test_a_fetch_that_breaks_off_leaves_nothing_out(till: Till, emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    till.customer("pm_card_visa")
    fetched(till)
    emulator.control("dials", payouts="manual")
    for _ in range(4):
        emulator.control("charges", amount=1000, currency="eur")
        pass_days(emulator, 1)
    monkeypatch.setattr("billing.clearing.fetch.CHUNK", 1)
    full = (
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF (SELECT count(*) FROM stripe_transaction) >= 2 THEN RAISE 'the disk is full'; END IF; RETURN NEW; END $$; "
        "CREATE TRIGGER no_room BEFORE INSERT ON stripe_transaction FOR EACH ROW EXECUTE FUNCTION no_room()"
    )
    with transaction() as tx:
        tx.execute(text(full))
    with pytest.raises(DBAPIError, match="the disk is full"):
        fetch(till.provider.vault)
    with transaction() as tx:
        tx.execute(text("DROP TRIGGER no_room ON stripe_transaction"))
    assert fetched(till).agrees
    with transaction() as tx:
        assert len(tx.execute(select(stripe_transaction)).all()) == 4


def test_a_payout_that_is_told_of_is_fetched_at_once(till: Till, emulator: Emulator):
    paid_out(till, emulator)
    pass_days(emulator, 3)
    (event,) = till.stripe.v1.events.list(params={"types": ["payout.paid"]}).data
    with transaction() as tx:
        inbox.receive(tx, "stripe", event.id, event.type, event.to_dict(), clock.real())
    work(jobs.Kind.STRIPE_EVENT, jobs.Kind.FETCH_BALANCE)
    with transaction() as tx:
        assert last_payouts(tx)[0].state == "paid"
