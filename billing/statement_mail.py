"""Statements of account that staff send: a message whose PDF is made once and kept."""

from datetime import datetime

from sqlalchemy import Connection, select

from base import jobs, trail
from base.business import Business
from base.calendar import Period, local_date
from base.settings import settings
from billing.account_documents import load_statement
from billing.enclosures import StatementAsked, statement_key
from billing.letters import statement_letter
from billing.mail_sources import load_sources
from billing.outbox import Outgoing, queue_all
from billing.paper import language_of
from billing.refused import need
from billing.tables import message


def send_statement(
    tx: Connection, business: Business, actor: str, subscriber_id: int, period: Period, now: datetime
) -> list[str]:
    """Send a subscriber their account over a period, by the channels that invoices take; returns these.

    'none' is among them where nothing reaches the subscriber. LookupError when there is no such subscriber.
    """
    need(period.start < period.end, "A statement is about a day at least.", "period")
    language = language_of(tx, business, subscriber_id)
    asked = StatementAsked(subscriber_id, period, local_date(now, business.zone))
    found = load_statement(tx, subscriber_id, period, asked.made_on, language)
    letter = statement_letter(
        business,
        name=found.buyer["name"],
        number=found.buyer["number"],
        period=period,
        closing=found.closing,
        link=settings().public_url,
        language=language,
        sources=load_sources(tx),
    )
    key = statement_key(asked, f"{now:%H%M%S%f}")
    queue_all(tx, business, [Outgoing(subscriber_id, "statement", key, letter.subject, letter.body, awaits_paper=True)])
    rows = tx.execute(
        select(message.c.id, message.c.key, message.c.channel, message.c.state)
        .where(message.c.key.in_([key, f"{key}:paper"]))
        .order_by(message.c.id)
    ).all()
    first = next(row.id for row in rows if row.key == key)
    paper = {"kind": "statement", "id": first}
    jobs.enqueue(tx, jobs.Kind.RENDER_DOCUMENT, paper, key=f"document:statement:{first}")
    ways = ["none" if row.state == "none" else row.channel for row in rows]
    detail = {"from": period.start.isoformat(), "until": period.end.isoformat(), "by": ways}
    trail.record(tx, actor, "statement.sent", subject="subscriber", subject_id=subscriber_id, detail=detail)
    return ways
