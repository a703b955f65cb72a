"""What a mail to one subscriber would say: its template filled with what is really there."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, func, select

from base import clock
from base.access import Reason
from base.business import Business
from base.calendar import Period
from base.money import Money
from base.offers import plan
from base.settings import settings
from base.tables import policy, service, subscriber
from billing.credit_documents import load_credit_note
from billing.facts import load_facts
from billing.ledger import receivable
from billing.links import link_to
from billing.mail_samples import SAMPLES
from billing.mail_sources import load_sources
from billing.mail_words import KINDS, Letter, WrongTemplate, render, write
from billing.refused import Refused
from billing.tables import allocation, credit_note, invoice, invoice_line, open_item, payment
from billing.tax import TaxGroup


@dataclass(frozen=True, slots=True)
class Preview:
    """A mail as the subscriber would get it."""

    letter: Letter
    language: str
    invented: tuple[str, ...]
    "Values that the subscriber has none of yet, taken from the samples."


def preview(
    tx: Connection,
    business: Business,
    kind: str,
    number: str,
    *,
    language: str | None = None,
    source: str | None = None,
) -> Preview:
    """A mail of a kind to the subscriber with an account number; `source` tries a template that is not saved yet.

    Refused for an unknown kind or number, and for a source that does not work.
    """
    if kind not in KINDS:
        raise Refused(f"There is no mail {kind!r}; there are {', '.join(KINDS)}.", "kind")
    who = tx.execute(select(subscriber).where(subscriber.c.number == number)).one_or_none()
    if who is None:
        raise Refused(f"There is no subscriber {number}.", "subscriber")
    spoken = language or who.language or business.language
    sample = SAMPLES[kind][0]
    known = _known(tx, who, kind)
    if kind.startswith("usage"):
        known = {**known, **_usage(tx, business, who.id)}
    values = {**sample, **{name: value for name, value in known.items() if name in sample}}
    if source is None:
        letter = write(kind, business, language=spoken, sources=load_sources(tx), **values)
    else:
        try:
            letter = render(source, business, spoken, values)
        except WrongTemplate as error:
            raise Refused(f"This template cannot be used: {error}.", "source") from error
    return Preview(letter, spoken, tuple(name for name in sample if name not in known))


def _known(tx: Connection, who: Row[Any], kind: str) -> Mapping[str, Any]:
    """Everything that is true of the subscriber, by the names that templates use."""
    nothing = Money(0, who.currency)
    found: dict[str, Any] = {
        "name": who.name,
        "owed": receivable(tx, who.id),
        "nothing": nothing,
        "link": settings().public_url,
    }
    found |= _line(tx, who.id)
    if kind in ("welcome", "statement"):
        found["number"] = who.number
    if kind == "receipt":
        found |= _last_payment(tx, who.id)
    elif kind == "credit_note":
        found |= _last_credit_note(tx, who.id)
    elif kind == "statement":
        today = clock.now().date()
        found |= {"closing": found["owed"], "period": Period(today.replace(month=1, day=1), today + timedelta(days=1))}
    elif kind not in ("welcome", "suspended", "restored", "instalment_plan"):
        found |= _last_invoice(tx, who.id)
    if kind in ("card_failed", "promise_accepted"):
        found["amount"] = found["owed"]
    return found


def _line(tx: Connection, subscriber_id: int) -> dict[str, Any]:
    """The first service."""
    row = tx.execute(
        select(service.c.login, service.c.starts_on, plan.c.name, policy.c.reasons, policy.c.changed_at)
        .join(plan, plan.c.id == service.c.plan_id)
        .outerjoin(policy, policy.c.service_id == service.c.id)
        .where(service.c.subscriber_id == subscriber_id)
        .order_by(service.c.id)
        .limit(1)
    ).one_or_none()
    if row is None:
        return {}
    found = {"login": row.login, "plan": row.name, "starts_on": row.starts_on}
    if row.changed_at is not None:
        found |= {"at": row.changed_at, "reasons": [Reason(reason).for_subscriber for reason in row.reasons]}
    return found


def _usage(tx: Connection, business: Business, subscriber_id: int) -> dict[str, Any]:
    """What the first service has used of its cap, where its plan has one."""
    first = tx.scalar(select(func.min(service.c.id)).where(service.c.subscriber_id == subscriber_id))
    known = [] if first is None else load_facts(tx, business, [first], clock.now(), lock=False)
    usage = known[0].facts.usage if known else None
    if usage is None:
        return {}
    percent = usage.used * 100 // usage.cap
    return {"used": usage.used, "cap": usage.cap, "percent": percent, "renews_on": usage.period.end}


def _last_invoice(tx: Connection, subscriber_id: int) -> dict[str, Any]:
    """The newest invoice, an open one first."""
    row = tx.execute(
        select(invoice, open_item.c.open_minor)
        .outerjoin(open_item, open_item.c.invoice_id == invoice.c.id)
        .where(invoice.c.subscriber_id == subscriber_id)
        .order_by(open_item.c.open_minor.is_(None), invoice.c.id.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return {}
    lines = tx.execute(
        select(invoice_line).where(invoice_line.c.invoice_id == row.id).order_by(invoice_line.c.position)
    )
    return {
        "number": row.number,
        "issued_on": row.issued_on,
        "due_on": row.due_on,
        "lines": [
            {
                "text": line.text,
                "period": line.period_start and Period(line.period_start, line.period_end),
                "net": Money(line.net_minor, row.currency),
            }
            for line in lines
        ],
        "taxes": [
            TaxGroup(
                name=group["name"],
                percent=Decimal(group["percent"]),
                category=group["category"],
                net=Money(group["net_minor"], row.currency),
                tax=Money(group["tax_minor"], row.currency),
            )
            for group in row.taxes
        ],
        "total": Money(row.total_minor, row.currency),
        "open": Money(row.open_minor or 0, row.currency),
        "link": link_to(tx, row.id),
        "charge": None,
    }


def _last_credit_note(tx: Connection, subscriber_id: int) -> dict[str, Any]:
    newest = tx.scalar(select(func.max(credit_note.c.id)).where(credit_note.c.subscriber_id == subscriber_id))
    note = None if newest is None else load_credit_note(tx, newest)
    if note is None:
        return {}
    return {
        "number": note.number,
        "issued_on": note.issued_on,
        "invoice_number": note.invoice_number,
        "reason": note.reason,
        "lines": [{"text": line.text, "period": line.period, "net": line.net} for line in note.lines],
        "taxes": note.taxes,
        "total": note.total,
    }


def _last_payment(tx: Connection, subscriber_id: int) -> dict[str, Any]:
    row = tx.execute(
        select(payment).where(payment.c.subscriber_id == subscriber_id).order_by(payment.c.id.desc()).limit(1)
    ).one_or_none()
    if row is None:
        return {}
    settled = tx.execute(
        select(invoice.c.number, allocation.c.amount_minor)
        .join(allocation, allocation.c.invoice_id == invoice.c.id)
        .where(allocation.c.payment_id == row.id, allocation.c.amount_minor > 0)
        .order_by(allocation.c.id)
    )
    return {
        "receipt_number": row.receipt_number,
        "received_on": row.received_on,
        "amount": Money(row.amount_minor, row.currency),
        "settled": [{"number": each.number, "amount": Money(each.amount_minor, row.currency)} for each in settled],
    }
