"""Notices that come back, get lost or are withdrawn while they are under way: only one that arrived in time counts."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import select, update

from base.access import AccessLevel
from base.business import load_business
from base.database import transaction
from base.settings import settings
from billing import mail, tick
from billing.dunning.policy import Step
from billing.dunning.tables import dunning_notice
from billing.outbox import withdraw
from billing.tables import message
from billing.tasks import Retry
from tests.billing.dunned import adopt, april, bill, march, sent
from tests.billing.provider import Provider, noon
from tests.sandbox.test_mail import free_port

SLOWER = (Step(3, "reminder_1"), Step(8, "reduce"), Step(9, "final_notice"), Step(14, "wall"))


def bounce(kind: str) -> None:
    with transaction() as tx:
        tx.execute(update(message).where(message.c.kind == kind, message.c.state == "sent").values(state="bounced"))


@pytest.mark.parametrize("whole", [True, False])
def test_a_bounce_read_in_the_last_minute_holds_the_wall(provider: Provider, whole: bool):
    _, service_id = bill(provider)
    provider.live(march(2), april(4))
    provider.travel(datetime(2026, 4, 4, 23, 59, 50, tzinfo=UTC))
    bounce("final_notice")
    now = provider.travel(datetime(2026, 4, 5, 0, 0, 1, tzinfo=UTC))
    (tick.run if whole else tick.review_due)(now)  # also when it was read while the run was under way
    assert provider.level(service_id) == AccessLevel.FULL
    provider.live(april(5), april(9))
    assert provider.level(service_id) == AccessLevel.FULL
    assert len(sent("final_notice")) == 2
    provider.live(april(10), april(10))
    assert provider.level(service_id) == AccessLevel.WALLED


def test_a_bounce_after_the_wall_does_not_open_it(provider: Provider):
    _, service_id = bill(provider)
    provider.live(march(2), april(5))
    bounce("final_notice")
    provider.live(april(6), april(12))
    assert provider.level(service_id) == AccessLevel.WALLED
    assert len(sent("final_notice")) == 1


def test_who_is_walled_in_is_not_told_anew_that_the_line_will_be_slower(provider: Provider):
    _, service_id = bill(provider)
    adopt(provider, steps=SLOWER)
    for ahead in range(40):
        now = provider.travel(noon(march(2) + timedelta(days=ahead)))
        tick.run(now)
        with transaction() as tx:  # what tells of going slower always comes back, what tells of the wall arrives
            for kind, state in (("reminder_1", "bounced"), ("final_notice", "sent")):
                mine = message.c.kind == kind, message.c.state == "queued"
                tx.execute(update(message).where(*mine).values(state=state, sent_at=now))
    assert sent("reminder_1") == [("reminder_1", march(18)), ("reminder_1", march(23))]
    assert provider.level(service_id) == AccessLevel.WALLED


def test_a_letter_that_takes_the_place_of_another_tells_all_that_it_told(provider: Provider):
    _, service_id = bill(provider)
    adopt(provider, steps=(Step(3, "reminder_1"), Step(8, "reduce"), Step(14, "wall")))
    provider.live(march(2), march(17))
    for day in (18, 19):  # the mail server is away until the day for going slower cannot be kept any more
        tick.run(provider.travel(noon(march(day))))
    provider.live(march(20), march(28))
    assert provider.level(service_id) == AccessLevel.REDUCED
    provider.live(march(29), march(29))
    assert provider.level(service_id) == AccessLevel.WALLED  # the day that both letters named
    with transaction() as tx:
        states = tx.scalars(select(message.c.state).where(message.c.kind == "reminder_1").order_by(message.c.id))
        assert states.all() == ["withdrawn", "withdrawn", "sent"]


def test_a_notice_that_was_withdrawn_never_counts_though_its_mail_left(provider: Provider):
    _, service_id = bill(provider)
    provider.live(march(2), march(28))
    tick.run(provider.travel(noon(march(29))))
    with transaction() as tx:
        tx.execute(update(message).where(message.c.kind == "final_notice").values(state="sending"))
    for day in (30, 31, 32):
        tick.run(provider.travel(noon(march(1) + timedelta(days=day - 1))))
    with transaction() as tx:
        first, second = tx.execute(select(dunning_notice).order_by(dunning_notice.c.id)).all()
        assert (first.on_day, second.on_day) == (april(5), april(6))
        assert (first.withdrawn_at is None, second.withdrawn_at) == (False, None)
        # the mail server had the first already, and says so only now
        tx.execute(
            update(message).where(message.c.key == first.message_key).values(state="sent", sent_at=noon(march(31)))
        )
    for day in (2, 3, 4, 5, 6):
        tick.run(provider.travel(noon(april(day))))
        assert provider.level(service_id) == AccessLevel.FULL
    with transaction() as tx:
        old = tx.execute(select(dunning_notice).where(dunning_notice.c.id == first.id)).one()
        assert (old.arrived_on, old.in_time) == (None, None)


class Server:
    """A mail server that takes a mail, or hangs up, after something has happened."""

    def __init__(self, meanwhile, answer: str) -> None:
        self.meanwhile, self.answer = meanwhile, answer

    async def handle_DATA(self, _server, _session, _envelope) -> str:
        self.meanwhile()
        return self.answer


@pytest.mark.parametrize(
    ("answer", "state", "said"),
    [
        ("250 OK", "sent", "Its date has passed. It was under way already, and left."),
        ("451 later", "withdrawn", "Its date has passed."),
    ],
)
def test_a_mail_that_is_withdrawn_while_it_leaves_is_remembered_as_one_that_left(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, answer: str, state: str, said: str
):
    subscriber_id = provider.subscriber()
    with transaction() as tx:
        letter = {"kind": "final_notice", "key": "final_notice:1", "subject": "Final", "body": "Text"}
        mail.queue_message(tx, load_business(tx, provider.vault), subscriber_id=subscriber_id, **letter)
        message_id = tx.scalars(select(message.c.id)).one()

    def meanwhile() -> None:
        with transaction() as tx:
            withdraw(tx, ["final_notice:1"], "Its date has passed.")

    server = Controller(Server(meanwhile, answer), hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        monkeypatch.setenv("TOLLKEEPER_SMTP_URL", f"smtp://127.0.0.1:{server.port}")
        settings.cache_clear()
        with suppress(Retry):  # it says 'later'
            mail.deliver(message_id)
        mail.deliver(message_id)  # the job comes again
    finally:
        server.stop()
    with transaction() as tx:
        row = tx.execute(select(message)).one()
    assert (row.state, row.state_reason) == (state, said)
