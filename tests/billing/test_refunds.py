"""Money given back: to the card once whatever happens, by hand, onto the balance; and what it had settled."""

from datetime import date, timedelta

import pytest
from sqlalchemy import select, update

from base import clock
from base.database import transaction
from base.money import Money
from base.tables import job
from billing.credit_notes import credit_invoice
from billing.ledger import check_books, receivable
from billing.money_back import card
from billing.money_back.refunds import move_to_balance, pay_out_credit, refund_by_hand
from billing.money_back.tables import gone_back
from billing.refused import Refused
from billing.settle import credits_by_subscriber, open_invoices
from billing.tables import invoice, payment
from billing.tick import run as tick
from tests.billing.collecting import Till, emulate, open_till, work
from tests.billing.dunned import body
from tests.billing.provider import noon

emulator = pytest.fixture(emulate)
till = pytest.fixture(open_till)

GROSS = 3599
MARCH = date(2026, 3, 1)


def euro(minor: int | None) -> Money | None:
    return None if minor is None else Money(minor, "EUR")


def refund(till: Till, minor: int | None = None, payment_id: int = 1) -> int:
    with transaction() as tx:
        business = till.business(tx)
        return card.refund_to_card(
            tx, business, till.provider.vault, "staff:1", payment_id, euro(minor), "asked for", clock.now()
        )


def gone() -> list[tuple[str, int]]:
    """State and amount of everything that went back."""
    with transaction() as tx:
        assert check_books(tx) == []
        return [(row.state, row.amount_minor) for row in tx.execute(select(gone_back).order_by(gone_back.c.id))]


def owes(who: int) -> tuple[list[int], int]:
    """What is open of each invoice, and what the ledger says."""
    with transaction() as tx:
        return [each.open.minor for each in open_invoices(tx, who)], receivable(tx, who).minor


def paid_by_card(till: Till, token: str = "pm_card_visa") -> int:
    who = till.customer(token)
    till.bill()
    assert till.taken() == GROSS
    return who


def later(till: Till) -> None:
    """Whatever waits to be asked about is asked about now."""
    with transaction() as tx:
        tx.execute(update(gone_back).where(gone_back.c.ask_at.is_not(None)).values(ask_at=clock.real()))
        tx.execute(update(job).where(job.c.state == "ready").values(run_after=clock.real()))
    tick(clock.now())
    work()


def hear(till: Till, kind: str) -> str:
    """The outcome of the newest event of a kind at Stripe."""
    from billing.stripe_events import EVENTS

    found = till.stripe.v1.events.list(params={"type": kind, "limit": 1}).data[0]
    return EVENTS[kind](till.provider.vault, found.to_dict())


def test_a_card_payment_goes_back_whole_and_is_not_charged_again_by_itself(till: Till):
    who = paid_by_card(till)
    refund(till)
    assert owes(who) == ([GROSS], GROSS)  # before Stripe is asked
    work()
    assert (gone(), till.taken()) == ([("succeeded", GROSS)], 0)
    for day in range(3):
        tick(till.provider.travel(noon(MARCH + timedelta(days=day))))
        work()
    assert (till.taken(), till.cases()) == (0, [("paid", "succeeded")])
    assert "the card that it was paid with" in body("money_back")


def test_a_part_goes_back_first_of_what_no_invoice_has_used(till: Till):
    who = paid_by_card(till)
    with transaction() as tx:
        (paid,) = tx.execute(select(invoice)).all()
        credit_invoice(tx, till.provider.vault, till.business(tx), "staff:1", paid.id, "Outage", clock.now())
    assert owes(who) == ([], -GROSS)
    refund(till, 1000)
    work()
    assert (gone(), till.taken()) == ([("succeeded", 1000)], GROSS - 1000)
    assert owes(who) == ([], 1000 - GROSS)  # the credit note has settled what was opened
    refund(till)
    work()
    assert (till.taken(), owes(who)) == (0, ([], 0))
    with pytest.raises(Refused, match="Nothing of R-000001 is left"):
        refund(till)


def test_one_that_fails_gives_the_money_back_as_credit(till: Till):
    who = paid_by_card(till, "pm_card_refundFail")
    refund(till)
    work()
    assert gone() == [("succeeded", GROSS)]
    (made,) = till.stripe.v1.refunds.list().data
    till.emulator.control(f"refunds/{made.id}", settle="failed")
    for kind in ("charge.refund.updated", "refund.failed", "refund.updated"):  # any of them alone would do
        assert hear(till, kind) == "failed"
    assert gone() == [("failed", GROSS)]
    assert owes(who) == ([], 0)  # settled again by the credit
    assert "did not arrive" in body("money_back")


