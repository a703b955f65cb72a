"""Dunning from the due date to the wall: steps in order, one a day, and nothing taken without a notice in time."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, update

from base import clock
from base.access import AccessLevel
from base.business import load_business
from base.database import transaction
from base.offers import tax_class
from base.tables import service
from billing import tick
from billing.dunning.cases import load_payers
from billing.dunning.exemptions import end_exemption, exempt
from billing.dunning.fees import waive
from billing.dunning.policies import assign, load_policies, save_policy
from billing.dunning.policy import Fee, Policy, Step
from billing.dunning.promises import make_promise
from billing.dunning.run import run_dunning
from billing.dunning.tables import dunning_notice, promise
from billing.dunning.window import Window
from billing.ledger import check_books, receivable
from billing.refused import Refused
from billing.services import set_staff_order
from billing.settle import open_invoices
from billing.tables import charge, checkout, invoice, message
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)
DUE = date(2026, 3, 15)


def march(day: int) -> date:
    return date(2026, 3, day)


def bill(provider: Provider, **who: str) -> tuple[int, int]:
    """A subscriber with one yearly invoice of 35.99 from the 1st of March, due on the 15th: (subscriber, service)."""
    subscriber_id = provider.subscriber(**who)
    provider.travel(noon(MARCH))
    service_id = provider.service(subscriber_id, provider.plan(cycle=12), MARCH)
    provider.live(MARCH, MARCH)
    return subscriber_id, service_id


def adopt(provider: Provider, **changed: Any) -> Policy:
    """Change the default policy."""
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        policy = replace(load_policies(tx, business).default, **changed)
        save_policy(tx, "staff:1", policy)
    return policy


def tax_class_id() -> int:
    with transaction() as tx:
        return tx.scalars(select(tax_class.c.id).order_by(tax_class.c.id).limit(1)).one()


def sent(*kinds: str) -> list[tuple[str, date]]:
    with transaction() as tx:
        rows = tx.execute(
            select(message.c.kind, message.c.created_at)
            .where(message.c.kind.in_(kinds or ("due_notice", "reminder_1", "reminder_2", "final_notice")))
            .order_by(message.c.id)
        ).all()
    return [(row.kind, row.created_at.date()) for row in rows]


def body(kind: str) -> str:
    with transaction() as tx:
        newest = select(message.c.body).where(message.c.kind == kind).order_by(message.c.id.desc()).limit(1)
        return tx.scalars(newest).one()


def test_the_standard_steps_come_on_their_days_and_lead_to_the_wall(provider: Provider):
    _, service_id = bill(provider)
    provider.live(march(2), date(2026, 4, 4))
    assert sent() == [
        ("due_notice", march(15)),
        ("reminder_1", march(18)),
        ("reminder_2", march(22)),
        ("final_notice", march(29)),
    ]
    assert provider.level(service_id) == AccessLevel.FULL
    assert "Please pay by Apr 4, 2026." in body("final_notice")
    assert "from Apr 5, 2026 on your connection will reach only" in body("final_notice")
    assert "connection" not in body("reminder_2")
    provider.live(date(2026, 4, 5), date(2026, 4, 5))
    assert provider.level(service_id) == AccessLevel.WALLED
    provider.live(date(2026, 4, 6), date(2026, 4, 20))
    assert len(sent()) == 4  # and then there is silence


def test_paying_ends_it_at_any_point_and_at_once(provider: Provider):
    subscriber_id, service_id = bill(provider)
    provider.live(march(2), date(2026, 4, 5))
    assert provider.level(service_id) == AccessLevel.WALLED
    provider.pay(subscriber_id, 3599)
    assert provider.level(service_id) == AccessLevel.FULL


def test_running_it_again_and_again_takes_no_step_twice(provider: Provider):
    bill(provider)
    now = provider.travel(noon(DUE))
    assert len(run_dunning(now)) == 1
    assert run_dunning(now) == []
    assert run_dunning(now + timedelta(hours=8)) == []
    assert len(sent()) == 1


def test_after_ten_days_of_silence_one_step_a_day_is_taken_in_order(provider: Provider):
    _, service_id = bill(provider)
    provider.live(date(2026, 4, 8), date(2026, 4, 16))  # nothing ran since the 1st of March
    assert sent() == [
        ("due_notice", date(2026, 4, 8)),
        ("reminder_1", date(2026, 4, 9)),
        ("reminder_2", date(2026, 4, 10)),
        ("final_notice", date(2026, 4, 11)),
    ]
    assert provider.level(service_id) == AccessLevel.WALLED  # on the 16th, five days after the notice
    assert "from Apr 16, 2026 on" in body("final_notice")


def test_nobody_is_walled_in_without_a_notice_that_arrived_in_time(provider: Provider):
    _, service_id = bill(provider)
    provider.live(march(2), march(28))
    for day in range(8):  # the mail server is away for a week
        tick.run(provider.travel(noon(march(29) + timedelta(days=day))))
    with transaction() as tx:
        notices = tx.execute(select(dunning_notice).order_by(dunning_notice.c.id)).all()
        states = tx.execute(select(message.c.state).where(message.c.kind == "final_notice").order_by(message.c.id))
        assert [row.state for row in states][:-1] == ["withdrawn"] * (len(notices) - 1)
    assert len(notices) > 1
    assert provider.level(service_id) == AccessLevel.FULL
    back = date(2026, 4, 6)
    provider.live(back, back)
    with transaction() as tx:
        named = tx.execute(select(dunning_notice).order_by(dunning_notice.c.id.desc()).limit(1)).one()
        letters = tx.scalar(select(message.c.id).where(message.c.kind == "final_notice", message.c.state == "sent"))
    assert letters is not None  # only the last of them left
    assert named.on_day >= back + timedelta(days=5)
    provider.live(back + timedelta(days=1), named.on_day - timedelta(days=1))
    assert provider.level(service_id) == AccessLevel.FULL
    provider.live(named.on_day, named.on_day)
    assert provider.level(service_id) == AccessLevel.WALLED


def test_paper_counts_when_it_is_printed(provider: Provider):
    _, service_id = bill(provider, email="")
    provider.live(march(2), date(2026, 4, 10))
    assert provider.level(service_id) == AccessLevel.FULL
    with transaction() as tx:
        tx.execute(update(message).where(message.c.state == "paper").values(state="sent", sent_at=clock.now()))
    provider.live(date(2026, 4, 11), date(2026, 4, 20))
    assert provider.level(service_id) == AccessLevel.WALLED


def test_nobody_is_cut_off_on_a_weekend_and_the_notice_says_the_day_after(provider: Provider):
    adopt(provider, window=Window(frozenset({6, 7}), frozenset(), time(9), time(16)))
    _, service_id = bill(provider)
    provider.live(march(2), march(29))
    assert "from Apr 6, 2026 on" in body("final_notice")  # the 5th of April is a Sunday
    provider.live(march(30), date(2026, 4, 5))
    tick.run(provider.travel(datetime(2026, 4, 6, 8, 59, tzinfo=UTC)))
    assert provider.level(service_id) == AccessLevel.FULL
    tick.run(provider.travel(datetime(2026, 4, 6, 9, 0, tzinfo=UTC)))
    assert provider.level(service_id) == AccessLevel.WALLED


SHORT = (Step(0, "due_notice"), Step(3, "reminder_1"), Step(8, "reduce"), Step(9, "final_notice"), Step(14, "wall"))


def test_reduce_comes_before_the_wall_and_end_after_it(provider: Provider):
    adopt(provider, steps=(*SHORT, Step(30, "end")))
    _, service_id = bill(provider)
    provider.live(march(2), march(18))
    assert "from Mar 23, 2026 on your connection will be slower" in body("reminder_1")
    provider.live(march(19), march(23))
    assert provider.level(service_id) == AccessLevel.REDUCED
    provider.live(march(24), march(24))
    assert "from Mar 29, 2026 on your connection will reach only" in body("final_notice")
    assert "on Apr 14, 2026, your contract ends" in body("final_notice")
    provider.live(march(25), march(29))
    assert provider.level(service_id) == AccessLevel.WALLED
    provider.live(march(30), date(2026, 4, 14))
    assert provider.level(service_id) == AccessLevel.BLOCKED
    with transaction() as tx:
        row = tx.execute(select(service).where(service.c.id == service_id)).one()
        assert (row.ends_on, row.end_reason) == (date(2026, 4, 14), "non-payment")
        assert check_books(tx) == []


def test_a_late_fee_is_warned_of_then_billed_once_and_starts_nothing_itself(provider: Provider):
    steps = (Step(3, "reminder_1"), Step(7, "final_notice", Fee(500, Decimal(10))), Step(14, "wall"))
    bill(provider)
    adopt(provider, steps=steps, fee_tax_class_id=tax_class_id())
    provider.live(march(2), date(2026, 5, 20))
    assert "a late fee of €5.00 is added" in body("reminder_1")
    assert "A late fee of €5.00 has been added." in body("final_notice")
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


def test_a_promise_opens_the_wall_and_a_broken_one_closes_it(provider: Provider):
    subscriber_id, service_id = bill(provider)
    provider.live(march(2), date(2026, 4, 6))
    by = f"subscriber:{subscriber_id}"
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        with pytest.raises(Refused, match="7 days at most"):
            make_promise(tx, provider.vault, business, by, subscriber_id, date(2026, 4, 14), clock.now())
        make_promise(tx, provider.vault, business, by, subscriber_id, date(2026, 4, 10), clock.now())
        with pytest.raises(Refused, match="already"):
            make_promise(tx, provider.vault, business, by, subscriber_id, date(2026, 4, 10), clock.now())
    assert provider.level(service_id) == AccessLevel.FULL
    assert "you pay €35.99 by Apr 10, 2026" in body("promise_accepted")
    provider.live(date(2026, 4, 7), date(2026, 4, 10))
    assert provider.level(service_id) == AccessLevel.FULL
    provider.live(date(2026, 4, 11), date(2026, 4, 11))
    assert provider.level(service_id) == AccessLevel.WALLED
    with transaction() as tx:
        assert tx.scalars(select(promise.c.state)).one() == "broken"
        with pytest.raises(Refused, match="not kept"):
            make_promise(tx, provider.vault, business, by, subscriber_id, date(2026, 4, 12), clock.now())


def test_a_promise_is_kept_as_soon_as_it_is_paid(provider: Provider):
    subscriber_id, service_id = bill(provider)
    provider.live(march(2), date(2026, 4, 6))
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        make_promise(tx, provider.vault, business, "staff:1", subscriber_id, date(2026, 4, 30), clock.now())
    provider.pay(subscriber_id, 3599)
    tick.run(clock.now())
    with transaction() as tx:
        assert tx.execute(select(promise.c.state, promise.c.decided_on)).one() == ("kept", date(2026, 4, 6))
    assert provider.level(service_id) == AccessLevel.FULL


def test_who_is_exempt_is_left_alone_and_dunned_again_afterwards(provider: Provider):
    subscriber_id, service_id = bill(provider)
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        exempt(tx, provider.vault, business, "staff:1", subscriber_id, date(2026, 4, 20), "In hospital", clock.now())
    provider.live(march(2), date(2026, 4, 19))
    assert sent() == []
    provider.live(date(2026, 4, 20), date(2026, 4, 22))
    assert [kind for kind, _ in sent()] == ["due_notice", "reminder_1", "reminder_2"]
    with transaction() as tx:
        exempt(tx, provider.vault, business, "staff:1", subscriber_id, date(2026, 6, 1), "Still", clock.now())
        end_exemption(tx, provider.vault, business, "staff:1", subscriber_id, clock.now())
        with pytest.raises(Refused, match="not exempt"):
            end_exemption(tx, provider.vault, business, "staff:1", subscriber_id, clock.now())
    provider.live(date(2026, 4, 23), date(2026, 4, 28))
    assert provider.level(service_id) == AccessLevel.WALLED


def test_less_than_the_minimum_is_not_dunned(provider: Provider):
    adopt(provider, minimum=3600)
    _, service_id = bill(provider)
    provider.live(march(2), date(2026, 4, 20))
    assert sent() == []
    assert provider.level(service_id) == AccessLevel.FULL


def test_a_group_has_its_own_policy(provider: Provider):
    anna, _ = bill(provider)
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        made = Policy(0, "companies", "EUR", (Step(10, "reminder_1"),))
        policy_id = save_policy(tx, "staff:1", made)
        assign(tx, "staff:1", [anna], replace(made, id=policy_id))
        assert load_policies(tx, business).of(policy_id).name == "companies"
    provider.live(march(2), date(2026, 4, 30))
    assert sent() == [("reminder_1", march(25))]


def test_a_debt_reaches_all_services_of_the_payer_or_only_its_own(provider: Provider):
    subscriber_id, first = bill(provider)
    second = provider.service(subscriber_id, provider.plan(price=0), MARCH)
    provider.live(march(2), date(2026, 4, 5))
    assert (provider.level(first), provider.level(second)) == (AccessLevel.WALLED, AccessLevel.WALLED)
    provider.set(debt_reach="service")
    with transaction() as tx:
        set_staff_order(tx, provider.vault, "staff:1", second, "none", "")
    assert (provider.level(first), provider.level(second)) == (AccessLevel.WALLED, AccessLevel.FULL)


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


def test_a_policy_that_cannot_be_kept_is_refused_with_a_sentence(provider: Provider):
    with transaction() as tx:
        policy = load_policies(tx, load_business(tx, provider.vault)).default
    for changed, sentence in (
        ({"steps": (Step(3, "wall"),)}, "needs a message 5 days or more before it"),
        ({"steps": (Step(14, "final_notice"), Step(16, "wall"))}, "needs a message 5 days or more before it"),
        ({"steps": (Step(3, "reminder_2"), Step(7, "reminder_1"))}, "The order is"),
        ({"steps": (Step(3, "reminder_1"), Step(3, "reminder_2"))}, "One step a day"),
        ({"steps": (Step(3, "shout"),)}, "A step is one of"),
        ({"steps": (Step(3, "reminder_1", Fee(-1)),)}, "A fee is 0 or more"),
        ({"steps": (Step(3, "reminder_1", Fee(500)),)}, "needs the tax class"),
        ({"window": Window(frozenset(range(1, 8)))}, "one at least must be left"),
        ({"window": Window(opens=time(16), closes=time(9))}, "end after they begin"),
        ({"reconnection": {"debt": 0}, "fee_tax_class_id": 1}, "more than nothing"),
        ({"minimum": -1}, "0 or more"),
    ):
        with pytest.raises(Refused, match=sentence), transaction() as tx:
            save_policy(tx, "staff:1", replace(policy, **changed))
