"""Two years of dunning of one line, compared with a table that was worked out by hand.

Paris; a quarter costs 100.00 and 20 % tax, and is billed from the 31st on, the day before. Due after 14 days; +7 a
reminder with a fee of 5.00 or 10 %, +14 the final notice, +21 the wall, +90 the end. Nobody is cut off on Saturdays,
Sundays and the 8th of March 2027, nor before nine. Coming back costs 10.00. Less than 25.00 is left alone.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from base import clock
from base.access import AccessLevel
from base.business import load_business
from base.database import transaction
from base.tables import access_history, policy, service
from billing.dunning.exemptions import exempt
from billing.dunning.policies import add_holiday
from billing.dunning.policy import Fee, Step
from billing.dunning.promises import make_promise
from billing.dunning.tables import dunning_look, promise
from billing.dunning.window import Window
from billing.ledger import check_books, receivable
from billing.tables import charge, message, open_item
from tests.billing.dunned import adopt, tax_class_id
from tests.billing.provider import Provider, live_a_day

PARIS = ZoneInfo("Europe/Paris")
STEPS = (
    Step(0, "due_notice"),
    Step(7, "reminder_1", Fee(500, Decimal(10))),
    Step(14, "final_notice"),
    Step(21, "wall"),
    Step(90, "end"),
)

# What is done by people, at noon.
DEEDS = """
2027-03-10 pay 13440   the quarter and its fee
2027-06-01 promise 2027-06-07
2027-06-07 pay 14640   the quarter, the fee for coming back in March, and the late fee
2027-09-04 promise 2027-09-10
2027-09-14 pay 13440
2027-11-20 exempt 2027-12-01
2027-12-07 pay 14640
2028-03-05 pay 14640
2028-05-14 pay 10000
2028-08-22 pay 2000
"""

# What follows from it: kind or level, local day, and the hour where it is not half past midnight.
TABLE = """
2027-02-13 due_notice      2027-02-20 reminder_1  2027-02-20 late_fee 1200  2027-02-27 final_notice
2027-03-09 09:00 WALLED    2027-03-10 12:00 FULL  2027-03-10 12:00 reconnection 1000
2027-05-13 due_notice      2027-05-20 reminder_1  2027-05-20 late_fee 1200  2027-05-27 final_notice
2027-06-07 kept
2027-08-13 due_notice      2027-08-20 reminder_1  2027-08-20 late_fee 1200  2027-08-27 final_notice
2027-09-03 09:00 WALLED    2027-09-04 12:00 FULL  2027-09-04 12:00 reconnection 1000
2027-09-11 broken          2027-09-13 09:00 WALLED  2027-09-14 12:00 FULL
2027-11-13 due_notice      2027-11-20 reminder_1  2027-11-20 late_fee 1200
2027-12-01 final_notice    2027-12-06 09:00 WALLED  2027-12-07 12:00 FULL  2027-12-07 12:00 reconnection 1000
2028-02-13 due_notice      2028-02-20 reminder_1  2028-02-20 late_fee 1200  2028-02-27 final_notice
2028-05-13 due_notice
2028-08-13 reminder_1      2028-08-13 late_fee 500  2028-08-13 due_notice   2028-08-14 final_notice
2028-08-20 reminder_1      2028-08-20 late_fee 1200
2028-08-21 09:00 WALLED    2028-08-22 12:00 FULL  2028-08-22 12:00 reconnection 1000
2028-08-27 final_notice    2028-09-04 09:00 WALLED
2028-11-13 due_notice      2028-11-13 BLOCKED
2028-11-20 reminder_1      2028-11-20 late_fee 500  2028-11-27 final_notice
"""


def test_two_years_of_dunning(provider: Provider):
    provider.set(time_zone="Europe/Paris")
    provider.travel(at(date(2027, 1, 30)))
    who = provider.subscriber()
    service_id = provider.service(who, provider.plan(price=10000, cycle=3), date(2027, 1, 31))
    adopt(
        provider, steps=STEPS, minimum=2500, window=Window(frozenset({6, 7}), frozenset(), time(9), None),
        reconnection={"debt": 1000}, fee_tax_class_id=tax_class_id(),
    )  # fmt: skip
    with transaction() as tx:
        add_holiday(tx, "staff:1", date(2027, 3, 8), "Holiday")
    deeds = [line.split() for line in DEEDS.strip().splitlines()]
    todo = [(at(date.fromisoformat(day), time(12)), act, arg) for day, act, arg, *_ in deeds]
    # the days on which there is something to do, and the first of some months, on which there must be nothing else
    todo += [(at(date(2027 + month // 12, month % 12 + 1, 1)), "", "") for month in range(1, 24, 3)]
    todo.sort()
    now, end, ticks = clock.now(), at(date(2029, 1, 31)), 0
    live_a_day(now)
    while True:
        with transaction() as tx:
            due = next_due(tx, now)
        then = min([each for each in (due, todo[0][0] if todo else None, end) if each is not None])
        if then >= end:
            break
        now = provider.travel(then)
        while todo and todo[0][0] <= now:
            _, act, arg = todo.pop(0)
            do(provider, who, act, arg)
        live_a_day(now)
        ticks += 1
    assert ticks < 160
    with transaction() as tx:
        assert happened(tx, service_id) == expected()
        ended = tx.execute(select(service.c.ends_on, service.c.end_reason).where(service.c.id == service_id)).one()
        assert tuple(ended) == (date(2028, 11, 13), "non-payment")
        # August's quarter with its fee; the fee for the rest of May's; coming back in August; 13 of the last 92 days
        # with their fee
        assert receivable(tx, who).minor == (12000 + 1440) + 600 + 1200 + (12000 - 10304 + 600)
        assert check_books(tx) == []


def at(day: date, hour: time = time(0, 30)) -> datetime:
    return datetime.combine(day, hour, PARIS).astimezone(UTC)


def do(provider: Provider, who: int, act: str, arg: str) -> None:
    if act == "pay":
        provider.pay(who, int(arg))
    elif act:
        with transaction() as tx:
            business = load_business(tx, provider.vault)
            deed: Callable[..., object] = make_promise if act == "promise" else exempt
            more = () if act == "promise" else ("In hospital",)
            deed(tx, provider.vault, business, "staff:1", who, date.fromisoformat(arg), *more, clock.now())


def next_due(tx, now: datetime) -> datetime | None:
    """When a tick has something to do next."""
    days = (
        select(func.min(service.c.next_bill_on - 1)).where(service.c.ends_on.is_(None)),
        select(func.min(open_item.c.due_on)).where(
            open_item.c.dunned,
            ~select(dunning_look).where(dunning_look.c.invoice_id == open_item.c.invoice_id).exists(),
        ),
        select(func.min(dunning_look.c.look_on)).join(open_item, open_item.c.invoice_id == dunning_look.c.invoice_id),
        select(func.min(promise.c.until_on + 1)).where(promise.c.state == "open"),
        select(func.min(charge.c.bill_on)).where(charge.c.invoice_id.is_(None)),
    )
    found = [at(day) for day in (tx.scalar(query) for query in days) if day is not None]
    found += [each for each in [tx.scalar(select(func.min(policy.c.review_at)))] if each is not None]
    return max(min(found), now + timedelta(minutes=1)) if found else None


def expected() -> list[tuple[date, str, str]]:
    words = TABLE.split()
    found: list[tuple[date, str, str]] = []
    for word in words:
        if len(word) == 10 and word[4] == "-":
            found.append((date.fromisoformat(word), "", "00:30"))
        else:
            day, what, hour = found[-1]
            found[-1] = (day, what, word) if ":" in word else (day, f"{what} {word}".strip(), hour)
    return sorted(found)


def happened(tx, service_id: int) -> list[tuple[date, str, str]]:
    found: list[tuple[str, datetime]] = []
    kinds = ("due_notice", "reminder_1", "final_notice")
    letters = select(message.c.kind, message.c.created_at).where(message.c.kind.in_(kinds))
    found += [(row.kind, row.created_at) for row in tx.execute(letters)]
    found += [(f"{row.kind} {row.amount_minor}", row.created_at) for row in tx.execute(select(charge))]
    level = AccessLevel.FULL
    mine = access_history.c.service_id == service_id, access_history.c.at >= at(date(2027, 2, 1))
    for row in tx.execute(select(access_history).where(*mine).order_by(access_history.c.id)):
        if row.level != level:
            level = AccessLevel(row.level)
            found.append((level.name, row.at))
    local = [(what, instant.astimezone(PARIS)) for what, instant in found]
    told = [(each.date(), what, "00:30" if each.hour == 0 else f"{each:%H:%M}") for what, each in local]
    decided = select(promise.c.state, promise.c.decided_on)
    return sorted([*told, *((row.decided_on, row.state, "00:30") for row in tx.execute(decided))])
