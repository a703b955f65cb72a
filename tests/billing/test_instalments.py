"""Instalment plans: agreed, kept, broken and ended; dunning, late fees, access, the money's way, and who is told."""

from datetime import date, timedelta

import pytest
from sqlalchemy import select, text

from base import clock
from base.access import AccessLevel
from base.business import load_business
from base.database import transaction
from base.money import Money
from billing.credit_notes import write_off_invoice
from billing.dunning.agenda import to_be_looked_at
from billing.dunning.policy import MESSAGES, Fee, Step
from billing.dunning.promises import make_promise
from billing.dunning.run import run_dunning
from billing.dunning.tables import promise
from billing.instalments.agreed import active_plans
from billing.instalments.plans import agree, cancel, decided_payers, plans_of, settle_plans
from billing.instalments.rules import Part, breaks_on, spread
from billing.instalments.tables import instalment_plan
from billing.ledger import check_books
from billing.refused import Refused
from billing.settle import open_invoices
from billing.tables import message, open_item
from billing.tomorrow import preview_day
from billing.why import explain
from tests.billing.dunned import adopt, april, bill, body, charges, march, sent, tax_class_id
from tests.billing.provider import Provider, noon
from tests.billing.test_reversals import GROSS, pay, reverse


def may(day: int) -> date:
    return date(2026, 5, day)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def plan(provider: Provider, who: int, parts, *invoice_ids: int) -> int:
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        return agree(tx, provider.vault, business, "staff:1", who, parts, clock.now(), invoice_ids)


def thirds(first: date, minor: int = GROSS):
    return spread(eur(minor), 3, first, 10)


def debts(who: int) -> list[tuple[int, date]]:
    with transaction() as tx:
        assert check_books(tx) == []
        return [(each.open.minor, each.due_on) for each in open_invoices(tx, who)]


def state(who: int) -> str:
    with transaction() as tx:
        return plans_of(tx, who)[0].state


def walled(provider: Provider) -> tuple[int, int]:
    who, service_id = bill(provider)
    provider.live(march(2), april(6))
    assert provider.level(service_id) is AccessLevel.WALLED
    return who, service_id


def test_it_opens_the_wall_and_while_it_is_kept_nothing_comes(provider: Provider):
    steps = (Step(0, "due_notice"), Step(14, "final_notice"), Step(21, "wall"), Step(60, "end"))
    who, service_id = bill(provider)
    adopt(provider, steps=steps)
    provider.live(march(2), april(6))
    before = sent()
    plan(provider, who, thirds(april(10)))
    assert provider.level(service_id) is AccessLevel.FULL
    with transaction() as tx:
        assert to_be_looked_at(tx, april(6)) == []
    provider.live(april(7), april(10))
    pay(provider, who, 1200, april(10), "cash")
    provider.live(april(11), april(20))
    pay(provider, who, 1200, april(20), "cash")
    provider.live(april(21), april(30))
    assert (state(who), debts(who)) == ("active", [(1199, march(15))])
    pay(provider, who, 1199, april(30), "cash")
    assert debts(who) == []
    provider.live(april(30), may(30))
    assert (state(who), sent(), provider.level(service_id)) == ("kept", before, AccessLevel.FULL)


def test_a_part_missed_for_too_long_breaks_it_and_dunning_begins_anew_that_day(provider: Provider):
    who, service_id = walled(provider)
    plan(provider, who, thirds(april(10)))
    pay(provider, who, 1200, april(10), "cash")
    provider.live(april(7), april(23))  # due on the 20th, three days of grace
    assert (state(who), debts(who)) == ("active", [(2399, march(15))])
    old = sent()
    provider.live(april(24), april(24))
    assert (state(who), debts(who)) == ("broken", [(2399, april(24))])
    assert provider.level(service_id) is AccessLevel.FULL  # nothing is taken before new notices
    assert sent()[len(old) :] == [("due_notice", april(24))]
    provider.live(april(25), may(20))
    assert [kind for kind, _ in sent()[len(old) :]] == ["due_notice", "reminder_1", "reminder_2", "final_notice"]
    assert provider.level(service_id) is AccessLevel.WALLED


def test_a_part_within_its_grace_keeps_it(provider: Provider):
    who, _ = walled(provider)
    provider.set(instalment_grace_days=0)
    plan(provider, who, thirds(april(10)))
    provider.set(instalment_grace_days=9)  # what was agreed holds
    provider.live(april(7), april(10))
    assert state(who) == "active"
    provider.live(april(11), april(11))
    assert state(who) == "broken"


