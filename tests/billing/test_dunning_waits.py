"""Who is waited for, and who is dunned how: promises, exemptions, minimum, groups, what a policy may say."""

from dataclasses import replace
from datetime import date, time

import pytest
from sqlalchemy import select

from base import clock
from base.access import AccessLevel
from base.business import load_business
from base.database import transaction
from billing import tick
from billing.business_changes import change_business
from billing.credit_notes import credit_invoice, write_off_invoice
from billing.dunning.agenda import to_be_looked_at
from billing.dunning.exemptions import end_exemption, exempt
from billing.dunning.fees import list_fees, waive
from billing.dunning.policies import assign, load_policies, save_policy
from billing.dunning.policy import Fee, Policy, Step
from billing.dunning.preview import compare
from billing.dunning.promises import make_promise
from billing.dunning.tables import promise
from billing.dunning.window import Window
from billing.refused import Refused
from billing.settle import open_invoices
from tests.billing.dunned import MARCH, adopt, bill, body, march, sent, tax_class_id
from tests.billing.provider import Provider


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
    assert change(provider, debt_reach="payer") == 0, "nothing changed"
    assert change(provider, company_name="Elsewhere") == 0, "no access rests on it"
    assert change(provider, debt_reach="service") == 2
    tick.run(clock.now())
    assert (provider.level(first), provider.level(second)) == (AccessLevel.WALLED, AccessLevel.FULL)
    assert change(provider, debt_reach="payer") == 2
    tick.run(clock.now())
    assert (provider.level(first), provider.level(second)) == (AccessLevel.WALLED, AccessLevel.WALLED)


def change(provider: Provider, **values: object) -> int:
    """Change business settings as staff do; how many services are decided anew with the next tick."""
    with transaction() as tx:
        return change_business(tx, provider.vault, "staff:1", clock.now(), **values)


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


@pytest.mark.parametrize("how", ["written off", "credited"])
def test_a_promise_whose_debt_was_given_up_is_neither_kept_nor_broken(provider: Provider, how: str):
    subscriber_id, _ = bill(provider)
    provider.live(march(2), date(2026, 4, 6))
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        make_promise(tx, provider.vault, business, "staff:1", subscriber_id, date(2026, 4, 30), clock.now())
        invoice_id = open_invoices(tx, subscriber_id)[0].id
        if how == "written off":
            write_off_invoice(tx, provider.vault, business, "staff:1", invoice_id, "Moved away", clock.now())
        else:
            credit_invoice(tx, provider.vault, business, "staff:1", invoice_id, "Wrong", clock.now())
    tick.run(clock.now())
    with transaction() as tx:
        assert tx.scalars(select(promise.c.state)).one() == "void"


def test_a_debt_that_waits_for_its_day_is_not_loaded_each_minute(provider: Provider):
    subscriber_id, _ = bill(provider)

    def waiting(day: int) -> list[int]:
        provider.live(march(day), march(day))
        with transaction() as tx:
            return to_be_looked_at(tx, march(day))

    assert [waiting(day) for day in range(15, 24)] == [[]] * 9
    assert [kind for kind, _ in sent()] == ["due_notice", "reminder_1", "reminder_2"]
    with transaction() as tx:
        assert to_be_looked_at(tx, march(28)) == []
        assert to_be_looked_at(tx, march(29)) == [subscriber_id]
        business = load_business(tx, provider.vault)
        exempt(tx, provider.vault, business, "staff:1", subscriber_id, march(25), "Ill", clock.now())
        assert to_be_looked_at(tx, march(23)) == [subscriber_id]
    tick.run(clock.now())
    adopt(provider, promise_days=3)
    with transaction() as tx:
        assert to_be_looked_at(tx, march(23)) == [subscriber_id]


def test_a_change_of_hours_lets_nobody_out_and_says_so_beforehand(provider: Provider):
    bill(provider)
    provider.live(march(2), date(2026, 4, 6))
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        policy = load_policies(tx, business).default
        late = replace(policy, window=Window(frozenset({1, 2}), frozenset(), time(9), time(10)), minimum=5000)
        found = compare(tx, business, late, clock.now())
    assert (found.looked_at, found.hits) == (1, ())


def test_fees_are_listed_with_what_became_of_them(provider: Provider):
    subscriber_id, _ = bill(provider)
    steps = (Step(3, "reminder_1", Fee(500)), Step(14, "final_notice"), Step(21, "wall"))
    adopt(provider, steps=steps, fee_tax_class_id=tax_class_id(), reconnection={"debt": 1000})
    provider.live(march(2), date(2026, 4, 5))
    provider.pay(subscriber_id, 3599)
    with transaction() as tx:
        reconnected, late = list_fees(tx, subscriber_id)
        assert (late.text, late.amount_minor, late.invoice) == ("Late fee for invoice INV-000001", 500, "INV-000002")
        assert (reconnected.amount_minor, reconnected.invoice, reconnected.dropped_at) == (1000, None, None)
        business = load_business(tx, provider.vault)
        for each in (reconnected, late):
            waive(tx, provider.vault, business, "staff:1", each.id, clock.now())
        reconnected, late = list_fees(tx)
        assert (late.given_minor, reconnected.dropped_at is None) == (500, False)
        assert list_fees(tx, 99) == []
