"""The till of each cashier: at the day's end it is counted, and from then on the day takes no more cash from them.

What is expected is the cash that the cashier recorded as received on that day, and what they took or paid out beside
it: vouchers sold, money paid back. A difference is booked, not hidden.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from base import clock, trail
from base.business import Business
from base.calendar import local_date
from base.money import Money, total
from billing.clearing.till_tables import cash_close, till_movement
from billing.ledger import Posting, post
from billing.refused import need
from billing.tables import payment


@dataclass(frozen=True, slots=True)
class Day:
    """A cashier's day in one currency, open or closed."""

    cashier: str
    "'staff:3', 'console'."
    day: date
    payments: int
    taken: Money
    "By these payments."
    others: tuple[tuple[str, Money], ...]
    "What came beside them, or left (below zero), each in a few words."
    closed: Row[Any] | None
    "Its row of `cash_close`."

    @property
    def expected(self) -> Money:
        """What has to be in the till of it."""
        return total((self.taken, *(amount for _, amount in self.others)), self.taken.currency)


def close_day(
    tx: Connection, business: Business, cashier: str, day: date, counted: Money, *, author: str, note: str = ""
) -> int:
    """Close a cashier's day with what was counted in one currency; returns the id of the closing.

    A difference goes to the account cash_difference. Refused when it is closed already, to come, or in a closed month
    of the books, and when money is missing or left over without a note.
    """
    need(counted.minor >= 0, "What is counted is not below nothing.", "counted")
    need(day <= local_date(clock.now(), business.zone), f"{day} is still to come.", "day")
    _lock(tx, cashier, alone=True)
    need(_closed(tx, cashier, [day], counted.currency) is None, f"{day} of {cashier} is closed already.", "day")
    expected = _expected(tx, cashier, day, counted.currency)
    difference = counted - expected
    need(not difference or note.strip(), "The till differs from what was recorded: say why in a note.", "note")
    values = {
        "cashier": cashier,
        "day": day,
        "currency": counted.currency,
        "expected_minor": expected.minor,
        "counted_minor": counted.minor,
        "note": note,
        "author": author,
        "closed_at": clock.now(),
    }
    close_id: int = tx.scalars(insert(cash_close).values(values).returning(cash_close.c.id)).one()
    if difference:
        sides = [Posting("cash", None, difference), Posting("cash_difference", None, -difference)]
        post(tx, day, f"Till of {cashier}", f"cash_close:{close_id}", sides)
    detail = {"cashier": cashier, "day": str(day), "difference_minor": difference.minor, "currency": counted.currency}
    trail.record(tx, author, "till.closed", subject="cash_close", subject_id=close_id, detail=detail)
    return close_id


def reopen_day(tx: Connection, cashier: str, day: date, currency: str, *, author: str, because: str) -> None:
    """Open a closed day again, so that cash can be recorded on it; its difference is taken back. Refused, see close."""
    need(because.strip(), "Say why the day is opened again.", "because")
    _lock(tx, cashier, alone=True)
    row = _closed(tx, cashier, [day], currency)
    if row is None:
        need(False, f"{day} of {cashier} is not closed.", "day")
        return
    difference = Money(row.counted_minor - row.expected_minor, row.currency)
    if difference:
        sides = [Posting("cash", None, -difference), Posting("cash_difference", None, difference)]
        post(tx, day, f"Till of {cashier}, opened again", f"cash_close:{row.id}:reopened", sides)
    values = {"reopened_at": clock.now(), "reopened_by": author, "reopened_because": because}
    tx.execute(update(cash_close).where(cash_close.c.id == row.id).values(**values))
    trail.record(tx, author, "till.reopened", subject="cash_close", subject_id=row.id, detail={"because": because})


def need_open_till(tx: Connection, cashier: str, days: Collection[date], currency: str) -> None:
    """Refuse cash of a cashier on a day that they closed; until the commit none of these is closed."""
    _lock(tx, cashier, alone=False)
    row = _closed(tx, cashier, days, currency)
    if row is not None:
        sentence = f"The till of {cashier} is closed for {row.day}: open that day again, or record it on another one."
        need(False, sentence, "day")


