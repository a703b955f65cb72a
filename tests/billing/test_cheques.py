"""Cheques that count only after some days: under way, good, bounced; what they hold meanwhile, and what they do not."""

from datetime import date, timedelta

import pytest
from sqlalchemy import func, select

from base import clock
from base.access import AccessLevel
from base.business import load_business
from base.database import transaction
from base.money import Money
from billing.allocation import OpenInvoice
from billing.cheques.clear import clear_cheque
from billing.cheques.tables import cheque
from billing.cheques.waiting import Waiting, covers, waiting_of
from billing.dunning.promises import make_promise
from billing.dunning.tables import promise
from billing.ledger import check_books, receivable
from billing.money_back.refunds import refund_by_hand
from billing.receipts import load_receipt
from billing.refused import Refused
from billing.settle import credits_by_subscriber, open_invoices
from billing.tables import posting
from billing.tomorrow import preview_day
from billing.why import explain
from tests.billing.dunned import adopt, april, bill, body, charges, march, sent, tax_class_id
from tests.billing.provider import Provider, noon
from tests.billing.test_reports_money_back import received
from tests.billing.test_reversals import GROSS, pay, reverse


@pytest.fixture
def slow(provider: Provider) -> Provider:
    """A provider whose bank takes five days for a cheque."""
    provider.set(cheque_days=5)
    return provider


def lies() -> dict[str, int]:
    """What the accounts of cheques and the bank hold; the books are right besides."""
    with transaction() as tx:
        assert check_books(tx) == []
        query = select(posting.c.account, func.sum(posting.c.amount_minor)).group_by(posting.c.account)
        found = {account: int(minor) for account, minor in tx.execute(query)}
    return {name: found[name] for name in ("cheques", "cheque_credit", "bank") if found.get(name)}


def owes(who: int) -> tuple[int, int]:
    """What is open of invoices, and what the ledger says that they owe."""
    with transaction() as tx:
        return sum(each.open.minor for each in open_invoices(tx, who)), receivable(tx, who).minor


def clear(provider: Provider, payment_id: int) -> None:
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        clear_cheque(tx, provider.vault, business, "staff:1", payment_id, clock.now())


def state() -> list[tuple[str, date | None]]:
    with transaction() as tx:
        return [tuple(row) for row in tx.execute(select(cheque.c.state, cheque.c.decided_on))]


def test_it_is_in_the_ledger_at_once_and_counts_after_its_days(slow: Provider):
    who, _ = bill(slow)
    paid = pay(slow, who, GROSS, march(20))
    assert lies() == {"cheques": GROSS, "cheque_credit": -GROSS}
    assert owes(who) == (GROSS, GROSS)
    assert "counts from Mar 25, 2026 on" in body("receipt")
    with transaction() as tx:
        receipt = load_receipt(tx, paid)
        assert receipt is not None
        assert (receipt.counts_on, receipt.credit.minor) == (march(25), 0)
        assert credits_by_subscriber(tx, [who]) == {}
    assert received(slow, march(31))[1] == 0
    slow.live(march(21), march(24))
    assert (owes(who), state()) == ((GROSS, GROSS), [("waiting", None)])
    slow.live(march(25), march(25))
    assert (owes(who), state()) == ((0, 0), [("cleared", march(25))])
    assert lies() == {"bank": GROSS}
    assert "Invoice INV-000001: €35.99" in body("receipt")
    assert received(slow, march(31))[1] == GROSS
    with transaction() as tx:
        receipt = load_receipt(tx, paid)
        assert receipt is not None
        assert receipt.counts_on is None


def test_without_days_and_for_an_old_one_it_counts_at_once(provider: Provider):
    who, _ = bill(provider)
    pay(provider, who, 1000, march(20))
    provider.set(cheque_days=5)
    pay(provider, who, 1000, march(20), received_on=march(15))
    assert (owes(who)[0], lies()) == (GROSS - 2000, {"bank": 2000})
    assert state() == []


def test_staff_say_that_it_is_good_and_access_is_back_in_that_moment(slow: Provider):
    who, service_id = bill(slow)
    slow.live(march(2), april(6))
    assert slow.level(service_id) is AccessLevel.WALLED
    paid = pay(slow, who, GROSS, april(6))
    slow.live(april(7), april(8))
    assert slow.level(service_id) is AccessLevel.WALLED  # a cheque opens no wall
    clear(slow, paid)
    assert (slow.level(service_id), owes(who)) == (AccessLevel.FULL, (0, 0))
    with pytest.raises(Refused, match="R-000001 is no cheque that still has to count"):
        clear(slow, paid)
    slow.live(april(9), april(14))  # its day does nothing any more
    assert lies() == {"bank": GROSS}


def test_while_it_is_under_way_no_step_comes_and_nobody_is_walled_in(slow: Provider):
    adopt(slow, fee_tax_class_id=None)
    who, service_id = bill(slow)
    slow.set(cheque_days=10)
    slow.live(march(2), april(4))  # the final notice named 5 April
    before = sent()
    assert before[-1][0] == "final_notice"
    paid = pay(slow, who, GROSS, april(4))
    with transaction() as tx:
        (said,) = explain(tx, load_business(tx, slow.vault), service_id, clock.now()).waits
    assert "The cheque R-000001 of €35.99 counts on Apr 14, 2026." in said
    slow.live(april(5), april(9))
    assert (slow.level(service_id), sent()) == (AccessLevel.FULL, before)
    reverse(slow, paid, april(10))  # it bounces: the notice had arrived, its day is over
    assert slow.level(service_id) is AccessLevel.WALLED
    assert (lies(), owes(who), state()) == ({}, (GROSS, GROSS), [("bounced", april(10))])
    assert "R-000001" in body("money_back")
    assert received(slow, april(30))[1] == 0
    slow.live(april(11), april(20))
    assert (state(), owes(who)) == ([("bounced", april(10))], (GROSS, GROSS))


