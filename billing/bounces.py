"""Mails that come back: delivery status notifications (RFC 3464), matched with the message that they are about.

Only a report that names one of our Message-IDs counts, and it speaks only about that message's own addresses, so that
nobody can have an address marked by writing to the mailbox.
"""

import imaplib
import re
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.errors import MessageError
from email.message import Message
from enum import Enum
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection, select, update

from base import clock
from base.business import Business, load_business
from base.crypto import open_vault
from base.database import transaction
from base.settings import settings
from billing.addresses import find_bad, mark_bad
from billing.outbox import take_over
from billing.smtp import is_hard
from billing.tables import message

LONGEST = 10_000_000  # bytes of a mail that is looked into
READ = "TollkeeperRead"  # IMAP keyword of mails that are no reports of ours
TIMEOUT = 30.0  # seconds for each answer of the IMAP server


class Outcome(Enum):
    """What a mail in the mailbox of bounces meant."""

    BOUNCED = "bounced"
    "The message did not arrive."
    NOTED = "noted"
    "It is late, or only some of its addresses failed."
    OTHER = "other"
    "No report, or not about a message of ours."


@dataclass(frozen=True, slots=True)
class Fate:
    """What a report says of one address (RFC 3464, 2.3)."""

    addresses: frozenset[str]
    "Original and final recipient, in lower case."
    action: str
    "failed, delayed, delivered, relayed or expanded."
    status: str
    "RFC 3463, such as 5.1.1."
    answer: str
    "What the server said, for staff."


