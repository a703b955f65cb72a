"""Data caps: what is counted, what follows, who is told, and what ingest is asked to look at."""

from datetime import UTC, date, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from base import clock, jobs
from base.access import AccessLevel, Reason
from base.business import load_business
from base.database import transaction
from base.jobs import Lane
from base.tables import job, policy, usage_daily
from billing import tasks
from billing.changes import change_plan
from billing.endings import cancel
from billing.mail_preview import preview
from billing.profiles import refresh_plan, set_profile
from billing.tables import message
from billing.tick import review_due
from billing.why import explain
from radius.caps import ask_for_reviews
from tests.billing.provider import Provider

CAP = 1000
TODAY = clock.real().date()
BEGAN = TODAY - timedelta(days=3)  # so that the period is around today whatever the month


def capped(provider: Provider, **values: Any) -> int:
    plan_id = provider.plan()
    with transaction() as tx:
        given = {"cap_octets": CAP, "cap_action": "reduce", **values}
        set_profile(tx, "staff:1", plan_id, given, clock.now())
    return plan_id


@pytest.fixture
def line(provider: Provider) -> int:
    return provider.service(provider.subscriber(), capped(provider), BEGAN)


def use(line: int, down: int = 0, up: int = 0, day: date = TODAY) -> None:
    """What ingest does with a record."""
    with transaction() as tx:
        row = upsert(usage_daily).values(service_id=line, day=day, octets_in=up, octets_out=down, seconds=1)
        more = {
            "octets_in": usage_daily.c.octets_in + row.excluded.octets_in,
            "octets_out": usage_daily.c.octets_out + row.excluded.octets_out,
        }
        tx.execute(row.on_conflict_do_update(index_elements=["service_id", "day"], set_=more))
        ask_for_reviews(tx, [line])


def work() -> None:
    """What the worker does with reviews."""
    with transaction() as tx:
        claimed = jobs.claim(tx, [Lane.URGENT], 100, timedelta(minutes=1))
    for each in claimed:
        tasks.perform(each.id, each.tries)


def stored(line: int) -> Any:
    with transaction() as tx:
        return tx.execute(select(policy).where(policy.c.service_id == line)).one()


def mails() -> list[str]:
    with transaction() as tx:
        return list(tx.scalars(select(message.c.key).where(message.c.kind.like("usage%")).order_by(message.c.id)))


def test_from_the_first_byte_to_the_next_period(provider: Provider, line: int) -> None:
    row = stored(line)
    assert (row.usage_from, row.usage_threshold, row.usage_counts) == (BEGAN, 800, "total")
    use(line, 500, 299)
    work()
    assert mails() == []
    use(line, 1)
    work()
    assert (stored(line).level, stored(line).usage_threshold) == (AccessLevel.FULL, 1000)
    assert mails() == [f"usage_80:{line}:{BEGAN}"]
    use(line, 100, 99)
    use(line, 1)
    use(line, 700)
    work()
    row = stored(line)
    assert (row.level, row.reasons, row.usage_threshold) == (AccessLevel.REDUCED, [Reason.CAP_REACHED.value], None)
    assert row.obeyed["rate_down"] == 2_000_000
    assert mails() == [f"usage_80:{line}:{BEGAN}", f"usage_100:{line}:{BEGAN}"]
    with transaction() as tx:
        assert tx.scalar(select(text("count(*)")).select_from(job).where(job.c.kind == "review_access")) == 2
    use(line, 700)
    provider.travel(row.review_at + timedelta(seconds=1))
    review_due(clock.now())
    row = stored(line)
    assert (row.level, row.usage_threshold) == (AccessLevel.FULL, 800)
    assert row.usage_from > BEGAN + timedelta(days=27)
    assert len(mails()) == 2


def test_who_comes_past_both_at_once_is_told_of_the_last_and_only_once(line: int) -> None:
    use(line, 5000)
    work()
    use(line, 5000)
    review_due(clock.now())
    assert mails() == [f"usage_100:{line}:{BEGAN}"]
    with transaction() as tx:
        (body,) = tx.scalars(select(message.c.body).where(message.c.kind == "usage_100"))
    assert "has used its 1.0 kB" in body


@pytest.mark.parametrize(("counts", "level"), [("total", 1), ("down", 0), ("up", 1)])
def test_what_counts_is_the_plans(provider: Provider, counts: str, level: int) -> None:
    line = provider.service(provider.subscriber(), capped(provider, cap_counts=counts), BEGAN)
    use(line, 0, 1000)
    work()
    assert stored(line).level == level


