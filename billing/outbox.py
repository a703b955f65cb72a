"""What is queued for subscribers, many at a time, each by the channel that reaches its subscriber.

Mail first; without an address that works SMS or chat through the webhook, then paper for what must arrive.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select, text, update

from base import clock, jobs
from base.business import Business
from billing.addresses import Reach, find_bad, load_reaches
from billing.tables import message

# Kinds that are printed when nothing else reaches the subscriber, and for those who want paper.
ON_PAPER = frozenset({"invoice", "credit_note", "statement", "due_notice", "reminder_1", "reminder_2", "final_notice"})

# That a mail waits for its PDF, which hurries it when it is made: else a run of thousands wakes each again and again.
FOR_PAPER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message before it has a row."""

    subscriber_id: int
    kind: str
    key: str
    subject: str
    body: str
    invoice_id: int | None = None
    awaits_paper: bool = False
    "Its PDF is being made, which hurries it."


def queue_all(tx: Connection, business: Business, letters: Sequence[Outgoing]) -> None:
    """Have plain-text messages sent after the commit, each once per `key`, by the channels of their subscribers.

    kind 'invoice' (with `invoice_id`; its words may be left to when it leaves), 'credit_note' and 'receipt' (with the
    keys 'credit_note:<id>' and 'receipt:<payment id>') and 'statement' carry their PDF (billing.enclosures). Where no
    channel reaches a subscriber the message is kept in state 'none', and nothing is sent. Who wants mail and paper
    gets two rows, the second with the key '<key>:paper'.
    """
    if not letters:
        return
    reaches = load_reaches(tx, [letter.subscriber_id for letter in letters])
    bad = find_bad(tx, (a for letter in letters for a in reaches[letter.subscriber_id].addresses(letter.kind)))
    rows = []
    for letter in letters:
        reach = reaches[letter.subscriber_id]
        good = [each for each in reach.addresses(letter.kind) if each.lower() not in bad]
        rows += [_row(business, letter, *route) for route in _routes(business, reach, letter, good)]
    _insert(tx, rows, {letter.key for letter in letters if letter.awaits_paper})


def channel_of(business: Business, reach: Reach, kind: str, bad: Collection[str]) -> str:
    """How a message of this kind reaches a subscriber first: mail, sms, paper or none; `bad` addresses take no mail."""
    good = [each for each in reach.addresses(kind) if each.lower() not in bad]
    return next(_routes(business, reach, Outgoing(reach.subscriber_id, kind, "", "", ""), good))[0]


def take_over(tx: Connection, business: Business, failed: Row[Any]) -> None:
    """A message did not arrive: have the next channel carry it, if there is one."""
    letter = Outgoing(
        failed.subscriber_id, failed.kind, root_key(failed.key), failed.subject, failed.body, failed.invoice_id
    )
    reach = load_reaches(tx, [failed.subscriber_id])[failed.subscriber_id]
    channel = _without_mail(business, reach, letter.kind, after=failed.channel)
    if channel != "none":
        recipient = reach.phone if channel == "sms" else ""
        _insert(tx, [_row(business, letter, channel, f"{letter.key}:{channel}", recipient, [])])


def reached_at(tx: Connection, keys: Collection[str]) -> dict[str, datetime]:
    """When each of these messages reached its subscriber by some channel: accepted by a server, or printed.

    Keys whose messages did not (yet) are missing.
    """
    every = {f"{key}{suffix}": key for key in keys for suffix in ("", ":sms", ":paper")}
    rows = tx.execute(
        select(message.c.key, message.c.sent_at).where(
            message.c.key == func.any(list(every)), message.c.state == "sent", message.c.sent_at.is_not(None)
        )
    )
    found: dict[str, datetime] = {}
    for row in rows:
        key = every[row.key]
        found[key] = min(found.get(key, row.sent_at), row.sent_at)
    return found


def to_print(tx: Connection, limit: int = 1000) -> list[Row[Any]]:
    """Messages that wait for paper, the oldest first, under lock: `mark_printed` in the same transaction."""
    query = select(message).where(message.c.state == "paper").order_by(message.c.id).limit(limit)
    return list(tx.execute(query.with_for_update(skip_locked=True)))


def mark_printed(tx: Connection, message_ids: Collection[int], now: datetime) -> None:
    """These are on paper and on their way."""
    tx.execute(
        update(message)
        .where(message.c.id == func.any(list(message_ids)), message.c.state == "paper")
        .values(state="sent", sent_at=now)
    )


