"""Closing a month: nothing missing, revenue that is not earned yet put aside, balances kept, no entry any more.

Law: months are closed in order, and only the last closed one is opened again. What was invoiced for later days is taken
out of revenue on the month's last day and put back on the first of the next; nobody changes either, because reopening
books the reversals of both.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, func, insert, select, text, update

from base import trail
from base.business import Business
from base.calendar import add_months, local_date
from base.money import Money
from base.tables import subscriber
from billing.book_tables import month_close
from billing.earnings import unearned_before
from billing.issue import due_subscribers
from billing.ledger import Entry, Posting, check_books, first_open_day, post_all
from billing.refused import need
from billing.tables import entry, posting
from billing.trial_balance import balances_before


@dataclass(frozen=True, slots=True)
class Closed:
    """A month that is closed."""

    month: date
    closed_by: str
    closed_at: datetime


def closed_months(tx: Connection) -> list[Closed]:
    """The closed months, oldest first."""
    query = select(month_close).where(month_close.c.reopened_at.is_(None)).order_by(month_close.c.month)
    return [Closed(row.month, row.closed_by, row.closed_at) for row in tx.execute(query)]


def missing(tx: Connection, business: Business, month: date, today: date) -> list[str]:
    """What keeps a month (its first day) from being closed, in sentences; none when it can be."""
    end = add_months(month, 1)
    first_open = first_open_day(tx)
    if first_open is not None and month < first_open:
        return [f"{month:%Y-%m} is closed already."]
    found = []
    earliest = first_open or tx.scalar(select(func.min(entry.c.day)))
    if earliest is not None and earliest < month:
        found.append(f"{earliest:%Y-%m} is still open: months are closed in order.")
    if today < end:
        found.append(f"{month:%Y-%m} is not over: today is {today}.")
    waiting = due_subscribers(tx, end - timedelta(days=1), business.issue_days_before)
    if waiting:
        first = tx.scalar(select(subscriber.c.number).where(subscriber.c.id == waiting[0]))
        found.append(
            f"The bill run up to {end - timedelta(days=1)} is not done: {len(waiting)} subscribers wait for an "
            f"invoice, the first is {first}."
        )
    return found + check_books(tx)


def close_month(tx: Connection, business: Business, author: str, month: date, now: datetime) -> None:
    """Close the month that begins on `month`. Raises Refused, a sentence for each thing that is missing."""
    need(month.day == 1, "A month is named by its first day.", "month")
    found = missing(tx, business, month, local_date(now, business.zone))
    need(not found, " ".join(found), "month")
    # From here on nobody books anything until the commit: an entry is either in the balances or refused.
    tx.execute(text("LOCK TABLE month_close, entry IN SHARE ROW EXCLUSIVE MODE"))
    need(month >= (first_open_day(tx) or month), f"{month:%Y-%m} is closed already.", "month")
    end = add_months(month, 1)
    _put_aside(tx, month, end, _times_closed(tx, month) + 1)
    values = {"month": month, "closed_by": author, "closed_at": now, "balances": balances_before(tx, end)}
    tx.execute(insert(month_close).values(**values))
    trail.record(tx, author, "books.month_closed", subject="month", detail={"month": f"{month:%Y-%m}"})


def reopen_month(tx: Connection, author: str, month: date, reason: str, now: datetime) -> None:
    """Open the last closed month again, with a reason for the trail. Raises Refused when it is another."""
    need(reason.strip(), "Reopening a month needs a reason.", "reason")
    tx.execute(text("LOCK TABLE month_close, entry IN SHARE ROW EXCLUSIVE MODE"))
    closed = month_close.c.reopened_at.is_(None)
    last = tx.execute(select(month_close).where(closed).order_by(month_close.c.month.desc()).limit(1)).one_or_none()
    need(last is not None, "No month is closed.", "month")
    assert last is not None
    need(last.month == month, f"Only the last closed month can be reopened: {last.month:%Y-%m}.", "month")
    tx.execute(
        update(month_close)
        .where(month_close.c.id == last.id)
        .values(reopened_by=author, reopened_at=now, reopen_reason=reason)
    )
    _take_back(tx, month, _times_closed(tx, month))
    trail.record(
        tx, author, "books.month_reopened", subject="month", detail={"month": f"{month:%Y-%m}", "reason": reason}
    )


def _times_closed(tx: Connection, month: date) -> int:
    return tx.scalar(select(func.count()).select_from(month_close).where(month_close.c.month == month)) or 0


def _put_aside(tx: Connection, month: date, end: date, time: int) -> None:
    """Out of revenue on the last day, and back on the first of the next month, by tax class."""
    sides: list[Posting] = []
    for (tax_class, _), amount in unearned_before(tx, end).items():
        sides += [Posting("revenue", None, amount, tax_class), Posting("unearned", None, -amount, tax_class)]
    if not sides:
        return
    words = f"Unearned revenue of {month:%Y-%m}"
    post_all(
        tx,
        [
            Entry(end - timedelta(days=1), words, f"unearned:{month:%Y-%m}:{time}", tuple(sides)),
            Entry(end, f"{words}, put back", f"unearned:{month:%Y-%m}:{time}:back", _reversed(sides)),
        ],
    )


def _take_back(tx: Connection, month: date, time: int) -> None:
    """Reverse both entries of a closing on their days."""
    booked = f"unearned:{month:%Y-%m}:{time}"
    query = (
        select(entry.c.day, entry.c.text, entry.c.source, posting)
        .join(posting, posting.c.entry_id == entry.c.id)
        .where(entry.c.source.in_([booked, f"{booked}:back"]))
        .order_by(posting.c.id)
    )
    by_entry: dict[tuple[date, str, str], list[Posting]] = {}
    for row in tx.execute(query):
        side = Posting(row.account, row.subscriber_id, Money(row.amount_minor, row.currency), row.tax_class_id)
        by_entry.setdefault((row.day, row.text, row.source), []).append(side)
    post_all(
        tx,
        [
            Entry(day, f"Reopened: {words}", f"{source}:reopened", _reversed(sides))
            for (day, words, source), sides in by_entry.items()
        ],
    )


def _reversed(sides: list[Posting]) -> tuple[Posting, ...]:
    return tuple(Posting(side.account, side.subscriber_id, -side.amount, side.tax_class_id) for side in sides)
