"""Debts that were given up and come back: because somebody pays after all, or because they were no debt.

Law: what is reinstated is at once settled by the credit that caused it, so that the debtor owes no more than before.
Paid after all it is income ('recovered'); credited, the loss never was one ('bad_debt').
"""

from collections.abc import Collection
from datetime import date, datetime
from typing import Literal

from sqlalchemy import Connection, func, insert, select

from base import trail
from base.business import Business
from base.calendar import local_date
from base.crypto import Vault
from base.i18n import format_money
from base.money import Money
from billing.apply import refresh_access
from billing.book_tables import reinstatement
from billing.ledger import Posting, post
from billing.refused import need
from billing.services import services_of
from billing.settle import apply_credits, lock_subscribers, write_up
from billing.tables import invoice, open_credit, write_off


def recover_invoice(
    tx: Connection, vault: Vault, business: Business, author: str, invoice_id: int, reason: str, now: datetime
) -> Money:
    """Use a subscriber's unused credit for what was written off of an invoice; returns how much was recovered.

    The payment itself has been recorded before. Raises Refused when nothing is written off or no credit waits.
    """
    need(reason.strip(), "Taking back a write-off needs a reason.", "reason")
    original = tx.execute(select(invoice).where(invoice.c.id == invoice_id)).one_or_none()
    need(original is not None, "There is no such invoice.", "invoice_id")
    assert original is not None
    lock_subscribers(tx, [original.subscriber_id])
    need(written_off(tx, invoice_id), f"Nothing of invoice {original.number} is written off.", "invoice_id")
    unused = _unused(tx, original.subscriber_id, original.currency)
    need(unused, "The subscriber has no credit: record the payment first.", "invoice_id")
    today = local_date(now, business.zone)
    amount = reinstate(tx, author, invoice_id, unused, "recovered", reason, now, today)
    apply_credits(tx, [original.subscriber_id], now, today, prefer=[invoice_id])
    trail.record(
        tx, author, "invoice.recovered", subject="subscriber", subject_id=original.subscriber_id,
        detail={"invoice": original.number, "reason": reason, "amount": format_money(amount, business.language)},
    )  # fmt: skip
    refresh_access(tx, vault, services_of(tx, original.subscriber_id), now, because=f"{author}:recovered")
    return amount


def recover_named(
    tx: Connection, author: str, subscriber_id: int, invoice_ids: Collection[int], now: datetime, day: date
) -> None:
    """Use the credit that no open invoice has used for what was written off of these invoices, the oldest first."""
    if not invoice_ids:
        return
    query = (
        select(write_off.c.invoice_id, write_off.c.currency)
        .where(write_off.c.invoice_id == func.any(list(invoice_ids)), write_off.c.subscriber_id == subscriber_id)
        .order_by(write_off.c.invoice_id)
        .distinct()
    )
    for row in tx.execute(query).all():
        unused = _unused(tx, subscriber_id, row.currency)
        if reinstate(tx, author, row.invoice_id, unused, "recovered", "paid after all", now, day):
            apply_credits(tx, [subscriber_id], now, day, prefer=[row.invoice_id])


def any_written_off(tx: Connection, invoice_ids: Collection[int]) -> set[int]:
    """Those of these invoices of which something has ever been written off."""
    return set(tx.scalars(select(write_off.c.invoice_id).where(write_off.c.invoice_id == func.any(list(invoice_ids)))))


def written_off(tx: Connection, invoice_id: int) -> int:
    """What of an invoice is written off and not taken back, in minor units."""
    return sum(left for _, left in _left(tx, invoice_id))


def reinstate(
    tx: Connection, author: str, invoice_id: int, most: Money, account: Literal["recovered", "bad_debt"], reason: str,
    now: datetime, day: date,
) -> Money:  # fmt: skip
    """Make up to `most` of what was written off a debt again, booked on `day`; returns how much.

    The subscriber is locked, and the caller applies the credit that settles it in the same transaction.
    """
    original = tx.execute(select(invoice).where(invoice.c.id == invoice_id)).one()
    done = Money(0, most.currency)
    for write_off_id, left in _left(tx, invoice_id):
        amount = min(Money(left, most.currency), most - done)
        if amount.minor <= 0:
            continue
        reinstatement_id = tx.execute(
            insert(reinstatement)
            .values(
                write_off_id=write_off_id,
                subscriber_id=original.subscriber_id,
                invoice_id=invoice_id,
                amount_minor=amount.minor,
                currency=amount.currency,
                on_day=day,
                account=account,
                reason=reason,
                author=author,
                created_at=now,
            )
            .returning(reinstatement.c.id)
        ).scalar_one()
        write_up(tx, original, amount, now, write_off_id)
        words = "Paid after it was written off" if account == "recovered" else "Write-off taken back"
        post(
            tx,
            day,
            f"{words}: invoice {original.number}",
            f"reinstatement:{reinstatement_id}",
            [Posting("receivable", original.subscriber_id, amount), Posting(account, None, -amount)],
        )
        done = done + amount
    return done


def _unused(tx: Connection, subscriber_id: int, currency: str) -> Money:
    """Credit that no invoice has used; there is none while an invoice is open."""
    waiting = select(func.sum(open_credit.c.left_minor)).where(open_credit.c.subscriber_id == subscriber_id)
    return Money(int(tx.scalar(waiting) or 0), currency)


def _left(tx: Connection, invoice_id: int) -> list[tuple[int, int]]:
    """(write-off, what of it is not taken back), oldest first."""
    back = select(func.sum(reinstatement.c.amount_minor)).where(reinstatement.c.write_off_id == write_off.c.id)
    left = write_off.c.amount_minor - func.coalesce(back.scalar_subquery(), 0)
    query = select(write_off.c.id, left).where(write_off.c.invoice_id == invoice_id).order_by(write_off.c.id)
    return [(write_off_id, int(minor)) for write_off_id, minor in tx.execute(query)]
