"""When the run looks at a debt again, so that twenty thousand that only wait for their day are not loaded each minute.

Law: whatever may bring a step forward forgets the day (`forget`, `forget_all`), under the payer's lock; what time
alone brings is in it (rules.look_on). However it came about, a debt is looked at once in `MOST`.
"""

from collections.abc import Collection, Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from billing.dunning.rules import enough_since, look_on
from billing.dunning.tables import dunning_look
from billing.instalments.agreed import in_plan
from billing.tables import open_item

if TYPE_CHECKING:
    from billing.dunning.cases import Payer

MOST = timedelta(days=30)


def to_be_looked_at(tx: Connection, today: date) -> list[int]:
    """Payers of whose debts one may have something due today, in order of their ids."""
    query = (
        select(open_item.c.subscriber_id)
        .outerjoin(dunning_look, dunning_look.c.invoice_id == open_item.c.invoice_id)
        .where(
            open_item.c.dunned,
            open_item.c.due_on <= today,
            ~in_plan(),
            or_(dunning_look.c.look_on.is_(None), dunning_look.c.look_on <= today),
        )
        .distinct()
    )
    return sorted(tx.scalars(query))


def hold_still(tx: Connection) -> None:
    """Before policies and payers are read: until the commit no change of a policy forgets days that are noted by it."""
    tx.execute(text("LOCK TABLE dunning_look IN ROW EXCLUSIVE MODE"))


def note_looks(tx: Connection, payers: Iterable["Payer"], done: Collection[int], today: date) -> None:
    """Note when each overdue debt of these payers is looked at next; `done`: for whom something was done today."""
    rows = []
    for payer in payers:
        for case in payer.cases:
            if case.due_on <= today:
                day = today + timedelta(days=1) if payer.id in done else _next(payer, today, case.invoice_id)
                rows.append({"invoice_id": case.invoice_id, "look_on": min(day, today + MOST)})
    if rows:
        statement = upsert(dunning_look)
        changed = {"look_on": statement.excluded.look_on}
        tx.execute(statement.on_conflict_do_update(index_elements=["invoice_id"], set_=changed), rows)


def forget(tx: Connection, payer_ids: Collection[int]) -> None:
    """Something happened to these payers, who are locked: look at all their debts with the next run."""
    theirs = select(open_item.c.invoice_id).where(open_item.c.subscriber_id == func.any(list(payer_ids)))
    tx.execute(delete(dunning_look).where(dunning_look.c.invoice_id.in_(theirs)))


def forget_all(tx: Connection, payer_ids: Collection[int] | None = None) -> None:
    """A policy changed for everybody, or for these, who are not locked: waits for runs that read the old one."""
    tx.execute(text("LOCK TABLE dunning_look IN SHARE MODE"))
    if payer_ids is None:
        tx.execute(delete(dunning_look))
    else:
        forget(tx, payer_ids)


def _next(payer: "Payer", today: date, invoice_id: int) -> date:
    if payer.held_until is not None and today < payer.held_until:
        return payer.held_until
    due = [case for case in payer.cases if case.due_on <= today]
    if enough_since(due, payer.minimum) is None:
        return date.max  # what comes on top has no day noted yet, and has everything of theirs looked at
    mine = next(case for case in payer.cases if case.invoice_id == invoice_id)
    if mine.waits_until is not None and mine.waits(today):
        return mine.waits_until
    return look_on(payer.policy, mine, today)
