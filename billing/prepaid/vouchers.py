"""Vouchers: made in batches, printed once, sold or given away, and void when somebody says so.

In the books a voucher is money that was received earlier for no supply in particular (a multi-purpose voucher,
Directive 2006/112/EC art. 30a: tax arises with the invoice that the balance pays, not with the sale of a card). What
was sold is a liability, `vouchers_sold`, until it is redeemed: then it becomes the subscriber's credit. Redeemed and
never sold is given away, an expense, `promotions`; so is the rebate to a shop that sells. A batch that is sold after
some of it was redeemed takes these out of `promotions` again. What was sold and is made void is booked out with the
reason: what is paid back for it leaves the till, the rest is income, `vouchers_lapsed`. What is out of date stays a
liability until somebody makes it void.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from base import trail
from base.crypto import Vault
from base.money import Money
from billing.account_documents import Voucher
from billing.clearing.till import move_cash
from billing.ledger import Posting, post
from billing.prepaid.codes import BITS, code_of, shown
from billing.prepaid.tables import voucher, voucher_batch
from billing.refused import need

PURPOSE = "voucher code"  # of the digests
LARGEST = 100_000
SOLD_FOR = {"cash": "cash", "transfer": "bank"}  # method -> account


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as lists show it."""

    id: int
    name: str
    value: Money
    size: int
    redeemed: int
    valid_until: date | None
    "Last day on which they are taken."
    sold_on: date | None
    sold_for: Money | None
    printed_at: datetime | None
    voided_at: datetime | None


def add_batch(
    tx: Connection, vault: Vault, actor: str, *, name: str, value: Money, count: int, valid_until: date | None,
    today: date, now: datetime,
) -> int:  # fmt: skip
    """Make `count` vouchers worth `value` each; returns the batch's id. Their codes come out once, by `take_codes`."""
    need(name.strip(), "A batch needs a name.", "name")
    need(0 < value.minor <= 10**9, "A voucher is worth more than nothing, and not a fortune.", "value")
    need(1 <= count <= LARGEST, f"A batch has 1 to {LARGEST} vouchers.", "count")
    need(valid_until is None or today <= valid_until, "They would be out of date already.", "valid_until")
    taken = tx.scalar(select(voucher_batch.c.id).where(voucher_batch.c.name == name))
    need(taken is None, f"There is a batch called {name!r} already.", "name")
    batch_id = int(
        tx.execute(
            insert(voucher_batch)
            .values(
                name=name, value_minor=value.minor, currency=value.currency, size=count, valid_until=valid_until,
                author=actor, created_at=now,
            )
            .returning(voucher_batch.c.id)
        ).scalar_one()
    )  # fmt: skip
    codes = [code_of(secrets.randbits(BITS)) for _ in range(count)]
    digests = [(vault.digests(code, PURPOSE)[0], vault.lock(code)) for code in codes]
    tx.execute(
        insert(voucher), [{"batch_id": batch_id, "digest": digest, "code": locked} for digest, locked in digests]
    )
    detail = {"name": name, "value_minor": value.minor, "count": count}
    trail.record(tx, actor, "voucher_batch.added", subject="voucher_batch", subject_id=batch_id, detail=detail)
    return batch_id


def take_codes(tx: Connection, vault: Vault, actor: str, name: str, words: str, now: datetime) -> list[Voucher]:
    """The cards of a batch, to be printed; `words` say what each is worth. They are erased from the database with it.

    The caller commits when the sheet is safely written: what is rolled back can be printed again. Raises Refused when
    they were printed before.
    """
    batch = find_batch(tx, name)
    need(batch.voided_at is None, f"The batch {name} is void.", "name")
    said = "It was printed already, and the codes are kept nowhere else: void it and make another batch."
    need(batch.printed_at is None, said, "name")
    locked = tx.scalars(select(voucher.c.code).where(voucher.c.batch_id == batch.id).order_by(voucher.c.id)).all()
    cards = [Voucher(shown(vault.unlock_text(code)), words, batch.valid_until) for code in locked if code is not None]
    tx.execute(update(voucher).where(voucher.c.batch_id == batch.id).values(code=None))
    tx.execute(update(voucher_batch).where(voucher_batch.c.id == batch.id).values(printed_at=now))
    trail.record(tx, actor, "voucher_batch.printed", subject="voucher_batch", subject_id=batch.id)
    return cards


