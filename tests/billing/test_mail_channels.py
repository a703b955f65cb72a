"""Who is written to, and what happens when an address takes no mail: contacts, the signed webhook, paper."""

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import text

from base import clock
from base.business import load_business
from base.database import transaction
from billing import mail, outbox, smtp
from billing.addresses import clear_address, mark_bad
from billing.contacts import add_contact, list_contacts, remove_contact, set_delivery
from billing.outbox import Outgoing, queue_all, reached_at
from billing.refused import Refused
from billing.tasks import Retry
from tests.billing.provider import Provider
from tests.billing.test_mail import Answers, ask, use
from tests.sandbox.test_mail import free_port


class Picky(Answers):
    """A mail server that does not know some addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.unknown: dict[str, str] = {}

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # type: ignore[no-untyped-def]
        if address in self.unknown:
            return self.unknown[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"


@pytest.fixture
def picky(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Picky]:
    """The mail server of this test."""
    with ExitStack() as running:
        handler = Picky()
        server = Controller(handler, hostname="127.0.0.1", port=free_port())
        server.start()
        running.callback(server.stop)
        running.callback(smtp.close_idle)
        use(monkeypatch, f"smtp://127.0.0.1:{server.port}")
        yield handler


@pytest.fixture
def webhook(provider: Provider) -> Iterator[Callable[..., list[tuple[dict[str, str], bytes]]]]:
    """The operator's SMS sender: what was posted; called with a status it answers with that from then on."""
    posted: list[tuple[dict[str, str], bytes]] = []
    answer = [200]

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append((dict(self.headers), body))
            self.send_response(answer[0])
            self.send_header("Location", "http://127.0.0.1:9/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    provider.set(message_webhook_url=f"http://127.0.0.1:{server.server_port}/sms", message_webhook_secret="s3cret")

    def come(status: int | None = None) -> list[tuple[dict[str, str], bytes]]:
        if status is not None:
            answer[0] = status
        return posted

    yield come
    server.shutdown()
    thread.join()
    server.server_close()


def write(provider: Provider, subscriber_id: int, kind: str = "invoice", key: str = "x:1") -> list[tuple]:
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        queue_all(tx, business, [Outgoing(subscriber_id, kind, key, "Subject", "Body\n")])
    return rows()


def rows() -> list[tuple]:
    return ask("SELECT key, channel, state, recipient FROM message ORDER BY id")


def deliver_all() -> None:
    for (message_id,) in ask("SELECT id FROM message WHERE state IN ('queued', 'uncertain') ORDER BY id"):
        mail.deliver(message_id)


def someone(provider: Provider, email: str = "anna@example.net", phone: str = "", delivery: str = "mail") -> int:
    subscriber_id = provider.subscriber("Anna", email)
    with transaction() as tx:
        tx.execute(text("UPDATE subscriber SET phone = :p, delivery = :d"), {"p": phone, "d": delivery})
    return subscriber_id


def contact(subscriber_id: int, email: str, *kinds: str) -> None:
    with transaction() as tx:
        add_contact(tx, "staff:1", subscriber_id, email=email, kinds=kinds)


def test_contacts_get_copies_of_what_is_theirs(provider: Provider, picky: Picky) -> None:
    anna = someone(provider)
    contact(anna, "books@example.net", "billing")
    contact(anna, "noc@example.net", "technical")
    contact(anna, "Anna@example.net", "billing", "technical")
    for kind in ("invoice", "suspended", "receipt"):
        write(provider, anna, kind, key=f"x:{kind}")
    deliver_all()
    assert [envelope.rcpt_tos for envelope in picky.kept] == [
        ["anna@example.net", "books@example.net"],
        ["anna@example.net", "noc@example.net"],
        ["anna@example.net"],
    ]
    head = picky.kept[0].content.decode()
    assert "\r\nTo: anna@example.net\r\n" in head
    assert "\r\nCc: books@example.net\r\n" in head


def test_one_dead_address_keeps_back_only_itself(provider: Provider, picky: Picky) -> None:
    anna = someone(provider)
    contact(anna, "books@example.net", "billing")
    picky.unknown = {"anna@example.net": "550 5.1.1 nobody"}
    write(provider, anna, key="x:1")
    deliver_all()
    assert rows() == [("x:1", "mail", "sent", "anna@example.net")]
    assert ask("SELECT state_reason FROM message") == [("Not taken for anna@example.net: 550 5.1.1 nobody",)]
    assert write(provider, anna, key="x:2")[1] == ("x:2", "mail", "queued", "books@example.net")


def test_an_address_marked_meanwhile_is_left_out(provider: Provider, picky: Picky) -> None:
    anna = someone(provider)
    contact(anna, "books@example.net", "billing")
    write(provider, anna)
    with transaction() as tx:
        mark_bad(tx, "ANNA@example.net", "bounced", clock.now())
    deliver_all()
    assert [envelope.rcpt_tos for envelope in picky.kept] == [["books@example.net"]]
    with transaction() as tx:
        assert clear_address(tx, "staff:1", " anna@example.net")
        assert not clear_address(tx, "staff:1", "anna@example.net")


def test_refused_mail_goes_on_by_the_webhook_with_a_signature(
    provider: Provider, picky: Picky, webhook: Callable[..., list[tuple[dict[str, str], bytes]]]
) -> None:
    anna = someone(provider, phone="+47 22 33 44 55")
    picky.unknown = {"anna@example.net": "550 nobody"}
    write(provider, anna)
    deliver_all()
    assert rows() == [("x:1", "mail", "refused", "anna@example.net"), ("x:1:sms", "sms", "queued", "+47 22 33 44 55")]
    deliver_all()
    ((headers, body),) = webhook()
    assert json.loads(body) == {
        "to": "+47 22 33 44 55",
        "kind": "invoice",
        "text": "Subject\n\nBody\n",
        "key": "x:1:sms",
    }
    at, signature = (part.split("=")[1] for part in headers["Tollkeeper-Signature"].split(","))
    assert abs(int(at) - clock.real().timestamp()) < 60
    assert hmac.new(b"s3cret", f"{at}.".encode() + body, hashlib.sha256).hexdigest() == signature
    assert rows()[1][2] == "sent"
    with transaction() as tx:
        assert list(reached_at(tx, ["x:1", "y:1"])) == ["x:1"]
    assert write(provider, anna, "welcome", "x:2")[2] == ("x:2", "sms", "queued", "+47 22 33 44 55")


def test_the_webhook_is_asked_again_and_its_no_means_paper(
    provider: Provider, webhook: Callable[..., list[tuple[dict[str, str], bytes]]]
) -> None:
    anna = someone(provider, email="", phone="123")
    assert write(provider, anna) == [("x:1", "sms", "queued", "123")]
    for later in (500, 429, 302):
        webhook(later)
        with pytest.raises(Retry, match=str(later)):
            deliver_all()
        assert rows() == [("x:1", "sms", "queued", "123")]
    webhook(422)
    deliver_all()
    assert rows() == [("x:1", "sms", "refused", "123"), ("x:1:paper", "paper", "paper", "")]
    provider.set(message_webhook_url="http://127.0.0.1:9/")
    write(provider, anna, key="x:2")
    with pytest.raises(Retry, match="does not answer"):
        deliver_all()


def test_paper_waits_for_its_batch(provider: Provider) -> None:
    anna = someone(provider, email="")
    write(provider, anna)
    assert write(provider, anna, "welcome", "x:2") == [("x:1", "paper", "paper", ""), ("x:2", "mail", "none", "")]
    assert ask("SELECT count(*) FROM job WHERE kind = 'send_message'") == [(0,)]
    now = clock.now()
    with transaction() as tx:
        assert reached_at(tx, ["x:1"]) == {}
        waiting = outbox.to_print(tx)
        outbox.mark_printed(tx, [row.id for row in waiting], now)
    with transaction() as tx:
        assert outbox.to_print(tx) == []
        assert reached_at(tx, ["x:1"]) == {"x:1": now}


@pytest.mark.parametrize(
    ("delivery", "invoice", "welcome"),
    [
        ("mail", [("x:1", "mail")], [("x:2", "mail")]),
        ("paper", [("x:1", "paper")], [("x:2", "mail")]),
        ("both", [("x:1", "mail"), ("x:1:paper", "paper")], [("x:2", "mail")]),
    ],
)
def test_delivery_is_the_subscribers_choice(
    provider: Provider, delivery: str, invoice: list[tuple], welcome: list[tuple]
) -> None:
    anna = someone(provider)
    with transaction() as tx:
        set_delivery(tx, "staff:1", anna, delivery)
    write(provider, anna)
    write(provider, anna)
    write(provider, anna, "welcome", "x:2")
    assert ask("SELECT key, channel FROM message ORDER BY id") == invoice + welcome


def test_contacts_are_checked_and_kept(provider: Provider) -> None:
    anna = someone(provider)
    for wrong in ({"email": "x"}, {"email": "a@b.c", "kinds": ()}, {"email": "a@b.c", "kinds": ("boss",)}):
        with pytest.raises(Refused), transaction() as tx:
            add_contact(tx, "staff:1", anna, **wrong)  # type: ignore[arg-type]
    contact(anna, "a@b.c", "billing")
    contact(anna, "a@b.c", "technical")
    with transaction() as tx:
        assert [row.kinds for row in list_contacts(tx, anna)] == [["technical"]]
        remove_contact(tx, "staff:1", anna, "A@b.c")
        assert list_contacts(tx, anna) == []
        with pytest.raises(Refused):
            remove_contact(tx, "staff:1", anna, "a@b.c")
        with pytest.raises(Refused):
            set_delivery(tx, "staff:1", anna, "pigeon")
