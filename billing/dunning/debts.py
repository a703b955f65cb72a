"""From cases to what billing.decide needs to know of a debt."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, func, select

from base.access import AccessLevel, Reason
from base.business import Business
from billing.decide import Debt, Owed
from billing.dunning.cases import Payer, announced, load_payers
from billing.dunning.rules import Case, enough_since
from billing.tables import invoice_line


def load_debts(
    tx: Connection, business: Business, payer_ids: Collection[int], now: datetime
) -> dict[int, Mapping[int | None, Debt]]:
    """The debt of each payer for whom a date has been named, by service; under None: for all others of theirs.

    Where business.debt_reach is 'service', an invoice touches the services that it bills, and one that bills none
    touches all.
    """
    named = announced(tx, payer_ids)
    if not named:
        return {}
    payers = load_payers(tx, business, named, now)
    if business.debt_reach == "payer":
        return {payer.id: {None: debt_of(payer, payer.cases)} for payer in payers.values()}
    billed = billed_services(tx, [case.invoice_id for payer in payers.values() for case in payer.cases])
    found: dict[int, Mapping[int | None, Debt]] = {}
    for payer in payers.values():
        services = {each for case in payer.cases for each in billed.get(case.invoice_id, ())}
        common = [case for case in payer.cases if case.invoice_id not in billed]
        own: dict[int | None, Debt] = {None: debt_of(payer, common)}
        for each in services:
            touching = [case for case in payer.cases if each in billed.get(case.invoice_id, {each})]
            own[each] = debt_of(payer, touching)
        found[payer.id] = own
    return found


def reached(reasons: Collection[str]) -> AccessLevel:
    """What debt has brought a service to, by the reasons of its policy."""
    if Reason.DEBT.value in reasons:
        return AccessLevel.WALLED
    return AccessLevel.REDUCED if Reason.DEBT_SLOWED.value in reasons else AccessLevel.FULL


def debt_of(payer: Payer, cases: Collection[Case]) -> Debt:
    """What these cases of a payer come to."""
    return Debt(
        invoices=tuple(_owed(payer, case) for case in cases),
        enough_since=enough_since(payer.cases, payer.minimum),
        window=payer.policy.window,
        held_until=payer.held_until,
        doubt_until=payer.doubt_until,
        demanded=payer.demanded,
    )


def _owed(payer: Payer, case: Case) -> Owed:
    """Only what the policy still takes away counts."""
    notices = [each for each in case.notices.values() if payer.policy.step(each.act) is not None]
    named = {each.act: each.on for each in notices if each.in_time}
    return Owed(
        due_on=case.due_on,
        open=case.dunned.minor,
        reduce_on=named.get("reduce"),
        wall_on=named.get("wall"),
        awaited=tuple(each.on for each in notices if each.arrived_on is None),
        lapsed=frozenset(f"{each.act}_on" for each in notices if each.lapsed),
        walled=case.walled_on is not None,
        waits_until=case.waits_until,
    )


def billed_services(tx: Connection, invoice_ids: list[int]) -> dict[int, set[int]]:
    """The services that each invoice bills; one that bills none is missing."""
    query = (
        select(invoice_line.c.invoice_id, invoice_line.c.service_id)
        .where(invoice_line.c.invoice_id == func.any(invoice_ids), invoice_line.c.service_id.is_not(None))
        .distinct()
    )
    found: dict[int, set[int]] = {}
    for row in tx.execute(query):
        found.setdefault(row.invoice_id, set()).add(row.service_id)
    return found
