"""Outages: days on which services were down, and the money that is given back for them, once per outage and service.

Days that an invoice covers are given back by credit note, at what they cost there with add-ons and discounts. Days that
are not billed yet are taken off the bill that will cover them, by a discount on exactly these days, which like every
discount takes at most what the line costs.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from base import clock, trail
from base.business import load_business
from base.calendar import Period, local_midnight, period_around
from base.crypto import Vault, open_vault
from base.database import transaction
from base.money import Money, total
from base.offers import plan, service_plan
from base.settings import settings
from base.tables import nas, service, session
from billing.credit_notes import Part, issue_credit_note, unused_of, worth_of
from billing.deed import begin
from billing.draft import FAR, Due, due_lines, overlap, share, without
from billing.recurring import load_recurring
from billing.refused import need
from billing.run_tables import outage, outage_service
from billing.sweep import sweep
from billing.tables import discount

LONGEST = 92  # days: more is a slip of the hand


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose outage it was."""

    name: str
    "'nas:edge1', 'plan:Home', 'logins:<digest>': the same words are the same outage."
    service_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Discounted:
    """What days that are not billed yet will be cheaper by."""

    days: Period
    percent: str
    "Of the plan's price on these days."
    amount: Money
    "As priced."


@dataclass(frozen=True, slots=True)
class Given:
    """What a service is given back for an outage."""

    service_id: int
    login: str
    payer_id: int
    credited: Money
    "By credit notes, tax included."
    next_bill: Money
    "Off the bill that is to come, as priced."
    parts: tuple[tuple[int, tuple[Part, ...]], ...] = ()
    "Of each invoice."
    discounts: tuple[Discounted, ...] = ()


def on_nas(tx: Connection, name: str, days: Period) -> Scope:
    """Services with a session on a NAS at some time of `days`; Refused when there is no such NAS."""
    nas_id = tx.scalar(select(nas.c.id).where(nas.c.name == name))
    need(nas_id is not None, f"There is no NAS called {name!r}.", "nas")
    zone = load_business(tx, open_vault(settings().secret_keys)).zone
    begins, ends = local_midnight(days.start, zone), local_midnight(days.end, zone)
    there = session.c.nas_id == nas_id, session.c.started_at < ends, session.c.service_id.is_not(None)
    query = select(session.c.service_id).where(*there, func.coalesce(session.c.stopped_at, ends) > begins)
    return Scope(f"nas:{name}", tuple(sorted(set(tx.scalars(query)))))


def on_plan(tx: Connection, name: str, days: Period) -> Scope:
    """Services that had a plan on one of `days`; Refused when there is no such plan."""
    plan_id = tx.scalar(select(plan.c.id).where(plan.c.name == name))
    need(plan_id is not None, f"There is no plan called {name!r}.", "plan")
    newer = service_plan.alias("newer")
    until = select(func.min(newer.c.from_on)).where(
        newer.c.service_id == service_plan.c.service_id, newer.c.from_on > service_plan.c.from_on
    )
    query = select(service_plan.c.service_id).where(
        service_plan.c.plan_id == plan_id,
        service_plan.c.from_on < days.end,
        func.coalesce(until.scalar_subquery(), FAR) > days.start,
    )
    return Scope(f"plan:{name}", tuple(sorted(set(tx.scalars(query)))))


def on_list(tx: Connection, logins: Collection[str]) -> Scope:
    """These services; Refused with all the logins that nobody has."""
    wanted = sorted({login.strip() for login in logins} - {""})
    need(wanted, "The list names no login.", "logins")
    found = {row.login: row.id for row in tx.execute(select(service).where(service.c.login.in_(wanted)))}
    unknown = [login for login in wanted if login not in found]
    need(not unknown, f"Nobody has these logins: {', '.join(unknown)}.", "logins")
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:16]
    return Scope(f"logins:{digest}", tuple(sorted(found.values())))


def outage_days(start: date, days: int) -> Period:
    """The days of an outage; Refused when they are none, or too many to be true."""
    need(1 <= days <= LONGEST, f"An outage lasts 1 to {LONGEST} days.", "days")
    return Period(start, start + timedelta(days=days))


def preview_outage(
    tx: Connection, scope: Scope, days: Period, progress: Callable[[int, int], None] = lambda done, of: None
) -> list[Given]:
    """What each service would be given, those that get nothing left out; nothing is written or locked."""
    found = []
    for done, each in enumerate(scope.service_ids, start=1):
        if given := _given(tx, each, days, lock=False):
            found.append(given)
        progress(done, len(scope.service_ids))
    return found


def commit_outage(
    scope: Scope, days: Period, text: str, actor: str, progress: Callable[[int, int], None] = lambda done, of: None
) -> list[int]:
    """Give back what `preview_outage` says, a service to a transaction; returns the services that were given something.

    Harmless to repeat, to start twice at once and to go on with after it was killed: each service is given once. Raises
    sweep.Unfinished when a service could not be given; all others are.
    """
    need(text.strip(), "An outage needs a text: it is what the subscriber reads.", "text")
    vault = open_vault(settings().secret_keys)
    with transaction() as tx:
        outage_id = _outage(tx, scope, days, text, actor)
    done = 0

    def give(tx: Connection, service_ids: list[int]) -> list[int]:
        nonlocal done
        given = [each for each in service_ids if _give(tx, vault, outage_id, each, days, text, actor)]
        done += len(service_ids)
        progress(done, len(scope.service_ids))
        return given

    return sweep("outage", scope.service_ids, give, size=1)