def test_late_fees_wait_too(provider: Provider):
    steps = (Step(0, "due_notice"), Step(3, "reminder_1", Fee(500)), Step(14, "final_notice"), Step(21, "wall"))
    who, _ = bill(provider)
    adopt(provider, steps=steps, fee_tax_class_id=tax_class_id())
    provider.live(march(2), march(16))
    plan(provider, who, thirds(march(20)))
    provider.live(march(17), march(23))
    assert charges() == []
    provider.live(march(24), march(27))  # it breaks on the 24th; three days later comes the reminder with its fee
    assert charges() == [("late_fee", 500)]


def test_other_debts_are_dunned_as_ever(provider: Provider):
    who, service_id = bill(provider)
    provider.live(march(2), march(16))
    plan(provider, who, spread(eur(GROSS), 2, may(30)))
    provider.service(who, provider.plan(1000, tax="0"), march(17))
    provider.live(march(17), april(30))
    assert "INV-000002" in body("final_notice")
    with transaction() as tx:
        later = select(message.c.body).where(message.c.kind.in_(MESSAGES), message.c.created_at > noon(march(17)))
        letters = list(tx.scalars(later))
    assert len(letters) == 5  # four of INV-000002, and a first one of April's
    assert not any("INV-000001" in each or "35.99" in each or "45.99" in each for each in letters)
    assert (state(who), provider.level(service_id)) == ("active", AccessLevel.WALLED)


def test_money_pays_the_due_part_then_other_debts_then_parts_to_come(provider: Provider):
    who, _ = bill(provider)
    provider.live(march(2), march(16))
    plan(provider, who, spread(eur(GROSS), 3, march(16)))  # 1200 on 16 March, 1200 on 16 April, 1199 on 16 May
    provider.service(who, provider.plan(1000, tax="0"), march(17))
    provider.live(march(17), march(17))

    def open_now() -> dict[str, int]:
        with transaction() as tx:
            return {each.number: each.open.minor for each in open_invoices(tx, who)}

    pay(provider, who, 700, march(18), "cash")
    assert open_now() == {"INV-000001": GROSS - 700, "INV-000002": 1000}
    pay(provider, who, 700, march(18), "cash")  # 500 are left of the part
    assert open_now() == {"INV-000001": GROSS - 1200, "INV-000002": 800}
    pay(provider, who, 1000, march(18), "cash")  # and then 200 of the next part
    assert open_now() == {"INV-000001": GROSS - 1400}


def test_what_is_named_comes_first(provider: Provider):
    who, _ = bill(provider)
    provider.live(march(2), march(16))
    plan(provider, who, spread(eur(GROSS), 3, march(16)))
    provider.service(who, provider.plan(1000, tax="0"), march(17))
    provider.live(march(17), march(17))
    with transaction() as tx:
        other = next(each.id for each in open_invoices(tx, who) if each.number == "INV-000002")
    pay(provider, who, 1000, march(18), "cash", invoice_ids=[other])
    assert [minor for minor, _ in debts(who)] == [GROSS]


def test_the_mail_says_what_was_agreed(provider: Provider):
    who, _ = walled(provider)
    plan(provider, who, thirds(april(10)))
    said = body("instalment_plan")
    for words in ("€35.99 (INV-000001)", "Apr 10, 2026: €12.00", "Apr 30, 2026: €11.99", "more than 3 days"):
        assert words in said


def test_staff_end_it_and_dunning_begins_anew(provider: Provider):
    who, _ = walled(provider)
    plan(provider, who, thirds(april(10)))
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        with pytest.raises(Refused, match="Why"):
            cancel(tx, provider.vault, business, "staff:1", who, " ", clock.now())
        cancel(tx, provider.vault, business, "staff:1", who, "moved abroad", clock.now())
        with pytest.raises(Refused, match="no instalment plan"):
            cancel(tx, provider.vault, business, "staff:1", who, "again", clock.now())
    assert (state(who), debts(who)) == ("void", [(GROSS, april(6))])


def test_what_cannot_be_agreed(provider: Provider):
    who, _ = bill(provider)
    with pytest.raises(Refused, match="Nothing is overdue"):
        plan(provider, who, thirds(march(20)))
    provider.live(march(2), march(16))
    with pytest.raises(Refused, match="2 to 36 parts"):
        plan(provider, who, spread(eur(GROSS), 1, march(20)))
    with pytest.raises(Refused, match="sum to 3598"):
        plan(provider, who, thirds(march(20), GROSS - 1))
    with pytest.raises(Refused, match="a day to come"):
        plan(provider, who, thirds(march(15)))
    with pytest.raises(Refused, match="a day of its own"):
        plan(provider, who, [Part(march(20), eur(2000)), Part(march(20), eur(GROSS - 2000))])
    with pytest.raises(Refused, match="more than nothing"):
        plan(provider, who, [Part(march(20), eur(0)), Part(march(21), eur(GROSS))])
    with pytest.raises(Refused, match="paid in EUR"):
        plan(provider, who, spread(Money(GROSS, "USD"), 2, march(20)))
    with pytest.raises(Refused, match="three years"):
        plan(provider, who, spread(eur(GROSS), 36, march(20), 40))
    with pytest.raises(Refused, match="due and not paid"):
        plan(provider, who, thirds(march(20)), 999)
    with pytest.raises(Refused, match="no such subscriber"):
        plan(provider, 999, thirds(march(20)))
    plan(provider, who, thirds(march(20)))
    with pytest.raises(Refused, match="a plan already"):
        plan(provider, who, thirds(march(20)))


