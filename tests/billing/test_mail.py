"""Mails through real SMTP servers: once per key, with their PDF, and never lost because a server is away."""

import datetime as dt
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import text

from base import clock
from base.business import load_business
from base.database import transaction
from base.money import Money
from base.settings import settings
from billing import documents, invoices, mail
from billing.payments import record_payment
from billing.tasks import Retry
from sandbox.mail import Mail, read_all
from tests.billing.provider import Provider, noon
from tests.sandbox.test_mail import free_port, running

ROOT = Path(__file__).parents[2]
DAY = date(2026, 11, 24)


def use(monkeypatch: pytest.MonkeyPatch, smtp_url: str) -> None:
    """Send by this server from now on, in this process and its children."""
    monkeypatch.setenv("TOLLKEEPER_SMTP_URL", smtp_url)
    settings.cache_clear()


@pytest.fixture
def arrived(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[Mail]]]:
    """What the sandbox's mail sink holds, newest first; it is the mail server of this test."""
    provider.travel(noon(DAY))
    provider.set(company_name="Nordlicht Internet", mail_from="billing@nordlicht.example", language="en_GB")
    with running(tmp_path) as port:
        use(monkeypatch, f"smtp://127.0.0.1:{port}")
        yield lambda: read_all(tmp_path / "sandbox" / "mail")


def issue(provider: Provider, name: str = "Anna", email: str = "anna@example.net") -> tuple[int, int]:
    """A subscriber and the invoice that was issued to it; its mail is queued."""
    subscriber_id = provider.subscriber(name, email)
    provider.service(subscriber_id, provider.plan(), DAY)
    (invoice_id,) = invoices.issue_due(provider.travel(noon(DAY)))
    return subscriber_id, invoice_id


def queue(provider: Provider, key: str = "notice:1", email: str = "anna@example.net", **values: str) -> int:
    """A mail without a PDF; its id."""
    subscriber_id = provider.subscriber("Anna", email)
    with transaction() as tx:
        letter = {"kind": "notice", "subject": "Hello", "body": "Text\n"} | values
        business = load_business(tx, provider.vault)
        mail.queue_message(tx, business, subscriber_id=subscriber_id, key=key, **letter)
    return ask("SELECT max(id) FROM message")[0][0]


def keyed(key: str) -> int:
    """The id of a message."""
    return ask(f"SELECT id FROM message WHERE key = '{key}'")[0][0]


def ask(query: str) -> list[tuple]:
    with transaction() as tx:
        return [tuple(row) for row in tx.execute(text(query))]