def sell_batch(tx: Connection, actor: str, name: str, *, method: str, amount: Money | None, today: date) -> None:
    """Book that a whole batch was sold for `amount` (default: what it is worth), in cash or by transfer.

    Cash is in the till of `actor`; Refused when that is closed for today.
    """
    batch = find_batch(tx, name)
    need(method in SOLD_FOR, f"A batch is paid in {' or by '.join(SOLD_FOR)}.", "method")
    need(batch.sold_on is None, f"The batch {name} was sold already.", "name")
    need(batch.voided_at is None, f"The batch {name} is void.", "name")
    worth = Money(batch.value_minor * batch.size, batch.currency)
    amount = worth if amount is None else amount
    need(amount.currency == worth.currency, f"The vouchers are worth {worth.currency}.", "amount")
    need(0 <= amount.minor <= worth.minor, "A batch is sold for at most what it is worth.", "amount")
    used = Money(batch.value_minor * _redeemed(tx, batch.id), batch.currency)
    post(
        tx,
        today,
        f"Vouchers sold: {name}",
        f"voucher_batch:{batch.id}",
        [
            Posting(SOLD_FOR[method], None, amount),
            Posting("promotions", None, worth - amount - used),  # the shop's rebate, less what was not given away
            Posting("vouchers_sold", None, used - worth),
        ],
    )
    if method == "cash":
        move_cash(tx, actor, today, amount, f"Vouchers sold: {name}", f"voucher_batch:{batch.id}")
    statement = update(voucher_batch).where(voucher_batch.c.id == batch.id)
    tx.execute(statement.values(sold_on=today, sold_minor=amount.minor))
    detail = {"amount_minor": amount.minor, "method": method}
    trail.record(tx, actor, "voucher_batch.sold", subject="voucher_batch", subject_id=batch.id, detail=detail)


def void_batch(
    tx: Connection, actor: str, name: str, reason: str, now: datetime, *, today: date, paid_back: Money | None = None,
    method: str = "cash",
) -> int:  # fmt: skip
    """Take the vouchers of a batch no longer; what was redeemed stays. Returns how many are void by that.

    Of a batch that was sold what is left is no liability any more: `paid_back` is what whoever bought it gets back, in
    cash or by transfer, and the rest is income.
    """
    batch = find_batch(tx, name)
    need(reason.strip(), "Why is it void? Somebody will ask.", "reason")
    need(batch.voided_at is None, f"The batch {name} is void already.", "name")
    need(method in SOLD_FOR, f"It is paid back in {' or by '.join(SOLD_FOR)}.", "method")
    left = int(batch.size) - _redeemed(tx, batch.id)
    worth, back = Money(batch.value_minor * left, batch.currency), paid_back or Money(0, batch.currency)
    need(back.currency == worth.currency, f"The vouchers are worth {worth.currency}.", "paid_back")
    need(not back or batch.sold_on is not None, f"The batch {name} was never sold.", "paid_back")
    need(0 <= back.minor <= worth.minor, "At most what is left of it is paid back.", "paid_back")
    if batch.sold_on is not None and worth:
        post(
            tx,
            today,
            f"Vouchers void: {name} ({reason})",
            f"voucher_batch_void:{batch.id}",
            [
                Posting("vouchers_sold", None, worth),
                Posting(SOLD_FOR[method], None, -back),
                Posting("vouchers_lapsed", None, back - worth),
            ],
        )
        if method == "cash":
            move_cash(tx, actor, today, -back, f"Vouchers taken back: {name}", f"voucher_batch_void:{batch.id}")
    tx.execute(update(voucher_batch).where(voucher_batch.c.id == batch.id).values(voided_at=now))
    tx.execute(update(voucher).where(voucher.c.batch_id == batch.id).values(code=None))
    detail = {"reason": reason, "vouchers": left, "paid_back_minor": back.minor}
    trail.record(tx, actor, "voucher_batch.voided", subject="voucher_batch", subject_id=batch.id, detail=detail)
    return left


def list_batches(tx: Connection) -> Sequence[Batch]:
    """All batches, newest first."""
    redeemed = select(func.count(voucher.c.payment_id)).where(voucher.c.batch_id == voucher_batch.c.id)
    query = select(voucher_batch, redeemed.scalar_subquery().label("redeemed")).order_by(voucher_batch.c.id.desc())
    return [
        Batch(
            id=row.id,
            name=row.name,
            value=Money(row.value_minor, row.currency),
            size=row.size,
            redeemed=row.redeemed,
            valid_until=row.valid_until,
            sold_on=row.sold_on,
            sold_for=None if row.sold_minor is None else Money(row.sold_minor, row.currency),
            printed_at=row.printed_at,
            voided_at=row.voided_at,
        )
        for row in tx.execute(query)
    ]


def find_batch(tx: Connection, name: str) -> Row[Any]:
    """The row of a batch, locked until the commit; Refused when there is none."""
    row = tx.execute(select(voucher_batch).where(voucher_batch.c.name == name).with_for_update()).one_or_none()
    need(row is not None, f"There is no batch called {name!r}.", "name")
    assert row is not None
    return row


def _redeemed(tx: Connection, batch_id: int) -> int:
    query = select(func.count(voucher.c.payment_id)).where(voucher.c.batch_id == batch_id)
    return tx.scalar(query) or 0
