"""Credit meets invoices: what is open, what is not yet used, and the allocations between the two.

Credit is money received or a credit note; both wait in `open_credit` until an invoice uses them. Law: allocations,
`open_item` and `open_credit` are written only here and only under the lock of their subscriber's row, so nothing is
used twice.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, exists, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from base.bulk import copy_rows
from base.money import Money
from base.tables import subscriber
from billing.allocation import OpenInvoice, allocate
from billing.collect.cases import end_settled
from billing.instalments.agreed import agreed_by
from billing.ledger import Entry, Posting, post_all
from billing.tables import allocation, credit_note, invoice, invoice_line, open_credit, open_item

FEES = ("late_fee", "reconnection")  # they start no dunning of their own


@dataclass(frozen=True, slots=True)
class Credit:
    """What of a payment or a credit note has not been used yet."""

    id: int
    "Of its row in open_credit."
    source: str
    "payment_id or credit_note_id"
    source_id: int
    left: Money
    prefer: tuple[int, ...] = ()
    "The invoice that a credit note corrects comes first."


def lock_subscribers(tx: Connection, subscriber_ids: Collection[int]) -> list[int]:
    """Hold these subscribers' money still until the commit; returns those that exist, in order of their ids."""
    query = (
        select(subscriber.c.id)
        .where(subscriber.c.id == func.any(list(subscriber_ids)))
        .order_by(subscriber.c.id)
        .with_for_update(key_share=True)
    )
    return list(tx.scalars(query))


def open_of_invoice() -> ColumnElement[int]:
    """How much of an `invoice` row is still to be paid, in minor units, as a correlated subquery."""
    left = select(open_item.c.open_minor).where(open_item.c.invoice_id == invoice.c.id)
    return func.coalesce(left.scalar_subquery(), 0)


def is_open() -> ColumnElement[bool]:
    """Whether something of an `invoice` row is still to be paid."""
    return exists().where(open_item.c.invoice_id == invoice.c.id)


def open_invoices(tx: Connection, subscriber_id: int) -> list[OpenInvoice]:
    """What a subscriber still has to pay, the invoice due first at the front."""
    return open_by_subscriber(tx, [subscriber_id]).get(subscriber_id, [])


def open_by_subscriber(tx: Connection, subscriber_ids: Collection[int]) -> dict[int, list[OpenInvoice]]:
    """The open invoices of each subscriber that has any, the one due first at the front."""
    query = (
        select(open_item, invoice.c.number, invoice.c.total_minor)
        .join(invoice, invoice.c.id == open_item.c.invoice_id)
        .where(open_item.c.subscriber_id == func.any(list(subscriber_ids)))
        .order_by(open_item.c.due_on, open_item.c.invoice_id)
    )
    found: dict[int, list[OpenInvoice]] = {}
    for row in tx.execute(query):
        total, left = Money(row.total_minor, row.currency), Money(row.open_minor, row.currency)
        found.setdefault(row.subscriber_id, []).append(OpenInvoice(row.invoice_id, row.number, row.due_on, total, left))
    return found


def credits_by_subscriber(tx: Connection, subscriber_ids: Collection[int]) -> dict[int, list[Credit]]:
    """What is not used yet, oldest first, of each subscriber that has any."""
    query = (
        select(open_credit, credit_note.c.invoice_id)
        .outerjoin(credit_note, credit_note.c.id == open_credit.c.credit_note_id)
        .where(open_credit.c.subscriber_id == func.any(list(subscriber_ids)))
        .order_by(open_credit.c.id)
    )
    found: dict[int, list[Credit]] = {}
    for row in tx.execute(query):
        source = "payment_id" if row.payment_id is not None else "credit_note_id"
        prefer = () if row.invoice_id is None else (row.invoice_id,)
        credit = Credit(row.id, source, getattr(row, source), Money(row.left_minor, row.currency), prefer)
        found.setdefault(row.subscriber_id, []).append(credit)
    return found


def add_open_items(tx: Connection, invoices: Sequence[tuple[int, int, date, Money, bool]]) -> None:
    """Have new invoices, as (id, subscriber, due on, total, dunned), wait to be paid; one of nothing does not."""
    rows = [
        {
            "invoice_id": invoice_id,
            "subscriber_id": payer,
            "due_on": due_on,
            "open_minor": total.minor,
            "currency": total.currency,
            "dunned": dunned,
        }
        for invoice_id, payer, due_on, total, dunned in invoices
        if total
    ]
    copy_rows(tx, open_item, rows)


def add_credit(tx: Connection, subscriber_id: int, amount: Money, **source: int) -> None:
    """Have a new payment (payment_id=) or credit note (credit_note_id=) wait to be used."""
    row = {"subscriber_id": subscriber_id, "left_minor": amount.minor, "currency": amount.currency}
    tx.execute(insert(open_credit).values(**row, **source))


def add_credits(tx: Connection, payments: Sequence[tuple[int, Money, int]]) -> None:
    """Have new payments, as (subscriber, amount, id), wait to be used."""
    rows = [
        {"subscriber_id": payer, "left_minor": amount.minor, "currency": amount.currency, "payment_id": payment_id}
        for payer, amount, payment_id in payments
    ]
    copy_rows(tx, open_credit, rows)


