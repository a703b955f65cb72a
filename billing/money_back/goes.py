"""Money leaves, or comes again: the entries, the debts that are open again or settled, access and a letter; one commit.

Whoever calls holds the subscriber's lock and has looked whether it may be.
"""

import secrets
from collections.abc import Collection
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from base import clock, trail
from base.business import Business
from base.calendar import local_date
from base.crypto import Vault
from base.i18n import format_money
from base.money import Money
from billing.cheques.waiting import bounce
from billing.cheques.waiting import sides as cheque_sides
from billing.clearing.till import move_cash
from billing.dunning.agenda import forget
from billing.dunning.anew import begin_anew
from billing.gateway.offers import methods
from billing.ledger import Posting, post
from billing.money_back.mails import tell
from billing.money_back.tables import gone_back
from billing.prepaid.renewal import renew_and_refresh
from billing.services import services_of
from billing.settle import apply_credits, give_back_credit, spend_credit, take_back
from billing.tables import credit_note, open_item, payment

# way -> where the money leaves: back through a gateway it is its method
ACCOUNT_OF = {
    "cash": "cash",
    "cheque": "bank",
    "dispute": "disputed",
    **{name: each.account for name, each in methods().items()},
}
NOT_GONE = ("failed", "canceled", "won", "inquiry")


def left_of(tx: Connection, payment_row: Row[Any]) -> Money:
    """What of a payment may still go back: neither gone, nor on its way, nor disputed."""
    gone = select(func.sum(gone_back.c.amount_minor - gone_back.c.beyond_minor)).where(
        gone_back.c.payment_id == payment_row.id, gone_back.c.state.not_in(NOT_GONE), gone_back.c.way != "balance"
    )
    left = payment_row.amount_minor - int(tx.scalar(gone) or 0)
    return Money(max(0, left), payment_row.currency)


def begin(
    tx: Connection, business: Business, *, source: Row[Any], kind: str, way: str, amount: Money, state: str,
    reason: str, author: str, now: datetime, beyond: int = 0, key: str = "", **values: Any,
) -> int:  # fmt: skip
    """The row of money that is about to leave; `source` is a row of payment, or of credit_note. Returns its id."""
    named = "payment_id" if "receipt_number" in source._mapping else "credit_note_id"
    row = {
        "subscriber_id": source.subscriber_id,
        named: source.id,
        "kind": kind,
        "way": way,
        "amount_minor": amount.minor,
        "beyond_minor": beyond,
        "currency": amount.currency,
        "state": state,
        "key": key or secrets.token_urlsafe(18),
        "reason": reason,
        "author": author,
        "on_day": local_date(now, business.zone),
        "real_at": clock.real(),
        "created_at": now,
        **values,
    }
    return int(tx.execute(insert(gone_back).values(**row).returning(gone_back.c.id)).scalar_one())


