"""The billing day of a subscriber changes: what was billed stays, a part leads to the new day, 31 stays 31."""

from datetime import date

import pytest
from sqlalchemy import select

from base.database import transaction
from base.tables import subscriber
from billing.billing_days import set_billing_day
from billing.changes import change_plan
from billing.ledger import check_books
from billing.refused import Refused
from billing.tables import invoice_line
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)


def put(provider: Provider, who: int, day: int | None):
    with transaction() as tx:
        return set_billing_day(tx, provider.vault, "staff:1", who, day)


def periods(service_id: int) -> list[tuple[str, str, int]]:
    with transaction() as tx:
        query = select(invoice_line).where(invoice_line.c.service_id == service_id, invoice_line.c.kind == "plan")
        rows = tx.execute(query.order_by(invoice_line.c.period_start)).all()
        assert check_books(tx) == []
    return [(f"{row.period_start:%d.%m}", f"{row.period_end:%d.%m}", row.amount_minor) for row in rows]


def test_two_services_come_to_the_same_day_by_parts(provider: Provider):
    provider.travel(noon(MARCH))
    anna = provider.subscriber()
    one, two = (provider.service(anna, provider.plan(3100), date(2026, 3, day)) for day in (1, 11))
    provider.live(MARCH, date(2026, 3, 12))
    assert periods(one) == [("01.03", "01.04", 3100)]
    assert sorted(put(provider, anna, 31).values()) == [  # the first 31st after it: April has none
        (date(2026, 4, 1), date(2026, 5, 31)),
        (date(2026, 4, 11), date(2026, 5, 31)),
    ]
    provider.live(date(2026, 3, 13), date(2026, 7, 1))
    # of the 31 days from 31 March to 30 April (30 days: to the 30th, which April has)
    assert periods(one)[1:] == [
        ("01.04", "30.04", 2997),
        ("30.04", "31.05", 3100),
        ("31.05", "30.06", 3100),
        ("30.06", "31.07", 3100),
    ]
    assert periods(two)[1:] == [
        ("11.04", "30.04", 1963),
        ("30.04", "31.05", 3100),
        ("31.05", "30.06", 3100),
        ("30.06", "31.07", 3100),
    ]


def test_a_planned_change_keeps_its_day_and_what_has_no_parts_stays(provider: Provider):
    provider.travel(noon(MARCH))
    anna = provider.subscriber()
    home = provider.service(anna, provider.plan(3100), MARCH)
    whole = provider.service(anna, provider.plan(3100, prorated=False), MARCH)
    provider.live(MARCH, MARCH)
    with transaction() as tx:
        change_plan(tx, provider.vault, "staff:1", home, provider.plan(6000), at_boundary=True)
    found = put(provider, anna, 15)
    assert sorted(value is None for value in found.values()) == [False, True]
    provider.live(date(2026, 3, 2), date(2026, 4, 20))
    assert periods(home) == [("01.03", "01.04", 3100), ("01.04", "15.04", 2710), ("15.04", "15.05", 6000)]
    assert periods(whole) == [("01.03", "01.04", 3100), ("01.04", "01.05", 3100)]


def test_a_day_that_is_none_is_refused_and_own_gives_new_services_their_own(provider: Provider):
    provider.travel(noon(MARCH))
    anna = provider.subscriber()
    with pytest.raises(Refused, match="1 to 31"):
        put(provider, anna, 32)
    put(provider, anna, 5)
    put(provider, anna, None)
    with transaction() as tx:
        assert tx.scalar(select(subscriber.c.billing_day).where(subscriber.c.id == anna)) is None
    home = provider.service(anna, provider.plan(3100), date(2026, 3, 11))
    provider.live(MARCH, date(2026, 3, 12))
    assert periods(home) == [("11.03", "11.04", 3100)]