def test_after_the_cap_comes_the_wall_where_the_plan_says_so(provider: Provider) -> None:
    line = provider.service(provider.subscriber(), capped(provider, cap_action="wall", walled_pool="spent"), BEGAN)
    use(line, 1000)
    work()
    assert (stored(line).level, stored(line).obeyed["pool"]) == (AccessLevel.WALLED, "spent")


def test_a_cap_without_consequence_only_tells(provider: Provider) -> None:
    line = provider.service(provider.subscriber(), capped(provider, cap_action="none"), BEGAN)
    use(line, 1000)
    work()
    assert (stored(line).level, stored(line).version, mails()) == (AccessLevel.FULL, 1, [f"usage_100:{line}:{BEGAN}"])


def test_a_larger_cap_or_another_plan_gives_it_back_at_once(provider: Provider, line: int) -> None:
    use(line, 1000)
    work()
    assert stored(line).level == AccessLevel.REDUCED
    with transaction() as tx:
        plan_id = tx.scalar(text("SELECT plan_id FROM service WHERE id = :id"), {"id": line})
        services = set_profile(tx, "staff:1", plan_id, {"cap_octets": 2000}, clock.now())
    refresh_plan(plan_id, services, clock.now())
    assert (stored(line).level, stored(line).usage_threshold) == (AccessLevel.FULL, 1600)
    use(line, 1000)
    work()
    assert stored(line).level == AccessLevel.REDUCED
    free = provider.plan()
    with transaction() as tx:
        change_plan(tx, provider.vault, "staff:1", line, free)
    row = stored(line)
    assert (row.level, row.usage_from, row.usage_threshold, row.usage_counts) == (AccessLevel.FULL, None, None, None)


def test_what_was_used_before_the_period_does_not_count(line: int) -> None:
    use(line, 5000, day=BEGAN - timedelta(days=1))
    use(line, 799)
    work()
    assert mails() == []


def test_a_service_that_has_not_begun_has_no_period_yet(provider: Provider) -> None:
    line = provider.service(provider.subscriber(), capped(provider), TODAY + timedelta(days=5))
    assert stored(line).usage_from is None


def test_a_service_that_has_ended_is_not_counted_and_nobody_told(provider: Provider, line: int) -> None:
    use(line, 700)
    with transaction() as tx:
        cancel(tx, provider.vault, "staff:1", line, TODAY, "moved")
    assert stored(line).usage_threshold is None
    with transaction() as tx:
        plan_id = tx.scalar(text("SELECT plan_id FROM service WHERE id = :id"), {"id": line})
        services = set_profile(tx, "staff:1", plan_id, {"cap_octets": 500}, clock.now())
    refresh_plan(plan_id, services, clock.now())
    assert mails() == []


def test_staff_are_told_why_and_until_when(provider: Provider, line: int) -> None:
    with transaction() as tx:
        told = explain(tx, load_business(tx, provider.vault), line, clock.now())
    assert "the count of its data starts anew" in told.next
    use(line, 1000)
    work()
    with transaction() as tx:
        told = explain(tx, load_business(tx, provider.vault), line, clock.now())
    assert told.causes[0].reason is Reason.CAP_REACHED
    assert "it has used 1.0 kB of 1.0 kB" in told.causes[0].sentence
    assert "it becomes FULL" in told.next


def test_the_preview_of_the_mail_shows_what_is_really_used(provider: Provider, line: int) -> None:
    use(line, 850)
    with transaction() as tx:
        shown = preview(tx, load_business(tx, provider.vault), "usage_80", "00001")
    assert shown.invented == ()
    assert "You have used 85 %" in shown.letter.subject
    assert "850 B of 1.0 kB" in shown.letter.body


def test_history_is_no_news(provider: Provider) -> None:
    provider.travel(clock.real() - timedelta(days=5))
    long_ago = clock.now().astimezone(UTC).date()
    line = provider.service(provider.subscriber(), capped(provider), long_ago)
    with transaction() as tx:
        tx.execute(insert(usage_daily).values(service_id=line, day=long_ago, octets_in=0, octets_out=1000, seconds=1))
        ask_for_reviews(tx, [line])
    work()
    assert (stored(line).level, mails()) == (AccessLevel.REDUCED, [])
