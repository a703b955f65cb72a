"""Many cards charged together, and many events understood together: the same as one by one, only sooner."""

import json
from datetime import date, timedelta

import pytest
import requests
from sqlalchemy import func, select, update

from base import clock, inbox, jobs
from base.database import transaction
from base.jobs import Kind, Lane
from base.tables import inbox as inbox_rows
from base.tables import job
from billing import tasks
from billing.collect.tables import collection
from billing.invoices import issue_due
from billing.pump import LEASE
from tests.billing.collecting import Till, emulate, open_till, work
from tests.billing.provider import noon

emulator = pytest.fixture(emulate)
till = pytest.fixture(open_till)

GROSS = 3599
DAY = date(2026, 3, 1)
GOOD, BAD = "pm_card_visa", "pm_card_chargeCustomerFail"


def bill(till: Till, *tokens: str) -> None:
    """Customers with these cards, whose first invoices are due to be charged, and nothing has been done yet."""
    for number, token in enumerate(tokens):
        till.customer(token, email=f"who{number}@example.net")
    issue_due(till.provider.travel(noon(DAY)))


def perform_one(kind: Kind) -> None:
    """What a worker does that has claimed one job of a kind, while others wait."""
    with transaction() as tx:
        tx.execute(update(job).where(job.c.kind != kind.value[0], job.c.state == "ready").values(state="done"))
        (first,) = jobs.claim(tx, [kind.lane], 1, LEASE)
    tasks.perform(first.id, first.tries)


def states(kind: Kind) -> list[tuple[str, int]]:
    """(state, how many) of the jobs of a kind."""
    with transaction() as tx:
        query = select(job.c.state, func.count()).where(job.c.kind == kind.value[0]).group_by(job.c.state)
        return sorted(tuple(row) for row in tx.execute(query))


def calls(till: Till, kind: str) -> int:
    return till.emulator.state()["objects"].get(kind, 0)


def test_one_job_takes_along_all_that_are_due(till: Till):
    bill(till, GOOD, BAD, GOOD, GOOD)
    perform_one(Kind.CHARGE_CARD)
    assert states(Kind.CHARGE_CARD) == [("done", 4)]
    assert till.cases() == [
        ("paid", "succeeded"),
        ("waiting", "declined"),
        ("paid", "succeeded"),
        ("paid", "succeeded"),
    ]
    assert till.taken() == till.recorded() == 3 * GROSS
    assert calls(till, "payment_intent") == 4


def test_two_invoices_of_one_subscriber_are_both_recorded(till: Till):
    till.provider.set(invoice_per="service")
    who = till.customer(GOOD)
    till.provider.service(who, till.provider.plan(2999), DAY)
    issue_due(till.provider.travel(noon(DAY)))
    perform_one(Kind.CHARGE_CARD)
    assert till.cases() == [("paid", "succeeded")] * 2
    assert till.taken() == till.recorded() == 2 * GROSS


def test_a_call_that_fails_keeps_back_only_its_own_charge(till: Till):
    bill(till, GOOD, GOOD, GOOD)
    till.emulator.order(kind="error_500_before", path="/v1/payment_intents", times=3)  # the library tries three times
    perform_one(Kind.CHARGE_CARD)
    done = [state for state, _ in till.cases()].count("paid")
    assert states(Kind.CHARGE_CARD) == [("done", done), ("ready", 3 - done)] or done == 3
    assert till.taken() == till.recorded() == done * GROSS
    with transaction() as tx:
        tx.execute(update(job).values(run_after=clock.real() - timedelta(seconds=1)))
    work()
    assert till.cases() == [("paid", "succeeded")] * 3
    assert till.taken() == till.recorded() == 3 * GROSS


def test_a_charge_that_failed_before_goes_alone(till: Till):
    bill(till, GOOD, GOOD)
    with transaction() as tx:
        first = tx.scalar(select(func.min(job.c.id)).where(job.c.kind == "charge_card"))
        tx.execute(update(job).where(job.c.id == first).values(tries=1))
    perform_one(Kind.CHARGE_CARD)
    assert states(Kind.CHARGE_CARD) == [("done", 1), ("ready", 1)]


