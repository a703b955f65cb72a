"""A bank line whose payment was none after all: it waits for a person again, or is the payment that took its place.

It is never matched by itself again: what led to the mistake is still in it.
"""

from typing import Any

from sqlalchemy import Connection, Row, any_, select, update

from billing.bank.accounts import forget, learn
from billing.bank.tables import bank_line
from billing.tables import payment


def reopen_line(tx: Connection, payment_id: int, why: str) -> int | None:
    """Put what became this payment back into the queue, `why` in a sentence; returns the line, None if there is none.

    What the payment taught about the account that paid is forgotten. Of a line that is several payments the others
    stay, and only this part waits.
    """
    row = _line_of(tx, payment_id)
    if row is None:
        return None
    paid = tx.execute(select(payment).where(payment.c.id == payment_id)).one()
    others = [each for each in row.payment_ids if each != payment_id]
    left = (row.left_minor or 0) + paid.amount_minor if others else None
    values = {
        "state": "queued", "why": why, "doubt": why, "candidates": [], "confidence": None, "payment_ids": others,
        "left_minor": left, "author": "", "decided_at": None,
    }  # fmt: skip
    tx.execute(update(bank_line).where(bank_line.c.id == row.id).values(**values))
    forget(tx, row.iban, paid.subscriber_id)
    return int(row.id)


def move_line(tx: Connection, payment_id: int, moved_to: int, why: str) -> int | None:
    """Have another payment in the place of this one, `why` in a sentence; returns the line, None if there is none.

    The account that paid is known for the other subscriber from now on.
    """
    row = _line_of(tx, payment_id)
    if row is None:
        return None
    before, after = (tx.execute(select(payment).where(payment.c.id == each)).one() for each in (payment_id, moved_to))
    ids = [moved_to if each == payment_id else each for each in row.payment_ids]
    values = {"payment_ids": ids, "why": f"{row.why} {why}".strip(), "confidence": None}
    tx.execute(update(bank_line).where(bank_line.c.id == row.id).values(**values))
    forget(tx, row.iban, before.subscriber_id)
    learn(tx, [(row.iban, after.subscriber_id, row.day)])
    return int(row.id)


def _line_of(tx: Connection, payment_id: int) -> Row[Any] | None:
    query = select(bank_line).where(any_(bank_line.c.payment_ids) == payment_id)
    return tx.execute(query.with_for_update()).one_or_none()
