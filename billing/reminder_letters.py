"""Reminders on paper: what a message of dunning says, as a letter; read when it is printed, so it says what is open."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from base.business import Business
from base.calendar import local_date
from base.money import Money
from base.tables import subscriber
from billing.account_documents import Reminder, load_reminder
from billing.dunning.cases import Payer, load_payers
from billing.dunning.fees import with_tax
from billing.dunning.letters import fee_ahead, walled_since
from billing.dunning.rules import Case
from billing.dunning.tables import dunning_step
from billing.tables import charge


def load_letters(
    tx: Connection, business: Business, rows: Sequence[Row[Any]], now: datetime
) -> Mapping[int, Reminder | None]:
    """The letter of each of these rows of `message` (kinds of dunning), by its id; None: its invoice is settled."""
    today = local_date(now, business.zone)
    payers = load_payers(tx, business, {row.subscriber_id for row in rows}, now)
    fees = _fees(tx, rows)
    return {row.id: _letter(tx, row, payers.get(row.subscriber_id), fees.get((row.invoice_id, row.kind)), today)
            for row in rows}  # fmt: skip


def _letter(tx: Connection, row: Row[Any], payer: Payer | None, fee: Money | None, today: date) -> Reminder | None:
    case = next((each for each in payer.cases if each.invoice_id == row.invoice_id), None) if payer else None
    found = load_reminder(tx, row.subscriber_id, today, None, due_too=row.kind == "due_notice")
    if payer is None or case is None or found is None:
        return None
    step = payer.policy.step(row.kind)
    named = _named(payer, case, row.kind)
    ahead = None if step is None else fee_ahead(payer, case, step)
    since = walled_since(payer, today)
    return replace(
        found,
        kind=row.kind,
        reduce_on=named.get("reduce") if since is None else None,
        wall_on=since or named.get("wall"),
        end_on=named.get("end"),
        fee=None if fee is None else with_tax(tx, payer, fee, today),
        fee_ahead=None if ahead is None else with_tax(tx, payer, ahead, today),
    )


def _named(payer: Payer, case: Case, act: str) -> dict[str, date]:
    """The days that the message of this act has named, or that hold because another one named them."""
    return {each.act: case.notices[each.act].on for each in payer.policy.announces(act) if each.act in case.notices}


def _fees(tx: Connection, rows: Sequence[Row[Any]]) -> dict[tuple[int, str], Money]:
    """The late fee that came with a step, by invoice and act; none that was taken back."""
    query = (
        select(dunning_step.c.invoice_id, dunning_step.c.act, charge.c.amount_minor, subscriber.c.currency)
        .join(charge, charge.c.id == dunning_step.c.charge_id)
        .join(subscriber, subscriber.c.id == charge.c.subscriber_id)
        .where(dunning_step.c.invoice_id == func.any([row.invoice_id for row in rows]), charge.c.dropped_at.is_(None))
    )
    return {(row.invoice_id, row.act): Money(row.amount_minor, row.currency) for row in tx.execute(query)}