def test_it_is_waited_for_only_so_long(slow: Provider):
    """Were it never counted, dunning goes on the day after it should have been."""
    who, service_id = bill(slow)
    slow.live(march(2), april(3))
    pay(slow, who, GROSS, april(3))
    with transaction() as tx:
        tx.execute(cheque.update().values(counts_on=april(8)))
        found = explain(tx, load_business(tx, slow.vault), service_id, noon(april(9)))
    assert found.level is AccessLevel.WALLED


@pytest.mark.parametrize("minor", [GROSS - 1, 1])
def test_one_that_does_not_pay_all_of_it_holds_nothing(slow: Provider, minor: int):
    who, service_id = bill(slow)
    slow.live(march(2), april(4))
    pay(slow, who, minor, april(4))
    slow.live(april(5), april(6))
    assert slow.level(service_id) is AccessLevel.WALLED


def test_no_late_fee_comes_while_it_is_under_way(slow: Provider):
    from billing.dunning.policy import Fee, Step

    steps = (Step(0, "due_notice"), Step(3, "reminder_1", Fee(500)), Step(14, "final_notice"), Step(21, "wall"))
    who, _ = bill(slow)
    adopt(slow, steps=steps, fee_tax_class_id=tax_class_id())
    slow.live(march(2), march(16))
    paid = pay(slow, who, GROSS, march(17))
    slow.live(march(18), march(21))
    assert charges() == []
    reverse(slow, paid, march(21))
    slow.live(march(21), march(21))
    assert charges() == [("late_fee", 500)]


def test_it_bounces_after_it_counted_as_every_payment_does(slow: Provider):
    who, _ = bill(slow)
    paid = pay(slow, who, GROSS, march(20))
    slow.live(march(21), march(25))
    reverse(slow, paid, march(28))
    with transaction() as tx:
        (debt,) = open_invoices(tx, who)
        assert (debt.open.minor, debt.due_on) == (GROSS, march(28))
    assert (lies(), state()) == ({}, [("cleared", march(25))])


def test_nothing_goes_back_of_what_does_not_count_yet(slow: Provider):
    who, _ = bill(slow)
    paid = pay(slow, who, GROSS, march(20))
    with transaction() as tx:
        business = load_business(tx, slow.vault)
        with pytest.raises(Refused, match="does not count yet: reverse it"):
            refund_by_hand(tx, slow.vault, business, "staff:1", paid, None, "cash", "asked", clock.now())


def test_it_is_moved_and_waits_there_too(slow: Provider):
    who, _ = bill(slow)
    other = slow.subscriber("Bert")
    paid = pay(slow, who, GROSS, march(20))
    reverse(slow, paid, march(22), "wrong subscriber", move_to=other)
    with transaction() as tx:
        ((payer, (there,)),) = waiting_of(tx, [who, other]).items()
    assert (payer, there.counts_on, lies()) == (other, march(25), {"cheques": GROSS, "cheque_credit": -GROSS})


def test_it_pays_the_invoice_it_is_meant_for(slow: Provider):
    who, _ = bill(slow)
    slow.service(who, slow.plan(1000, tax="0"), march(20))
    slow.live(march(20), march(20))
    with transaction() as tx:
        named = next(each.id for each in open_invoices(tx, who) if each.total.minor == 1000)
    pay(slow, who, 1000, march(20), invoice_ids=[named])
    slow.live(march(21), march(25))
    with transaction() as tx:
        assert named not in {each.id for each in open_invoices(tx, who)}


def test_a_promise_is_not_broken_while_a_cheque_that_came_in_time_is_under_way(slow: Provider):
    who, service_id = bill(slow)
    slow.live(march(2), april(6))
    with transaction() as tx:
        business = load_business(tx, slow.vault)
        make_promise(tx, slow.vault, business, "staff:1", who, april(8), clock.now())
    pay(slow, who, GROSS, april(8))
    slow.live(april(9), april(12))
    assert slow.level(service_id) is AccessLevel.FULL
    slow.live(april(13), april(13))
    with transaction() as tx:
        assert tx.scalar(select(promise.c.state)) == "kept"


def test_the_preview_says_when_it_counts(slow: Provider):
    who, _ = bill(slow)
    slow.live(march(2), april(6))
    pay(slow, who, GROSS, april(6))
    found = [(each.kind, each.what, each.amount) for each in preview_day(april(11)).items]
    assert ("cheque", "R-000001", Money(GROSS, "EUR")) in found
    assert "restore" in [kind for kind, _, _ in found]
    assert (state(), owes(who)[0]) == ([("waiting", None)], GROSS)


def test_what_cheques_cover():
    def owed(number: int, minor: int) -> OpenInvoice:
        return OpenInvoice(number, f"INV-{number}", march(number), Money(minor, "EUR"), Money(minor, "EUR"))

    def given(number: int, minor: int, *ids: int) -> Waiting:
        return Waiting(number, f"R-{number}", Money(minor, "EUR"), march(20) + timedelta(days=number), ids)

    found = covers([given(1, 500, 2), given(2, 300)], [owed(1, 200), owed(2, 550)])
    assert {key: (each.amount.minor, each.until.day) for key, each in found.items()} == {1: (200, 22), 2: (550, 22)}
    assert covers([], [owed(1, 200)]) == {}
