"""Which notices have reached their subscribers, whether early enough, and which came back: only those that did count.

Law: a notice that was withdrawn counts for nothing, even where its message left after all.
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, func, literal, or_, select, update

from base.access import Reason
from base.business import load_business
from base.calendar import local_date
from base.crypto import Vault
from base.tables import policy as access
from base.tables import service
from billing.apply import refresh_payers
from billing.dunning.agenda import forget
from billing.dunning.policies import load_policies
from billing.dunning.rules import in_time
from billing.dunning.tables import dunning_group, dunning_notice, dunning_step, dunning_wall
from billing.outbox import reached_at, withdraw
from billing.settle import lock_subscribers
from billing.tables import message, open_item


def arrived_payers(tx: Connection, today: date) -> list[int]:
    """Subscribers whom a notice has reached since it was last looked at, or from whom one came back."""
    query = (
        select(dunning_notice.c.message_key, open_item.c.subscriber_id)
        .join(open_item, open_item.c.invoice_id == dunning_notice.c.invoice_id)
        .where(dunning_notice.c.arrived_on.is_(None), dunning_notice.c.withdrawn_at.is_(None))
    )
    waiting = tx.execute(query).all()
    reached = reached_at(tx, {row.message_key for row in waiting})
    arrived = {row.subscriber_id for row in waiting if row.message_key in reached}
    return sorted(arrived | {row.subscriber_id for row in _returned(tx, today)})


def note_arrivals(tx: Connection, vault: Vault, payer_ids: Sequence[int], now: datetime) -> list[int]:
    """Note which notices have reached these subscribers, and whether early enough for the dates they name.

    One that came back before it took anything away has not arrived. Access is decided anew with that; returns the
    invoices.
    """
    lock_subscribers(tx, payer_ids)
    business = load_business(tx, vault)
    policies = load_policies(tx, business)
    hold_returned(tx, payer_ids, local_date(now, business.zone))
    waiting = tx.execute(
        select(dunning_notice, dunning_group.c.policy_id)
        .join(open_item, open_item.c.invoice_id == dunning_notice.c.invoice_id)
        .outerjoin(dunning_group, dunning_group.c.subscriber_id == open_item.c.subscriber_id)
        .where(
            dunning_notice.c.arrived_on.is_(None),
            dunning_notice.c.withdrawn_at.is_(None),
            open_item.c.subscriber_id == func.any(list(payer_ids)),
        )
    ).all()
    reached = reached_at(tx, {row.message_key for row in waiting})
    noted = [row for row in waiting if row.message_key in reached]
    for row in noted:
        day = local_date(reached[row.message_key], business.zone)
        early = in_time(policies.of(row.policy_id), row.on_day, day)
        tx.execute(update(dunning_notice).where(dunning_notice.c.id == row.id).values(arrived_on=day, in_time=early))
    forget(tx, payer_ids)
    refresh_payers(tx, vault, payer_ids, now, because="dunning")
    return [row.invoice_id for row in noted]


def hold_returned(tx: Connection, payer_ids: Collection[int], today: date) -> None:
    """Note which notices of these payers, who are locked, have come back before they took anything away.

    Whoever decides about access because a day has come asks this first: a bounce may be a second old.
    """
    theirs = open_item.c.subscriber_id == func.any(list(payer_ids))
    if returned := _returned(tx, today, theirs):
        came_back = update(dunning_notice).where(dunning_notice.c.id == func.any([row.id for row in returned]))
        tx.execute(came_back.values(arrived_on=None, in_time=False))
        forget(tx, {row.subscriber_id for row in returned})


def withdraw_notices(tx: Connection, keys: Collection[str], because: str, now: datetime) -> None:
    """The notices that these messages carry do not count any more, and the messages stay where they have not left."""
    withdraw(tx, keys, because)
    mine = dunning_notice.c.message_key == func.any(list(keys)), dunning_notice.c.withdrawn_at.is_(None)
    tx.execute(update(dunning_notice).where(*mine).values(withdrawn_at=now))


def _returned(tx: Connection, today: date, *among: ColumnElement[bool]) -> list[Row[Any]]:
    """Notices that bounced or were refused, that no other channel had carried by then, and that took nothing yet."""
    query = (
        select(dunning_notice, open_item.c.subscriber_id)
        .join(open_item, open_item.c.invoice_id == dunning_notice.c.invoice_id)
        .join(message, message.c.key == dunning_notice.c.message_key)
        .where(
            dunning_notice.c.in_time.is_distinct_from(False),
            dunning_notice.c.withdrawn_at.is_(None),
            message.c.state.in_(["bounced", "refused"]),
            or_(dunning_notice.c.on_day > today, _took_nothing(today)),
            *among,
        )
    )
    rows = tx.execute(query).all()
    reached = reached_at(tx, {row.message_key for row in rows})
    return [row for row in rows if row.message_key not in reached]


def _took_nothing(today: date) -> ColumnElement[bool]:
    """Whether a notice whose day has come has not had its effect yet."""
    slowed = exists().where(
        service.c.payer_id == open_item.c.subscriber_id,
        access.c.service_id == service.c.id,
        or_(
            literal(Reason.DEBT.value) == func.any(access.c.reasons),
            literal(Reason.DEBT_SLOWED.value) == func.any(access.c.reasons),
        ),
    )
    walled = exists().where(dunning_wall.c.invoice_id == dunning_notice.c.invoice_id)
    ended = exists().where(dunning_step.c.invoice_id == dunning_notice.c.invoice_id, dunning_step.c.act == "end")
    return or_(
        and_(dunning_notice.c.act == "wall", ~walled),
        and_(dunning_notice.c.act == "end", ~ended),
        and_(dunning_notice.c.act == "reduce", dunning_notice.c.on_day == today, ~slowed),
    )
