"""Which access a service may have: by example and by property, no clock and no database."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from base.access import AccessLevel, Reason
from base.calendar import Period, local_date
from billing.decide import Facts, decide_access

PARIS = ZoneInfo("Europe/Paris")
FINE = Facts(
    service_id=1,
    starts_on=date(2026, 1, 1),
    ends_on=None,
    staff_order="none",
    oldest_due_on=None,
    wall_after_days=7,
    zone=PARIS,
)


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 11, tzinfo=UTC)


def test_a_service_that_owes_nothing_has_its_plan_and_needs_no_review():
    decision = decide_access(FINE, noon(date(2026, 3, 1)))
    assert (decision.level, decision.reasons, decision.review_at) == (AccessLevel.FULL, (), None)


def test_debt_walls_at_the_local_midnight_after_the_grace_time():
    facts = replace(FINE, oldest_due_on=date(2026, 3, 10))
    before = decide_access(facts, datetime(2026, 3, 16, 22, 59, 59, tzinfo=UTC))  # 23:59:59 in Paris
    assert before.level == AccessLevel.FULL
    assert before.review_at == datetime(2026, 3, 16, 23, 0, tzinfo=UTC)
    after = decide_access(facts, before.review_at)
    assert (after.level, after.reasons, after.review_at) == (AccessLevel.WALLED, (Reason.DEBT,), None)


def test_staff_orders():
    assert decide_access(replace(FINE, staff_order="suspended"), noon(date(2026, 3, 1))).level == AccessLevel.WALLED
    blocked = decide_access(replace(FINE, staff_order="blocked"), noon(date(2026, 3, 1)))
    assert (blocked.level, blocked.reasons) == (AccessLevel.BLOCKED, (Reason.STAFF_BLOCKED,))


def test_a_pause_walls_in_and_ends_by_itself():
    facts = replace(FINE, pauses=(Period(date(2026, 3, 1), date(2026, 3, 20)), Period(date(2026, 7, 1), date.max)))
    before = decide_access(facts, noon(date(2026, 2, 1)))
    assert (before.level, before.review_at) == (AccessLevel.FULL, datetime(2026, 2, 28, 23, 0, tzinfo=UTC))
    paused = decide_access(facts, before.review_at)
    assert (paused.level, paused.reasons) == (AccessLevel.WALLED, (Reason.PAUSED,))
    assert paused.review_at == datetime(2026, 3, 19, 23, 0, tzinfo=UTC)
    again = decide_access(facts, paused.review_at)
    assert (again.level, again.review_at) == (AccessLevel.FULL, datetime(2026, 6, 30, 22, 0, tzinfo=UTC))
    assert decide_access(facts, again.review_at).review_at is None


def test_a_service_begins_and_ends_on_its_days():
    facts = replace(FINE, ends_on=date(2026, 6, 1))
    early = decide_access(facts, datetime(2025, 12, 31, 22, 59, tzinfo=UTC))
    assert (early.level, early.reasons) == (AccessLevel.BLOCKED, (Reason.NOT_ACTIVE_YET,))
    assert early.review_at == datetime(2025, 12, 31, 23, 0, tzinfo=UTC)
    running = decide_access(facts, early.review_at)
    assert running.level == AccessLevel.FULL
    assert running.review_at == datetime(2026, 5, 31, 22, 0, tzinfo=UTC)
    assert decide_access(facts, running.review_at).reasons == (Reason.ENDED,)


def test_all_reasons_are_told_worst_first():
    facts = replace(FINE, staff_order="blocked", oldest_due_on=date(2026, 1, 1))
    decision = decide_access(facts, noon(date(2026, 3, 1)))
    assert decision.reasons == (Reason.STAFF_BLOCKED, Reason.DEBT)


dates = st.dates(date(2026, 1, 1), date(2027, 12, 31))
facts_strategy = st.builds(
    Facts,
    service_id=st.just(1),
    starts_on=dates,
    ends_on=st.none() | dates,
    staff_order=st.sampled_from(["none", "suspended", "blocked"]),
    oldest_due_on=st.none() | dates,
    wall_after_days=st.integers(1, 60),
    zone=st.sampled_from([PARIS, ZoneInfo("America/Santiago"), ZoneInfo("Pacific/Auckland"), ZoneInfo("UTC")]),
)
instants = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))


@given(facts_strategy, instants)
def test_nothing_changes_before_the_review(facts, now):
    decision = decide_access(facts, now)
    end = decision.review_at or now + timedelta(days=900)
    assert end > now
    for part in (0.001, 0.5, 0.999):
        later = decide_access(facts, now + (end - now) * part)
        assert (later.level, later.reasons) == (decision.level, decision.reasons)


@given(facts_strategy, instants)
def test_full_exactly_when_there_is_no_reason(facts, now):
    decision = decide_access(facts, now)
    assert (decision.level == AccessLevel.FULL) == (decision.reasons == ())


@given(facts_strategy, instants)
def test_paying_never_makes_it_worse_and_debt_never_better(facts, now):
    paid = decide_access(replace(facts, oldest_due_on=None), now)
    owing = decide_access(replace(facts, oldest_due_on=local_date(now, facts.zone) - timedelta(days=100)), now)
    assert paid.level <= decide_access(facts, now).level <= owing.level
    assert Reason.DEBT not in paid.reasons
    assert Reason.DEBT in owing.reasons