def test_one_that_is_pending_is_asked_about_should_nobody_tell(till: Till):
    paid_by_card(till, "pm_card_pendingRefund")
    refund(till, 500)
    work()
    assert gone() == [("pending", 500)]
    (made,) = till.stripe.v1.refunds.list().data
    till.emulator.control(f"refunds/{made.id}", settle="succeeded")
    later(till)
    assert gone() == [("succeeded", 500)]


@pytest.mark.parametrize("kind", ["cut_after", "error_500_after", "cut_before", "error_500_before", "error_429"])
def test_no_fault_refunds_twice_or_forgets_it(till: Till, kind: str):
    paid_by_card(till)
    till.emulator.order(kind=kind, method="POST", path="/v1/refunds", times=3)
    refund(till)
    work()
    for _ in range(3):
        later(till)
    assert (gone(), till.taken()) == ([("succeeded", GROSS)], 0)
    assert len(till.stripe.v1.refunds.list().data) == 1


def test_what_stripe_never_made_is_credit_again_after_a_day(till: Till):
    who = paid_by_card(till)
    till.emulator.order(kind="cut_before", method="POST", path="/v1/refunds", times=9)
    refund(till)
    work()
    assert gone() == [("unknown", GROSS)]
    with transaction() as tx:
        tx.execute(update(gone_back).values(real_at=clock.real() - timedelta(days=2)))
    later(till)
    assert (gone(), owes(who), till.taken()) == ([("canceled", GROSS)], ([], 0), GROSS)


def test_one_that_was_made_on_stripes_pages_is_recorded_once(till: Till):
    who = paid_by_card(till)
    with transaction() as tx:
        intent = tx.scalar(select(payment.c.gateway_id))
    till.stripe.v1.refunds.create(params={"payment_intent": intent, "amount": 700})
    for kind in ("charge.refunded", "refund.created", "charge.refunded"):
        assert hear(till, kind) == "succeeded"
    assert (gone(), owes(who)) == ([("succeeded", 700)], ([700], 700))


def test_what_is_not_ours_is_left_alone(till: Till):
    till.emulator.control("charges", amount=3000, currency="eur")
    (intent,) = till.stripe.v1.payment_intents.list().data
    till.stripe.v1.refunds.create(params={"payment_intent": intent.id})
    assert (hear(till, "refund.created"), gone()) == ("not ours", [])


def test_by_hand_and_more_than_there_was(till: Till):
    who = paid_by_card(till)
    with transaction() as tx:
        refund_by_hand(
            tx, till.provider.vault, till.business(tx), "staff:1", 1, euro(3000), "cash", "moved out", clock.now()
        )
    assert (gone(), owes(who)) == ([("succeeded", 3000)], ([3000], 3000))
    intent = till.stripe.v1.payment_intents.list().data[0].id
    till.stripe.v1.refunds.create(params={"payment_intent": intent, "amount": 1000})
    hear(till, "refund.created")  # 4.01 more than there was left: a loss, not a debt
    assert (gone()[-1], owes(who)) == (("succeeded", 1000), ([3599], 3599))


def test_credit_is_paid_out(till: Till):
    who = till.customer(autopay=False)
    for minor in (GROSS, 1000, 500):
        till.provider.pay(who, minor)

    def pay_out(minor: int | None) -> None:
        with transaction() as tx:
            pay_out_credit(
                tx, till.provider.vault, till.business(tx), "staff:1", who, euro(minor), "transfer", "left", clock.now()
            )

    pay_out(GROSS + 200)
    assert gone() == [("succeeded", GROSS), ("succeeded", 200)]
    with pytest.raises(Refused, match="less credit"):
        pay_out(1301)
    pay_out(None)
    with transaction() as tx:
        assert credits_by_subscriber(tx, [who]) == {}
    assert gone()[2:] == [("succeeded", 800), ("succeeded", 500)]
    with pytest.raises(Refused, match="no credit"):
        pay_out(None)


def test_a_payment_is_put_on_what_else_is_open(till: Till):
    who = till.customer(autopay=False)
    till.bill()
    till.provider.pay(who, GROSS)

    def move(minor: int | None) -> None:
        with transaction() as tx:
            move_to_balance(
                tx, till.provider.vault, till.business(tx), "staff:1", 1, euro(minor), "meant for April", clock.now()
            )

    with pytest.raises(Refused, match="credit note"):
        move(None)
    till.bill(date(2026, 4, 1))
    move(1000)
    assert owes(who) == ([1000, GROSS - 1000], GROSS)
    gone()
