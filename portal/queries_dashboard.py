"""The numbers of the dashboard; read-only."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, select

from base.access import AccessLevel
from base.tables import coa_attempt, drop_count, job, policy, session
from billing.tables import open_item, payment


@dataclass(frozen=True, slots=True)
class Owed:
    """Open amounts of one currency: how many invoices and how much, and of these those past their due date."""

    currency: str
    invoices: int
    minor: int
    overdue_invoices: int
    overdue_minor: int


@dataclass(frozen=True, slots=True)
class Speed:
    """How long enforcement took lately, in milliseconds from the commit to the answer; None before the first."""

    last: int | None
    median: int | None
    slowest: int | None


def sessions_open(tx: Connection) -> int:
    """How many sessions are open."""
    return tx.scalar(select(func.count()).select_from(session).where(session.c.stopped_at.is_(None))) or 0


def services_by_level(tx: Connection) -> dict[AccessLevel, int]:
    """How many services have each level."""
    rows = tx.execute(select(policy.c.level, func.count().label("services")).group_by(policy.c.level))
    found = {row.level: row.services for row in rows}
    return {level: found.get(level.value, 0) for level in AccessLevel}


def owed(tx: Connection, today: date) -> list[Owed]:
    """What is open and what is overdue, per currency."""
    late = open_item.c.due_on < today
    query = (
        select(
            open_item.c.currency,
            func.count(),
            _whole(func.sum(open_item.c.open_minor)),
            func.count(case((late, 1))),
            _whole(func.coalesce(func.sum(case((late, open_item.c.open_minor))), 0)),
        )
        .group_by(open_item.c.currency)
        .order_by(open_item.c.currency)
    )
    return [Owed(*row) for row in tx.execute(query)]


def paid_on(tx: Connection, day: date) -> list[Row[Any]]:
    """(currency, count, minor) of the payments of one day."""
    query = (
        select(
            payment.c.currency, func.count().label("payments"), _whole(func.sum(payment.c.amount_minor)).label("minor")
        )
        .where(payment.c.received_on == day)
        .group_by(payment.c.currency)
        .order_by(payment.c.currency)
    )
    return list(tx.execute(query))


def _whole(column: ColumnElement[int]) -> ColumnElement[int]:
    return column.cast(payment.c.amount_minor.type)


def enforcement_speed(tx: Connection, of_last: int = 100) -> Speed:
    """The last acknowledged enforcement, and median and maximum of the last hundred."""
    took = list(
        tx.scalars(
            select(coa_attempt.c.commit_to_answer_ms)
            .where(and_(coa_attempt.c.result == "ack", coa_attempt.c.commit_to_answer_ms.is_not(None)))
            .order_by(coa_attempt.c.id.desc())
            .limit(of_last)
        )
    )
    known = [milliseconds for milliseconds in took if milliseconds is not None]
    return Speed(known[0], sorted(known)[len(known) // 2], max(known)) if known else Speed(None, None, None)


def drops_by_name(tx: Connection) -> list[Row[Any]]:
    """(name, count, last_at) of packets dropped on the wire, over all sources, the latest first."""
    total = _whole(func.sum(drop_count.c.count))
    last = func.max(drop_count.c.last_at)
    query = select(drop_count.c.name, total.label("packets"), last.label("last_at")).group_by(drop_count.c.name)
    return list(tx.execute(query.order_by(last.desc())))


def dead_jobs(tx: Connection) -> int:
    """How many jobs wait for a person."""
    return tx.scalar(select(func.count()).select_from(job).where(job.c.state == "dead")) or 0
