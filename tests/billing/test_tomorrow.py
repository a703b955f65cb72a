"""The preview of a day says exactly what the day then does, and changes nothing."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text

from base import clock, feed
from base.business import load_business
from base.database import engine, transaction
from base.money import Money
from base.offers import plan
from base.tables import policy, service, subscriber
from billing import tomorrow
from billing.dunning.policy import Fee, Step
from billing.dunning.promises import make_promise
from billing.dunning.window import Window
from billing.refused import Refused
from billing.tables import charge, invoice, message
from billing.tomorrow import Day, preview_day
from billing.walled import set_walled_billing
from coa.barrier import Node
from tests.billing.dunned import adopt, tax_class_id
from tests.billing.provider import Provider, live_a_day, noon

START = date(2026, 3, 1)


@pytest.fixture
def book(provider: Provider) -> Provider:
    """Twelve subscribers who began on different days, on plans of all kinds, most of whom do not pay."""
    provider.set(time_zone="Europe/Paris")
    provider.travel(noon(START))
    plans = [provider.plan(), provider.plan(price=900, cycle=3), provider.plan(in_arrears=True)]
    steps = (
        Step(0, "due_notice"),
        Step(3, "reminder_1", Fee(500)),
        Step(8, "reduce"),
        Step(9, "final_notice"),
        Step(15, "wall"),
        Step(30, "end"),
    )
    window = Window(frozenset({6, 7}), frozenset(), time(9), time(16))
    adopt(provider, steps=steps, fee_tax_class_id=tax_class_id(), window=window, reconnection={"debt": 1000},
          reconnection_first=True)  # fmt: skip
    with transaction() as tx:
        set_walled_billing(tx, "staff:1", plans[0], "days")
    for number in range(12):
        who = provider.subscriber(f"Payer {number}")
        provider.service(who, plans[number % 3], START + timedelta(days=2 * number))
    return provider


def seen(day: Day) -> list[tuple[str, str, str, int | None]]:
    return sorted((each.kind, each.number, each.what, each.amount and each.amount.minor) for each in day.items)


def state(tx: Any) -> tuple[dict[str, int], dict[int, int]]:
    tables = (invoice, charge, message)
    return (
        {each.name: tx.scalar(select(func.coalesce(func.max(each.c.id), 0))) for each in tables},
        dict(tx.execute(select(policy.c.service_id, policy.c.level)).all()),
    )


def happened(tx: Any, before: tuple[dict[str, int], dict[int, int]]) -> list[tuple[str, str, str, int | None]]:
    """What the rows say that happened since."""
    marks, levels = before
    number = dict(tx.execute(select(subscriber.c.id, subscriber.c.number)).all())
    found: list[tuple[str, str, str, int | None]] = [
        ("invoice", number[row.subscriber_id], "", row.total_minor)
        for row in tx.execute(select(invoice).where(invoice.c.id > marks["invoice"]))
    ]
    found += [
        ("fee", number[row.subscriber_id], row.kind, row.amount_minor)
        for row in tx.execute(select(charge).where(charge.c.id > marks["charge"], charge.c.kind != "setup"))
        if row.kind in ("late_fee", "reconnection")
    ]
    found += [
        ("mail", number[row.subscriber_id], row.kind, None)
        for row in tx.execute(select(message).where(message.c.id > marks["message"]))
    ]
    words = {0: "restore", 1: "slow", 2: "suspend", 3: "end"}
    query = select(policy.c.service_id, policy.c.level, service.c.login, service.c.payer_id).join(service)
    found += [
        (words[row.level], number[row.payer_id], row.login, None)
        for row in tx.execute(query)
        if row.level != levels.get(row.service_id, 0)
    ]
    return sorted(found)


def live_minutes(provider: Provider, day: date) -> None:
    """A local day as the worker lives it: the tick at midnight, and at each instant that changes access."""
    zone = datetime(day.year, day.month, day.day, tzinfo=load_zone(provider)).astimezone(UTC)
    for minutes in (0, 1, 9 * 60, 9 * 60 + 1, 16 * 60, 23 * 60 + 59):
        live_a_day(provider.travel(zone + timedelta(minutes=minutes)))


def load_zone(provider: Provider) -> Any:
    with transaction() as tx:
        return load_business(tx, provider.vault).zone


def test_each_day_does_what_was_said_the_day_before(book: Provider):
    kinds = set()
    live_minutes(book, START)
    for ahead in range(1, 47):
        day = START + timedelta(days=ahead)
        said = preview_day(day)
        assert said.failures == {}
        with transaction() as tx:
            before = state(tx)
        live_minutes(book, day)
        with transaction() as tx:
            assert seen(said) == happened(tx, before), day
            if ahead == 30:
                business = load_business(tx, book.vault)
                make_promise(tx, book.vault, business, "staff:1", 1, day + timedelta(days=4), clock.now())
        if ahead == 33:
            book.pay(2, 5000)
        live_a_day(clock.now())  # the worker's next minute
        kinds |= {kind for kind, *_ in seen(said)}
    assert kinds == {"invoice", "fee", "mail", "slow", "suspend", "restore", "end"}


def test_days_further_ahead_are_said_as_well(book: Provider):
    live_minutes(book, START)
    said = {ahead: seen(preview_day(START + timedelta(days=ahead))) for ahead in (5, 14, 17, 23, 30)}
    for ahead in range(1, 31):
        with transaction() as tx:
            before = state(tx)
        live_minutes(book, START + timedelta(days=ahead))
        if ahead in said:
            with transaction() as tx:
                assert said[ahead] == happened(tx, before), ahead
    assert all(said.values())


def test_looking_ahead_changes_nothing_and_holds_no_number(book: Provider):
    live_minutes(book, START)
    with transaction() as tx:
        tables = tx.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")).all()
        before = {name: tx.execute(text(f'SELECT * FROM "{name}" ORDER BY 1')).all() for name in tables}
    # somebody else has the series in hand meanwhile
    with engine().connect() as other:
        other.execute(text("SELECT * FROM series FOR UPDATE"))
        assert preview_day(START + timedelta(days=2)).items
    with transaction() as tx:
        after = {name: tx.execute(text(f'SELECT * FROM "{name}" ORDER BY 1')).all() for name in tables}
    assert after == before


def test_what_cannot_be_done_is_named_and_keeps_nobody_back(book: Provider):
    with transaction() as tx:
        tx.execute(plan.update().where(plan.c.id == 2).values(currency="USD"))
    book.service(book.subscriber("Somebody else"), 1, START + timedelta(days=2))
    found = preview_day(START + timedelta(days=1))
    assert set(found.failures) == {2}
    assert [each.amount for each in found.items if each.kind == "invoice"] == [Money(3599, "EUR")]


def test_the_past_and_the_far_future_are_not_told(book: Provider):
    with pytest.raises(Refused, match="is over"):
        preview_day(START - timedelta(days=1))
    with pytest.raises(Refused, match="62 days"):
        preview_day(START + timedelta(days=63))


def test_while_somebody_looks_ahead_changes_of_access_reach_the_nases(book: Provider):
    """The feed is read up to the oldest transaction under way, and beyond it as far as it can be seen."""
    live_minutes(book, START)
    with transaction() as tx:
        cursor = feed.Cursor(feed.horizon(tx))
    with tomorrow._played() as (looking, _):
        feed.publish(looking, "policy", [1])  # it has written, and stays open
        with transaction() as tx:
            feed.publish(tx, "policy", [2])
            xid = tx.scalar(text("SELECT pg_current_xact_id()::text::bigint"))
        with transaction() as tx:
            assert [change.subject_id for change in cursor.read(tx)] == [2]
        assert cursor.ahead == [xid]
        assert Node(cursor.position, frozenset(cursor.ahead)).has_read(xid)  # so that a Disconnect does not wait
    with transaction() as tx:
        assert cursor.read(tx) == []