def move_cash(tx: Connection, cashier: str, day: date, amount: Money, what: str, source: str) -> None:
    """Note cash that comes into a till beside payments, or leaves it (below zero); its entry books whoever calls.

    `source` is unique: gone_back:7. Refused when the cashier's day is closed.
    """
    if amount:
        need_open_till(tx, cashier, [day], amount.currency)
        _note(tx, cashier, day, amount, what, source)


def stay_where_it_is(tx: Connection, cashier: str, day: date, amount: Money, what: str, source: str) -> None:
    """Note that a payment of this cashier's in cash brought none: it lies in the till that took it, closed or not."""
    _note(tx, cashier, day, -amount, what, source)


def days(tx: Connection, since: date) -> Sequence[Day]:
    """Each cashier's days with cash or a closing since then, newest first."""
    query = (
        select(
            payment.c.author,
            payment.c.received_on,
            payment.c.currency,
            func.sum(payment.c.amount_minor).label("minor"),
            func.count().label("times"),
        )
        .where(payment.c.method == "cash", payment.c.received_on >= since)
        .group_by(payment.c.author, payment.c.received_on, payment.c.currency)
    )
    taken = {(row.author, row.received_on, row.currency): row for row in tx.execute(query)}
    moved = select(till_movement).where(till_movement.c.day >= since).order_by(till_movement.c.id)
    others: dict[tuple[str, date, str], list[tuple[str, Money]]] = {}
    for row in tx.execute(moved):
        amount = Money(row.amount_minor, row.currency)
        others.setdefault((row.cashier, row.day, row.currency), []).append((row.what, amount))
    holds = (cash_close.c.day >= since, cash_close.c.reopened_at.is_(None))
    closed = {(row.cashier, row.day, row.currency): row for row in tx.execute(select(cash_close).where(*holds))}
    keys = sorted(taken.keys() | others.keys() | closed.keys(), key=lambda key: (-key[1].toordinal(), key[0], key[2]))
    return [
        Day(
            cashier=cashier,
            day=day,
            payments=taken[key].times if key in taken else 0,
            taken=Money(int(taken[key].minor) if key in taken else 0, code),
            others=tuple(others.get(key, ())),
            closed=closed.get(key),
        )
        for key in keys
        for cashier, day, code in (key,)
    ]


def _expected(tx: Connection, cashier: str, day: date, currency: str) -> Money:
    query = select(func.coalesce(func.sum(payment.c.amount_minor), 0)).where(
        payment.c.method == "cash",
        payment.c.author == cashier,
        payment.c.received_on == day,
        payment.c.currency == currency,
    )
    beside = select(func.coalesce(func.sum(till_movement.c.amount_minor), 0)).where(
        till_movement.c.cashier == cashier, till_movement.c.day == day, till_movement.c.currency == currency
    )
    return Money(int(tx.scalar(query) or 0) + int(tx.scalar(beside) or 0), currency)


def _note(tx: Connection, cashier: str, day: date, amount: Money, what: str, source: str) -> None:
    values = {"amount_minor": amount.minor, "currency": amount.currency, "created_at": clock.now()}
    tx.execute(insert(till_movement).values(cashier=cashier, day=day, what=what, source=source, **values))


def _closed(tx: Connection, cashier: str, days: Collection[date], currency: str) -> Row[Any] | None:
    query = select(cash_close).where(
        cash_close.c.cashier == cashier,
        cash_close.c.day == func.any(list(days)),
        cash_close.c.currency == currency,
        cash_close.c.reopened_at.is_(None),
    )
    return tx.execute(query.limit(1)).one_or_none()


def _lock(tx: Connection, cashier: str, *, alone: bool) -> None:
    """Nobody closes a till while cash is recorded in it; cash itself is recorded side by side."""
    key = func.hashtextextended(f"till:{cashier}", 0)
    tx.execute(select(func.pg_advisory_xact_lock(key) if alone else func.pg_advisory_xact_lock_shared(key)))