def withdraw(tx: Connection, keys: Collection[str], because: str) -> None:
    """Do not send or print these messages any more, where they have not left yet; nor once more where that is unsure.

    One that is under way may leave all the same: then it is 'sent', with a reason that says so (billing.mail).
    """
    every = [f"{key}{suffix}" for key in keys for suffix in ("", ":sms", ":paper")]
    tx.execute(
        update(message)
        .where(message.c.key == func.any(every), message.c.state.in_(["queued", "paper", "sending", "uncertain"]))
        .values(state="withdrawn", state_reason=because)
    )


def hurry_mails(tx: Connection, keys: Collection[str]) -> None:
    """Send these messages now: what they were waiting for is there."""
    every = [f"{key}{suffix}" for key in keys for suffix in ("", ":sms")]
    ids = tx.scalars(select(message.c.id).where(message.c.key == func.any(every), message.c.state == "queued"))
    jobs.hurry(tx, [job_key(each) for each in ids])


def root_key(key: str) -> str:
    """The key of the cause, without the channel that took over."""
    return key.removesuffix(":sms").removesuffix(":paper")


def job_key(message_id: int) -> str:
    """The key of the job that sends a message."""
    return f"message:{message_id}"


def one_line(words: str) -> str:
    """Fit for a header: no line breaks, no control characters, single spaces."""
    if words.isprintable():
        return " ".join(words.split())
    return " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())


def _routes(
    business: Business, reach: Reach, letter: Outgoing, good: list[str]
) -> Iterator[tuple[str, str, str, list[str]]]:
    """Channel, key, recipient and copies of each row of a letter."""
    printed = letter.kind in ON_PAPER and reach.delivery in ("paper", "both")
    if printed and reach.delivery == "paper":
        yield "paper", letter.key, "", []
        return
    if good:
        yield "mail", letter.key, good[0], good[1:]
        if printed:
            yield "paper", f"{letter.key}:paper", "", []
        return
    channel = _without_mail(business, reach, letter.kind, after="mail")
    yield channel, letter.key, reach.phone if channel == "sms" else "", []
    if printed and channel == "sms":
        yield "paper", f"{letter.key}:paper", "", []


def _without_mail(business: Business, reach: Reach, kind: str, *, after: str) -> str:
    """'sms', 'paper', or 'none'."""
    if after == "mail" and business.message_webhook_url and reach.phone:
        return "sms"
    return "paper" if kind in ON_PAPER else "none"


def _row(
    business: Business, letter: Outgoing, channel: str, key: str, recipient: str, copies: list[str]
) -> dict[str, Any]:
    now = clock.now()
    return {
        "subscriber_id": letter.subscriber_id,
        "invoice_id": letter.invoice_id,
        "kind": letter.kind,
        "key": key,
        "channel": "mail" if channel == "none" else channel,
        "state": channel if channel in ("paper", "none") else "queued",
        "recipient": recipient,
        "copies": copies,
        "mail_id": new_message_id(key, now, business.mail_from) if channel == "mail" else None,
        "subject": one_line(letter.subject),
        "body": letter.body,
        "created_at": now,
    }


def new_message_id(key: str, created_at: datetime, mail_from: str) -> str:
    """The Message-ID of every try to send this message, and of no other message."""
    digest = hashlib.sha256(f"{key} {created_at.isoformat()}".encode()).hexdigest()[:32]
    return f"<{digest}@{one_line(mail_from).rpartition('@')[2]}>"


def _insert(tx: Connection, rows: Sequence[dict[str, Any]], awaiting: Collection[str] = ()) -> None:
    if not rows:
        return
    made = tx.execute(_INSERT, {"rows": json.dumps(rows, default=datetime.isoformat)}).all()
    for waits, delay in ((False, timedelta()), (True, FOR_PAPER)):
        queued = [row.id for row in made if row.state == "queued" and (root_key(row.key) in awaiting) == waits]
        payloads = {job_key(each): {"message_id": each} for each in queued}
        jobs.enqueue_all(tx, jobs.Kind.SEND_MESSAGE, payloads, delay=delay)


# One statement with one parameter: a bill run writes thousands, and taking apart so many parameters costs more than
# writing the rows.
_INSERT = text(
    "INSERT INTO message (subscriber_id, invoice_id, kind, key, channel, state, recipient, copies, mail_id, subject, "
    "body, created_at) SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS fresh(subscriber_id bigint, "
    "invoice_id bigint, kind text, key text, channel text, state text, recipient text, copies text[], mail_id text, "
    "subject text, body text, created_at timestamptz) ON CONFLICT (key) DO NOTHING RETURNING id, state, key"
)
