"""What is odd about a bill: named when it is, and not when a part of a period or another plan explains it."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from base.calendar import Period
from base.money import Money
from billing.anomalies import Before, Bill, Limits, Line, Payer, Severity, Unbilled, judge, never_billed

LIMITS = Limits(percent=50, least=200)
JANUARY = Period(date(2026, 1, 1), date(2026, 2, 1))
FEBRUARY = Period(date(2026, 2, 1), date(2026, 3, 1))
ANNA = Payer(7, "Anna", reachable=True, unchecked=False)


def eur(minor):
    return Money(minor, "EUR")


def line(minor, days=FEBRUARY, text="Home (line1)", whole=None, product=None, **more):
    return Line("plan" if product is None else "product", 1, product, text, eur(minor), days, whole or days, **more)


def charge(minor, day, text="Visit"):
    return Line("one_off", 1, None, text, eur(minor), None, on_day=day)


def found(lines, last=(), covered=None, charges=(), payer=ANNA, total=None):
    before = Before({each.key: each for each in last}, covered or {}, {7: list(charges)})
    amount = eur(sum(each.amount.minor for each in lines) if total is None else total)
    return judge(Bill(payer, tuple(lines), amount), before, LIMITS, lambda money: f"{money.minor}")


def kinds(*args, **more):
    return [each.kind for each in found(*args, **more)]


def test_a_price_that_jumped_is_named_with_both_prices():
    (odd,) = found([line(29900)], [line(2990, JANUARY)])
    assert (odd.kind, odd.severity, odd.subscriber_id, odd.amount) == ("jump", Severity.SEVERE, 7, eur(26910))
    assert odd.sentence == "Home (line1) costs 29900 for a whole period, and 2990 the last time."
    assert kinds([line(299)], [line(2990, JANUARY)]) == ["jump"]


def test_limits_are_both_to_be_passed():
    assert kinds([line(4485)], [line(2990, JANUARY)]) == []  # exactly half more
    assert kinds([line(4486)], [line(2990, JANUARY)]) == ["jump"]
    assert kinds([line(300)], [line(100, JANUARY)]) == []  # three times as much, and next to nothing
    assert kinds([line(301)], [line(100, JANUARY)]) == ["jump"]


def test_what_explains_itself_is_not_named():
    part = Period(date(2026, 1, 30), date(2026, 2, 1))
    assert kinds([line(2990)], [line(193, part, whole=JANUARY)]) == []
    assert kinds([line(6500, text="Pro (line1)")], [line(2990, JANUARY)]) == []
    assert kinds([line(2990), line(5000, product=3, text="Router (line1)")], [line(2990, JANUARY)]) == []
    assert kinds([line(2990, part, whole=JANUARY, by_day=False)], [line(2990, JANUARY)]) == []
    off = Line("discount", 1, None, "Loyal", eur(-2990), JANUARY)
    assert kinds([line(2990), off], [line(2990, JANUARY)], total=1) == []


@given(st.integers(500, 100_000), st.integers(0, 30), st.integers(1, 31))
def test_a_part_of_a_period_is_never_a_jump(price, start, length):
    end = min(start + length, 31)
    if start == end:
        return
    days = Period(date(2026, 1, 1 + start), date(2026, 2, 1) if end == 31 else date(2026, 1, 1 + end))
    share = eur(price).portion(days.days, 31)
    assert kinds([line(price)], [line(share.minor, days, whole=JANUARY)]) == []


def test_the_same_days_twice():
    later = Period(date(2026, 2, 15), date(2026, 3, 15))
    (odd,) = found([line(2990), line(2990, later)])
    assert (odd.kind, odd.severity, odd.amount) == ("duplicate", Severity.SEVERE, eur(2990))
    assert "2026-02-15 to 2026-02-28" in odd.sentence
    after = Period(date(2026, 3, 1), date(2026, 4, 1))
    assert kinds([line(2990), line(2990, after)]) == []
    assert kinds([line(300, product=1, text="Router (line1)"), line(300, product=2, text="Router (line1)")]) == [
        "duplicate"
    ]
    assert kinds([line(2990)], covered={(1, None): [Period(date(2026, 2, 27), date(2026, 2, 28))]}) == ["duplicate"]
    assert kinds([line(2990)], covered={(1, None): [JANUARY], (1, 4): [FEBRUARY]}) == []


def test_the_same_charge_twice():
    day = date(2026, 2, 10)
    assert kinds([charge(500, day), charge(500, day)]) == ["duplicate"]
    assert kinds([charge(500, day), charge(500, date(2026, 2, 18))]) == []
    assert kinds([charge(500, day), charge(501, day)]) == []
    assert kinds([charge(500, day)], charges=[charge(500, date(2026, 2, 3))]) == ["duplicate"]
    assert kinds([charge(500, day)], charges=[charge(500, date(2026, 2, 2))]) == []


def test_totals_and_payers():
    assert [(each.kind, each.severity) for each in found([], total=-1)] == [("negative", Severity.SEVERE)]
    assert [(each.kind, each.severity) for each in found([])] == [("empty", Severity.LIGHT)]
    odd = found([line(2990)], payer=Payer(7, "Anna", reachable=False, unchecked=True))
    assert [(each.kind, each.severity) for each in odd] == [
        ("unreachable", Severity.LIGHT),
        ("unchecked", Severity.LIGHT),
    ]


def test_a_service_that_was_never_billed():
    each = Unbilled(1, 7, "line1", date(2026, 1, 1), date(2026, 2, 1), eur(2990))
    assert never_billed(each, date(2026, 2, 2), 1, now=False) is None
    late = never_billed(each, date(2026, 2, 3), 1, now=False)
    assert late is not None
    assert (late.severity, late.sentence) == (
        Severity.SEVERE,
        "line1 has been active since 2026-01-01 and was never billed.",
    )
    first = never_billed(each, date(2026, 2, 3), 1, now=True)
    assert first is not None
    assert first.severity is Severity.LIGHT
    free = Unbilled(1, 7, "line1", date(2026, 1, 1), date(2026, 2, 1), eur(0))
    assert never_billed(free, date(2027, 2, 3), 1, now=False) is None
