"""The Stripe account looked at and set up in words, and events that no webhook brought asked for."""

from datetime import date, timedelta

import pytest
from sqlalchemy import select, text

from base import clock, inbox
from base.database import transaction
from base.jobs import Kind
from base.tables import inbox as events
from billing.stripe_check import check, check_and_keep, kept, set_up
from billing.stripe_events import EVENTS, handle
from billing.stripe_poll import last_signed, poll
from tests.billing.collecting import Till, emulate, open_till, work
from tests.billing.provider import noon

emulator = pytest.fixture(emulate)
till = pytest.fixture(open_till)


def sentences(till: Till, *, ok: bool) -> str:
    return " ".join(each.sentence for each in check(till.provider.vault) if each.ok is ok)


def test_an_account_without_an_endpoint_is_told_what_to_run(till: Till):
    assert "stripe setup" in sentences(till, ok=False)
    set_up(till.provider.vault, "staff:1")
    assert sentences(till, ok=False) == ""
    assert "/webhooks/stripe" in sentences(till, ok=True)
    (made,) = till.stripe.v1.webhook_endpoints.list().data
    assert sorted(made.enabled_events) == sorted(EVENTS)
    with transaction() as tx:
        assert till.business(tx).stripe_webhook_secret.startswith("whsec_")


def test_setting_up_again_makes_no_second_endpoint(till: Till):
    first = set_up(till.provider.vault, "staff:1")
    till.stripe.v1.webhook_endpoints.update(first.id, params={"enabled_events": ["refund.created"]})
    assert "checkout.session.completed" in sentences(till, ok=False)
    assert set_up(till.provider.vault, "staff:1").id == first.id
    assert sentences(till, ok=False) == ""


def test_a_wrong_key_is_a_sentence_and_nothing_breaks(till: Till):
    till.provider.set(stripe_secret_key="sk_test_of_somebody_else")
    assert "Invalid API Key" in sentences(till, ok=False)
    check_and_keep(till.provider.vault)
    with transaction() as tx:
        at, found = kept(tx)
    assert at is not None
    assert [each.ok for each in found] == [False]
    till.provider.set(stripe_secret_key="")
    assert sentences(till, ok=False) == ""


def test_what_no_webhook_brought_is_asked_for_and_missed_ones_raise_an_alarm_once(till: Till, capsys):
    till.customer("pm_card_visa")
    till.bill()
    till.provider.travel(noon(date(2026, 3, 1)))
    assert last_signed() is None
    found = poll(till.provider.vault)
    assert found > 0
    assert poll(till.provider.vault) == 0
    work(Kind.STRIPE_EVENT)
    with transaction() as tx:
        rows = tx.execute(select(events)).all()
    assert {row.outcome for row in rows if row.kind == "payment_intent.succeeded"} == {"paid"}
    told = rows[0]
    with transaction() as tx:  # one comes after all
        assert not inbox.receive(tx, "stripe", told.event_id, told.kind, told.body, clock.real())
        tx.execute(text("UPDATE inbox SET polled_at = polled_at - interval '11 minutes'"))
        late = inbox.untold(tx, "stripe", clock.real() - timedelta(minutes=10))
        assert sorted(late) == sorted(row.event_id for row in rows[1:])
        assert inbox.untold(tx, "stripe", clock.real() - timedelta(minutes=10)) == []
    assert till.taken() == till.recorded()


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        ({"livemode": True}, "refused: of live mode"),
        ({"livemode": False, "account": "acct_other"}, "refused: of the account acct_other"),
        ({"livemode": False}, "ignored"),
    ],
)
def test_an_event_of_another_mode_or_account_is_refused_and_counted(till: Till, event, outcome):
    body = {"id": "evt_1", "type": "customer.created", "data": {"object": {"id": "cus_1"}}, **event}
    with transaction() as tx:
        inbox.receive(tx, "stripe", "evt_1", "customer.created", body, clock.real())
        inbox_id = tx.scalars(select(events.c.id)).one()
    handle(inbox_id)
    with transaction() as tx:
        assert tx.scalars(select(events.c.outcome)).one() == outcome


def test_an_event_is_replayed_by_staff(till: Till):
    body = {"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": {"id": "pi_nobody"}}}
    with transaction() as tx:
        inbox.receive(tx, "stripe", "evt_1", "payment_intent.succeeded", body, clock.real())
    work()
    with transaction() as tx:
        assert tx.scalars(select(events.c.outcome)).one() == "not ours"
        assert inbox.replay(tx, "stripe", "evt_1", "again")
        assert not inbox.replay(tx, "stripe", "evt_2", "again")
        assert tx.scalars(select(events.c.processed_at)).one() is None
    assert work() == 1
    with transaction() as tx:
        assert tx.scalars(select(events.c.processed_at)).one() is not None
