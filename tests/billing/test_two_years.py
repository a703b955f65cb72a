"""Two years, day by day, through every cycle, month end, the leap day and both changes of the clock.

What each service is billed is worked out by hand below; the provider lives in Paris, and the run comes half an hour
after its midnight, which is the day before in UTC.
"""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update

from base.calendar import Cycle
from base.database import transaction
from base.money import Money
from base.tables import service, subscriber
from billing.invoices import issue_due
from billing.ledger import check_books
from billing.plans import add_plan
from billing.tables import invoice, invoice_line
from tests.billing.provider import Provider, noon

PARIS = ZoneInfo("Europe/Paris")
FIRST, LAST = date(2027, 1, 31), date(2029, 1, 31)  # 2028 has a leap day

# of each service: boundaries of its periods, worked out by hand; each period costs 31.00
THE_31ST = (
    "2027-01-31 2027-02-28 2027-03-31 2027-04-30 2027-05-31 2027-06-30 2027-07-31 2027-08-31 2027-09-30 2027-10-31 "
    "2027-11-30 2027-12-31 2028-01-31 2028-02-29 2028-03-31 2028-04-30 2028-05-31 2028-06-30 2028-07-31 2028-08-31 "
    "2028-09-30 2028-10-31 2028-11-30 2028-12-31 2029-01-31 2029-02-28"
)
QUARTERS = (
    "2027-01-31 2027-04-30 2027-07-31 2027-10-31 2028-01-31 2028-04-30 2028-07-31 2028-10-31 2029-01-31 2029-04-30"
)
HALVES = "2027-01-31 2027-07-31 2028-01-31 2028-07-31 2029-01-31 2029-07-31"
YEARS = "2027-01-31 2028-01-31 2029-01-31 2030-01-31"
THE_15TH = (  # a billing day of its own: first 15 of the 31 days from 15 January
    "2027-01-31 2027-02-15 2027-03-15 2027-04-15 2027-05-15 2027-06-15 2027-07-15 2027-08-15 2027-09-15 2027-10-15 "
    "2027-11-15 2027-12-15 2028-01-15 2028-02-15 2028-03-15 2028-04-15 2028-05-15 2028-06-15 2028-07-15 2028-08-15 "
    "2028-09-15 2028-10-15 2028-11-15 2028-12-15 2029-01-15 2029-02-15"
)


def days(text: str) -> list[date]:
    return [date.fromisoformat(word) for word in text.split()]


def every(step: int) -> list[date]:
    """The first day, and then always so many days later."""
    found = [FIRST]
    while found[-1] <= LAST:
        found.append(found[-1] + timedelta(days=step))
    return found


@pytest.fixture
def lines(provider: Provider) -> dict[int, str]:
    """A service of each cycle, from the 31st of January 2027 on: names by ids."""
    provider.set(time_zone="Europe/Paris", invoice_per="service")
    provider.travel(noon(FIRST - timedelta(days=2)))
    cycles = {
        "month": Cycle("month", 1),
        "quarter": Cycle("month", 3),
        "half": Cycle("month", 6),
        "year": Cycle("month", 12),
        "week": Cycle("week", 1),
        "ten days": Cycle("day", 10),
        "arrears": Cycle("month", 1),
        "billing day": Cycle("month", 1),
    }
    found = {}
    for name, cycle in cycles.items():
        who = provider.subscriber(name)
        with transaction() as tx:
            if name == "billing day":
                tx.execute(update(subscriber).where(subscriber.c.id == who).values(billing_day=15))
            plan_id = add_plan(
                tx, "system", name=name, price=Money(3100, "EUR"), cycle=cycle, rate_down=0, rate_up=0,
                in_arrears=name == "arrears",
            )  # fmt: skip
        found[provider.service(who, plan_id, FIRST)] = name
    return found


def test_two_years_of_every_cycle(provider: Provider, lines: dict[int, str]):
    day = FIRST - timedelta(days=2)
    while day <= LAST:
        half_past = datetime(day.year, day.month, day.day, 0, 30, tzinfo=PARIS).astimezone(UTC)
        issue_due(provider.travel(half_past))
        if day.day >= 25:  # at the ends of months, and on the nights of the clock
            assert issue_due(half_past + timedelta(hours=3)) == []
        day += timedelta(days=1)
    expected = {
        "month": days(THE_31ST),
        "arrears": days(THE_31ST)[:-1],
        "quarter": days(QUARTERS),
        "half": days(HALVES),
        "year": days(YEARS),
        "week": every(7),
        "ten days": every(10),
        "billing day": days(THE_15TH),
    }
    billed: dict[str, list[tuple[date, date, int, date]]] = {name: [] for name in expected}
    with transaction() as tx:
        query = select(invoice_line, invoice.c.issued_on).join(invoice).order_by(invoice_line.c.period_start)
        for row in tx.execute(query):
            billed[lines[row.service_id]].append((row.period_start, row.period_end, row.amount_minor, row.issued_on))
        assert check_books(tx) == []
        until = dict(tx.execute(select(service.c.id, service.c.billed_until)).all())
    for name, boundaries in expected.items():
        periods = list(pairwise(boundaries))
        # in advance a day before its first day, in arrears on the first day after it
        wanted = [(start, end, 3100, end if name == "arrears" else start - timedelta(days=1)) for start, end in periods]
        if name == "billing day":
            wanted[0] = (*wanted[0][:2], 1500, wanted[0][3])
        wanted = [each for each in wanted if each[3] <= LAST]
        assert billed[name] == wanted, name
        assert until[next(key for key, value in lines.items() if value == name)] == wanted[-1][1]
