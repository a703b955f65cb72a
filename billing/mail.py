"""Mails to subscribers: a row and a job in the business transaction; delivery is the job's work, once per key.

A worker that dies between the mail server's yes and our note of it sends that mail again, under the same Message-ID.
"""

import contextlib
import hashlib
import re
import smtplib
import ssl
from datetime import timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects.postgresql import insert

from base import clock, jobs
from base.business import Business, load_business
from base.crypto import open_vault
from base.database import transaction
from base.log import logger
from base.settings import settings
from base.tables import job, subscriber
from billing.tables import message
from billing.tasks import Retry

log = logger()
_MAILBOX = re.compile(r"[^@\s,:;<>()\[\]\\\"]+@[^@\s,:;<>()\[\]\\\"]+")
PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
TIMEOUT = 20.0  # seconds for each answer of the mail server
PATIENCE = timedelta(minutes=1)  # that a mail waits for its PDF


def queue_message(
    tx: Connection,
    business: Business,
    *,
    subscriber_id: int,
    kind: str,
    key: str,
    subject: str,
    body: str,
    invoice_id: int | None = None,
) -> None:
    """Have a plain-text mail sent after the commit, once per `key`.

    kind 'invoice' (with `invoice_id`) and kind 'receipt' (whose key is 'receipt:<payment id>') carry their PDF. For a
    subscriber without an address the message is kept with an empty recipient, and nothing is sent.
    """
    recipient = tx.scalar(select(subscriber.c.email).where(subscriber.c.id == subscriber_id)) or ""
    message_id = tx.scalar(
        insert(message)
        .values(
            subscriber_id=subscriber_id,
            invoice_id=invoice_id,
            kind=kind,
            key=key,
            recipient=recipient,
            subject=_one_line(subject),
            body=body,
            created_at=clock.now(),
        )
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(message.c.id)
    )
    if message_id is not None and recipient:
        jobs.enqueue(tx, jobs.Kind.SEND_MESSAGE, {"message_id": message_id}, key=_job_key(message_id))


def deliver(message_id: int) -> None:
    """Send one queued mail and note when; nothing happens when it was sent before.

    Raises Retry while its PDF is still being made (a minute at most) and while the mail server cannot be used or says
    'later'; smtplib.SMTPException when the server refuses this mail for good.
    """
    with transaction() as tx:
        row = tx.execute(select(message).where(message.c.id == message_id)).one()
        if row.sent_at is not None or not row.recipient:
            return
        business = load_business(tx, open_vault(settings().secret_keys))
        pdf = _attachment(tx, row)
    mail = compose(row, business, pdf)
    try:
        server = _connect()
    except OSError as error:  # all of smtplib's are
        raise _later(error) from error
    try:
        server.send_message(mail)
    except OSError as error:
        if _is_final(error):
            raise
        raise _later(error) from error
    finally:
        with contextlib.suppress(OSError):  # what the server has taken stays taken, however we part
            server.quit()
    with transaction() as tx:
        tx.execute(update(message).where(message.c.id == message_id).values(sent_at=clock.now()))


def compose(row: Row[Any], business: Business, pdf: tuple[str, bytes] | None) -> EmailMessage:
    """The mail of one row of `message`; `pdf` is a file name and its bytes. ValueError when an address is not one."""
    mail = EmailMessage()
    mail["From"] = _address(business.mail_from, _one_line(business.company_name))
    mail["To"] = _address(row.recipient)
    mail["Subject"] = _one_line(row.subject)
    mail["Date"] = format_datetime(clock.now())
    mail["Message-ID"] = _message_id(row, business)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(row.body)
    if pdf is not None:
        mail.add_attachment(pdf[1], maintype="application", subtype="pdf", filename=pdf[0])
    return mail


def _attachment(tx: Connection, row: Row[Any]) -> tuple[str, bytes] | None:
    """The file name and PDF that belong to a message; Retry while it may still come."""
    from billing import documents  # which know invoices, which queue mails

    if row.kind == "invoice" and row.invoice_id is not None:
        subject_id = row.invoice_id
    elif row.kind == "receipt" and row.key.startswith("receipt:"):
        subject_id = int(row.key.removeprefix("receipt:"))
    else:
        return None
    pdf = documents.fetch(tx, row.kind, subject_id)
    if pdf is not None:
        return documents.file_name(tx, row.kind, subject_id), pdf
    if documents.available() is None and _age(tx, row.id) < PATIENCE:
        raise Retry(3, f"the PDF of {row.key} is not there yet")
    return None


def _age(tx: Connection, message_id: int) -> timedelta:
    """How long the mail has been waiting, in real time."""
    queued_at = tx.scalar(select(job.c.created_at).where(job.c.key == _job_key(message_id)))
    return PATIENCE if queued_at is None else clock.real() - queued_at


def _connect() -> smtplib.SMTP:
    """The server of settings().smtp_url, ready to take mail."""
    url = urlsplit(settings().smtp_url.get_secret_value())
    host, port = url.hostname or "127.0.0.1", url.port or PORTS[url.scheme]
    if url.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=ssl.create_default_context())
    else:
        server = smtplib.SMTP(host, port, timeout=TIMEOUT)
    try:
        if url.scheme == "smtp+starttls":
            server.starttls(context=ssl.create_default_context())
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
    except BaseException:
        server.close()
        raise
    return server


def _is_final(error: OSError) -> bool:
    """Whether the server will never take this mail: 5xx (RFC 5321, 4.2.1), or an address that it cannot write."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return any(code >= 500 for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code >= 500
    return isinstance(error, smtplib.SMTPNotSupportedError)


def _later(error: OSError) -> Retry:
    log.warning("mail.waits", because=str(error))
    return Retry(60, f"the mail server does not take mail now: {error}")


def _message_id(row: Row[Any], business: Business) -> str:
    """The same for every try to send this message, and no other message's."""
    digest = hashlib.sha256(f"{row.key} {row.created_at.isoformat()}".encode()).hexdigest()[:32]
    return f"<{digest}@{_one_line(business.mail_from).rpartition('@')[2]}>"


def _address(spec: str, name: str = "") -> Address:
    """One mailbox; ValueError for none and for a list."""
    if not _MAILBOX.fullmatch(spec.strip()):
        raise ValueError(f"{spec!r} is not a mail address")
    return Address(name, addr_spec=spec.strip())


def _job_key(message_id: int) -> str:
    return f"message:{message_id}"


def _one_line(text: str) -> str:
    """Fit for a header: no line breaks, no control characters, single spaces."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
