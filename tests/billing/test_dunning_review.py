"""Dunning when much comes together: changed policies, moved fees, several services, mail that comes back."""

import socket
import threading
from datetime import date, timedelta

import pytest
from sqlalchemy import event, select, update

from base import clock
from base.access import AccessLevel
from base.business import load_business
from base.database import transaction
from base.money import Money
from base.offers import skipped_period
from base.settings import settings
from base.tables import service
from billing import mail, tick, tomorrow, walled
from billing.bill_holds import list_held
from billing.changes import change_plan, set_price
from billing.dunning.exemptions import exempt
from billing.dunning.policy import Fee, Step
from billing.dunning.promises import make_promise
from billing.dunning.tables import dunning_notice
from billing.dunning.window import Window
from billing.endings import cancel
from billing.ledger import check_books
from billing.outbox import withdraw
from billing.settle import open_invoices
from billing.tables import charge, invoice, message, open_item
from billing.tasks import Retry
from billing.walled import set_walled_billing
from tests.billing.dunned import MARCH, adopt, bill, body, march, sent, tax_class_id
from tests.billing.provider import Provider, noon

APRIL = date(2026, 4, 1)


def april(day: int) -> date:
    return date(2026, 4, day)


def fees() -> list[tuple[str, int]]:
    with transaction() as tx:
        assert check_books(tx) == []
        return [(row.kind, row.amount_minor) for row in tx.execute(select(charge).order_by(charge.c.id))]


def test_a_fee_that_moves_to_a_later_step_is_not_charged_again_and_dunning_goes_on(provider: Provider):
    bill(provider)
    first = (Step(3, "reminder_1", Fee(500)), Step(7, "reminder_2"), Step(14, "final_notice"), Step(21, "wall"))
    adopt(provider, steps=first, fee_tax_class_id=tax_class_id())
    provider.live(march(2), march(19))
    later = (Step(3, "reminder_1"), Step(7, "reminder_2", Fee(500)), Step(14, "final_notice"), Step(21, "wall"))
    adopt(provider, steps=later)
    provider.live(march(20), march(30))
    assert [kind for kind, _ in sent()] == ["reminder_1", "reminder_2", "final_notice"]
    assert fees() == [("late_fee", 500)]
    assert "late fee" not in body("reminder_2")


def test_a_fee_to_be_paid_first_keeps_closed_only_what_debt_has_closed(provider: Provider):
    subscriber_id, first = bill(provider)
    second = provider.service(subscriber_id, provider.plan(price=0), MARCH)
    provider.set(debt_reach="service")
    adopt(provider, reconnection={"debt": 1000}, reconnection_first=True, fee_tax_class_id=tax_class_id())
    provider.live(march(2), april(6))
    assert (provider.level(first), provider.level(second)) == (AccessLevel.WALLED, AccessLevel.FULL)
    provider.pay(subscriber_id, 100)  # everything of theirs is looked at again
    assert (provider.level(first), provider.level(second)) == (AccessLevel.WALLED, AccessLevel.FULL)


def test_the_final_bill_of_one_line_does_not_wall_in_another(provider: Provider):
    subscriber_id, _ = bill(provider)
    first = provider.service(subscriber_id, provider.plan(price=0, cycle=1), MARCH)
    second = provider.service(subscriber_id, provider.plan(price=0), MARCH)
    adopt(provider, reconnection={"debt": 1000}, fee_tax_class_id=tax_class_id())
    provider.live(march(2), april(5))
    provider.pay(subscriber_id, 3599)
    assert provider.level(second) == AccessLevel.FULL
    with transaction() as tx:
        cancel(tx, provider.vault, "staff:1", first, april(5), "moved")
    provider.live(april(6), april(8))
    with transaction() as tx:
        assert len(open_invoices(tx, subscriber_id)) == 1
    assert provider.level(second) == AccessLevel.FULL


def test_who_keeps_a_promise_is_not_walled_in_by_the_fee_for_coming_back(provider: Provider):
    subscriber_id, service_id = bill(provider)
    window = Window(frozenset({6, 7}))
    adopt(provider, reconnection={"debt": 1000}, reconnection_first=True, fee_tax_class_id=tax_class_id(),
          window=window)  # fmt: skip
    provider.live(march(2), april(6))  # the 5th is a Sunday
    assert provider.level(service_id) == AccessLevel.WALLED
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        make_promise(tx, provider.vault, business, "staff:1", subscriber_id, april(10), clock.now())
    provider.pay(subscriber_id, 3599)
    provider.live(april(7), april(12))  # a weekend, too
    assert provider.level(service_id) == AccessLevel.FULL


