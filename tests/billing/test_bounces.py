"""Reports about mails that came back: understood, believed only about our own mails, and read from a mailbox."""

import contextlib
import re
import socketserver
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from base import clock, jobs
from base.business import load_business
from base.database import transaction
from base.jobs import Kind, Lane
from base.settings import settings
from base.tables import job
from billing import tasks
from billing.bounces import Outcome, parse, read_mailbox, take_bounce
from billing.contacts import add_contact
from tests.billing.provider import Provider
from tests.billing.test_mail import ask
from tests.billing.test_mail_channels import someone, write


def report(
    mail_id: str,
    *,
    action: str = "failed",
    status: str = "5.1.1",
    final: str = "anna@example.net",
    original: str = "",
    returned: str = "text/rfc822-headers",
) -> bytes:
    """A delivery status notification in the shape of RFC 3464, appendix E."""
    first = f"Original-Recipient: rfc822;{original}\n" if original else ""
    return f"""Return-Path: <>
From: Mail Delivery Subsystem <mailer-daemon@mx.example.org>
To: billing@example.net
Subject: Returned mail: see transcript for details
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="=_cut"

--=_cut
Content-Type: text/plain; charset=utf-8

Your message could not be delivered.

--=_cut
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org
Arrival-Date: Tue, 24 Nov 2026 10:00:00 +0000

{first}Final-Recipient: RFC822; {final}
Action: {action}
Status: {status}
Remote-MTA: dns; mx.example.net
Diagnostic-Code: smtp; 550 5.1.1 <{final}>... User
 unknown

--=_cut
Content-Type: {returned}

From: Net <billing@example.net>
To: anna@example.net
Message-ID: {mail_id}
Subject: Invoice

--=_cut--
""".replace("\n", "\r\n").encode()


@pytest.fixture
def mail_id(provider: Provider) -> str:
    """The Message-ID of an invoice that was sent to Anna."""
    write(provider, someone(provider))
    with transaction() as tx:
        tx.execute(text("UPDATE message SET state = 'sent', sent_at = now()"))
    return str(ask("SELECT mail_id FROM message")[0][0])


def take(provider: Provider, raw: bytes) -> Outcome:
    with transaction() as tx:
        return take_bounce(tx, load_business(tx, provider.vault), raw, clock.now())


def bad() -> list[str]:
    return [row[0] for row in ask("SELECT address FROM bad_address ORDER BY address")]


def states() -> list[tuple]:
    return ask("SELECT key, state FROM message ORDER BY id")


@pytest.mark.parametrize("returned", ["text/rfc822-headers", "message/rfc822"])
def test_nobody_there_marks_the_address_and_goes_on_paper(provider: Provider, mail_id: str, returned: str) -> None:
    raw = report(mail_id, returned=returned)
    assert take(provider, raw) is Outcome.BOUNCED
    assert states() == [("x:1", "bounced"), ("x:1:paper", "paper")]
    assert bad() == ["anna@example.net"]
    assert "User unknown" in ask("SELECT state_reason FROM message ORDER BY id")[0][0]
    assert take(provider, raw) is Outcome.NOTED, "again it changes nothing"
    assert len(states()) == 2


@pytest.mark.parametrize(
    ("action", "status", "outcome", "marked"),
    [
        ("failed", "5.0.0", Outcome.BOUNCED, True),
        ("failed", "5.4.4", Outcome.BOUNCED, True),
        ("failed", "5.2.2", Outcome.BOUNCED, False),  # full
        ("failed", "5.7.1", Outcome.BOUNCED, False),  # our reputation
        ("failed", "4.4.7", Outcome.BOUNCED, False),  # given up after days
        ("delayed", "4.4.1", Outcome.NOTED, False),
        ("delivered", "2.0.0", Outcome.OTHER, False),
    ],
)
def test_what_is_wrong_decides(
    provider: Provider, mail_id: str, action: str, status: str, outcome: Outcome, marked: bool
) -> None:
    assert take(provider, report(mail_id, action=action, status=status)) is outcome
    assert bool(bad()) is marked
    assert states()[0][1] == ("bounced" if outcome is Outcome.BOUNCED else "sent")


def test_who_forwards_is_the_one_who_is_marked(provider: Provider, mail_id: str) -> None:
    assert take(provider, report(mail_id, final="anna@elsewhere.example")) is Outcome.BOUNCED
    assert bad() == ["anna@example.net"]


def test_one_of_several_addresses(provider: Provider) -> None:
    anna = someone(provider)
    with transaction() as tx:
        add_contact(tx, "staff:1", anna, email="books@example.net", kinds=("billing",))
    write(provider, anna)
    with transaction() as tx:
        tx.execute(text("UPDATE message SET state = 'sent', sent_at = now()"))
    ((mail_id,),) = ask("SELECT mail_id FROM message")
    assert take(provider, report(mail_id, final="stranger@example.org")) is Outcome.OTHER
    assert bad() == [], "a report speaks only about the addresses that we wrote to"
    first = report(mail_id, final="x@elsewhere.example", original="Books@Example.net")
    assert take(provider, first) is Outcome.NOTED
    assert states() == [("x:1", "sent")]
    assert take(provider, report(mail_id)) is Outcome.BOUNCED
    assert bad() == ["anna@example.net", "books@example.net"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"Subject: hello\r\n\r\nI am on holiday.\r\n",
        report("<stranger@example.org>"),
        report(""),
        report("<x@y>").replace(b"Action: failed\r\n", b""),
        report("<x@y>").replace(b"multipart/report", b"text/plain"),
        b"\xff\xfe\x00" * 100,
    ],
)
def test_other_mail_is_left_alone(provider: Provider, mail_id: str, raw: bytes) -> None:
    assert take(provider, raw) is Outcome.OTHER
    assert states() == [("x:1", "sent")]