def _outage(tx: Connection, scope: Scope, days: Period, text: str, actor: str) -> int:
    """The row of this outage, which may be there from a try before."""
    key = {"scope": scope.name, "from_on": days.start, "until_on": days.end}
    row = {**key, "text": text, "author": actor, "created_at": clock.now()}
    made = tx.scalar(upsert(outage).values(row).on_conflict_do_nothing().returning(outage.c.id))
    if made is None:
        return int(tx.execute(select(outage.c.id).filter_by(**key)).scalar_one())
    detail = {"scope": scope.name, "from": days.start.isoformat(), "days": days.days, "text": text}
    trail.record(tx, actor, "outage.added", subject="outage", subject_id=made, detail=detail)
    return int(made)


def _give(tx: Connection, vault: Vault, outage_id: int, service_id: int, days: Period, text: str, actor: str) -> bool:
    deed = begin(tx, vault, actor, service_id)
    given = _given(tx, service_id, days, lock=True)
    if given is None:
        return False
    row = {
        "outage_id": outage_id,
        "service_id": service_id,
        "credited_minor": given.credited.minor,
        "next_bill_minor": given.next_bill.minor,
        "currency": given.credited.currency,
        "created_at": deed.now,
    }
    if not tx.execute(upsert(outage_service).values(row).on_conflict_do_nothing()).rowcount:
        return False
    for invoice_id, parts in given.parts:
        issue_credit_note(tx, vault, deed.business, actor, invoice_id, parts, text, deed.now)
    rows = [
        {
            "service_id": service_id,
            "text": text,
            "percent": each.percent,
            "from_on": each.days.start,
            "until_on": each.days.end,
            "author": actor,
        }
        for each in given.discounts
    ]
    if rows:
        tx.execute(insert(discount), rows)
    detail = {"outage_id": outage_id, "credited_minor": given.credited.minor, "next_bill_minor": given.next_bill.minor}
    trail.record(tx, actor, "outage.given", subject="service", subject_id=service_id, detail=detail)
    return True


def _given(tx: Connection, service_id: int, days: Period, *, lock: bool) -> Given | None:
    row = tx.execute(select(service).where(service.c.id == service_id)).one()
    currency = tx.scalar(select(plan.c.currency).where(plan.c.id == row.plan_id))
    assert currency is not None
    lived = overlap(days, Period(row.starts_on, row.ends_on or FAR))
    parts: dict[int, list[Part]] = {}
    discounts: list[Discounted] = []
    for each in without(lived, _given_before(tx, service_id)) if lived is not None else ():
        for invoice_id, part in _billed(tx, service_id, each):
            parts.setdefault(invoice_id, []).append(part)
        if row.billed_until < each.end:
            discounts += _to_come(tx, service_id, Period(max(each.start, row.billed_until), each.end), lock=lock)
    worth = {invoice_id: worth_of(tx, invoice_id, found).total for invoice_id, found in parts.items()}
    credited = total((each for each in worth.values() if each.minor > 0), currency)
    next_bill = total((each.amount for each in discounts), currency)
    if not credited and not next_bill:
        return None
    noted = tuple((key, tuple(found)) for key, found in parts.items() if worth[key].minor > 0)
    return Given(service_id, row.login, row.payer_id, credited, next_bill, noted, tuple(discounts))


def _given_before(tx: Connection, service_id: int) -> list[Period]:
    """Days for which this or another outage was given already."""
    query = select(outage.c.from_on, outage.c.until_on).join(outage_service, outage_service.c.outage_id == outage.c.id)
    return [Period(*row) for row in tx.execute(query.where(outage_service.c.service_id == service_id))]


def _billed(tx: Connection, service_id: int, days: Period) -> Iterator[tuple[int, Part]]:
    """What invoices charged for these days, discounts included, with the invoice of each part."""
    for each in unused_of(tx, service_id, days, whole_too=True):
        yield each.line.invoice_id, Part(each.line.invoice_line_id, each.amount, each.days)


def _to_come(tx: Connection, service_id: int, days: Period, *, lock: bool) -> Iterator[Discounted]:
    """What the plan will cost on days that are not billed yet, with the discounts that it has."""
    parts = load_recurring(tx, services=[service_id], lock=lock)
    each = next(part for part in parts if part.service_product_id is None)
    until = max(period_around(terms.anchor, terms.cycle, days.last_day).end for terms in each.terms)
    lines, _ = due_lines(each, until, 0)
    for line in lines:
        if line.kind != "plan" or line.period is None or (common := overlap(line.period, days)) is None:
            continue
        price = share(line.amount, line.period, common)
        off = (_share_of(one, common) for one in lines if one.kind == "discount")
        worth = price + total(off, price.currency)
        if worth.minor > 0:
            percent = Decimal(100) * worth.minor / price.minor  # so exact that the discount comes to `worth`
            yield Discounted(common, f"{percent:f}", worth)


def _share_of(line: Due, days: Period) -> Money:
    assert line.period is not None
    common = overlap(line.period, days)
    return Money(0, line.amount.currency) if common is None else share(line.amount, line.period, common)