def apply_credits(
    tx: Connection, subscriber_ids: Sequence[int], now: datetime, day: date, prefer: Collection[int] = ()
) -> None:
    """Use all credit for what is open, invoices of `prefer` first, booked on `day`; the subscribers are locked."""
    credits = credits_by_subscriber(tx, subscriber_ids)
    used: list[tuple[int, Credit, int, Money]] = []
    agreed = agreed_by(tx, list(credits), day) if credits else {}
    for subscriber_id, invoices in open_by_subscriber(tx, list(credits)).items():
        remaining = {each.id: each for each in invoices}
        # a credit note settles its own invoice, even where older credit waits
        for credit in sorted(credits[subscriber_id], key=lambda each: remaining.keys().isdisjoint(each.prefer)):
            wanted, plan = credit.prefer or prefer, agreed.get(subscriber_id)
            for invoice_id, part in allocate(credit.left, remaining.values(), wanted, plan):
                each = remaining[invoice_id]
                remaining[invoice_id] = replace(each, open=each.open - part)
                used.append((subscriber_id, credit, invoice_id, part))
    if used:
        _write(tx, used, now, day)


def write_down(tx: Connection, invoice_id: int, amount: Money, now: datetime, **source: int) -> None:
    """Settle part of an invoice by what is not credit: a write-off (write_off_id=)."""
    row = {"invoice_id": invoice_id, "amount_minor": amount.minor, "created_at": now}
    tx.execute(insert(allocation).values(**row, **source))
    _take(tx, {invoice_id: amount.minor})


def write_up(tx: Connection, original: Row[Any], amount: Money, now: datetime, write_off_id: int) -> None:
    """Have part of an `invoice` row that was written down wait to be paid again; what was given up is not dunned."""
    values = {"write_off_id": write_off_id, "invoice_id": original.id, "amount_minor": -amount.minor, "created_at": now}
    tx.execute(insert(allocation).values(**values))
    row = {"invoice_id": original.id, "subscriber_id": original.subscriber_id, "due_on": original.due_on}
    _grow(tx, [{**row, "open_minor": amount.minor, "currency": amount.currency, "dunned": False, "reopened": False}])


def take_back(tx: Connection, source: Row[Any], amount: Money, now: datetime, day: date) -> list[int]:
    """Free so much of a `payment` row, whose subscriber is locked: it is credit that no invoice uses.

    First what is unused, then what its invoices used, the last one first. Those that had been settled are open again
    and due on `day` (or later, where they were not due yet); returns them. One that was still open grows and keeps its
    date. Raises ValueError when the payment has not so much left.
    """
    unused = tx.scalar(select(open_credit.c.left_minor).where(open_credit.c.payment_id == source.id)) or 0
    short = amount.minor - int(unused)
    if short <= 0:
        return []
    query = (
        select(allocation.c.invoice_id, invoice.c.due_on, func.sum(allocation.c.amount_minor).label("minor"))
        .join(invoice, invoice.c.id == allocation.c.invoice_id)
        .where(allocation.c.payment_id == source.id)
        .group_by(allocation.c.invoice_id, invoice.c.due_on)
        .having(func.sum(allocation.c.amount_minor) > 0)
        .order_by(func.max(allocation.c.id).desc())
    )
    parts: list[tuple[int, date, int]] = []
    for row in tx.execute(query):
        part = min(int(row.minor), short)
        short -= part
        parts.append((row.invoice_id, max(day, row.due_on), part))
        if not short:
            break
    if short:
        raise ValueError(f"payment {source.id} has {short} less than is taken back")
    ids = [invoice_id for invoice_id, _, _ in parts]
    before = set(tx.scalars(select(open_item.c.invoice_id).where(open_item.c.invoice_id == func.any(ids))))
    dunned = _dunned(tx, ids)
    rows = [
        {"payment_id": source.id, "invoice_id": invoice_id, "amount_minor": -part, "created_at": now}
        for invoice_id, _, part in parts
    ]
    made = list(tx.scalars(insert(allocation).returning(allocation.c.id, sort_by_parameter_order=True), rows))
    owner, currency = {"subscriber_id": source.subscriber_id}, {"currency": source.currency}
    _grow(
        tx,
        [
            {
                "invoice_id": invoice_id, "due_on": due_on, "open_minor": part, "dunned": invoice_id in dunned,
                "reopened": True, **owner, **currency,
            }
            for invoice_id, due_on, part in parts
        ],
    )  # fmt: skip
    give_back_credit(tx, source.subscriber_id, Money(sum(part for *_, part in parts), source.currency), source.id)
    post_all(
        tx,
        [
            Entry(
                day=day,
                text=f"Credit taken off invoice {invoice_id}",
                source=f"allocation:{allocation_id}",
                postings=(
                    Posting("receivable", source.subscriber_id, Money(part, source.currency)),
                    Posting("customer_credit", source.subscriber_id, Money(-part, source.currency)),
                ),
            )
            for allocation_id, (invoice_id, _, part) in zip(made, parts, strict=True)
        ],
    )
    return [each for each in ids if each not in before]


