"""Dunning from the due date to the wall: steps in order, one a day, and nothing taken without a notice in time."""

from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import select, update

from base import clock
from base.access import AccessLevel
from base.database import transaction
from base.tables import service
from billing import tick
from billing.dunning.policy import Step
from billing.dunning.run import run_dunning
from billing.dunning.tables import dunning_notice
from billing.dunning.window import Window
from billing.ledger import check_books
from billing.tables import message
from tests.billing.dunned import DUE, adopt, bill, body, march, sent
from tests.billing.provider import Provider, noon


def test_the_standard_steps_come_on_their_days_and_lead_to_the_wall(provider: Provider):
    _, service_id = bill(provider)
    provider.live(march(2), date(2026, 4, 4))
    assert sent() == [
        ("due_notice", march(15)),
        ("reminder_1", march(18)),
        ("reminder_2", march(22)),
        ("final_notice", march(29)),
    ]
    assert provider.level(service_id) == AccessLevel.FULL
    assert "Please pay by Apr 4, 2026." in body("final_notice")
    assert "from Apr 5, 2026 on your connection will reach only" in body("final_notice")
    assert "connection" not in body("reminder_2")
    provider.live(date(2026, 4, 5), date(2026, 4, 5))
    assert provider.level(service_id) == AccessLevel.WALLED
    provider.live(date(2026, 4, 6), date(2026, 4, 20))
    assert len(sent()) == 4  # and then there is silence


def test_paying_ends_it_at_any_point_and_at_once(provider: Provider):
    subscriber_id, service_id = bill(provider)
    provider.live(march(2), date(2026, 4, 5))
    assert provider.level(service_id) == AccessLevel.WALLED
    provider.pay(subscriber_id, 3599)
    assert provider.level(service_id) == AccessLevel.FULL


def test_running_it_again_and_again_takes_no_step_twice(provider: Provider):
    bill(provider)
    now = provider.travel(noon(DUE))
    assert len(run_dunning(now)) == 1
    assert run_dunning(now) == []
    assert run_dunning(now + timedelta(hours=8)) == []
    assert len(sent()) == 1


def test_after_ten_days_of_silence_one_step_a_day_is_taken_in_order(provider: Provider):
    _, service_id = bill(provider)
    provider.live(date(2026, 4, 8), date(2026, 4, 16))  # nothing ran since the 1st of March
    assert sent() == [
        ("due_notice", date(2026, 4, 8)),
        ("reminder_1", date(2026, 4, 9)),
        ("reminder_2", date(2026, 4, 10)),
        ("final_notice", date(2026, 4, 11)),
    ]
    assert provider.level(service_id) == AccessLevel.WALLED  # on the 16th, five days after the notice
    assert "from Apr 16, 2026 on" in body("final_notice")


def test_nobody_is_walled_in_without_a_notice_that_arrived_in_time(provider: Provider):
    _, service_id = bill(provider)
    provider.live(march(2), march(28))
    for day in range(8):  # the mail server is away for a week
        tick.run(provider.travel(noon(march(29) + timedelta(days=day))))
    with transaction() as tx:
        notices = tx.execute(select(dunning_notice).order_by(dunning_notice.c.id)).all()
        states = tx.execute(select(message.c.state).where(message.c.kind == "final_notice").order_by(message.c.id))
        assert [row.state for row in states][:-1] == ["withdrawn"] * (len(notices) - 1)
    assert len(notices) > 1
    assert provider.level(service_id) == AccessLevel.FULL
    back = date(2026, 4, 6)
    provider.live(back, back)
    with transaction() as tx:
        named = tx.execute(select(dunning_notice).order_by(dunning_notice.c.id.desc()).limit(1)).one()
        letters = tx.scalar(select(message.c.id).where(message.c.kind == "final_notice", message.c.state == "sent"))
    assert letters is not None  # only the last of them left
    assert named.on_day >= back + timedelta(days=5)
    provider.live(back + timedelta(days=1), named.on_day - timedelta(days=1))
    assert provider.level(service_id) == AccessLevel.FULL
    provider.live(named.on_day, named.on_day)
    assert provider.level(service_id) == AccessLevel.WALLED


def test_paper_counts_when_it_is_printed(provider: Provider):
    _, service_id = bill(provider, email="")
    provider.live(march(2), date(2026, 4, 10))
    assert provider.level(service_id) == AccessLevel.FULL
    with transaction() as tx:
        tx.execute(update(message).where(message.c.state == "paper").values(state="sent", sent_at=clock.now()))
    provider.live(date(2026, 4, 11), date(2026, 4, 20))
    assert provider.level(service_id) == AccessLevel.WALLED


def test_nobody_is_cut_off_on_a_weekend_and_the_notice_says_the_day_after(provider: Provider):
    adopt(provider, window=Window(frozenset({6, 7}), frozenset(), time(9), time(16)))
    _, service_id = bill(provider)
    provider.live(march(2), march(29))
    assert "from Apr 6, 2026 on" in body("final_notice")  # the 5th of April is a Sunday
    provider.live(march(30), date(2026, 4, 5))
    tick.run(provider.travel(datetime(2026, 4, 6, 8, 59, tzinfo=UTC)))
    assert provider.level(service_id) == AccessLevel.FULL
    tick.run(provider.travel(datetime(2026, 4, 6, 9, 0, tzinfo=UTC)))
    assert provider.level(service_id) == AccessLevel.WALLED


SHORT = (Step(0, "due_notice"), Step(3, "reminder_1"), Step(8, "reduce"), Step(9, "final_notice"), Step(14, "wall"))


def test_reduce_comes_before_the_wall_and_end_after_it(provider: Provider):
    adopt(provider, steps=(*SHORT, Step(30, "end")))
    _, service_id = bill(provider)
    provider.live(march(2), march(18))
    assert "from Mar 23, 2026 on your connection will be slower" in body("reminder_1")
    provider.live(march(19), march(23))
    assert provider.level(service_id) == AccessLevel.REDUCED
    provider.live(march(24), march(24))
    assert "from Mar 29, 2026 on your connection will reach only" in body("final_notice")
    assert "on Apr 14, 2026, your contract ends" in body("final_notice")
    provider.live(march(25), march(29))
    assert provider.level(service_id) == AccessLevel.WALLED
    provider.live(march(30), date(2026, 4, 14))
    assert provider.level(service_id) == AccessLevel.BLOCKED
    with transaction() as tx:
        row = tx.execute(select(service).where(service.c.id == service_id)).one()
        assert (row.ends_on, row.end_reason) == (date(2026, 4, 14), "non-payment")
        assert check_books(tx) == []