def test_a_notice_that_comes_back_before_its_date_has_not_arrived(provider: Provider):
    _, service_id = bill(provider)
    provider.live(march(2), march(30))
    with transaction() as tx:
        noted = tx.execute(select(dunning_notice)).one()
        assert noted.in_time
        came = message.c.key == noted.message_key
        tx.execute(update(message).where(came).values(state="bounced", state_reason="5.2.2 full"))
    tick.run(provider.travel(noon(march(31))))
    provider.live(april(1), april(6))
    assert provider.level(service_id) == AccessLevel.FULL
    with transaction() as tx:
        newest = tx.execute(select(dunning_notice).order_by(dunning_notice.c.id.desc()).limit(1)).one()
    assert newest.id != noted.id
    assert newest.on_day > april(6)
    provider.live(april(7), newest.on_day)
    assert provider.level(service_id) == AccessLevel.WALLED


def test_mail_that_always_bounces_is_not_sent_every_day(provider: Provider):
    bill(provider)
    provider.live(march(2), march(29))
    for day in range(30):
        now = provider.travel(noon(march(30) + timedelta(days=day)))
        tick.run(now)
        with transaction() as tx:
            final = message.c.kind == "final_notice"
            tx.execute(update(message).where(final, message.c.state == "sent").values(state="bounced"))
            tx.execute(update(message).where(final, message.c.state == "queued").values(state="sent", sent_at=now))
    assert len(sent("final_notice")) <= 7


def test_a_changed_policy_keeps_what_was_announced_and_taken(provider: Provider):
    _, service_id = bill(provider)
    adopt(provider, steps=(Step(3, "reminder_1"), Step(14, "final_notice"), Step(21, "wall")))
    provider.live(march(2), april(5))
    assert provider.level(service_id) == AccessLevel.WALLED
    # the date is told by another message now, which these have not had
    adopt(provider, steps=(Step(3, "reminder_1"), Step(7, "reminder_2"), Step(21, "wall")))
    provider.live(april(6), april(12))
    assert provider.level(service_id) == AccessLevel.WALLED


def test_the_end_of_one_contract_is_not_that_of_another(provider: Provider):
    subscriber_id, first = bill(provider)
    provider.set(debt_reach="service")
    steps = (Step(3, "final_notice"), Step(8, "wall"), Step(20, "end"))
    adopt(provider, steps=steps)
    provider.live(march(2), march(5))
    second = provider.service(
        subscriber_id, provider.plan(cycle=12), march(6)
    )  # due on the 20th, walled in on the 28th
    provider.live(march(6), april(4))
    assert (provider.level(first), provider.level(second)) == (AccessLevel.BLOCKED, AccessLevel.WALLED)
    provider.live(april(5), april(9))
    assert provider.level(second) == AccessLevel.BLOCKED


def test_an_end_that_was_put_off_comes_when_the_wall_is_back(provider: Provider):
    subscriber_id, service_id = bill(provider)
    adopt(provider, steps=(Step(3, "final_notice"), Step(8, "wall"), Step(20, "end")))
    provider.live(march(2), march(25))
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        exempt(tx, provider.vault, business, "staff:1", subscriber_id, april(10), "In hospital", clock.now())
    provider.live(march(26), april(9))
    assert provider.level(service_id) == AccessLevel.FULL
    provider.live(april(10), april(12))
    with transaction() as tx:
        assert tx.scalars(select(service.c.ends_on)).one() is not None


def test_no_fee_on_an_invoice_that_is_nothing_but_a_fee(provider: Provider):
    subscriber_id, _ = bill(provider)
    provider.service(subscriber_id, provider.plan(price=0), MARCH)  # a line of nothing on every monthly invoice
    steps = (Step(3, "reminder_1", Fee(500)), Step(14, "final_notice"), Step(21, "wall"))
    adopt(provider, steps=steps, fee_tax_class_id=tax_class_id(), fee_as="line")
    provider.live(march(2), march(19))
    provider.pay(subscriber_id, 3599)
    provider.live(march(20), date(2026, 5, 31))
    assert fees() == [("late_fee", 500)]
    with transaction() as tx:
        assert tx.scalars(select(open_item.c.dunned)).all() == [False]


def test_no_fee_on_the_fee_for_coming_back(provider: Provider):
    subscriber_id, _ = bill(provider)
    steps = (Step(3, "reminder_1", Fee(0, 10)), Step(14, "final_notice"), Step(21, "wall"))
    monthly = provider.service(subscriber_id, provider.plan(price=1000, tax="0"), MARCH)
    adopt(provider, steps=steps, fee_tax_class_id=tax_class_id(), fee_as="line", reconnection={"debt": 9000})
    provider.live(march(1), april(6))
    assert provider.level(monthly) == AccessLevel.WALLED
    with transaction() as tx:
        owed = sum(each.open.minor for each in open_invoices(tx, subscriber_id))
    provider.pay(subscriber_id, owed)
    provider.live(april(7), date(2026, 5, 20))
    late = [minor for kind, minor in fees() if kind == "late_fee"]
    assert max(late) <= 460  # of 35.99 or of what is for internet access


