"""Revenue by the day: the shares of a line sum to it, and the query says what the pure function says."""

from datetime import date, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from base.business import load_business
from base.calendar import Period
from base.database import transaction
from base.money import Money
from billing.credit_notes import credit_invoice
from billing.earned import Line, earned_before
from billing.earnings import earned_between, unearned_before
from billing.invoices import issue_due
from billing.tables import invoice_line
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)
DAYS = st.dates(date(2024, 1, 1), date(2026, 12, 31))


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


@st.composite
def lines(draw) -> Line:
    start = draw(DAYS)
    period = draw(st.none() | st.integers(1, 400).map(lambda days: Period(start, start + timedelta(days=days))))
    return Line(eur(draw(st.integers(-10_000_000, 10_000_000))), draw(DAYS), period, draw(st.booleans()))


@given(lines(), st.lists(DAYS, min_size=1, max_size=6, unique=True).map(sorted))
def test_the_parts_of_a_line_sum_to_the_whole_wherever_it_is_cut(line: Line, cuts: list[date]):
    edges = [date(2020, 1, 1), *cuts, date(2030, 1, 1)]
    parts = [earned_before(line, after).minor - earned_before(line, before).minor for before, after in pairwise(edges)]
    assert sum(parts) == line.net.minor
    assert all(part * line.net.minor >= 0 for part in parts)  # nothing is earned backwards


def test_a_line_is_earned_by_its_days_and_without_days_when_it_is_issued():
    month = Line(eur(3100), date(2026, 2, 28), Period(MARCH, date(2026, 4, 1)))
    assert [earned_before(month, date(2026, 3, day)).minor for day in (1, 2, 11, 31)] == [0, 100, 1000, 3000]
    assert earned_before(month, date(2026, 5, 1)) == eur(3100)
    visit = Line(eur(500), MARCH)
    assert [earned_before(visit, day).minor for day in (MARCH, date(2026, 3, 2))] == [0, 500]
    odd = Line(eur(100), MARCH, Period(MARCH, date(2026, 3, 4)))
    assert [earned_before(odd, date(2026, 3, day)).minor for day in (2, 3, 4)] == [33, 67, 100]


def test_a_credit_takes_days_gone_by_on_its_own_day_and_days_to_come_from_those():
    back = Line(eur(-3100), date(2026, 3, 11), Period(MARCH, date(2026, 4, 1)), takes_back=True)
    assert [earned_before(back, date(2026, 3, day)).minor for day in (2, 11, 12, 13)] == [0, 0, -1100, -1200]
    assert earned_before(back, date(2026, 4, 1)) == eur(-3100)


def test_earned_and_unearned_of_invoices_and_credit_notes(provider: Provider):
    provider.set(issue_days_before=10)
    anna = provider.subscriber()
    provider.service(anna, provider.plan(price=3100), MARCH)
    provider.service(anna, provider.plan(price=3000, tax="5", in_arrears=True), MARCH)
    (issued,) = issue_due(noon(date(2026, 2, 20)))
    standard, reduced = _classes()
    with transaction() as tx:
        assert unearned_before(tx, date(2026, 2, 20)) == {}  # not invoiced yet
        assert unearned_before(tx, MARCH) == {(standard, "EUR"): eur(3100)}
        assert unearned_before(tx, date(2026, 3, 11)) == {(standard, "EUR"): eur(2100)}
        assert earned_between(tx, MARCH, date(2026, 3, 11)) == {(standard, "EUR"): eur(1000)}
    issue_due(noon(date(2026, 4, 1)))  # in arrears, it was earned in March all the same
    with transaction() as tx:
        assert earned_between(tx, MARCH, date(2026, 4, 1)) == {
            (standard, "EUR"): eur(3100),
            (reduced, "EUR"): eur(3000),
        }
        (line,) = tx.scalars(select(invoice_line.c.id).where(invoice_line.c.invoice_id == issued))
        business, now = load_business(tx, provider.vault), noon(date(2026, 4, 2))
        credit_invoice(tx, provider.vault, business, "staff:1", issued, "Outage", now, {line: eur(310)})
        assert earned_between(tx, MARCH, date(2026, 4, 1))[standard, "EUR"] == eur(3100)  # March stays as it was
        april = earned_between(tx, date(2026, 4, 1), date(2026, 4, 3))[standard, "EUR"]
        assert april == eur(2 * 103 + 1 - 310)  # two days of 31.00 in 30, less what was given back


def _classes() -> list[int]:
    from base.offers import tax_class

    with transaction() as tx:
        return list(tx.scalars(select(tax_class.c.id).order_by(tax_class.c.id)))
