"""Two years of prepaid: renewals at the minute through month ends, the leap day and four changes of the clock.

The ends are worked out by hand below, in UTC. Vienna is an hour ahead of it, two in summer: from 28 March to 31 October
2027, and from 26 March to 29 October 2028. Everybody begins at half past two in the night, a time that does not exist
when summer begins (it is 03:30 then, which is 01:30 UTC) and comes twice when it ends (the first is 00:30 UTC).
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from base import clock
from base.calendar import Cycle
from base.database import transaction
from base.money import Money
from base.tables import access_history, service
from billing.ledger import check_books
from billing.plans import add_plan
from billing.prepaid.redemption import redeem
from billing.prepaid.renewal import balance_of
from billing.prepaid.vouchers import add_batch, sell_batch, take_codes
from billing.tables import credit_note, invoice, open_item, posting
from billing.tick import renew_due
from tests.billing.provider import Provider

PRICE = 1200  # with 20 % tax in it: 10.00 and 2.00

# from 31 January 2027, 02:30
MONTHS = """
2027-02-28 01:30  2027-03-31 00:30  2027-04-30 00:30  2027-05-31 00:30  2027-06-30 00:30  2027-07-31 00:30
2027-08-31 00:30  2027-09-30 00:30  2027-10-31 00:30  2027-11-30 01:30  2027-12-31 01:30  2028-01-31 01:30
2028-02-29 01:30  2028-03-31 00:30  2028-04-30 00:30  2028-05-31 00:30  2028-06-30 00:30  2028-07-31 00:30
2028-08-31 00:30  2028-09-30 00:30  2028-10-31 01:30  2028-11-30 01:30  2028-12-31 01:30  2029-01-31 01:30
"""
# the same months, to the midnight with which these days begin
MIDNIGHTS = """
2027-02-27 23:00  2027-03-30 22:00  2027-04-29 22:00  2027-05-30 22:00  2027-06-29 22:00  2027-07-30 22:00
2027-08-30 22:00  2027-09-29 22:00  2027-10-30 22:00  2027-11-29 23:00  2027-12-30 23:00  2028-01-30 23:00
2028-02-28 23:00  2028-03-30 22:00  2028-04-29 22:00  2028-05-30 22:00  2028-06-29 22:00  2028-07-30 22:00
2028-08-30 22:00  2028-09-29 22:00  2028-10-30 23:00  2028-11-29 23:00  2028-12-30 23:00  2029-01-30 23:00
"""
# 28 days each from 28 February 2027, 02:30: both nights in which that does not exist are among them
FOUR_WEEKS = """
2027-03-28 01:30  2027-04-25 00:30  2027-05-23 00:30  2027-06-20 00:30  2027-07-18 00:30  2027-08-15 00:30
2027-09-12 00:30  2027-10-10 00:30  2027-11-07 01:30  2027-12-05 01:30  2028-01-02 01:30  2028-01-30 01:30
2028-02-27 01:30  2028-03-26 01:30  2028-04-23 00:30  2028-05-21 00:30  2028-06-18 00:30  2028-07-16 00:30
2028-08-13 00:30  2028-09-10 00:30  2028-10-08 00:30  2028-11-05 01:30  2028-12-03 01:30  2028-12-31 01:30
2029-01-28 01:30
"""
# money for three months; a voucher on 10 May 2027 at 10:15:20, one for two months on 31 January 2028 at 13:00
VOUCHERS = """
2027-02-28 01:30  2027-03-31 00:30  2027-04-30 00:30  2027-06-10 08:16  2028-02-29 12:00  2028-03-31 11:00
"""


def ends(table: str) -> list[datetime]:
    words = table.split()
    return [datetime.fromisoformat(f"{day} {time}+00:00") for day, time in zip(words[::2], words[1::2], strict=True)]


BEGIN, FEBRUARY = datetime(2027, 1, 31, 1, 29, 40, tzinfo=UTC), datetime(2027, 2, 28, 1, 29, 40, tzinfo=UTC)
MAY, JANUARY = datetime(2027, 5, 10, 8, 15, 20, tzinfo=UTC), datetime(2028, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def isp(provider: Provider) -> Provider:
    provider.set(time_zone="Europe/Vienna")
    provider.travel(BEGIN)
    return provider


def sold(isp: Provider, cycle: Cycle, **more: Any) -> int:
    with transaction() as tx:
        return add_plan(
            tx, "system", name=f"Pre {next(isp.numbers)}", price=Money(PRICE, "EUR"), cycle=cycle, tax_percent="20",
            price_inclusive=True, prepaid=True, rate_down=0, rate_up=0, **more,
        )  # fmt: skip


def begin(isp: Provider, plan_id: int, periods: int) -> int:
    """A service from today on, of somebody who brings money for so many periods."""
    who = isp.subscriber()
    made = isp.service(who, plan_id, clock.now().date())
    isp.pay(who, PRICE * periods)
    return made


def card(isp: Provider, value: int, now: datetime) -> str:
    with transaction() as tx:
        name = f"Batch {now}"
        add_batch(
            tx, isp.vault, "x", name=name, value=Money(value, "EUR"), count=1, valid_until=None, today=now.date(),
            now=now,
        )  # fmt: skip
        sell_batch(tx, "x", name, method="cash", amount=None, today=now.date())
        return take_codes(tx, isp.vault, "x", name, "a month", now)[0].code


def use(isp: Provider, service_id: int, value: int, now: datetime) -> None:
    code = card(isp, value, now)
    with transaction() as tx:
        who = tx.scalar(select(service.c.payer_id).where(service.c.id == service_id))
        assert who is not None
        assert redeem(tx, isp.vault, who, code, now, "x").amount


def test_two_years_of_prepaid(isp: Provider):
    month = sold(isp, Cycle("month", 1))
    lines = {
        "months": begin(isp, month, 25),
        "midnights": begin(isp, sold(isp, Cycle("month", 1), ends_at_midnight=True), 25),
        "vouchers": begin(isp, month, 3),
    }
    wanted = {"months": MONTHS, "midnights": MIDNIGHTS, "four weeks": FOUR_WEEKS, "vouchers": VOUCHERS}
    acts: dict[datetime, Callable[[datetime], None]] = {
        FEBRUARY: lambda now: lines.update({"four weeks": begin(isp, sold(isp, Cycle("day", 28)), 26)}),
        MAY: lambda now: use(isp, lines["vouchers"], PRICE, now),
        JANUARY: lambda now: use(isp, lines["vouchers"], 2 * PRICE, now),
    }
    last = datetime(2029, 1, 31, 1, 30, tzinfo=UTC)
    instants = {end for table in wanted.values() for end in ends(table)}
    instants |= {end - timedelta(seconds=30) for table in (FOUR_WEEKS, VOUCHERS) for end in ends(table)} | {
        BEGIN,
        *acts,
    }
    found: dict[str, list[datetime]] = {name: [] for name in wanted}
    for now in sorted(each for each in instants if each <= last):
        isp.travel(now)
        if now in acts:
            acts[now](now)
        renew_due(now)
        with transaction() as tx:
            until = dict(tx.execute(select(service.c.id, service.c.paid_until)).all())
        for name, service_id in lines.items():
            if [until[service_id]] != found[name][-1:]:
                found[name].append(until[service_id])
    for name, table in wanted.items():
        # the last of those who go on begins another period at the end of these two years, or in them
        more = 0 if name == "vouchers" else 1
        assert found[name][: len(found[name]) - more] == ends(table), name
    with transaction() as tx:
        assert check_books(tx) == []
        bought = tx.scalar(select(func.count()).select_from(invoice))
        assert bought == 25 + 25 + 26 + 6
        assert tx.scalar(select(func.sum(invoice.c.tax_minor))) == bought * 200
        assert tx.scalars(select(open_item.c.invoice_id)).all() == tx.scalars(select(credit_note.c.id)).all() == []
        owners = tx.scalars(select(service.c.payer_id))
        assert [balance_of(tx, who).minor for who in owners] == [0, 0, 0, 0]
        kept = select(func.sum(posting.c.amount_minor)).where(posting.c.account == "vouchers_sold")
        assert tx.scalar(kept) == 0
        levels = select(access_history.c.level).order_by(access_history.c.id)
        walls = {
            name: list(tx.scalars(levels.where(access_history.c.service_id == each))) for name, each in lines.items()
        }
    assert walls.pop("vouchers") == [2, 0, 2, 0, 2, 0, 2]
    assert set(map(tuple, walls.values())) == {(2, 0)}  # from the first payment on never walled in again
