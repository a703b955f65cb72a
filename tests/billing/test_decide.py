"""Which access a service may have: by example and by property, no clock and no database."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from base.access import AccessLevel, Decision, Reason
from base.calendar import Period, local_date
from billing.decide import Debt, Facts, Owed, Usage, decide_access
from billing.dunning.debts import reached
from billing.dunning.window import Window

PARIS = ZoneInfo("Europe/Paris")
FINE = Facts(
    service_id=1,
    starts_on=date(2026, 1, 1),
    ends_on=None,
    staff_order="none",
    zone=PARIS,
)
DUE = date(2026, 3, 10)


def owing(**debt: Any) -> Facts:
    """Owes an invoice of 30.00, due on the 10th, of which a notice has named the 17th."""
    invoices = (Owed(DUE, 3000, wall_on=date(2026, 3, 17)),)
    return replace(FINE, debt=Debt(**{"invoices": invoices, **debt}))


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 11, tzinfo=UTC)


def test_a_service_that_owes_nothing_has_its_plan_and_needs_no_review():
    decision = decide_access(FINE, noon(date(2026, 3, 1)))
    assert (decision.level, decision.reasons, decision.review_at) == (AccessLevel.FULL, (), None)


def at(day: int, hour: int = 12, minute: int = 0) -> datetime:
    """A local instant of March 2026 in Paris."""
    return datetime(2026, 3, day, hour, minute, tzinfo=PARIS).astimezone(UTC)


def test_debt_walls_at_the_local_midnight_of_the_day_that_the_notice_named():
    facts = owing()
    before = decide_access(facts, datetime(2026, 3, 16, 22, 59, 59, tzinfo=UTC))  # 23:59:59 in Paris
    assert before.level == AccessLevel.FULL
    assert before.review_at == datetime(2026, 3, 16, 23, 0, tzinfo=UTC)
    after = decide_access(facts, before.review_at)
    assert (after.level, after.reasons, after.review_at) == (AccessLevel.WALLED, (Reason.DEBT,), None)


def test_a_prepaid_service_is_over_at_the_instant_until_which_it_is_paid():
    facts = replace(FINE, prepaid=True, paid_until=at(10, 14, 35))
    before = decide_access(facts, at(10, 14, 35) - timedelta(microseconds=1))
    assert (before.level, before.reasons, before.review_at) == (AccessLevel.FULL, (), at(10, 14, 35))
    after = decide_access(facts, at(10, 14, 35))
    assert (after.level, after.reasons, after.review_at) == (AccessLevel.WALLED, (Reason.PREPAID_OVER,), None)
    assert decide_access(replace(facts, paid_until=None), at(10)).reasons == (Reason.PREPAID_OVER,)
    assert decide_access(replace(facts, prepaid=False), at(20)).level == AccessLevel.FULL


def test_a_debt_of_which_no_notice_has_named_a_day_takes_nothing_away():
    decision = decide_access(owing(invoices=(Owed(DUE, 3000),)), at(31))
    assert (decision.level, decision.review_at) == (AccessLevel.FULL, None)


def test_a_notice_that_has_not_arrived_takes_nothing_away_and_is_looked_at_on_its_day():
    facts = owing(invoices=(Owed(DUE, 3000, awaited=(date(2026, 3, 17),)),))
    assert decide_access(facts, at(12)).review_at == at(17, 0)
    later = decide_access(facts, at(18))
    assert (later.level, later.review_at) == (AccessLevel.FULL, None)


def test_slower_comes_before_the_wall():
    facts = owing(invoices=(Owed(DUE, 3000, reduce_on=date(2026, 3, 14), wall_on=date(2026, 3, 17)),))
    assert decide_access(facts, at(12)).review_at == at(14, 0)
    slow = decide_access(facts, at(14, 0))
    assert (slow.level, slow.reasons, slow.review_at) == (AccessLevel.REDUCED, (Reason.DEBT_SLOWED,), at(17, 0))
    assert decide_access(facts, at(17, 0)).level == AccessLevel.WALLED


def test_the_oldest_notice_counts():
    facts = owing(invoices=(Owed(DUE, 3000, wall_on=date(2026, 3, 27)), Owed(DUE, 3000, wall_on=date(2026, 3, 20))))
    assert decide_access(facts, at(19)).review_at == at(20, 0)


def test_nobody_is_cut_off_outside_the_window_and_nobody_let_out_by_it():
    # the 17th is a Tuesday; Wednesday is a holiday, and cut-offs are between 9 and 16
    window = Window(frozenset({2, 6, 7}), frozenset({date(2026, 3, 18)}), time(9), time(16))
    facts = owing(window=window)
    assert decide_access(facts, at(12)).review_at == at(19, 9)
    assert decide_access(facts, at(19, 8, 59)).level == AccessLevel.FULL
    assert decide_access(facts, at(19, 9)).level == AccessLevel.WALLED
    late = decide_access(facts, at(19, 16))  # whoever was asleep at 9 waits for the next day
    assert (late.level, late.review_at) == (AccessLevel.FULL, at(20, 9))
    assert decide_access(owing(window=window, already=AccessLevel.WALLED), at(21)).level == AccessLevel.WALLED


def test_a_promise_or_an_exemption_holds_until_its_day():
    facts = owing(held_until=date(2026, 3, 24), already=AccessLevel.WALLED)
    held = decide_access(facts, at(20))
    assert (held.level, held.review_at) == (AccessLevel.FULL, at(24, 0))
    assert decide_access(facts, at(24, 0)).level == AccessLevel.WALLED


def test_who_may_have_paid_is_not_walled_in_but_who_is_walled_stays():
    facts = owing(doubt_until=at(18, 15))
    assert decide_access(facts, at(17)).review_at == at(18, 15)
    assert decide_access(facts, at(18, 15)).level == AccessLevel.WALLED
    assert decide_access(owing(doubt_until=at(18, 15), already=AccessLevel.WALLED), at(17)).level == AccessLevel.WALLED


def test_less_than_the_minimum_takes_nothing_away():
    invoices = (Owed(DUE, 300, wall_on=date(2026, 3, 17)), Owed(date(2026, 3, 25), 700))
    facts = owing(invoices=invoices, enough_since=None)
    assert (decide_access(facts, at(31)).level, decide_access(facts, at(31)).review_at) == (AccessLevel.FULL, None)
    facts = owing(invoices=invoices, enough_since=date(2026, 3, 25))
    assert decide_access(facts, at(20)).review_at == at(26, 0)
    assert decide_access(facts, at(26, 0)).level == AccessLevel.WALLED


def test_a_wall_stays_when_the_debt_falls_below_the_minimum_by_itself():
    notice = date(2026, 3, 17)
    facts = owing(enough_since=None, already=AccessLevel.WALLED)
    assert decide_access(facts, at(20)).level == AccessLevel.WALLED
    assert decide_access(owing(enough_since=None, already=AccessLevel.REDUCED), at(20)).level == AccessLevel.FULL
    slow = owing(invoices=(Owed(DUE, 1, reduce_on=notice),), enough_since=None, already=AccessLevel.REDUCED)
    assert decide_access(slow, at(20)).level == AccessLevel.REDUCED
    before = owing(invoices=(Owed(DUE, 1, wall_on=notice, walled=True),), enough_since=None)  # a promise let it out
    assert decide_access(before, at(20)).level == AccessLevel.WALLED


def test_a_notice_that_has_lapsed_takes_nothing_away_but_keeps_what_it_took():
    lapsed = (Owed(DUE, 3000, wall_on=date(2026, 3, 17), lapsed=frozenset({"wall_on"})),)
    assert decide_access(owing(invoices=lapsed), at(20)).level == AccessLevel.FULL
    assert decide_access(owing(invoices=lapsed, already=AccessLevel.WALLED), at(20)).level == AccessLevel.WALLED


def test_a_fee_that_has_to_be_paid_first_keeps_the_wall():
    facts = owing(invoices=(), demanded=True, already=AccessLevel.WALLED)
    assert decide_access(facts, at(20)).reasons == (Reason.DEBT,)
    assert (
        decide_access(owing(invoices=(), demanded=True, held_until=date(2026, 3, 24)), at(20)).level == AccessLevel.FULL
    )


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


MARCH = Period(date(2026, 3, 1), date(2026, 4, 1))


def test_a_cap_holds_from_the_byte_that_reaches_it_to_the_local_midnight_of_the_next_period():
    below = replace(FINE, usage=Usage(MARCH, 500, 499, AccessLevel.REDUCED))
    reached = replace(FINE, usage=Usage(MARCH, 500, 500, AccessLevel.REDUCED))
    end = datetime(2026, 3, 31, 22, 0, tzinfo=UTC)  # summer time began on the 29th
    full = decide_access(below, at(20))
    assert (full.level, full.reasons, full.review_at) == (AccessLevel.FULL, (), end)
    slow = decide_access(reached, at(20))
    assert (slow.level, slow.reasons, slow.review_at) == (AccessLevel.REDUCED, (Reason.CAP_REACHED,), end)
    assert decide_access(reached, end).level == AccessLevel.FULL
    assert decide_access(reached, end - timedelta(microseconds=1)).level == AccessLevel.REDUCED


def test_a_cap_walls_in_or_only_warns_as_the_plan_says():
    over = Usage(MARCH, 500, 700, AccessLevel.WALLED)
    assert decide_access(replace(FINE, usage=over), at(20)).level == AccessLevel.WALLED
    warned = decide_access(replace(FINE, usage=replace(over, level=AccessLevel.FULL)), at(20))
    assert (warned.level, warned.reasons) == (AccessLevel.FULL, ())
    both = decide_access(replace(owing(), usage=replace(over, level=AccessLevel.REDUCED)), at(20))
    assert both.reasons == (Reason.DEBT, Reason.CAP_REACHED)


def test_all_reasons_are_told_worst_first():
    decision = decide_access(replace(owing(), staff_order="blocked"), at(20))
    assert decision.reasons == (Reason.STAFF_BLOCKED, Reason.DEBT)


dates = st.dates(date(2026, 1, 1), date(2027, 12, 31))
maybe = st.none() | dates
owed = st.builds(
    Owed,
    due_on=dates,
    open=st.integers(1, 10_000),
    reduce_on=maybe,
    wall_on=maybe,
    awaited=st.lists(dates, max_size=2).map(tuple),
    lapsed=st.frozensets(st.sampled_from(["reduce_on", "wall_on"])),
    walled=st.booleans(),
)
windows = st.builds(
    Window,
    weekdays_off=st.frozensets(st.integers(1, 7), max_size=6),
    holidays=st.frozensets(dates, max_size=5),
    opens=st.sampled_from([time(0), time(8), time(9, 30)]),
    closes=st.sampled_from([None, time(10), time(16)]),
)
instants = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))
debts = st.builds(
    Debt,
    invoices=st.lists(owed, max_size=3).map(tuple),
    already=st.sampled_from([AccessLevel.FULL, AccessLevel.REDUCED, AccessLevel.WALLED]),
    enough_since=st.none() | st.just(date.min) | dates,
    window=windows,
    held_until=maybe,
    doubt_until=st.none() | instants,
    demanded=st.booleans(),
)
usages = st.builds(
    Usage,
    period=st.tuples(dates, st.integers(1, 400)).map(lambda each: Period(each[0], each[0] + timedelta(days=each[1]))),
    cap=st.integers(1, 1000),
    used=st.integers(0, 1500),
    level=st.sampled_from([AccessLevel.FULL, AccessLevel.REDUCED, AccessLevel.WALLED]),
)
facts_strategy = st.builds(
    Facts,
    service_id=st.just(1),
    starts_on=dates,
    ends_on=maybe,
    staff_order=st.sampled_from(["none", "suspended", "blocked"]),
    zone=st.sampled_from([PARIS, ZoneInfo("America/Santiago"), ZoneInfo("Pacific/Auckland"), ZoneInfo("UTC")]),
    debt=st.none() | debts,
    usage=st.none() | usages,
    prepaid=st.booleans(),
    paid_until=st.none() | instants,
)


def remembered(facts: Facts, decision: Decision) -> Facts:
    """The facts as they are loaded once a decision stands: what debt has brought the service to is known."""
    if facts.debt is None:
        return facts
    return replace(facts, debt=replace(facts.debt, already=reached([reason.value for reason in decision.reasons])))


@given(facts_strategy, instants)
def test_nothing_changes_before_the_review(facts, now):
    decision = decide_access(facts, now)
    facts = remembered(facts, decision)
    end = decision.review_at or now + timedelta(days=900)
    assert end > now
    for part in (0.001, 0.5, 0.999):
        later = decide_access(facts, now + (end - now) * part)
        assert (later.level, later.reasons) == (decision.level, decision.reasons)


@given(debts, instants, st.lists(st.timedeltas(timedelta(0), timedelta(days=60)), max_size=8))
def test_debt_that_only_ages_never_raises_access(debt, now, steps):
    facts = replace(FINE, starts_on=date(2020, 1, 1), debt=replace(debt, held_until=None))
    facts = remembered(facts, decide_access(facts, now))
    level = decide_access(facts, now).level
    for step in steps:
        now += step
        decision = decide_access(facts, now)
        assert decision.level >= level
        level, facts = decision.level, remembered(facts, decision)


@given(facts_strategy, instants)
def test_full_exactly_when_there_is_no_reason(facts, now):
    decision = decide_access(facts, now)
    assert (decision.level == AccessLevel.FULL) == (decision.reasons == ())


@given(facts_strategy, instants)
def test_paying_never_makes_it_worse_and_debt_never_better(facts, now):
    paid = decide_access(replace(facts, debt=None), now)
    long_ago = local_date(now, facts.zone) - timedelta(days=100)
    owing = decide_access(replace(facts, debt=Debt((Owed(long_ago, 1, wall_on=long_ago),))), now)
    assert paid.level <= decide_access(facts, now).level
    assert paid.level <= owing.level
    assert not {Reason.DEBT, Reason.DEBT_SLOWED} & set(paid.reasons)
    assert Reason.DEBT in owing.reasons


@given(windows, instants, st.sampled_from([PARIS, ZoneInfo("Pacific/Auckland")]))
def test_the_window_opens_at_the_first_instant_that_it_allows(window, instant, zone):
    opens = window.next_open(instant, zone)
    assert opens >= instant
    assert window.allows(local_date(opens, zone))
    assert window.next_open(opens, zone) == opens
    if opens > instant:
        just_before = opens - timedelta(microseconds=1)
        assert window.next_open(just_before, zone) == opens


@given(facts_strategy, usages, instants, st.integers(0, 1000))
def test_using_more_never_raises_access_and_a_new_period_begins_without_it(facts, usage, now, more):
    before = decide_access(replace(facts, usage=usage), now)
    assert decide_access(replace(facts, usage=replace(usage, used=usage.used + more)), now).level >= before.level
    without = decide_access(replace(facts, usage=None), now)
    assert before.level >= without.level
    today = local_date(now, facts.zone)
    if not usage.period.start <= today < usage.period.end or usage.used < usage.cap:
        assert (before.level, before.reasons) == (without.level, without.reasons)
