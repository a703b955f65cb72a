"""When nobody knows whether a mail server has a mail: the connection or the worker is lost before its answer."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import text

from base.database import transaction
from billing import mail, smtp
from billing.tasks import Retry
from tests.billing.provider import Provider
from tests.billing.test_mail import ask, queue, use, wait
from tests.sandbox.test_mail import free_port

ROOT = Path(__file__).parents[2]


class Careless:
    """A mail server that takes every mail and answers only `honest` ones."""

    def __init__(self) -> None:
        self.honest = False
        self.holds = False
        self.ids: list[str] = []

    async def handle_DATA(self, server, _session, envelope):  # type: ignore[no-untyped-def]
        header = envelope.content.decode().partition("\r\n\r\n")[0]
        self.ids += [line for line in header.split("\r\n") if line.lower().startswith("message-id:")]
        if self.holds:
            await asyncio.sleep(600)
        if not self.honest:
            server.transport.abort()
        return "250 OK"


@pytest.fixture
def careless(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Careless]:
    """The mail server of this test."""
    with ExitStack() as running:
        handler = Careless()
        server = Controller(handler, hostname="127.0.0.1", port=free_port())
        server.start()
        running.callback(server.stop)
        running.callback(smtp.close_idle)
        use(monkeypatch, f"smtp://127.0.0.1:{server.port}")
        yield handler


def state() -> tuple:
    return ask("SELECT state, resent, sent_at IS NOT NULL FROM message")[0]


@pytest.mark.parametrize("kind", ["invoice", "final_notice"])
def test_what_must_arrive_is_sent_once_more_under_the_same_id(
    provider: Provider, careless: Careless, kind: str
) -> None:
    message_id = queue(provider, kind=kind)
    with pytest.raises(Retry, match="sent once more"):
        mail.deliver(message_id)
    assert state() == ("uncertain", 0, False)
    careless.honest = True
    mail.deliver(message_id)
    assert state() == ("sent", 1, True)
    mail.deliver(message_id)
    assert len(careless.ids) == 2
    assert len(set(careless.ids)) == 1


def test_it_is_not_sent_a_third_time(provider: Provider, careless: Careless) -> None:
    message_id = queue(provider, kind="invoice")
    with pytest.raises(Retry):
        mail.deliver(message_id)
    mail.deliver(message_id)
    assert state() == ("uncertain", 1, False)
    mail.deliver(message_id)
    assert len(careless.ids) == 2


def test_other_mails_stay_uncertain_and_say_why(provider: Provider, careless: Careless) -> None:
    message_id = queue(provider, kind="receipt")
    mail.deliver(message_id)
    careless.honest = True
    mail.deliver(message_id)
    assert state() == ("uncertain", 0, False)
    assert "connection was lost" in ask("SELECT state_reason FROM message")[0][0]
    assert len(careless.ids) == 1


@pytest.mark.parametrize(("kind", "copies", "end"), [("invoice", 2, "sent"), ("receipt", 1, "uncertain")])
def test_a_worker_killed_before_the_answer(
    provider: Provider, careless: Careless, kind: str, copies: int, end: str
) -> None:
    careless.holds = True
    queue(provider, kind=kind)
    program = "from base.jobs import Lane; from billing.worker import main; main([Lane.MAIL], False)"

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)

    first = start()
    try:
        wait(lambda: careless.ids)
    finally:
        first.kill()
        first.wait()
    assert state() == ("sending", 0, False)
    careless.holds, careless.honest = False, True
    with transaction() as tx:
        tx.execute(text("UPDATE job SET lease_until = clock_timestamp()"))
    second = start()
    try:
        wait(lambda: ask("SELECT state FROM job WHERE kind = 'send_message'") == [("done",)])
    finally:
        second.kill()
        second.wait()
    assert state() == (end, copies - 1, end == "sent")
    assert len(careless.ids) == copies
    assert len(set(careless.ids)) == 1
