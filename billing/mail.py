"""What subscribers are told: a row and a job in the business transaction; delivery is the job's work, once per key.

Law: a mail whose fate at the mail server is not known is 'uncertain', and is sent again only once, under the same
Message-ID, and only where silence would be worse than a second copy (RESENT).
"""

from dataclasses import dataclass
from datetime import timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from sqlalchemy import Connection, Row, case, select, update

from base import clock, jobs
from base.business import Business, load_business
from base.crypto import open_vault
from base.database import transaction
from base.log import logger
from base.settings import settings
from base.tables import job
from billing import addresses, pace, smtp, webhook
from billing.enclosures import enclosure_of
from billing.invoice_mail import write_invoice_mail
from billing.outbox import FOR_PAPER, Outgoing, job_key, new_message_id, one_line, queue_all, take_over
from billing.tables import message
from billing.tasks import ClaimLost, Retry

log = logger()
PATIENCE = timedelta(hours=24)  # that a mail waits for its PDF while that is still to be made
RESENT = frozenset({"invoice", "final_notice"})  # kinds that are sent again when uncertain


@dataclass(frozen=True, slots=True)
class _Load:
    """Everything that a delivery needs; no transaction is open while it goes on."""

    row: Row[Any]
    business: Business
    recipients: list[str]
    pdf: tuple[str, bytes] | None


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
    awaits_paper: bool = False,
) -> None:
    """Have a plain-text message sent after the commit, once per `key`: outbox.queue_all for one."""
    queue_all(tx, business, [Outgoing(subscriber_id, kind, key, subject, body, invoice_id, awaits_paper)])


def deliver(message_id: int) -> None:
    """Send one queued message and note what came of it; nothing happens when that is known already.

    Raises Retry while its PDF is still being made (a day at most), until its turn (mails_per_minute), and while the
    mail server or the webhook cannot be used or says 'later'; ValueError when mail_from is not an address.
    """
    with transaction() as tx:
        row = tx.execute(select(message).where(message.c.id == message_id).with_for_update()).one()
        if row.state == "sending":
            reason = "The worker ended while the mail server had the mail and had not answered yet."
            row = _note(tx, message_id, state="uncertain", state_reason=reason)
    if not _is_due(row):
        return
    load = _load(message_id)
    if load is None:
        return
    pace.wait_for_turn(message_id, load.business.mails_per_minute)
    if load.row.channel == "sms":
        _post(load)
    else:
        _send(load)


def compose(row: Row[Any], business: Business, pdf: tuple[str, bytes] | None) -> EmailMessage:
    """The mail of one row of `message`; `pdf` is a file name and its bytes. ValueError when an address is not one."""
    mail = EmailMessage()
    mail["From"] = _address(business.mail_from, one_line(business.company_name))
    mail["To"] = _address(row.recipient)
    if row.copies:
        mail["Cc"] = [_address(copy) for copy in row.copies]
    mail["Subject"] = one_line(row.subject)
    mail["Date"] = format_datetime(clock.now())
    mail["Message-ID"] = row.mail_id
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(row.body)
    if pdf is not None:
        mail.add_attachment(pdf[1], maintype="application", subtype="pdf", filename=pdf[0])
    return mail


def _is_due(row: Row[Any]) -> bool:
    if row.channel == "paper":
        return False
    return row.state == "queued" or (row.state == "uncertain" and row.kind in RESENT and not row.resent)


def _load(message_id: int) -> _Load | None:
    """What is to be sent now; None when no address is left and another channel has taken over."""
    with transaction() as tx:
        row = tx.execute(select(message).where(message.c.id == message_id).with_for_update()).one()
        business = load_business(tx, open_vault(settings().secret_keys))
        if row.kind == "invoice" and row.invoice_id is not None and not row.body:
            letter = write_invoice_mail(tx, business, row.invoice_id)
            row = _note(tx, message_id, subject=one_line(letter.subject), body=letter.body)
        if row.channel == "sms":
            return _Load(row, business, [row.recipient], None)
        written = [row.recipient, *row.copies]
        for address in written:
            if not addresses.is_mailbox(address):
                addresses.mark_bad(tx, address, "This is not a mail address.", clock.now())
        good = addresses.good_ones(tx, written)
        if not good:
            bad = addresses.find_bad(tx, written)
            reason = "; ".join(f"{address}: {bad[address.lower()]}" for address in written)
            _note(tx, message_id, state="refused", state_reason=reason)
            take_over(tx, business, row)
            return None
        if good != written:
            row = _note(tx, message_id, recipient=good[0], copies=good[1:])
        if row.mail_id is None:  # written by an older release
            row = _note(tx, message_id, mail_id=new_message_id(row.key, row.created_at, business.mail_from))
        return _Load(row, business, good, _attachment(tx, row))