def take_out(tx: Connection, vault: Vault, business: Business, gone_id: int, words: str, now: datetime) -> None:
    """Book that money left: out of what its payment or credit note had unused, else off invoices, which open again.

    Of a cheque that does not count yet nothing was used: it only is no longer under way.
    `words`: of the letter, one of billing.money_back.mails.WHAT. Cash leaves the till of who gives it back, and what
    was never paid the till of who had recorded it; Refused when that is closed for today.
    """
    row = tx.execute(select(gone_back).where(gone_back.c.id == gone_id)).one()
    today = local_date(now, business.zone)
    amount = Money(row.amount_minor - row.beyond_minor, row.currency)
    number, reopened, cashier = _number(tx, row), list[int](), row.author
    early = row.payment_id is not None and bounce(tx, row.payment_id, today)
    if early:
        forget(tx, [row.subscriber_id])  # dunning goes on where it waited for the cheque
    elif amount and row.payment_id is not None:
        paid = tx.execute(select(payment).where(payment.c.id == row.payment_id)).one()
        cashier = paid.author if row.kind == "reversal" else row.author
        reopened = take_back(tx, paid, amount, now, today)
        spend_credit(tx, amount, payment_id=row.payment_id)
    elif amount:
        spend_credit(tx, amount, credit_note_id=row.credit_note_id)
    account = ACCOUNT_OF["dispute" if row.kind == "dispute" else row.way]
    sides = [
        Posting("customer_credit", row.subscriber_id, amount),
        Posting("bad_debt", None, Money(row.beyond_minor, row.currency)),
        Posting(account, None, Money(-row.amount_minor, row.currency)),
    ]
    if early:
        sides = list(cheque_sides(row.subscriber_id, -amount))
    titles = {"refund": f"Refund of {number}", "reversal": f"Payment {number} reversed: {row.reason}"}
    post(tx, today, titles.get(row.kind, f"Payment {number} disputed and lost"), f"gone_back:{gone_id}", sides)
    if row.way == "cash" and words != "moved":  # then it stays in the till that took it
        done = "paid back" if row.kind == "refund" else "taken back"
        given = Money(-row.amount_minor, row.currency)
        move_cash(tx, cashier, today, given, f"{number} {done}: {row.reason}", f"gone_back:{gone_id}")
    still = _settle(tx, vault, business, row, reopened, now, today)
    detail = {
        "gone_back_id": gone_id, "of": number, "way": row.way, "reason": row.reason,
        "amount": format_money(Money(row.amount_minor, row.currency), business.language),
    }  # fmt: skip
    trail.record(
        tx, row.author, f"{row.kind}.booked", subject="subscriber", subject_id=row.subscriber_id, detail=detail
    )
    tell(tx, business, row, words, number, still)


def put_again(tx: Connection, vault: Vault, business: Business, row: Row[Any], state: str, now: datetime) -> None:
    """A refund did not arrive: the money is the subscriber's credit again, and settles what it had opened."""
    today = local_date(now, business.zone)
    amount = Money(row.amount_minor - row.beyond_minor, row.currency)
    number = _number(tx, row)
    if amount:
        give_back_credit(tx, row.subscriber_id, amount, row.payment_id)
    sides = [
        Posting(ACCOUNT_OF[row.way], None, Money(row.amount_minor, row.currency)),
        Posting("bad_debt", None, Money(-row.beyond_minor, row.currency)),
        Posting("customer_credit", row.subscriber_id, -amount),
    ]
    post(tx, today, f"Refund of {number} came back", f"came_again:{row.id}", sides)
    values = {"state": state, "ended_at": now, "ended_on": today, "ask_at": None}
    tx.execute(update(gone_back).where(gone_back.c.id == row.id).values(**values))
    _settle(tx, vault, business, row, [], now, today)
    tell(tx, business, row, "refund_failed", number, [])


def _settle(
    tx: Connection, vault: Vault, business: Business, row: Row[Any], reopened: Collection[int], now: datetime, day: date
) -> list[int]:
    """Use other credit for what is open again, and dun anew what stays open; returns that."""
    apply_credits(tx, [row.subscriber_id], now, day)
    still = dun_anew(tx, reopened, now, day)
    renew_and_refresh(tx, vault, services_of(tx, row.subscriber_id), now, because=f"gone_back:{row.id}")
    return still


def dun_anew(tx: Connection, reopened: Collection[int], now: datetime, day: date) -> list[int]:
    """Begin dunning of those of these invoices that no credit has settled at once; returns them."""
    query = select(open_item.c.invoice_id).where(open_item.c.invoice_id == func.any(list(reopened)))
    still = sorted(tx.scalars(query))
    begin_anew(tx, still, now, day)
    return still


def _number(tx: Connection, row: Row[Any]) -> str:
    """Of the receipt or the credit note that money goes back of."""
    if row.payment_id is not None:
        return str(tx.scalar(select(payment.c.receipt_number).where(payment.c.id == row.payment_id)))
    return str(tx.scalar(select(credit_note.c.number).where(credit_note.c.id == row.credit_note_id)))
