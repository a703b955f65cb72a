"""Money received: recorded once, applied to what is open, booked, receipted, and felt by access in the same commit."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from base import clock, jobs
from base.bulk import copy_rows, take_ids
from base.business import Business
from base.calendar import local_date
from base.crypto import Vault
from base.i18n import format_money
from base.money import Money
from base.tables import service, subscriber, trail
from billing.apply import refresh_access
from billing.cheques.waiting import counts_on, note_waiting
from billing.cheques.waiting import sides as cheque_sides
from billing.clearing.till import need_open_till
from billing.gateway.offers import methods
from billing.ledger import Entry, Posting, post_all, receivables
from billing.letters import receipt_letter
from billing.mail_sources import load_sources
from billing.numbers import next_numbers
from billing.outbox import Outgoing, queue_all
from billing.prepaid.renewal import renew
from billing.refused import Refused
from billing.settle import add_credits, apply_credits, lock_subscribers
from billing.tables import allocation, invoice, payment
from billing.write_offs import any_written_off, recover_named

# method -> where the money lies, or lay already
ACCOUNT_OF = {
    "cash": "cash",
    "cheque": "bank",
    "voucher": "vouchers_sold",
    **{name: each.account for name, each in methods().items()},
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """The payment as it stands; `new` is False when its gateway id had been recorded before."""

    payment_id: int
    new: bool


@dataclass(frozen=True, slots=True)
class Incoming:
    """Money that came in; see record_payment."""

    subscriber_id: int
    amount: Money
    method: str
    received_on: date
    gateway_id: str | None = None
    invoice_ids: Collection[int] = ()
    note: str = ""
    here: bool = False
    "It lies here already, recorded for somebody else: no till takes it."


def record_payment(
    tx: Connection,
    vault: Vault,
    business: Business,
    *,
    subscriber_id: int,
    amount: Money,
    method: str,
    author: str,
    gateway_id: str | None = None,
    invoice_ids: Collection[int] = (),
    note: str = "",
    now: datetime,
    received_on: date | None = None,
) -> Recorded:
    """Record money from a subscriber and everything that follows from it; the caller commits.

    The money goes to the open invoices named in `invoice_ids`, then to the one due first, then to what was written off
    of those named; what is left over is credit that the next invoice uses. A cheque may count only after `cheque_days`
    (billing.cheques). A `gateway_id` (Stripe's pi_…) is recorded
    once: the second time nothing happens. It came in on `received_on` (default: today). Raises services.Refused when
    the amount, its currency or the method cannot be, its month is closed in the books, or the gateway id came before
    with another payer or amount.
    """
    if not lock_subscribers(tx, [subscriber_id]):
        raise Refused("There is no such subscriber.", "subscriber_id")
    if gateway_id is not None:
        known = tx.execute(select(payment).where(payment.c.gateway_id == gateway_id)).one_or_none()
        if known is not None:
            return _same(known, subscriber_id, amount)
    incoming = Incoming(
        subscriber_id, amount, method, received_on or local_date(now, business.zone), gateway_id, invoice_ids, note
    )
    return Recorded(record_payments(tx, vault, business, [incoming], author=author, now=now)[0], new=True)


def record_payments(
    tx: Connection, vault: Vault, business: Business, incoming: Sequence[Incoming], *, author: str, now: datetime
) -> list[int]:
    """Record many payments that are new, one of each subscriber at most, in a few statements; returns their ids.

    The subscribers are locked. Everything is as record_payment does it, and it raises what that raises.
    """
    who = [each.subscriber_id for each in incoming]
    payers = {row.id: row for row in tx.execute(select(subscriber).where(subscriber.c.id == func.any(who)))}
    for each in incoming:
        _check(each.amount, each.method, payers[each.subscriber_id].currency)
    for code in {each.amount.currency for each in incoming}:
        taken = (each for each in incoming if each.method == "cash" and not each.here)
        cash = {each.received_on for each in taken if each.amount.currency == code}
        if cash:
            need_open_till(tx, author, cash, code)
    today = local_date(now, business.zone)
    ids = take_ids(tx, payment, len(incoming))
    numbers = [f"R-{number:06d}" for number in next_numbers(tx, "receipt", len(incoming))]
    recorded = list(zip(ids, numbers, incoming, strict=True))
    days = {each[0]: counts_on(business, each[2].method, each[2].received_on, today) for each in recorded}
    waits = {payment_id: day for payment_id, day in days.items() if day is not None}
    copy_rows(tx, payment, [_row(*each, author, now) for each in recorded])
    post_all(tx, [_entry(*each, waits=each[0] in waits) for each in recorded])
    late = [(id_, each.subscriber_id, waits[id_], each.invoice_ids) for id_, _, each in recorded if id_ in waits]
    note_waiting(tx, late)
    deeds = [
        {
            "at": clock.now(), "actor": author, "act": "payment.recorded", "subject": "subscriber",
            "subject_id": each.subscriber_id,
            "detail": {
                "payment_id": payment_id, "amount": format_money(each.amount, business.language), "method": each.method
            },
        }
        for payment_id, _, each in recorded
    ]  # fmt: skip
    copy_rows(tx, trail, deeds)
    touched = use(tx, vault, business, recorded, author=author, now=now, waits=waits)
    papers = {f"document:receipt:{payment_id}": {"kind": "receipt", "id": payment_id} for payment_id in ids}
    jobs.enqueue_all(tx, jobs.Kind.RENDER_DOCUMENT, papers)
    tell(tx, business, recorded, waits)
    refresh_access(tx, vault, list(touched), now, because=touched, renewed=True)
    return ids


def use(
    tx: Connection, vault: Vault, business: Business, came: Sequence[tuple[int, str, Incoming]], *, author: str,
    now: datetime, waits: Collection[int] = (),
) -> dict[int, str]:  # fmt: skip
    """Have recorded money, as (payment, receipt number, money), settle what is open, and renew what it pays for.

    What `waits` (payments) is only under way. Returns the services whose access is to be refreshed, with the cause.
    """
    today = local_date(now, business.zone)
    who = [each.subscriber_id for _, _, each in came]
    counts = [each for each in came if each[0] not in waits]
    add_credits(tx, [(each.subscriber_id, each.amount, payment_id) for payment_id, _, each in counts])
    apply_credits(tx, who, now, today, prefer={each for _, _, one in counts for each in one.invoice_ids})
    given_up = any_written_off(tx, {each for _, _, one in counts for each in one.invoice_ids})
    for _, _, one in counts:
        if given_up.isdisjoint(one.invoice_ids):
            continue
        recover_named(tx, author, one.subscriber_id, one.invoice_ids, now, today)
    paid_by = {each.subscriber_id: payment_id for payment_id, _, each in came}
    query = select(service.c.id, service.c.payer_id).where(service.c.payer_id == func.any(who)).order_by(service.c.id)
    touched = {row.id: f"payment:{paid_by[row.payer_id]}" for row in tx.execute(query)}
    renew(tx, vault, business, list(touched), now)
    return touched


def tell(
    tx: Connection, business: Business, came: Sequence[tuple[int, str, Incoming]], waits: Mapping[int, date], *,
    again: bool = False,
) -> None:  # fmt: skip
    """Write of each payment what came in and what it settled; `waits`: from when on it counts; `again`: now it does."""
    who = [each.subscriber_id for _, _, each in came]
    payers = {row.id: row for row in tx.execute(select(subscriber).where(subscriber.c.id == func.any(who)))}
    settled, owed = _settled(tx, [payment_id for payment_id, _, _ in came]), receivables(tx, who)
    sources = load_sources(tx)
    letters = []
    for payment_id, number, each in came:
        payer = payers[each.subscriber_id]
        letter = receipt_letter(
            business,
            name=payer.name,
            receipt_number=number,
            received_on=each.received_on,
            amount=each.amount,
            settled=settled.get(payment_id, []),
            owed=owed[each.subscriber_id],
            counts_on=waits.get(payment_id),
            language=payer.language,
            sources=sources,
        )
        key = f"receipt_counts:{payment_id}" if again else f"receipt:{payment_id}"
        letters.append(Outgoing(payer.id, "receipt", key, letter.subject, letter.body, awaits_paper=not again))
    queue_all(tx, business, letters)


def _row(payment_id: int, number: str, each: Incoming, author: str, now: datetime) -> dict[str, Any]:
    return {
        "id": payment_id,
        "subscriber_id": each.subscriber_id,
        "receipt_number": number,
        "method": each.method,
        "gateway_id": each.gateway_id,
        "amount_minor": each.amount.minor,
        "currency": each.amount.currency,
        "received_on": each.received_on,
        "note": each.note,
        "author": author,
        "created_at": now,
    }


def _entry(payment_id: int, number: str, each: Incoming, *, waits: bool) -> Entry:
    sides: tuple[Posting, ...] = (
        Posting(ACCOUNT_OF[each.method], None, each.amount),
        Posting("customer_credit", each.subscriber_id, -each.amount),
    )
    if waits:
        sides = cheque_sides(each.subscriber_id, each.amount)
    return Entry(each.received_on, f"Payment {number}", f"payment:{payment_id}", sides)


def _same(known: Row[Any], subscriber_id: int, amount: Money) -> Recorded:
    if (known.subscriber_id, known.amount_minor, known.currency) != (subscriber_id, amount.minor, amount.currency):
        raise Refused(f"{known.gateway_id} is recorded already, with another payer or amount.", "gateway_id")
    return Recorded(known.id, new=False)


def _check(amount: Money, method: str, currency: str) -> None:
    if method not in ACCOUNT_OF:
        raise Refused(f"A method is one of {', '.join(ACCOUNT_OF)}.", "method")
    if amount.currency != currency:
        raise Refused(f"The subscriber pays in {currency}, not in {amount.currency}.", "amount")
    if amount.minor <= 0:
        raise Refused("A payment is more than nothing.", "amount")


def _settled(tx: Connection, payment_ids: Collection[int]) -> dict[int, list[tuple[str, Money]]]:
    """What each payment paid: (number of an invoice, how much of it), in the order in which it did."""
    query = (
        select(allocation.c.payment_id, invoice.c.number, invoice.c.currency, allocation.c.amount_minor)
        .join(allocation, allocation.c.invoice_id == invoice.c.id)
        .where(allocation.c.payment_id == func.any(list(payment_ids)), allocation.c.amount_minor > 0)
        .order_by(allocation.c.id)
    )
    found: dict[int, list[tuple[str, Money]]] = {}
    for row in tx.execute(query):
        found.setdefault(row.payment_id, []).append((row.number, Money(row.amount_minor, row.currency)))
    return found
