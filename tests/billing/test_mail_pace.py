"""One connection for many mails, and no more of them per minute than allowed, whoever sends."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from itertools import pairwise

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import text

from base import clock
from base.business import load_business
from base.database import transaction
from billing import mail, smtp
from billing.outbox import Outgoing, queue_all
from billing.tasks import Retry
from tests.billing.provider import Provider
from tests.billing.test_mail import ask, use
from tests.sandbox.test_mail import free_port


class Counting:
    """A mail server that remembers when each mail came, and on which connection."""

    def __init__(self) -> None:
        self.came: list[float] = []
        self.sessions: list[int] = []
        self.hang_up_after = 0

    async def handle_DATA(self, _server, session, _envelope):  # type: ignore[no-untyped-def]
        self.came.append(time.monotonic())
        self.sessions.append(session.peer[1])
        return "250 OK"

    async def handle_MAIL(self, _server, session, envelope, address, _options):  # type: ignore[no-untyped-def]
        if self.hang_up_after and self.sessions.count(session.peer[1]) >= self.hang_up_after:
            return "421 enough on this connection"
        envelope.mail_from = address
        return "250 OK"


@pytest.fixture
def counting(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    """The mail server of this test."""
    with ExitStack() as running:
        handler = Counting()
        server = Controller(handler, hostname="127.0.0.1", port=free_port())
        server.start()
        running.callback(server.stop)
        running.callback(smtp.close_idle)
        use(monkeypatch, f"smtp://127.0.0.1:{server.port}")
        yield handler


def queue_many(provider: Provider, count: int) -> list[int]:
    subscriber_id = provider.subscriber()
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        queue_all(tx, business, [Outgoing(subscriber_id, "notice", f"n:{n}", "Hello", "Text\n") for n in range(count)])
    return [row[0] for row in ask("SELECT id FROM message ORDER BY id")]


def test_many_at_once_are_queued_once_each(provider: Provider) -> None:
    queue_many(provider, 5)
    with transaction() as tx:
        queue_all(tx, load_business(tx, provider.vault), [Outgoing(1, "notice", f"n:{n}", "x", "") for n in range(7)])
    assert ask("SELECT count(*), count(DISTINCT key) FROM job") == [(7, 7)]
    assert ask("SELECT count(*), count(DISTINCT mail_id) FROM message") == [(7, 7)]


def test_one_connection_carries_many_mails(provider: Provider, counting: Counting) -> None:
    for message_id in queue_many(provider, 5):
        mail.deliver(message_id)
    assert len(counting.came) == 5
    assert len(set(counting.sessions)) == 1


def test_a_server_that_wants_new_connections_gets_them(provider: Provider, counting: Counting) -> None:
    counting.hang_up_after = 2
    for message_id in queue_many(provider, 5):
        mail.deliver(message_id)
    assert [counting.sessions.count(port) for port in dict.fromkeys(counting.sessions)] == [2, 2, 1]


def test_a_connection_that_the_server_closed_costs_nothing(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = queue_many(provider, 2)
    port = free_port()
    use(monkeypatch, f"smtp://127.0.0.1:{port}")
    for message_id in (one, other):
        handler = Counting()
        server = Controller(handler, hostname="127.0.0.1", port=port)
        server.start()
        try:
            mail.deliver(message_id)
        finally:
            server.stop()
        assert len(handler.came) == 1
    smtp.close_idle()


def test_an_idle_connection_is_closed(provider: Provider, counting: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "KEEP", 0.1)
    (message_id,) = queue_many(provider, 1)
    mail.deliver(message_id)
    deadline = time.monotonic() + 20
    while smtp._idle:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def deliver_in_the_end(message_id: int) -> None:
    while True:
        try:
            return mail.deliver(message_id)
        except Retry as later:
            time.sleep(later.delay.total_seconds())


def test_no_more_leave_per_minute_than_allowed(provider: Provider, counting: Counting) -> None:
    provider.set(mails_per_minute=300)
    ids = queue_many(provider, 8)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(deliver_in_the_end, ids))
    assert len(counting.came) == 8
    times = ask("SELECT turn_at, sent_at FROM message WHERE state = 'sent' ORDER BY turn_at")
    assert len(times) == 8
    assert all(sent_at >= turn_at for turn_at, sent_at in times), "nobody goes before their turn"
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(times)]
    assert min(gaps) >= timedelta(milliseconds=199), "one every 0.2 s"


def test_a_turn_that_is_far_away_is_not_waited_for(provider: Provider, counting: Counting) -> None:
    provider.set(mails_per_minute=1)
    one, two, three = queue_many(provider, 3)
    mail.deliver(one)
    with pytest.raises(Retry, match="turn") as later:
        mail.deliver(two)
    assert timedelta(seconds=50) < later.value.delay <= timedelta(seconds=60)
    with pytest.raises(Retry, match="turn") as again:
        mail.deliver(two)
    assert again.value.delay <= later.value.delay, "it keeps its turn"
    with transaction() as tx:
        tx.execute(text("UPDATE mail_pace SET next_at = :t"), {"t": clock.real() + timedelta(minutes=11)})
    with pytest.raises(Retry, match="ten minutes"):
        mail.deliver(three)
    provider.set(mails_per_minute=0)
    mail.deliver(three)
    assert len(counting.came) == 2