def due_anew(tx: Connection, invoice_ids: Collection[int], day: date) -> list[int]:
    """Have those of these invoices that are open be due on `day`, or later where they are; returns them.

    No card is charged for them by itself: nobody agreed to that.
    """
    own = open_item.c.invoice_id == func.any(list(invoice_ids))
    values = {"due_on": func.greatest(open_item.c.due_on, day), "reopened": True}
    return sorted(tx.scalars(update(open_item).where(own).values(**values).returning(open_item.c.invoice_id)))


def spend_credit(tx: Connection, amount: Money, **source: int) -> None:
    """So much of a payment's (payment_id=) or credit note's (credit_note_id=) unused credit leaves the house.

    Raises ValueError when less is unused.
    """
    ((name, source_id),) = source.items()
    mine = open_credit.c[name] == source_id
    changed = update(open_credit).where(mine, open_credit.c.left_minor >= amount.minor)
    if not tx.execute(changed.values(left_minor=open_credit.c.left_minor - amount.minor)).rowcount:
        raise ValueError(f"{name} {source_id} has less unused than {amount.minor}")
    tx.execute(delete(open_credit).where(mine, open_credit.c.left_minor == 0))


def give_back_credit(tx: Connection, subscriber_id: int, amount: Money, payment_id: int) -> None:
    """So much of a payment is unused (again)."""
    row = {"subscriber_id": subscriber_id, "left_minor": amount.minor, "currency": amount.currency}
    more = upsert(open_credit).values(**row, payment_id=payment_id)
    more = more.on_conflict_do_update(
        index_elements=["payment_id"], set_={"left_minor": open_credit.c.left_minor + more.excluded.left_minor}
    )
    tx.execute(more)


def _grow(tx: Connection, rows: list[dict[str, Any]]) -> None:
    """Have more of these invoices wait to be paid; what was open keeps its date."""
    more = upsert(open_item)
    grown = {
        "open_minor": open_item.c.open_minor + more.excluded.open_minor,
        "dunned": open_item.c.dunned | more.excluded.dunned,
        "reopened": open_item.c.reopened | more.excluded.reopened,
    }
    tx.execute(more.on_conflict_do_update(index_elements=["invoice_id"], set_=grown), rows)


def _dunned(tx: Connection, invoice_ids: list[int]) -> set[int]:
    """Those of these invoices that start dunning of their own, as when they were issued (billing.issue.Draft)."""
    query = (
        select(invoice_line.c.invoice_id)
        .where(invoice_line.c.invoice_id == func.any(invoice_ids), invoice_line.c.kind.not_in(FEES))
        .group_by(invoice_line.c.invoice_id)
        .having(func.sum(invoice_line.c.amount_minor) > 0)
    )
    return set(tx.scalars(query))


def _write(tx: Connection, used: Sequence[tuple[int, Credit, int, Money]], now: datetime, day: date) -> None:
    rows = [
        {
            "payment_id": None,
            "credit_note_id": None,
            "invoice_id": invoice_id,
            "amount_minor": part.minor,
            "created_at": now,
            credit.source: credit.source_id,
        }
        for _, credit, invoice_id, part in used
    ]
    ids = list(tx.scalars(insert(allocation).returning(allocation.c.id, sort_by_parameter_order=True), rows))
    taken: dict[int, int] = {}
    left: dict[int, int] = {}
    for _, credit, invoice_id, part in used:
        taken[invoice_id] = taken.get(invoice_id, 0) + part.minor
        left[credit.id] = left.get(credit.id, credit.left.minor) - part.minor
    _take(tx, taken)
    tx.execute(
        update(open_credit).where(open_credit.c.id == bindparam("row")).values(left_minor=bindparam("left")),
        [{"row": row, "left": minor} for row, minor in left.items()],
    )
    tx.execute(delete(open_credit).where(open_credit.c.id == func.any(list(left)), open_credit.c.left_minor == 0))
    post_all(tx, [_entry(allocation_id, *each, day) for allocation_id, each in zip(ids, used, strict=True)])


def _take(tx: Connection, taken: dict[int, int]) -> None:
    rows: list[dict[str, Any]] = [{"row": invoice_id, "minor": minor} for invoice_id, minor in taken.items()]
    changed = open_item.c.open_minor - bindparam("minor")
    tx.execute(update(open_item).where(open_item.c.invoice_id == bindparam("row")).values(open_minor=changed), rows)
    whole = delete(open_item).where(open_item.c.invoice_id == func.any(list(taken)), open_item.c.open_minor == 0)
    end_settled(tx, list(tx.scalars(whole.returning(open_item.c.invoice_id))))


def _entry(allocation_id: int, subscriber_id: int, credit: Credit, invoice_id: int, part: Money, day: date) -> Entry:
    return Entry(
        day=day,
        text=f"Credit used for invoice {invoice_id}",
        source=f"allocation:{allocation_id}",
        postings=(Posting("customer_credit", subscriber_id, part), Posting("receivable", subscriber_id, -part)),
    )