def wait(what: Callable[[], object], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, ask("SELECT id, kind, state, tries, last_error FROM job")
        time.sleep(0.05)


def test_an_invoice_arrives_with_its_pdf_once(provider: Provider, arrived: Callable[[], list[Mail]]) -> None:
    _, invoice_id = issue(provider, name="Zażółć Ελλάδα")
    documents.render("invoice", invoice_id)
    mail.deliver(keyed("invoice:1"))
    mail.deliver(keyed("invoice:1"))
    (found,) = arrived()
    assert found.subject == "Invoice INV-000001 from Nordlicht Internet: €35.99"
    assert found.sender == "Nordlicht Internet <billing@nordlicht.example>"
    assert found.to == "anna@example.net"
    assert found.date is not None
    assert found.date.date() == DAY, "the day it is for the provider"
    assert "Dear Zażółć Ελλάδα," in found.text
    assert f"http://127.0.0.1:8080/p/{invoice_id}-" in found.text
    assert found.attachments == ("INV-000001.pdf",)
    assert b"Auto-Submitted: auto-generated" in found.file.read_bytes()
    assert ask("SELECT sent_at::date FROM message WHERE kind = 'invoice'") == [(DAY,)]


def test_a_receipt_arrives_with_its_pdf(provider: Provider, arrived: Callable[[], list[Mail]]) -> None:
    subscriber_id, _ = issue(provider)
    with transaction() as tx:
        payment_id = record_payment(
            tx,
            provider.vault,
            load_business(tx, provider.vault),
            subscriber_id=subscriber_id,
            amount=Money(3599, "EUR"),
            method="cash",
            author="staff:1",
            now=clock.now(),
        ).payment_id
    documents.render("receipt", payment_id)
    mail.deliver(keyed("receipt:1"))
    assert arrived()[0].attachments == ("R-000001.pdf",)


def test_it_waits_for_its_pdf_which_hurries_it(provider: Provider, arrived: Callable[[], list[Mail]]) -> None:
    issue(provider)
    waits = "SELECT run_after > clock_timestamp() FROM job WHERE kind = 'send_message' ORDER BY id DESC LIMIT 1"
    assert ask(waits) == [(True,)]
    with pytest.raises(Retry, match="the PDF of invoice:1 is not there yet"):
        mail.deliver(keyed("invoice:1"))
    documents.render("invoice", 1)
    assert ask(waits) == [(False,)]
    mail.deliver(keyed("invoice:1"))
    (found,) = arrived()
    assert found.attachments == ("INV-000001.pdf",)


@pytest.mark.parametrize(
    "given_up",
    [
        "UPDATE job SET state = 'dead' WHERE kind = 'render_document'",
        "UPDATE job SET created_at = created_at - interval '1 day'",
    ],
)
def test_without_a_pdf_that_comes_it_leaves_all_the_same(
    provider: Provider, arrived: Callable[[], list[Mail]], given_up: str
) -> None:
    issue(provider)
    with transaction() as tx:
        tx.execute(text(given_up))
    mail.deliver(keyed("invoice:1"))
    (found,) = arrived()
    assert found.attachments == ()
    assert "/p/1-" in found.text


def test_where_no_pdfs_are_made_it_does_not_wait(
    provider: Provider, arrived: Callable[[], list[Mail]], monkeypatch: pytest.MonkeyPatch
) -> None:
    issue(provider)
    monkeypatch.setattr(documents, "LIBRARIES", ("libnobody-has.so.0",))
    documents.available.cache_clear()
    try:
        mail.deliver(keyed("invoice:1"))
    finally:
        documents.available.cache_clear()
    assert len(arrived()) == 1


def test_a_key_is_queued_once(provider: Provider) -> None:
    queue(provider, "notice:1")
    queue(provider, "notice:1", subject="Another")
    assert ask("SELECT subject FROM message") == [("Hello",)]
    assert ask("SELECT kind, payload ->> 'message_id' FROM job") == [("send_message", "1")]


def test_what_is_rolled_back_is_not_sent(provider: Provider) -> None:
    subscriber_id = provider.subscriber()
    with provider.engine.connect() as tx:
        business = load_business(tx, provider.vault)
        mail.queue_message(
            tx, business, subscriber_id=subscriber_id, kind="notice", key="notice:1", subject="Hello", body=""
        )
        tx.rollback()
    assert ask("SELECT count(*) FROM message") == ask("SELECT count(*) FROM job") == [(0,)]


def test_without_an_address_it_is_kept_and_not_sent(provider: Provider, arrived: Callable[[], list[Mail]]) -> None:
    message_id = queue(provider, email="")
    assert ask("SELECT recipient, state, sent_at FROM message") == [("", "none", None)]
    assert ask("SELECT count(*) FROM job") == [(0,)]
    mail.deliver(message_id)
    assert arrived() == []


def test_nobody_can_add_a_header(provider: Provider, arrived: Callable[[], list[Mail]]) -> None:
    evil = "Evil\r\nBcc: all@example.net\n\nbody\x00\u2028x".replace("\x00", "")
    provider.set(company_name=evil)
    mail.deliver(queue(provider, subject=evil))
    (found,) = arrived()
    assert found.subject == "Evil Bcc: all@example.net body x"
    header = found.file.read_bytes().partition(b"\r\n\r\n")[0]
    assert b"\nBcc" not in header
    assert found.text == "Text\n"


@pytest.mark.parametrize(
    "address", ["anna@example.net, boss@example.net", "anna@example.net\nBcc: boss@example.net", "anna", "@", "a b@c.d"]
)
def test_one_address_means_one(provider: Provider, arrived: Callable[[], list[Mail]], address: str) -> None:
    message_id = queue(provider, email=address)
    mail.deliver(message_id)
    assert arrived() == []
    assert ask("SELECT state, state_reason LIKE '%not a mail address%' FROM message") == [("refused", True)]
    assert ask("SELECT address FROM bad_address") == [(address.strip().lower(),)]


def test_every_try_has_the_same_message_id(provider: Provider) -> None:
    queue(provider, "notice:1")
    queue(provider, "notice:2")
    with transaction() as tx:
        one, other = tx.execute(text("SELECT * FROM message ORDER BY id")).all()
        business = load_business(tx, provider.vault)
    moved = replace(business, mail_from="billing@elsewhere.example")
    ids = [mail.compose(*each, None)["Message-ID"] for each in ((one, business), (one, moved), (other, business))]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].endswith("@example.net>")


class Answers:
    """A mail server that says what it is told to."""

    def __init__(self) -> None:
        self.rcpt = "250 OK"
        self.data = "250 OK"
        self.kept: list[Envelope] = []

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # type: ignore[no-untyped-def]
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, _server, _session, envelope):  # type: ignore[no-untyped-def]
        self.kept.append(envelope)
        return self.data


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """Run a mail server; returns its port."""
    with ExitStack() as running:

        def start(handler: Answers, **options: object) -> int:
            server = Controller(handler, hostname="127.0.0.1", port=free_port(), **options)
            server.start()
            running.callback(server.stop)
            return server.port

        yield start


