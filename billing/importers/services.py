"""Services of an old system, billed from the day on which it stopped. No set-up fee, no greeting."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, select

from base import tables
from base.bulk import copy_rows, learn_sizes, take_ids
from base.calendar import Cycle, local_midnight
from base.money import Money
from base.offers import plan, service_plan
from billing.anchors import anchor_after, is_boundary
from billing.importers.cells import parse_amount
from billing.importers.reader import Raw
from billing.importers.rows import SERVICES, Service, check_service
from billing.importers.work import Work
from billing.prepaid.renewal import renew_and_refresh
from billing.recurring import schedule
from billing.settle import lock_subscribers

COLUMNS = SERVICES


@dataclass(frozen=True, slots=True)
class New:
    """A service that is to be written."""

    row: Service
    subscriber_id: int
    payer_id: int
    plan_id: int
    anchor: date
    price_minor: int | None
    billed_until: date
    paid_until: datetime | None
    "Of a prepaid plan."


def check(work: Work, raws: Sequence[Raw]) -> list[New]:
    """The new ones among the rows."""
    rows: list[Service] = work.check(raws, lambda cells: check_service(cells, work.today))
    rows = [row for row in rows if _once(work, row)]
    plans = work.cache.setdefault("plans", {each.name: each for each in work.tx.execute(select(plan))})
    people = work.subscribers([number for row in rows for number in (row.subscriber, row.payer)])
    logins = _logins(work, [row.login for row in rows])
    addresses = _addresses(work, [row.address for row in rows if row.address])
    new = []
    for row in rows:
        owner, taken = people.get(row.subscriber), logins.get(row.login)
        payer = people.get(row.payer) if row.payer else owner
        if owner is None:
            work.fault(row.line, "subscriber", f"There is no subscriber with the account number {row.subscriber!r}.")
            continue
        if payer is None:
            work.fault(row.line, "payer", f"There is no subscriber with the account number {row.payer!r}.")
            continue
        if taken is not None:
            if taken.subscriber_id == owner.id:
                work.known += 1
            else:
                work.fault(row.line, "login", f"The login {row.login!r} is taken by the subscriber {taken.number}.")
            continue
        if row.address in addresses:
            work.fault(row.line, "address", f"The address {row.address} belongs to {addresses[row.address]!r}.")
            continue
        if (each := _new(work, row, owner, payer, plans)) is not None:
            new.append(each)
    return new


def begin(work: Work) -> None:
    """Let PostgreSQL know how many subscribers there are, and hold the money of who pays for prepaid services still."""
    learn_sizes(work.tx, [tables.subscriber, tables.service], 1000)
    lock_subscribers(work.tx, sorted(work.touched))


def write(work: Work, rows: Sequence[New]) -> None:
    """Add them, with their plan, when they are billed next, and their access."""
    ids = take_ids(work.tx, tables.service, len(rows))
    pairs = list(zip(ids, rows, strict=True))
    services = [
        {
            "id": service_id,
            "subscriber_id": each.subscriber_id,
            "payer_id": each.payer_id,
            "plan_id": each.plan_id,
            "login": each.row.login,
            "password": work.vault.lock(each.row.password),
            "address": each.row.address,
            "starts_on": each.row.starts_on,
            "billed_until": each.billed_until,
            "contract_until": each.row.contract_until,
            "paid_until": each.paid_until,
            "prepaid_from": each.paid_until,
            "created_at": work.now,
        }
        for service_id, each in pairs
    ]
    sold = [
        {
            "service_id": service_id, "from_on": each.row.starts_on, "plan_id": each.plan_id,
            "anchor_on": each.anchor, "price_minor": each.price_minor, "price_reason": each.row.price_reason,
        }
        for service_id, each in pairs
    ]  # fmt: skip
    deeds = [
        {
            "at": work.now, "actor": work.actor, "act": "service.imported", "subject": "service",
            "subject_id": service_id,
            "detail": {"login": each.row.login, "line": each.row.line, "billed_until": str(each.billed_until)},
        }
        for service_id, each in pairs
    ]  # fmt: skip
    copy_rows(work.tx, tables.service, services)
    if not work.cache.get("learned"):
        learn_sizes(work.tx, [tables.service], len(rows))
        work.cache["learned"] = True
    copy_rows(work.tx, service_plan, sold)
    copy_rows(work.tx, tables.trail, deeds)
    schedule(work.tx, ids)
    renew_and_refresh(work.tx, work.vault, ids, work.now, because=f"import:{work.actor}")


def finish(work: Work) -> None:
    """Nothing is left to be done."""


def show(each: New) -> str:
    """One row in words."""
    return f"{each.row.login} · {each.row.subscriber} · {each.row.plan} · billed by us from {each.billed_until} on"


def _once(work: Work, row: Service) -> bool:
    known = work.once(("login", row.login), row.line, "login", f"The login {row.login!r}")
    if row.address is None:
        return known
    return work.once(("address", row.address), row.line, "address", f"The address {row.address}") and known


def _logins(work: Work, logins: Sequence[str]) -> dict[str, Row[Any]]:
    query = select(tables.service.c.login, tables.service.c.subscriber_id, tables.subscriber.c.number)
    query = query.join(tables.subscriber, tables.subscriber.c.id == tables.service.c.subscriber_id)
    rows: Iterable[Row[Any]] = work.tx.execute(query.where(tables.service.c.login == func.any(list(logins))))
    return {row.login: row for row in rows}


def _addresses(work: Work, addresses: Sequence[str]) -> dict[str | None, str]:
    """Fixed addresses of services that have not ended -> the login that has it."""
    if not addresses:
        return {}
    query = select(tables.service.c.address, tables.service.c.login).where(
        tables.service.c.address.in_(addresses),
        tables.service.c.ends_on.is_(None) | (tables.service.c.ends_on > work.today),
    )
    return {str(row.address): row.login for row in work.tx.execute(query)}


def _new(work: Work, row: Service, owner: Row[Any], payer: Row[Any], plans: dict[str, Row[Any]]) -> New | None:
    bought = plans.get(row.plan)
    if bought is None:
        there_are = ", ".join(sorted(plans)) or "none yet; `tollkeeper plan add` makes one"
        work.fault(row.line, "plan", f"There is no plan {row.plan!r}; there are: {there_are}.")
        return None
    if bought.currency != payer.currency:
        sentence = f"{row.plan} is priced in {bought.currency}, the subscriber pays in {payer.currency}."
        work.fault(row.line, "plan", sentence)
        return None
    if bought.prepaid and row.contract_until is not None:
        work.fault(row.line, "contract_until", f"{row.plan} is prepaid: it has no term.")
        return None
    price = _price(work, row, bought.currency)
    if row.price and price is None:
        return None
    cycle = Cycle(bought.cycle_unit, bought.cycle_length)
    billed_until = row.paid_until or row.starts_on
    anchor = anchor_after(row.starts_on, row.paid_until, payer.billing_day, cycle)
    if bought.proration == "none" and row.paid_until is not None and not is_boundary(anchor, cycle, billed_until):
        sentence = (
            f"{row.plan} does not bill parts of a period, and {billed_until} is not on the subscriber's billing day "
            f"{payer.billing_day}: the days until then would cost nothing."
        )
        work.fault(row.line, "paid_until", sentence)
        return None
    due = billed_until <= work.today + timedelta(days=work.business.issue_days_before)
    if due and not bought.in_arrears and not bought.prepaid:
        work.count("{} are due to be billed at once, because the old system has not billed them so far.")
    work.count(f"{{}} on {row.plan}.")
    if price is not None:
        work.count("{} have a price of their own.")
    if payer.id != owner.id:
        work.count("{} are paid for by somebody else.")
    paid_until = None
    if bought.prepaid:
        work.touched.add(payer.id)
        paid_until = local_midnight(billed_until, work.business.zone) if row.paid_until is not None else None
    own = None if price is None else price.minor
    return New(row, owner.id, payer.id, bought.id, anchor, own, billed_until, paid_until)


def _price(work: Work, row: Service, currency: str) -> Money | None:
    if not row.price:
        return None
    try:
        price = parse_amount(row.price, work.decimal, currency)
    except ValueError as error:
        work.fault(row.line, "price", str(error))
        return None
    if price.minor < 0:
        work.fault(row.line, "price", "A price is not negative.")
        return None
    return price
