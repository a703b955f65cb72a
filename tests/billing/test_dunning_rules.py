"""What a case comes to, purely: lapsed notices, what is looked at when, fees in currencies of all kinds."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.money import Money
from billing.dunning.policy import MESSAGES, STANDARD, TAKING, Fee, Policy, Step
from billing.dunning.rules import (
    Case,
    Notice,
    enough_since,
    late_fee,
    look_on,
    lost_notices,
    mark_lapsed,
    named_date,
    next_step,
    outlook,
)

DUE = date(2026, 3, 15)
SLOWER = (Step(3, "reminder_1"), Step(8, "reduce"), Step(14, "final_notice"), Step(21, "wall"), Step(60, "end"))
PLAIN = Policy(1, "standard", "EUR", STANDARD)


def case(minor: int = 3000, due_on: date = DUE, currency: str = "EUR", **more: object) -> Case:
    money = Money(minor, currency)
    return Case(1, "INV-1", due_on, money, money, **more)


def notice(act: str, on: date, told: date | None, in_time: bool = True) -> Notice:
    return Notice(act, on, f"{act}:1", told, in_time)


@pytest.mark.parametrize(
    ("currency", "open_minor", "flat", "percent", "minor"),
    [
        ("JPY", 5501, 500, "0", 500),
        ("JPY", 5501, 500, "10", 550),  # 550.1 yen; there is nothing smaller than a yen
        ("JPY", 5505, 0, "10", 551),  # 550.5, half away from nothing
        ("JPY", 4000, 500, "10", 500),
        ("KWD", 12345, 1500, "0", 1500),
        ("KWD", 12345, 1000, "10", 1235),  # 1.2345 dinar
        ("KWD", 12345, 1500, "10", 1500),
        ("KWD", 3, 0, "10", 0),  # less than half a fils is no fee
        ("EUR", 3599, 0, "2.5", 90),
    ],
)
def test_a_fee_is_flat_a_percentage_or_the_greater_in_currencies_of_all_decimals(
    currency: str, open_minor: int, flat: int, percent: str, minor: int
):
    policy = replace(PLAIN, currency=currency)
    found = late_fee(policy, Fee(flat, Decimal(percent)), case(open_minor, currency=currency))
    assert found == Money(minor, currency)


def test_who_pays_in_another_currency_is_charged_no_flat_fee():
    assert late_fee(PLAIN, Fee(500, Decimal(10)), case(5000, currency="JPY")) == Money(500, "JPY")
    assert late_fee(PLAIN, Fee(500), case(5000, currency="JPY")) == Money(0, "JPY")


def test_a_notice_lapses_when_what_it_told_of_is_no_longer_the_minimum():
    told, wall = date(2026, 3, 29), date(2026, 4, 5)
    first = case(2000, notices={"wall": notice("wall", wall, told)})
    later = replace(case(2000, due_on=date(2026, 4, 3)), invoice_id=2)
    assert enough_since((first, later), 2000) == DUE
    assert enough_since((first, later), 3000) == date(2026, 4, 3)
    assert enough_since((first, later), 4001) is None
    assert mark_lapsed((first, later), 2000)[0].notices["wall"].holds
    assert not mark_lapsed((first, later), 3000)[0].notices["wall"].holds
    assert not mark_lapsed((first,), 3000)[0].notices["wall"].holds
    walled = replace(first, walled_on=wall)
    assert mark_lapsed((walled,), 3000)[0].notices["wall"].holds
    again = mark_lapsed(mark_lapsed((first, later), 3000), 2000)  # as a change of policy looks at it
    assert again[0].notices["wall"].holds
    assert (wall, "wall") in outlook(PLAIN, first, date(2026, 4, 10))  # a weekend, or the hours were over
    assert (wall, "wall") not in outlook(PLAIN, walled, date(2026, 4, 10))
    assert outlook(PLAIN, mark_lapsed((first,), 3000)[0], date(2026, 4, 1))[0] == (date(2026, 4, 1), "due_notice")


days = st.integers(0, 90).map(lambda ahead: DUE + timedelta(days=ahead))


@st.composite
def cases(draw: st.DrawFn, policy: Policy, today: date) -> Case:
    acts = [step.act for step in policy.steps]
    taken = {act: DUE for act in acts if act in (*MESSAGES, "end") and draw(st.booleans())}
    taken = {act: draw(days.filter(lambda day: day <= today)) for act in taken}
    notices = {}
    for act in acts:
        if act in TAKING and draw(st.booleans()):
            told = draw(st.none() | days.filter(lambda day: day <= today))
            on_time = told is not None and draw(st.booleans())
            back = told is None and draw(st.booleans())
            notices[act] = Notice(act, draw(days), f"{act}:1", told, on_time, returned=back, lapsed=draw(st.booleans()))
    return case(due_on=draw(days), taken=taken, notices=notices)


@given(st.data(), st.sampled_from([PLAIN, replace(PLAIN, steps=SLOWER), replace(PLAIN, steps=SLOWER, notice_days=0)]))
def test_before_the_day_that_was_noted_there_is_nothing_to_look_at(data, policy):
    today = data.draw(days)
    found = data.draw(cases(policy, today))
    if next_step(policy, found, today) or lost_notices(policy, found, today):
        return  # something is done, and it is looked at tomorrow
    look = look_on(policy, found, today)
    assert look > today
    for ahead in range(1, min((look - today).days, 120)):
        day = today + timedelta(days=ahead)
        assert next_step(policy, found, day) is None, day
        assert lost_notices(policy, found, day) == [], day


def test_one_letter_names_each_step_as_far_apart_as_the_policy_has_them():
    steps = (Step(6, "final_notice"), Step(11, "reduce"), Step(13, "wall"), Step(60, "end"))
    policy = Policy(1, "close", "EUR", steps)
    case = Case(1, "INV-1", date(2026, 3, 1), Money(3599, "EUR"), Money(3599, "EUR"))

    def named(today: date) -> list[date]:
        found: dict[str, date] = {}
        for step in policy.steps[1:]:
            found[step.act] = named_date(policy, case, step, today, found)
        return list(found.values())

    assert named(date(2026, 3, 7)) == [date(2026, 3, 12), date(2026, 3, 14), date(2026, 4, 30)]
    # months late: not all on one day
    assert named(date(2026, 6, 1)) == [date(2026, 6, 6), date(2026, 6, 8), date(2026, 6, 13)]