def test_more_than_stripe_may_be_asked_waits_without_a_try(till: Till):
    till.provider.set(stripe_calls_per_second=4)
    bill(till, *[GOOD] * 5)
    perform_one(Kind.CHARGE_CARD)
    assert states(Kind.CHARGE_CARD) == [("done", 3), ("ready", 2)], "turns of two calls begin at 0, 0.5 and 1 second"
    with transaction() as tx:
        ready = (job.c.kind == "charge_card", job.c.state == "ready")
        late = tx.execute(select(job.c.tries, job.c.last_error).where(*ready)).all()
    assert {tuple(row) for row in late} == {(0, "Stripe is called 4 times a second at most")}
    assert [state for state, _ in till.cases()].count("paid") == 3


def hear(till: Till, kind: str) -> int:
    """Everything that Stripe tells of this kind arrives."""
    told = [each.to_dict() for each in till.stripe.v1.events.list(params={"limit": 100, "type": kind}).data]
    arrived = [inbox.Arrived(each["id"], kind, json.dumps(each), clock.real()) for each in told]
    with transaction() as tx:
        return inbox.receive_all(tx, "stripe", arrived)


def outcomes() -> dict[str, int]:
    with transaction() as tx:
        query = select(inbox_rows.c.outcome, func.count()).group_by(inbox_rows.c.outcome)
        return {row.outcome: row.count for row in tx.execute(query.where(inbox_rows.c.processed_at.is_not(None)))}


def test_events_about_recorded_charges_ask_stripe_nothing(till: Till):
    bill(till, GOOD, GOOD)
    perform_one(Kind.CHARGE_CARD)
    assert hear(till, "payment_intent.succeeded") == 2
    assert hear(till, "charge.succeeded") == 2
    till.emulator.running.stop()  # nobody can be asked
    perform_one(Kind.STRIPE_EVENT)
    assert outcomes() == {"paid": 2, "ignored": 2}
    assert states(Kind.STRIPE_EVENT) == [("done", 4)]


def test_events_about_lost_answers_bring_the_money_together(till: Till):
    bill(till, GOOD, GOOD, GOOD)
    perform_one(Kind.CHARGE_CARD)
    issue_due(till.provider.travel(noon(date(2026, 4, 1))))
    till.emulator.order(kind="cut_after", path="/v1/payment_intents/*/confirm", times=9)
    perform_one(Kind.CHARGE_CARD)
    requests.delete(f"{till.emulator.url}/sandbox/faults", timeout=5)
    with transaction() as tx:
        unknown = tx.scalar(select(func.count()).where(collection.c.state == "unknown")) or 0
    assert unknown + till.recorded() // GROSS == 6
    hear(till, "payment_intent.succeeded")
    perform_one(Kind.STRIPE_EVENT)
    assert till.cases() == [("paid", "succeeded")] * 6
    assert till.taken() == till.recorded() == 6 * GROSS


def test_an_event_that_overtakes_the_answer_is_left_to_it(till: Till):
    bill(till, GOOD)
    perform_one(Kind.CHARGE_CARD)
    with transaction() as tx:  # as it stands between the confirmation and its answer
        tx.execute(update(collection).values(state="charging", ask_at=clock.real() + timedelta(minutes=2)))
    hear(till, "payment_intent.succeeded")
    till.emulator.running.stop()
    perform_one(Kind.STRIPE_EVENT)
    assert outcomes() == {"charging": 1}


def test_jobs_of_a_kind_are_claimed_fresh_only(till: Till):
    with transaction() as tx:
        for number in range(4):
            jobs.enqueue(tx, Kind.STRIPE_EVENT, {"inbox_id": number}, key=f"k{number}")
        tx.execute(update(job).where(job.c.key == "k0").values(tries=1))
        tx.execute(update(job).where(job.c.key == "k1").values(run_after=clock.real() + timedelta(hours=1)))
    with transaction() as tx:
        taken = jobs.claim_fresh(tx, Kind.STRIPE_EVENT, 10, LEASE)
        assert [each.payload["inbox_id"] for each in taken] == [2, 3]
        assert [each.payload["inbox_id"] for each in jobs.claim(tx, [Lane.URGENT], 10, LEASE)] == [0]
