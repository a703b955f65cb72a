"""How debts are spread over days, what is due of them, when a plan breaks, and which debt money pays."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.money import Money, total
from billing.allocation import Agreed, OpenInvoice, allocate
from billing.instalments.rules import Part, breaks_on, due_by, later_than, left_of, next_part, spread

MARCH = date(2026, 3, 1)
currencies = st.sampled_from(["EUR", "JPY", "KWD"])
days = st.dates(date(2026, 1, 1), date(2027, 12, 31))


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


@st.composite
def plans(draw: st.DrawFn) -> tuple[Part, ...]:
    amounts = draw(st.lists(st.integers(1, 9999), min_size=2, max_size=8))
    gaps = draw(st.lists(st.integers(1, 60), min_size=len(amounts), max_size=len(amounts)))
    ends = [MARCH + timedelta(days=sum(gaps[: index + 1])) for index in range(len(gaps))]
    return tuple(Part(day, eur(minor)) for day, minor in zip(ends, amounts, strict=True))


def whole(parts: tuple[Part, ...]) -> int:
    return sum(each.amount.minor for each in parts)


@given(st.integers(0, 10**9), st.integers(1, 36), currencies, days, st.none() | st.integers(1, 90))
def test_the_parts_sum_to_what_they_spread(minor: int, count: int, currency: str, first: date, every: int | None):
    parts = spread(Money(minor, currency), count, first, every)
    assert total((each.amount for each in parts), currency) == Money(minor, currency)
    sizes = [each.amount.minor for each in parts]
    assert max(sizes) - min(sizes) <= 1
    dates = [each.due_on for each in parts]
    assert dates[0] == first
    assert dates == sorted(set(dates))


def test_months_are_counted_from_the_first_day():
    found = [each.due_on for each in spread(eur(100), 3, date(2026, 1, 31))]
    assert found == [date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31)]
    assert [each.amount.minor for each in spread(eur(100), 3, MARCH)] == [34, 33, 33]
    with pytest.raises(ValueError, match="one part at least"):
        spread(eur(100), 0, MARCH)


@given(plans(), st.integers(0, 99999), days)
def test_what_is_left_of_the_parts_is_what_is_open(parts: tuple[Part, ...], open_minor: int, day: date):
    left = left_of(parts, eur(open_minor))
    assert sum(each.minor for each in left) == open_minor
    assert all(each.minor >= 0 for each in left)
    assert all(rest <= part.amount for part, rest in list(zip(parts, left, strict=True))[1:])
    due = due_by(parts, eur(open_minor), day)
    assert 0 <= due.minor <= open_minor
    if any(each.due_on <= day for each in parts):
        assert due.minor == sum(rest.minor for part, rest in zip(parts, left, strict=True) if part.due_on <= day)
    place = next_part(parts, eur(open_minor))
    assert (place is None) == (open_minor == 0)
    assert place is None or not any(each.minor for each in left[:place])


@given(plans(), st.data(), st.integers(0, 20))
def test_a_plan_breaks_when_the_first_unpaid_part_is_too_late_and_money_never_brings_that_forward(
    parts: tuple[Part, ...], data: st.DataObject, grace: int
):
    open_minor = data.draw(st.integers(1, whole(parts)))
    paid = data.draw(st.integers(1, open_minor))
    before, after = breaks_on(parts, eur(open_minor), grace), breaks_on(parts, eur(open_minor - paid), grace)
    assert before is not None
    assert (after is None) == (paid == open_minor)
    assert after is None or after >= before
    last_in_time = before - timedelta(days=grace + 1)
    assert due_by(parts, eur(open_minor), last_in_time).minor > 0
    assert due_by(parts, eur(open_minor), last_in_time - timedelta(days=1)).minor == 0


@given(plans(), st.integers(0, 20))
def test_whoever_pays_each_part_on_its_day_keeps_the_plan(parts: tuple[Part, ...], grace: int):
    open_now = eur(whole(parts))
    for each in parts:
        breaks = breaks_on(parts, open_now, grace)
        assert breaks is not None
        assert each.due_on < breaks
        assert due_by(parts, open_now, each.due_on) == each.amount
        open_now = open_now - due_by(parts, open_now, each.due_on)
    assert breaks_on(parts, open_now, grace) is None


invoices = st.lists(st.tuples(st.integers(1, 5000), st.booleans(), st.integers(1, 28)), min_size=1, max_size=6)


@given(invoices, st.integers(1, 20000), st.integers(0, 20000), st.sets(st.integers(1, 6), max_size=2))
def test_money_pays_what_is_named_then_the_part_that_is_due_then_the_rest_then_parts_to_come(
    debts: list[tuple[int, bool, int]], minor: int, later: int, named: set[int]
):
    open_now = [
        OpenInvoice(number, f"INV-{number}", date(2026, 3, day), eur(size), eur(size))
        for number, (size, _, day) in enumerate(debts, 1)
    ]
    planned = frozenset(number for number, (_, is_planned, _) in enumerate(debts, 1) if is_planned)
    agreed = Agreed(planned, eur(later))
    paid = dict(allocate(eur(minor), open_now, named, agreed))
    got = {each.id: paid.get(each.id, eur(0)).minor for each in open_now}
    owed = {each.id: each.open.minor for each in open_now}
    assert all(0 <= got[key] <= owed[key] for key in owed)
    assert sum(got.values()) == min(minor, sum(owed.values()))  # nothing is left lying while something is open
    others = [key for key in owed if key not in planned and key not in named]
    if any(got[key] < owed[key] for key in named & owed.keys()):
        assert all(not got[key] for key in owed if key not in named)
    left_of_plan = sum(owed[key] - got[key] for key in planned)
    if any(got[key] for key in others):
        assert left_of_plan <= later  # what is due of the plan was paid before
    if any(got[key] < owed[key] for key in others):
        spent_on_plan = sum(got[key] for key in planned)
        due = max(0, sum(owed[key] for key in planned) - later)
        assert spent_on_plan <= max(due, sum(got[key] for key in planned & named))
    assert allocate(eur(minor), open_now, named) == allocate(eur(minor), open_now, named, None)


def test_what_waits_for_later_days():
    parts = spread(eur(300), 3, MARCH)
    assert later_than(parts, MARCH, "EUR") == eur(200)
    assert later_than(parts, date(2026, 2, 28), "EUR") == eur(300)