def _send(load: _Load) -> None:
    """By SMTP: 'sending' is committed before the content leaves, so that whoever finds it later knows."""
    row = load.row
    mail = compose(row, load.business, load.pdf)
    try:
        taken = smtp.send(
            settings().smtp_url.get_secret_value(),
            load.business.mail_from.strip(),
            load.recipients,
            mail,
            lambda: _begin(row.id),
        )
    except smtp.NotNow as error:
        with transaction() as tx:
            # unless it was withdrawn while the mail server was waited for
            waits = update(message).where(message.c.id == row.id, message.c.state != "withdrawn")
            tx.execute(waits.values(state=row.state, state_reason=row.state_reason, resent=row.resent, turn_at=None))
            raise_later = _later(tx, row.id, str(error))
        raise raise_later from error
    except smtp.NotSure as error:
        log.warning("mail.uncertain", message=row.id, because=str(error))
        with transaction() as tx:
            if (withdrawn := _withdrawn(tx, row.id)) is not None:
                _note(tx, row.id, state_reason=f"{withdrawn} It may have left all the same: {error}")
                return
            row = _note(tx, row.id, state="uncertain", state_reason=str(error), turn_at=None)
        if _is_due(row):
            raise Retry(60, f"it is sent once more, because {error}") from error
    except smtp.NeverMail as error:
        with transaction() as tx:
            withdrawn = _withdrawn(tx, row.id)
            _mark(tx, error.answers)
            if withdrawn is None:
                _note(tx, row.id, state="refused", state_reason=str(error))
                take_over(tx, load.business, row)
    else:
        with transaction() as tx:
            missed = "; ".join(f"{address}: {answer}" for address, answer in (taken.refused | taken.waiting).items())
            said = [f"Not taken for {missed}"] if missed else []
            if (withdrawn := _withdrawn(tx, row.id)) is not None:
                said.insert(0, f"{withdrawn} It was under way already, and left.")
            _note(tx, row.id, state="sent", sent_at=clock.now(), state_reason=" ".join(said))
            _mark(tx, taken.refused)


def _begin(message_id: int) -> None:
    """Note that the content is about to leave; ClaimLost when somebody else did."""
    with transaction() as tx:
        begun = tx.execute(
            update(message)
            .where(message.c.id == message_id, message.c.state.in_(["queued", "uncertain"]))
            .values(state="sending", resent=message.c.resent + case((message.c.state == "uncertain", 1), else_=0))
        ).rowcount
    if not begun:
        raise ClaimLost


def _post(load: _Load) -> None:
    """Through the webhook, whose receiver takes each key once: so an answer that got lost is asked for again."""
    row = load.row
    text = f"{row.subject}\n\n{row.body}"
    try:
        webhook.post(load.business, to=row.recipient, kind=row.kind, text=text, key=row.key)
    except webhook.NotNow as error:
        with transaction() as tx:
            _note(tx, row.id, turn_at=None)
            raise_later = _later(tx, row.id, str(error))
        raise raise_later from error
    except webhook.Never as error:
        with transaction() as tx:
            _note(tx, row.id, state="refused", state_reason=str(error))
            take_over(tx, load.business, row)
    else:
        with transaction() as tx:
            _note(tx, row.id, state="sent", sent_at=clock.now())


def _note(tx: Connection, message_id: int, **values: Any) -> Row[Any]:
    return tx.execute(update(message).where(message.c.id == message_id).values(values).returning(message)).one()


def _withdrawn(tx: Connection, message_id: int) -> str | None:
    """Why the message was withdrawn while it was under way; None: it was not."""
    row = tx.execute(select(message).where(message.c.id == message_id).with_for_update()).one()
    return row.state_reason if row.state == "withdrawn" else None


def _mark(tx: Connection, answers: dict[str, str]) -> None:
    for address, answer in answers.items():
        if smtp.is_hard(answer, at_address=True):
            addresses.mark_bad(tx, address, f"The mail server refused it: {answer}", clock.now())


def _attachment(tx: Connection, row: Row[Any]) -> tuple[str, bytes] | None:
    """The file name and PDF that belong to a message; Retry while it may still come."""
    from billing import documents  # which know invoices, which queue mails

    found = enclosure_of(tx, row)
    if found is None:
        return None
    pdf = documents.fetch(tx, found.kind, found.subject_id)
    if pdf is not None:
        return documents.file_name(tx, found.kind, found.subject_id), pdf
    coming = jobs.is_alive(tx, f"document:{found.kind}:{found.subject_id}")
    if coming and documents.available() is None and _age(tx, row.id) < PATIENCE:
        # its PDF hurries it (documents.store); this is for a wake that got lost
        raise Retry(FOR_PAPER.total_seconds(), f"the PDF of {row.key} is not there yet")
    return None


def _age(tx: Connection, message_id: int) -> timedelta:
    """How long the message has been waiting, in real time."""
    queued_at = tx.scalar(select(job.c.created_at).where(job.c.key == job_key(message_id)))
    return PATIENCE if queued_at is None else clock.real() - queued_at


def _later(tx: Connection, message_id: int, because: str) -> Retry:
    """After a minute; after a quarter of an hour when it has been waiting for an hour or longer."""
    log.warning("mail.waits", message=message_id, because=because)
    return Retry(min(900.0, max(60.0, _age(tx, message_id).total_seconds() / 4)), because)


def _address(spec: str, name: str = "") -> Address:
    """One mailbox; ValueError for none and for a list."""
    if not addresses.is_mailbox(spec.strip()):
        raise ValueError(f"{spec!r} is not a mail address")
    return Address(name, addr_spec=spec.strip())
