"""Moving house on a day to come: the session at the old line ends on that day, once, and no other does."""

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from base import clock
from base.database import transaction
from base.nas import add_nas
from base.tables import session, wire_request
from billing.moves import move
from billing.tick import run
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)


@pytest.fixture
def towers(provider: Provider) -> tuple[int, int]:
    """Two NASes, and business time on the first of March."""
    provider.travel(noon(MARCH))
    with transaction() as tx:
        return tuple(
            add_nas(
                tx, provider.vault, "system", name=f"tower-{n}", network=f"192.0.2.{n}", secret="s", kind="mikrotik"
            )
            for n in (1, 2)
        )  # type: ignore[return-value]


def dial(provider: Provider, service_id: int, nas_id: int, port: str = "ether1") -> int:
    """A session that is open from now on."""
    values = {
        "nas_id": nas_id, "device": "192.0.2.1", "acct_session_id": str(next(provider.numbers)), "login": "x",
        "service_id": service_id, "nas_port_id": port, "started_at": clock.now(), "updated_at": clock.now(),
    }  # fmt: skip
    with transaction() as tx:
        return tx.execute(insert(session).values(**values).returning(session.c.id)).scalar_one()


def asked() -> list[tuple[int, str]]:
    with transaction() as tx:
        return [tuple(row) for row in tx.execute(select(wire_request.c.session_id, wire_request.c.act))]


def plan_move(provider: Provider, service_id: int, day: date, **where: Any) -> None:
    with transaction() as tx:
        move(tx, provider.vault, "staff:1", service_id, "New Street 5", day, **where)


def test_the_session_at_the_old_tower_ends_on_the_day_and_not_before(provider: Provider, towers):
    old, new = towers
    home = provider.service(provider.subscriber(), provider.plan(), MARCH)
    other = provider.service(provider.subscriber("Bert"), provider.plan(), MARCH)
    there, elsewhere = dial(provider, home, old), dial(provider, other, old)
    plan_move(provider, home, MARCH + timedelta(days=2), nas_id=new)
    run(provider.travel(noon(MARCH + timedelta(days=1))))
    assert asked() == []
    run(provider.travel(noon(MARCH + timedelta(days=2))))
    run(provider.travel(noon(MARCH + timedelta(days=2)) + timedelta(minutes=1)))
    assert asked() == [(there, "disconnect")]
    assert elsewhere not in dict(asked())
    # whoever dials in at the old tower again is let be, and who is at the new one is, too
    with transaction() as tx:
        tx.execute(update(session).where(session.c.id == there).values(stopped_at=clock.now()))
    dial(provider, home, old)
    dial(provider, home, new)
    run(provider.travel(noon(MARCH + timedelta(days=3))))
    assert asked() == [(there, "disconnect")]


def test_one_that_does_not_end_is_asked_again_after_a_while(provider: Provider, towers):
    home = provider.service(provider.subscriber(), provider.plan(), MARCH)
    there = dial(provider, home, towers[0])
    plan_move(provider, home, MARCH + timedelta(days=1), nas_id=towers[1])
    now = provider.travel(noon(MARCH + timedelta(days=1)))
    run(now)
    with transaction() as tx:
        tx.execute(update(wire_request).values(answered_at=func.now(), result="Disconnect: the NAS did not answer."))
    run(now)
    assert asked() == [(there, "disconnect")]
    with transaction() as tx:  # sixteen real minutes later
        tx.execute(update(wire_request).values(asked_at=func.now() - timedelta(minutes=16)))
    run(now)
    assert asked() == [(there, "disconnect")] * 2


def test_another_port_of_the_same_tower_ends_it_too_today_or_later(provider: Provider, towers):
    tower, _ = towers
    today, later, stays = (
        provider.service(provider.subscriber(name), provider.plan(), MARCH) for name in ("A", "B", "C")
    )
    ended = [dial(provider, today, tower), dial(provider, later, tower)]
    dial(provider, stays, tower, "ether7")
    plan_move(provider, today, MARCH, nas_id=tower, port="ether7")
    assert asked() == [(ended[0], "disconnect")]
    plan_move(provider, later, MARCH + timedelta(days=1), nas_id=tower, port="ether7")
    plan_move(provider, stays, MARCH + timedelta(days=1), nas_id=tower, port="ether7")
    run(provider.travel(noon(MARCH + timedelta(days=1))))
    assert asked() == [(each, "disconnect") for each in ended]


def test_an_address_alone_ends_nothing(provider: Provider, towers):
    home = provider.service(provider.subscriber(), provider.plan(), MARCH)
    dial(provider, home, towers[0])
    plan_move(provider, home, MARCH + timedelta(days=1))
    run(provider.travel(noon(MARCH + timedelta(days=2))))
    assert asked() == []
