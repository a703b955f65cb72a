"""The tick walks the calendar: bills, reminders and access in their order, caught up, never twice."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select, update

from base.access import AccessLevel
from base.business import load_business
from base.database import transaction
from base.money import Money
from base.offers import plan
from base.tables import access_history, policy
from billing.ledger import check_books
from billing.payments import record_payment
from billing.tables import invoice, message
from billing.tick import run
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)


def test_a_quarter_day_by_day(provider: Provider):
    provider.set(time_zone="Europe/Paris")
    provider.travel(noon(date(2026, 2, 20)))
    anna = provider.subscriber()
    service_id = provider.service(anna, provider.plan(), MARCH)
    timeline: list[tuple[str, str]] = []
    now = datetime(2026, 2, 20, 23, 30, tzinfo=UTC)  # half past midnight in Paris
    while now < datetime(2026, 5, 5, tzinfo=UTC):
        done = run(now)
        with transaction() as tx:  # every mail leaves at once
            tx.execute(update(message).where(message.c.state == "queued").values(state="sent", sent_at=now))
        assert run(now) == type(done)([], [], [])
        day = f"{now + timedelta(hours=2):%d %b}"
        timeline += [(day, "issued") for _ in done.issued]
        timeline += [(day, "dunned") for _ in done.dunned]
        with transaction() as tx:
            level = AccessLevel(tx.scalar(select(policy.c.level).where(policy.c.service_id == service_id)) or 0)
            timeline += [(day, level.name) for _ in done.changed]
            assert check_books(tx) == []
        if day == "08 Apr":
            with transaction() as tx:
                record_payment(
                    tx,
                    provider.vault,
                    load_business(tx, provider.vault),
                    subscriber_id=anna,
                    amount=Money(3599, "EUR"),
                    method="transfer",
                    author="staff:1",
                    now=now,
                )
        now += timedelta(days=1)
    assert timeline == [
        ("28 Feb", "issued"),
        ("01 Mar", "FULL"),
        ("14 Mar", "dunned"),  # due
        ("17 Mar", "dunned"),
        ("21 Mar", "dunned"),
        ("28 Mar", "dunned"),
        ("31 Mar", "issued"),
        ("04 Apr", "WALLED"),
        ("14 Apr", "dunned"),  # the second
        ("17 Apr", "dunned"),
        ("21 Apr", "dunned"),
        ("28 Apr", "dunned"),
        ("30 Apr", "issued"),
        ("05 May", "WALLED"),
    ]
    with transaction() as tx:
        causes = tx.scalars(select(access_history.c.because).order_by(access_history.c.id)).all()
    assert causes == [f"service:{service_id}", "time", "time", "payment:1", "time"]


def test_a_quarter_at_once_ends_as_day_by_day_does(provider: Provider):
    provider.travel(noon(date(2026, 2, 20)))
    service_id = provider.service(provider.subscriber(), provider.plan(), MARCH)
    done = run(noon(date(2026, 6, 20)))
    assert len(done.issued) == 1
    with transaction() as tx:  # the one invoice for it all is of today, so nothing is late
        assert tx.scalar(select(policy.c.level)) == AccessLevel.FULL
    done = run(noon(date(2026, 7, 11)))
    assert (len(done.issued), len(done.dunned)) == (1, 1)
    provider.live(date(2026, 7, 12), date(2026, 7, 25))  # 21 days after its due date
    assert provider.level(service_id) == AccessLevel.WALLED
    with transaction() as tx:
        assert check_books(tx) == []


def test_a_step_that_fails_keeps_no_other_back(provider: Provider):
    provider.travel(noon(MARCH))
    home, odd = provider.plan(), provider.plan()
    provider.service(provider.subscriber(), home, MARCH)
    run(noon(MARCH))
    provider.live(date(2026, 3, 15), date(2026, 3, 18))
    provider.service(provider.subscriber("Bert"), odd, MARCH)
    with transaction() as tx:
        tx.execute(update(plan).where(plan.c.id == odd).values(currency="USD"))
    with pytest.raises(ExceptionGroup, match="left something undone") as caught:
        run(noon(date(2026, 3, 25)))
    assert "bill: 1 failed" in str(caught.value.exceptions[0])
    with transaction() as tx:
        assert len(tx.execute(select(message).where(message.c.kind == "reminder_2")).all()) == 1
        assert len(tx.execute(select(invoice)).all()) == 1
