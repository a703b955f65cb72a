"""What is billed while debt walls a service in, and moving house."""

from datetime import date, timedelta

import pytest
from sqlalchemy import insert, select

from base import clock
from base.access import AccessLevel
from base.database import transaction
from base.offers import service_site, skipped_period
from base.tables import nas, service, session, wire_request
from billing.dunning.policy import Step
from billing.ledger import check_books, receivable
from billing.moves import move, sites
from billing.refused import Refused
from billing.tables import credit_note, invoice, invoice_line
from billing.walled import set_walled_billing
from tests.billing.dunned import adopt
from tests.billing.provider import Provider

MARCH = date(2026, 3, 1)
WALL = date(2026, 3, 23)  # due on the 15th, eight days later


@pytest.fixture
def line(provider: Provider) -> int:
    """A monthly service of 31.00 without tax, walled in by debt on the 23rd of March."""
    adopt(provider, steps=(Step(0, "due_notice"), Step(3, "final_notice"), Step(8, "wall")))
    provider.live(MARCH, MARCH)
    return provider.service(provider.subscriber(), provider.plan(price=3100, tax="0"), MARCH)


def skipped() -> list[tuple[date, date | None]]:
    with transaction() as tx:
        assert check_books(tx) == []
        rows = tx.execute(select(skipped_period).order_by(skipped_period.c.id)).all()
    return [(row.start_on, row.end_on) for row in rows]


def periods() -> list[tuple[str, str, int]]:
    with transaction() as tx:
        rows = tx.execute(select(invoice_line).order_by(invoice_line.c.id)).all()
    return [(f"{row.period_start:%d.%m}", f"{row.period_end:%d.%m}", row.amount_minor) for row in rows]


def owed() -> int:
    with transaction() as tx:
        return receivable(tx, 1).minor


def while_walled(provider: Provider, how: str, days: int = 0) -> None:
    with transaction() as tx:
        set_walled_billing(tx, "staff:1", 1, how, days)


def test_by_default_walled_days_are_billed(provider: Provider, line: int):
    provider.live(MARCH, date(2026, 5, 5))
    assert provider.level(line) == AccessLevel.WALLED
    assert len(periods()) == 3
    assert skipped() == []


def test_billing_stops_after_some_days_and_goes_on_with_the_day_of_return(provider: Provider, line: int):
    while_walled(provider, "stop", 20)
    provider.live(MARCH, date(2026, 6, 10))
    # walled on 23 March: April is billed (30 March), from 12 April on nothing new is
    assert periods() == [("01.03", "01.04", 3100), ("01.04", "01.05", 3100)]
    assert skipped() == [(date(2026, 5, 1), None)]
    provider.pay(1, 6200)
    assert provider.level(line) == AccessLevel.FULL
    provider.live(date(2026, 6, 10), date(2026, 7, 2))
    assert skipped() == [(date(2026, 5, 1), date(2026, 6, 10))]
    # 21 of 30 days, and nothing for May
    assert periods()[2:] == [("10.06", "01.07", 2170), ("01.07", "01.08", 3100)]


def test_who_pays_before_billing_would_stop_is_billed_as_ever(provider: Provider, line: int):
    while_walled(provider, "stop", 5)
    provider.live(MARCH, date(2026, 3, 29))
    assert skipped() == [(date(2026, 4, 1), None)]  # what is billed in advance stays
    provider.pay(1, 3100)
    provider.live(date(2026, 3, 29), date(2026, 4, 2))
    assert skipped() == []
    assert periods() == [("01.03", "01.04", 3100), ("01.04", "01.05", 3100)]


def test_only_the_days_used_are_billed(provider: Provider, line: int):
    while_walled(provider, "days")
    provider.live(MARCH, WALL)
    assert provider.level(line) == AccessLevel.WALLED
    assert owed() == 2200  # 9 of March's 31 days are given back
    provider.live(WALL + timedelta(days=1), date(2026, 5, 20))
    assert len(periods()) == 1
    provider.pay(1, 2200)
    provider.live(date(2026, 5, 20), date(2026, 5, 20))
    assert skipped() == [(WALL, date(2026, 5, 20))]
    assert periods()[1:] == [("20.05", "01.06", 1200)]
    with transaction() as tx:
        assert tx.scalars(select(credit_note.c.total_minor)).all() == [900]
        assert len(tx.scalars(select(invoice.c.id)).all()) == 2


def test_back_on_the_same_day_the_day_is_billed_after_all(provider: Provider, line: int):
    while_walled(provider, "days")
    provider.live(MARCH, WALL)
    provider.pay(1, 2200)
    provider.live(WALL, WALL)
    assert skipped() == []
    assert owed() == 900
    assert periods()[1:] == [("23.03", "01.04", 900)]


def test_moving_house_keeps_the_contract(provider: Provider, line: int):
    provider.live(MARCH, MARCH)
    with transaction() as tx:
        row = {"secret": b"x", "kind": "mikrotik", "created_at": clock.now()}
        old = tx.scalar(insert(nas).values(name="old", network="192.0.2.1", **row).returning(nas.c.id))
        new = tx.scalar(insert(nas).values(name="new", network="192.0.2.2", **row).returning(nas.c.id))
        opened = {"nas_id": old, "device": "192.0.2.1", "acct_session_id": "1", "login": "x", "service_id": line}
        tx.execute(insert(session).values(started_at=clock.now(), updated_at=clock.now(), **opened))
        before = tx.execute(select(service).where(service.c.id == line)).one()
        with pytest.raises(Refused, match="today or later"):
            move(tx, provider.vault, "staff:1", line, "Elsewhere 1", MARCH - timedelta(days=1))
        move(tx, provider.vault, "staff:1", line, "Elsewhere 1\n1000 Town", MARCH, nas_id=new, port="ether7")
        assert tx.execute(select(service).where(service.c.id == line)).one() == before
        assert tx.execute(select(wire_request.c.act, wire_request.c.author)).all() == [("disconnect", "staff:1")]
        move(tx, provider.vault, "staff:1", line, "Third 3", date(2026, 5, 1))
        assert [(row.address, row.nas) for row in sites(tx, line)] == [
            ("Third 3", None),
            ("Elsewhere 1\n1000 Town", "new"),
        ]
        assert len(tx.execute(select(service_site)).all()) == 2