def test_a_message_id_is_what_stands_in_angle_brackets():
    found = parse(report("\x00 <x@y>"))
    assert found is not None
    assert found.mail_id == "<x@y>"


@given(st.binary(max_size=300), st.integers(0, 1500))
def test_garbage_never_breaks_the_reader(junk: bytes, at: int) -> None:
    whole = report("<x@y>")
    for raw in (whole[:at] + junk + whole[at:], junk):
        found = parse(raw)
        assert found is None or found.mail_id.startswith("<")


class Mailbox:
    """A small IMAP server (RFC 3501) with one folder."""

    def __init__(self, mails: list[bytes], keywords: bool = True) -> None:
        self.mails = mails
        self.flags: list[set[str]] = [set() for _ in mails]
        self.keywords = keywords
        self.logins: list[str] = []

    def answer(self, tag: str, words: str) -> bytes:
        command = words.upper()
        if command.startswith("CAPABILITY"):
            return f"* CAPABILITY IMAP4REV1\r\n{tag} OK done\r\n".encode()
        if command.startswith("LOGIN"):
            self.logins.append(words)
            right = '"p@ss/word"' in words
            return f"{tag} {'OK done' if right else 'NO wrong password'}\r\n".encode()
        if command.startswith("SELECT"):
            right = '"INBOX"' in words
            return f"* {len(self.mails)} EXISTS\r\n{tag} {'OK done' if right else 'NO no such folder'}\r\n".encode()
        if command.startswith("UID SEARCH"):
            unread = [str(n + 1) for n, flags in enumerate(self.flags) if not flags & {"\\Seen", "TollkeeperRead"}]
            return f"* SEARCH {' '.join(unread)}\r\n{tag} OK done\r\n".encode()
        if fetch := re.match(r"UID FETCH (\d+)", words):
            raw = self.mails[int(fetch[1]) - 1]
            head = f"* {fetch[1]} FETCH (UID {fetch[1]} BODY[]<0> {{{len(raw)}}}\r\n".encode()
            return head + raw + f")\r\n{tag} OK done\r\n".encode()
        if store := re.match(r"UID STORE (\d+) \S+ \((\S+)\)", words):
            if not self.keywords and not store[2].startswith("\\"):
                return f"{tag} BAD no keywords\r\n".encode()
            self.flags[int(store[1]) - 1].add(store[2])
            return f"{tag} OK done\r\n".encode()
        return f"* BYE\r\n{tag} OK done\r\n".encode()

    @contextlib.contextmanager
    def serve(self) -> Iterator[int]:
        box = self

        class Session(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"* OK ready\r\n")
                for line in self.rfile:
                    tag, _, words = line.decode().strip().partition(" ")
                    self.wfile.write(box.answer(tag, words))
                    if words == "LOGOUT":
                        return

        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
            thread = threading.Thread(target=server.serve_forever, args=[0.01])
            thread.start()
            yield server.server_address[1]
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("keywords", [True, False])
def test_a_mailbox_is_read_once(provider: Provider, mail_id: str, keywords: bool) -> None:
    holiday = b"Subject: away\r\n\r\nback on Monday\r\n"
    box = Mailbox([holiday, report(mail_id, action="delayed", status="4.4.1"), report(mail_id)], keywords)
    with box.serve() as port:
        url = f"imap://net:p%40ss%2Fword@127.0.0.1:{port}/INBOX"
        read = read_mailbox(url)
        assert (read.mails, read.bounced, read.noted, read.others) == (3, 1, 1, 1)
        assert "\\Seen" not in box.flags[0], "what is not ours stays unread"
        assert read_mailbox(url).mails == (0 if keywords else 1)
        for wrong in (url.replace("word", "wood"), url.replace("INBOX", "Other")):
            with pytest.raises(OSError, match=r"password|folder"):
                read_mailbox(wrong)
    with pytest.raises(OSError):
        read_mailbox(url)
    assert states()[0] == ("x:1", "bounced")


def test_the_workers_read_the_mailbox_by_themselves(
    provider: Provider, mail_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks.ask_for_tick()
    with transaction() as tx:
        assert tx.scalar(select(job.c.id).where(job.c.kind == "read_bounces")) is None, "nobody gave a mailbox"
    with Mailbox([report(mail_id)], True).serve() as port:
        monkeypatch.setenv("TOLLKEEPER_BOUNCE_IMAP_URL", f"imap://net:p%40ss%2Fword@127.0.0.1:{port}/INBOX")
        settings.cache_clear()
        for _ in range(2):
            tasks.ask_for_tick()
        with transaction() as tx:
            claimed = jobs.claim(tx, [Lane.MAIL], 9, timedelta(minutes=1))
        asked, *more = [each for each in claimed if each.kind is Kind.READ_BOUNCES]
        assert len(more) <= 1, "asked once in five minutes, which may have begun anew just now"
        tasks.perform(asked.id, asked.tries)
    assert states()[0] == ("x:1", "bounced")
    tasks.read_bounces(asked)  # the mailbox is away: an alarm, and the next reading is the next try
