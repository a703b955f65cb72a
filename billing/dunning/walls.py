"""Which invoice has walled which service in: kept for as long as there are invoices, so that a debt is one cause.

Debt walls a service in by what a payer owes; a promise, an exemption or another payer may let it out, and the same debt
may wall it in again.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from base.access import Reason
from base.business import Business
from base.calendar import local_date
from base.tables import service
from billing.dunning.cases import load_payers
from billing.dunning.debts import billed_services
from billing.dunning.tables import dunning_wall
from billing.notices import Change
from billing.tables import invoice


def note_walls(tx: Connection, business: Business, changes: Sequence[Change], now: datetime) -> set[int]:
    """Note which services debt walls in now; returns those among them that no debt open now has walled in before."""
    closing = [each.service_id for each in changes if _debt(each.reasons) and not _debt(each.reasons_before)]
    if not closing:
        return set()
    today = local_date(now, business.zone)
    causes = _causes(tx, business, closing, now, today)
    rows = tx.execute(select(dunning_wall).where(dunning_wall.c.service_id == func.any(closing))).all()
    known = {(row.invoice_id, row.service_id): row.charge_id for row in rows}
    written, fresh = [], set()
    for service_id, invoices in causes.items():
        before = [known[each, service_id] for each in invoices if (each, service_id) in known]
        if invoices and not before:
            fresh.add(service_id)
        charge_id = next((each for each in before if each is not None), None)
        written += [
            {"invoice_id": each, "service_id": service_id, "on_day": today, "charge_id": charge_id} for each in invoices
        ]
    if written:
        statement = upsert(dunning_wall)
        again = {"back_on": None}
        tx.execute(statement.on_conflict_do_update(index_elements=["invoice_id", "service_id"], set_=again), written)
    return fresh


def end_walls(
    tx: Connection, business: Business, changes: Sequence[Change], now: datetime
) -> dict[int, tuple[int, bool]]:
    """Note which services debt lets go of now: (whose debt it was, whether a fee was charged for it) of each."""
    opening = [each.service_id for each in changes if _debt(each.reasons_before) and not _debt(each.reasons)]
    if not opening:
        return {}
    query = (
        select(dunning_wall.c.service_id, dunning_wall.c.charge_id, invoice.c.subscriber_id)
        .join(invoice, invoice.c.id == dunning_wall.c.invoice_id)
        .where(dunning_wall.c.service_id == func.any(opening), dunning_wall.c.back_on.is_(None))
        .order_by(dunning_wall.c.invoice_id)
    )
    found: dict[int, tuple[int, bool]] = {}
    for row in tx.execute(query):
        debtor, charged = found.get(row.service_id, (row.subscriber_id, False))
        found[row.service_id] = (debtor, charged or row.charge_id is not None)
    return found


def open_walls(tx: Connection, service_ids: Collection[int], today: date) -> None:
    """These services are back."""
    now_walled = dunning_wall.c.service_id == func.any(list(service_ids)), dunning_wall.c.back_on.is_(None)
    tx.execute(update(dunning_wall).where(*now_walled).values(back_on=today))


def note_charge(tx: Connection, service_id: int, charge_id: int) -> None:
    """The fee for coming back from what walls a service in now."""
    mine = dunning_wall.c.service_id == service_id, dunning_wall.c.back_on.is_(None)
    tx.execute(update(dunning_wall).where(*mine).values(charge_id=charge_id))


def _causes(
    tx: Connection, business: Business, service_ids: Collection[int], now: datetime, today: date
) -> Mapping[int, list[int]]:
    """The invoices that wall each of these services in."""
    rows = tx.execute(
        select(service.c.id, service.c.payer_id)
        .where(service.c.id == func.any(list(service_ids)))
        .order_by(service.c.id)
    ).all()
    payers = load_payers(tx, business, {row.payer_id for row in rows}, now)
    found: dict[int, list[int]] = {}
    for row in rows:
        payer = payers.get(row.payer_id)
        cases = () if payer is None else payer.cases
        named = ((case, case.notices.get("wall")) for case in cases)
        found[row.id] = [
            case.invoice_id for case, each in named if each is not None and each.holds and each.on <= today
        ]
    if business.debt_reach == "service":
        billed = billed_services(tx, [each for invoices in found.values() for each in invoices])
        found = {
            mine: [each for each in invoices if mine in billed.get(each, {mine})] for mine, invoices in found.items()
        }
    return found


def _debt(reasons: Sequence[Reason]) -> bool:
    return Reason.DEBT in reasons