def test_it_takes_the_place_of_a_promise(provider: Provider):
    who, _ = walled(provider)
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        make_promise(tx, provider.vault, business, "staff:1", who, april(10), clock.now())
    plan(provider, who, thirds(april(20)))
    with transaction() as tx:
        assert tx.scalar(select(promise.c.state)) == "void"
    provider.live(april(7), april(20))
    assert state(who) == "active"


def test_what_is_written_off_was_not_kept(provider: Provider):
    who, _ = walled(provider)
    plan(provider, who, thirds(april(10)))
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        write_off_invoice(tx, provider.vault, business, "staff:1", 1, "bankrupt", clock.now())
    run_dunning(clock.now())
    assert (state(who), debts(who)) == ("void", [])


def test_a_part_that_bounces_late_breaks_it(provider: Provider):
    who, _ = walled(provider)
    plan(provider, who, thirds(april(10)))
    paid = pay(provider, who, 1200, april(10), "cheque")
    provider.live(april(11), april(15))
    reverse(provider, paid, april(16))
    provider.live(april(16), april(16))
    assert (state(who), debts(who)) == ("broken", [(GROSS, april(16))])


def test_it_does_not_break_while_a_cheque_is_under_way(provider: Provider):
    who, _ = walled(provider)
    provider.set(cheque_days=5)
    plan(provider, who, thirds(april(10)))
    pay(provider, who, 1200, april(12), "cheque")
    provider.live(april(13), april(16))  # it would break on the 14th
    assert state(who) == "active"
    provider.live(april(17), april(17))
    assert (state(who), debts(who)) == ("active", [(2399, march(15))])


def test_one_that_went_back_after_all_was_paid_is_dunned_as_others(provider: Provider):
    who, _ = walled(provider)
    plan(provider, who, thirds(april(10)))
    paid = pay(provider, who, GROSS, april(8), "cheque")
    provider.live(april(8), april(8))
    assert state(who) == "kept"
    reverse(provider, paid, april(20))
    assert debts(who) == [(GROSS, april(20))]
    provider.live(april(20), april(20))
    assert sent()[-1] == ("due_notice", april(20))


def test_why_and_preview_tell_of_it(provider: Provider):
    who, service_id = walled(provider)
    plan(provider, who, thirds(april(10)))
    with transaction() as tx:
        (said,) = explain(tx, load_business(tx, provider.vault), service_id, clock.now()).waits
    for words in ("INV-000001 is paid in 3 parts, agreed by staff:1 on Apr 6, 2026", "€12.00 on Apr 10", "Apr 14"):
        assert words in said
    found = {day: [(each.kind, each.what) for each in preview_day(april(day)).items] for day in (9, 10, 14)}
    assert found[9] == []
    assert found[10] == [("part", "1 of 3")]
    assert [kind for kind, _ in found[14]] == ["broken", "mail"]
    assert state(who) == "active"


def test_who_is_asked_for_each_minute_is_whom_the_rules_would_end(provider: Provider):
    """The statement that finds plans to be decided says what the rules say, on every day around a part."""
    who, _ = walled(provider)
    plan(provider, who, thirds(april(10)))
    for minor in (0, 1200, 1300, 2400):
        with transaction() as tx:
            tx.execute(open_item.update().values(open_minor=GROSS - minor))
            each = active_plans(tx, [who])[who]
            for ahead in range(40):
                day = april(6) + timedelta(days=ahead)
                breaks = breaks_on(each.parts, each.open, each.grace_days)
                assert (who in decided_payers(tx, day)) == (breaks is not None and breaks <= day), (minor, day)
            tx.rollback()
    with transaction() as tx:
        tx.execute(text("UPDATE instalment_plan SET state = 'kept'"))
        assert decided_payers(tx, may(30)) == []


def test_settling_twice_does_nothing_twice(provider: Provider):
    who, _ = walled(provider)
    plan(provider, who, thirds(april(10)))
    provider.live(april(7), april(14))
    with transaction() as tx:
        assert settle_plans(tx, provider.vault, [who], clock.now()) == []
        assert tx.scalar(select(instalment_plan.c.decided_on)) == april(14)
    plan(provider, who, thirds(april(20)))  # a new one may be agreed
    assert state(who) == "active"