def test_a_notice_that_is_withdrawn_while_the_mail_server_is_waited_for_does_not_leave_later(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
):
    subscriber_id = provider.subscriber()
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        letter = {"kind": "final_notice", "key": "final_notice:1", "subject": "Final", "body": "Text"}
        mail.queue_message(tx, business, subscriber_id=subscriber_id, **letter)
        message_id = tx.scalars(select(message.c.id)).one()

    def hang_up(server: socket.socket) -> None:
        connection, _ = server.accept()
        with transaction() as tx:
            withdraw(tx, ["final_notice:1"], "Its date has passed.")
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("TOLLKEEPER_SMTP_URL", f"smtp://127.0.0.1:{server.getsockname()[1]}")
        settings.cache_clear()
        thread = threading.Thread(target=hang_up, args=(server,))
        thread.start()
        with pytest.raises(Retry):
            mail.deliver(message_id)
        thread.join()
    with transaction() as tx:
        assert tx.scalars(select(message.c.state)).one() == "withdrawn"


def test_a_bill_that_waits_for_a_person_does_not_go_out_with_the_fee_for_coming_back(provider: Provider):
    adopt(provider, reconnection={"debt": 1000}, reconnection_first=True, fee_tax_class_id=tax_class_id_of(provider))
    provider.live(MARCH, MARCH)
    service_id = provider.service(provider.subscriber(), provider.plan(), MARCH)
    provider.live(MARCH, MARCH)
    with transaction() as tx:
        set_price(tx, provider.vault, "staff:1", service_id, Money(29990, "EUR"), "typed wrong")
    provider.set(bill_run_hold="anomalies")
    provider.live(march(2), april(5))
    assert provider.level(service_id) == AccessLevel.WALLED
    with transaction() as tx:
        assert len(list_held(tx)) == 1
        totals = tx.scalars(select(invoice.c.total_minor).order_by(invoice.c.id)).all()
        assert totals == [3599, 1200]  # the fee has a bill of its own


def tax_class_id_of(provider: Provider) -> int:
    provider.plan()
    return tax_class_id()


@pytest.mark.parametrize(("before", "after"), [("days", "bill"), ("stop", "bill"), ("days", "stop")])
def test_what_a_plan_says_of_walled_days_holds_for_those_who_are_walled_in_now(provider: Provider, before, after):
    adopt(provider, steps=(Step(0, "due_notice"), Step(3, "final_notice"), Step(8, "wall")))
    provider.live(MARCH, MARCH)
    service_id = provider.service(provider.subscriber(), provider.plan(price=3100, tax="0"), MARCH)
    with transaction() as tx:
        set_walled_billing(tx, "staff:1", 1, before)
    provider.live(MARCH, april(10))
    assert provider.level(service_id) == AccessLevel.WALLED
    with transaction() as tx:
        set_walled_billing(tx, "staff:1", 1, after, 0 if after == "bill" else 60)
    provider.live(april(11), april(12))
    with transaction() as tx:
        assert check_books(tx) == []
        running = tx.scalars(select(skipped_period.c.id).where(skipped_period.c.end_on.is_(None))).all()
        assert running == []


def test_who_has_paid_is_not_skipped_by_a_run_that_looked_before(provider: Provider):
    adopt(provider, steps=(Step(0, "due_notice"), Step(3, "final_notice"), Step(8, "wall")))
    provider.live(MARCH, MARCH)
    service_id = provider.service(provider.subscriber(), provider.plan(price=3100, tax="0"), MARCH)
    provider.live(MARCH, march(23))
    with transaction() as tx:
        set_walled_billing(tx, "staff:1", 1, "days")
        begun, _ = walled._due(tx, load_business(tx, provider.vault), clock.now())
    assert begun == [service_id]
    provider.pay(1, 3100)
    with transaction() as tx:
        walled._begin(tx, provider.vault, service_id)
        assert tx.scalars(select(skipped_period.c.id)).all() == []


def test_looking_ahead_locks_the_payer_before_the_service(provider: Provider):
    subscriber_id, service_id = bill(provider)
    other = provider.plan(price=5000)
    with transaction() as tx:
        change_plan(tx, provider.vault, "staff:1", service_id, other, at_boundary=True)
    seen: list[str] = []

    def note(_connection, _cursor, statement, *_rest) -> None:
        if "FOR " in statement and "UPDATE" in statement:
            seen.append("payer" if "FROM subscriber" in statement else "service")

    event.listen(provider.engine, "before_cursor_execute", note)
    try:
        tomorrow._play(provider.vault, [subscriber_id], march(3))
    finally:
        event.remove(provider.engine, "before_cursor_execute", note)
    assert seen[0] == "payer"