def test_what_the_server_refuses_for_now_is_tried_again(
    provider: Provider, serve: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = Answers()
    use(monkeypatch, f"smtp://127.0.0.1:{serve(handler)}")
    message_id = queue(provider)
    for handler.rcpt, handler.data in (("450 busy", "250 OK"), ("250 OK", "452 full"), ("421 bye", "250 OK")):
        with pytest.raises(Retry, match="the mail server"):
            mail.deliver(message_id)
        assert ask("SELECT state, resent, sent_at FROM message") == [("queued", 0, None)]
    handler.rcpt = handler.data = "250 OK"
    mail.deliver(message_id)
    assert ask("SELECT state, sent_at IS NULL FROM message") == [("sent", False)]


@pytest.mark.parametrize(
    ("rcpt", "data", "marked"),
    [
        ("550 nobody", "250 OK", True),
        ("550 5.1.1 nobody", "250 OK", True),
        ("552 5.2.2 full", "250 OK", False),
        ("550 5.7.1 your network is on a list", "250 OK", False),
        ("250 OK", "554 spam", False),
        ("250 OK", "550 5.1.1 nobody", True),
    ],
)
def test_what_the_server_refuses_for_good_is_refused_and_the_address_marked_if_it_is_its_fault(
    provider: Provider, serve: Callable[..., int], monkeypatch: pytest.MonkeyPatch, rcpt: str, data: str, marked: bool
) -> None:
    handler = Answers()
    handler.rcpt, handler.data = rcpt, data
    use(monkeypatch, f"smtp://127.0.0.1:{serve(handler)}")
    message_id = queue(provider)
    mail.deliver(message_id)
    (found,) = ask("SELECT state, state_reason FROM message")
    assert found[0] == "refused"
    assert (data if rcpt.startswith("250") else rcpt) in found[1]
    assert ask("SELECT address FROM bad_address") == ([("anna@example.net",)] if marked else [])
    seen = len(handler.kept)
    mail.deliver(message_id)
    assert len(handler.kept) == seen, "refused for good is not tried again"


def test_a_server_that_is_away_costs_nothing(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "smtp://127.0.0.1:1")
    with pytest.raises(Retry, match="refused"):
        mail.deliver(queue(provider))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that signed itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    today = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    unlocked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(unlocked + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
@pytest.mark.parametrize("scheme", ["smtp+starttls", "smtps"])
def test_tls_and_login(
    provider: Provider, serve: Callable[..., int], certificate: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    tried: list[tuple[bytes, bytes]] = []

    def check(_server: object, _session: object, _envelope: object, _mechanism: str, given: object) -> AuthResult:
        tried.append((given.login, given.password))  # type: ignore[attr-defined]
        return AuthResult(success=given.password == b"p@ss/word", handled=False)  # type: ignore[attr-defined]

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    how = {"ssl_context": context} if scheme == "smtps" else {"tls_context": context, "require_starttls": True}
    if scheme == "smtps":
        how["auth_require_tls"] = False  # it does not see that the whole connection is
    handler = Answers()
    port = serve(handler, authenticator=check, auth_required=True, **how)
    message_id = queue(provider)

    use(monkeypatch, f"{scheme}://net:p%40ss%2Fword@127.0.0.1:{port}")
    with pytest.raises(Retry, match="CERTIFICATE_VERIFY_FAILED"):
        mail.deliver(message_id)
    assert tried == [], "nobody learns the password who is not the server"

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    use(monkeypatch, f"{scheme}://net:wrong@127.0.0.1:{port}")
    with pytest.raises(Retry, match="535"):
        mail.deliver(message_id)

    use(monkeypatch, f"{scheme}://net:p%40ss%2Fword@127.0.0.1:{port}")
    mail.deliver(message_id)
    assert tried[-1] == (b"net", b"p@ss/word")
    assert [envelope.rcpt_tos for envelope in handler.kept] == [["anna@example.net"]]


def test_from_the_bill_to_the_mailbox(provider: Provider, arrived: Callable[[], list[Mail]]) -> None:
    issue(provider)
    lanes = "from base.jobs import Lane; from billing.worker import main; "
    programs = [lanes + "main([Lane.URGENT, Lane.CHARGES, Lane.MAIL], True)", lanes + "main([Lane.DOCUMENTS], False)"]
    processes = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) for program in programs]
    try:
        wait(lambda: len(arrived()) == 2)
        wait(lambda: ask("SELECT count(*) FROM job WHERE state <> 'done' AND kind <> 'tick'") == [(0,)])
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert sorted(found.attachments for found in arrived()) == [(), ("INV-000001.pdf",)]
    assert ask("SELECT kind, state FROM message ORDER BY kind") == [("invoice", "sent"), ("welcome", "sent")]