@dataclass(frozen=True, slots=True)
class Report:
    """A delivery status notification."""

    mail_id: str
    "Message-ID of the mail that it is about."
    fates: tuple[Fate, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """What was in the mailbox."""

    bounced: int
    noted: int
    others: int

    @property
    def mails(self) -> int:
        """All that were read."""
        return self.bounced + self.noted + self.others


def parse(raw: bytes) -> Report | None:
    """The report in a mail as it came; None when there is none that can be read, or it names no mail."""
    try:
        mail = message_from_bytes(raw, policy=policy.compat32)
        parts = list(mail.walk())
        status = next((part for part in parts if part.get_content_type() == "message/delivery-status"), None)
        if status is None:
            return None
        mail_id = _returned_id(parts)
        fates = tuple(_fates(status))
    except (MessageError, ValueError, LookupError, RecursionError):  # whatever strangers may send
        return None
    return Report(mail_id, fates) if mail_id and fates else None


def take_bounce(tx: Connection, business: Business, raw: bytes, now: datetime) -> Outcome:
    """Note what a mail in the mailbox, or one that a mail provider posted, says about a message of ours.

    A message none of whose addresses is left is 'bounced', and the next channel takes over. An address at which nobody
    is (5.1.1 and its like, see smtp.is_hard) is marked. Harmless when it comes again.
    """
    report = parse(raw)
    if report is None:
        return Outcome.OTHER
    row = tx.execute(select(message).where(message.c.mail_id == report.mail_id).with_for_update()).one_or_none()
    if row is None:
        return Outcome.OTHER
    ours = [row.recipient, *row.copies]
    failed: set[str] = set()
    said = []
    for fate in report.fates:
        if fate.action not in ("failed", "delayed"):
            continue
        meant = [address for address in ours if address.lower() in fate.addresses]
        if not meant and len(ours) == 1:
            meant = ours  # forwarded to another address: the mail to ours failed all the same
        said += [f"{address} {fate.action}: {fate.status} {fate.answer}".strip() for address in meant]
        if fate.action == "failed":
            failed |= {address.lower() for address in meant}
            if fate.status.startswith("5.") and is_hard(fate.status, at_address=False):
                for address in meant:
                    mark_bad(tx, address, f"Mail came back: {fate.status} {fate.answer}".strip(), now)
    if not said:
        return Outcome.OTHER
    if row.state not in ("sent", "sending", "uncertain"):
        return Outcome.NOTED
    gone = failed | find_bad(tx, ours).keys()
    arrived_nowhere = bool(failed) and gone >= {address.lower() for address in ours}
    values = {"state_reason": "; ".join(said)[:2000]} | ({"state": "bounced"} if arrived_nowhere else {})
    tx.execute(update(message).where(message.c.id == row.id).values(values))
    if arrived_nowhere:
        take_over(tx, business, row)
    return Outcome.BOUNCED if arrived_nowhere else Outcome.NOTED


def read_mailbox(url: str) -> Read:
    """Read what is new in imaps://user:password@host/FOLDER; reports about our mails are marked as seen there.

    Each is one transaction. Raises OSError when the mailbox cannot be read. imap:// speaks TLS too (STARTTLS) unless
    the host is this machine.
    """
    vault = open_vault(settings().secret_keys)
    counts = dict.fromkeys(Outcome, 0)
    try:
        with _open(url) as box:
            for uid, raw in _unread(box):
                with transaction() as tx:
                    outcome = take_bounce(tx, load_business(tx, vault), raw, clock.now())
                counts[outcome] += 1
                with suppress(imaplib.IMAP4.error):  # a server without keywords shows the mail again next time
                    box.uid("STORE", uid, "+FLAGS.SILENT", f"({READ if outcome is Outcome.OTHER else _SEEN})")
    except imaplib.IMAP4.error as error:
        raise ConnectionError(str(error)) from error
    return Read(counts[Outcome.BOUNCED], counts[Outcome.NOTED], counts[Outcome.OTHER])


_SEEN = "\\Seen"


def _returned_id(parts: list[Message]) -> str:
    """The Message-ID in the returned mail or its headers (RFC 3464, section 2)."""
    for part in parts:
        kind = part.get_content_type()
        if kind == "message/rfc822":
            inner = part.get_payload()
            first = inner[0] if isinstance(inner, list) and inner else None
            if isinstance(first, Message) and (found := _message_id(first)):
                return found
        elif kind in ("text/rfc822-headers", "message/rfc822-headers"):
            headers = message_from_bytes(part.get_payload(decode=True) or b"")  # type: ignore[arg-type]
            if found := _message_id(headers):
                return found
    return ""


def _message_id(headers: Message) -> str:
    """The Message-ID itself, without whatever else stands in its line (RFC 5322, section 3.6.4)."""
    found = re.search(r"<[^<>\s\x00-\x1f]+>", _field(headers, "Message-ID"))
    return found[0] if found else ""


def _fates(status: Message) -> Iterator[Fate]:
    """The groups of fields about recipients; the first group is about the mail as a whole."""
    blocks = status.get_payload()
    for block in blocks if isinstance(blocks, list) else []:
        if not isinstance(block, Message) or block.get("Action") is None:
            continue
        named = (_field(block, name).partition(";")[2] for name in ("Original-Recipient", "Final-Recipient"))
        yield Fate(
            addresses=frozenset(address.strip().strip("<>").lower() for address in named if address.strip()),
            action=_field(block, "Action").lower(),
            status=_field(block, "Status").partition(" ")[0],
            answer=" ".join(_field(block, "Diagnostic-Code").partition(";")[2].split())[:500],
        )


def _field(block: Message, name: str) -> str:
    """A header as text, also one that is no ASCII."""
    return str(block.get(name, "")).strip()


def _open(url: str) -> imaplib.IMAP4:
    where = urlsplit(url)
    host = where.hostname or "127.0.0.1"
    context = ssl.create_default_context()
    if where.scheme == "imaps":
        box: imaplib.IMAP4 = imaplib.IMAP4_SSL(host, where.port or 993, ssl_context=context, timeout=TIMEOUT)
    else:
        box = imaplib.IMAP4(host, where.port or 143, timeout=TIMEOUT)
    try:
        if where.scheme == "imap" and not _is_here(host):
            box.starttls(context)
        box.login(unquote(where.username or ""), unquote(where.password or ""))
        folder = unquote(where.path.strip("/")) or "INBOX"
        said, answer = box.select('"' + folder.replace("\\", "\\\\").replace('"', '\\"') + '"')
        if said != "OK":
            raise ConnectionError(f"there is no folder {folder}: {answer}")
    except BaseException:
        with suppress(OSError, imaplib.IMAP4.error):
            box.shutdown()
        raise
    return box


def _unread(box: imaplib.IMAP4) -> Iterator[tuple[str, bytes]]:
    """Number and bytes of each mail that nobody has looked at."""
    _, found = box.uid("SEARCH", "UNSEEN", "UNKEYWORD", READ)
    for uid in (found[0] or b"").decode().split():
        _, answer = box.uid("FETCH", uid, f"(BODY.PEEK[]<0.{LONGEST}>)")
        raw = next((part[1] for part in answer if isinstance(part, tuple)), None)
        if raw is not None:
            yield uid, raw


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
