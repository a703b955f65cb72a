"""Renewal: a prepaid service whose time is over gets its next period, if the balance pays for it. Never a debt.

The balance is the payer's customer credit (open_credit), less what is open of invoices. A period is an ordinary invoice
that this credit settles in the same transaction, so that revenue, tax, number and document are what they are elsewhere.
Law: it is issued only where the balance covers all of it. Whoever refreshes access because of money, a deed or time
calls `renew_and_refresh`, so that nobody is walled in whose balance pays.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, func, or_, select

from base import trail
from base.access import Reason
from base.bulk import update_rows
from base.business import Business, load_business
from base.calendar import Cycle, Period, local_date, local_midnight
from base.crypto import Vault
from base.money import Money
from base.offers import plan, service_plan
from base.tables import policy, service, subscriber
from billing.apply import refresh_access
from billing.draft import Due, Recurring, period_lines
from billing.issue import Draft, draft_periods, issue_drafts
from billing.prepaid.span import Span, next_span, whole_minute
from billing.recurring import load_recurring
from billing.settle import lock_subscribers
from billing.tables import open_credit, open_item, service_product

MOST = 4000  # periods that are caught up for one service at once: ten years of days


@dataclass(frozen=True, slots=True)
class Offer:
    """The next period of a service and what it costs."""

    row: Row[Any]
    "Of the service."
    span: Span
    anchor: datetime
    plan_id: int
    product_ids: tuple[int, ...]
    "Add-ons that are in it."
    draft: Draft

    @property
    def price(self) -> Money:
        """Tax, add-ons and waiting charges included."""
        return self.draft.total


def balance_of(tx: Connection, subscriber_id: int) -> Money:
    """What a subscriber can spend on prepaid periods: credit that no invoice has used, less what invoices still need.

    Never less than nothing. LookupError when there is no such subscriber.
    """
    currency = tx.scalar(select(subscriber.c.currency).where(subscriber.c.id == subscriber_id))
    if currency is None:
        raise LookupError(f"there is no subscriber {subscriber_id}")
    return Money(max(0, _balances(tx, [subscriber_id]).get(subscriber_id, 0)), currency)


def _balances(tx: Connection, subscriber_ids: Collection[int]) -> dict[int, int]:
    """Minor units of each subscriber who has credit or owes something; negative: more is owed than there is."""
    found: dict[int, int] = {}
    for table, minor in ((open_credit, open_credit.c.left_minor), (open_item, -open_item.c.open_minor)):
        sums = select(table.c.subscriber_id, func.sum(minor).label("minor")).group_by(table.c.subscriber_id)
        for row in tx.execute(sums.where(table.c.subscriber_id == func.any(list(subscriber_ids)))):
            found[row.subscriber_id] = found.get(row.subscriber_id, 0) + int(row.minor)
    return found


def renew_and_refresh(
    tx: Connection, vault: Vault, service_ids: Sequence[int], now: datetime, because: str
) -> list[int]:
    """Renew what is due of these services and the balance pays for, then refresh_access; returns what that returns."""
    renew(tx, vault, load_business(tx, vault), service_ids, now)
    return refresh_access(tx, vault, service_ids, now, because, renewed=True)


def renew(
    tx: Connection, vault: Vault, business: Business, service_ids: Sequence[int], now: datetime, *, asked: bool = False
) -> list[int]:
    """Renew those of these services whose paid time is over, as often as it takes; returns the services renewed.

    Nothing happens to one that is not prepaid, not begun, ended, suspended or blocked, or (unless `asked`) not to be
    renewed by itself. Time that ran on unwalled, because nobody looked, is paid for; after a wall the clock begins
    anew. The caller refreshes access.
    """
    query = _due(local_date(now, business.zone), now, asked=asked).where(service.c.id == func.any(list(service_ids)))
    payers = sorted({row.payer_id for row in tx.execute(query)})
    if not payers:
        return []
    lock_subscribers(tx, payers)  # before the services, as everybody does
    query = query.order_by(service.c.paid_until, service.c.id).with_for_update(of=service, key_share=True)
    renewed: set[int] = set()
    for _ in range(MOST):  # a period each, until all reach beyond now or nobody can pay
        left = _balances(tx, payers)
        bought = []
        for offer in _offers(tx, business, tx.execute(query).all(), now):
            rest = left.get(offer.row.payer_id, 0) - offer.price.minor
            if rest >= 0 or not offer.price:
                left[offer.row.payer_id] = rest
                bought.append(offer)
        if not bought:
            break
        _buy(tx, vault, business, bought, now)
        renewed |= {offer.row.id for offer in bought}
    return sorted(renewed)


def due_for_renewal(tx: Connection, now: datetime, of: Sequence[int] | None = None) -> list[int]:
    """Prepaid services (`of` these only) of which time alone changes something by now, earliest first.

    Money that comes in renews in its own transaction, so nobody else needs to be looked at.
    """
    query = (
        select(service.c.id)
        .join(policy, policy.c.service_id == service.c.id)
        .join(plan, plan.c.id == service.c.plan_id)
        .where(policy.c.review_at <= now, plan.c.prepaid)
        .order_by(policy.c.review_at, service.c.id)
    )
    return list(tx.scalars(query if of is None else query.where(service.c.id == func.any(list(of)))))


def offer_of(tx: Connection, business: Business, service_id: int, now: datetime) -> Offer | None:
    """The period that a renewal at `now` would begin, and its price; None where no prepaid plan is sold then."""
    rows = tx.execute(_services().where(service.c.id == service_id)).all()
    return next(iter(_offers(tx, business, rows, now)), None)


def _services() -> Select[Any]:
    """Prepaid services with what access says of them now."""
    walled = select(policy.c.reasons).where(policy.c.service_id == service.c.id).scalar_subquery()
    return select(service, walled.label("reasons")).join(plan, plan.c.id == service.c.plan_id).where(plan.c.prepaid)


def _due(today: date, now: datetime, *, asked: bool) -> Select[Any]:
    query = _services().where(
        or_(service.c.paid_until.is_(None), service.c.paid_until <= now),
        service.c.starts_on <= today,
        or_(service.c.ends_on.is_(None), service.c.ends_on > today),
        service.c.staff_order == "none",
    )
    return query if asked else query.where(service.c.auto_renew)


def _offers(tx: Connection, business: Business, rows: Sequence[Row[Any]], now: datetime) -> list[Offer]:
    """The next period of each service, in their order; none for one to which no prepaid plan is sold by then."""
    ids = [row.id for row in rows]
    sold: dict[int, list[Row[Any]]] = {}
    plans = select(service_plan.c.service_id, service_plan.c.from_on, plan).join(
        plan, plan.c.id == service_plan.c.plan_id
    )
    for each in tx.execute(plans.where(service_plan.c.service_id == func.any(ids)).order_by(service_plan.c.from_on)):
        sold.setdefault(each.service_id, []).append(each)
    parts: dict[int, list[Recurring]] = {}
    for part in load_recurring(tx, services=ids):
        parts.setdefault(part.service_id, []).append(part)
    found: list[tuple[Row[Any], Span, datetime, int, list[Recurring]]] = []
    for row in rows:
        start = _start(row, now)
        day = local_date(start, business.zone)
        bought = next((each for each in reversed(sold[row.id]) if each.from_on <= day), None)
        if bought is None or not bought.prepaid or (row.ends_on is not None and row.ends_on <= day):
            continue
        anchor = row.prepaid_from if start == row.paid_until and bought.id == row.plan_id else start
        cycle = Cycle(bought.cycle_unit, bought.cycle_length)
        span = next_span(anchor, start, cycle, business.zone, to_midnight=bought.ends_at_midnight)
        held = [part for part in parts[row.id] if part.starts_on <= day < part.ends_on]
        found.append((row, span, anchor, bought.id, held))
    wanted = [
        (row.payer_id, row.id, [line for part in held for line in _lines(part, span, business)])
        for row, span, _, _, held in found
    ]
    drafts = draft_periods(tx, wanted, local_date(now, business.zone))
    return [
        Offer(row, span, anchor, plan_id, _products(held), draft)
        for (row, span, anchor, plan_id, held), draft in zip(found, drafts, strict=True)
    ]


def _start(row: Row[Any], now: datetime) -> datetime:
    """When the next period begins: where the last one ends, or after a wall (or at first) at the next whole minute."""
    until: datetime | None = row.paid_until
    if until is not None and (until > now or Reason.PREPAID_OVER.value not in (row.reasons or ())):
        return until
    return whole_minute(now)


def _lines(part: Recurring, span: Span, business: Business) -> list[Due]:
    """What a period costs; hours cost the same wherever they lie, name their times, and are never given back."""
    if span.days.days:
        return period_lines(part, span.days)
    day = span.days.start
    begins, ends = (each.astimezone(business.zone) for each in (span.start, span.end))
    until = f"{ends:%H:%M}" if ends.date() == day else f"{ends:%Y-%m-%d %H:%M}"
    return [
        replace(line, text=f"{line.text}, {begins:%Y-%m-%d %H:%M} – {until}", period=None, by_day=False)
        for line in period_lines(part, Period(day, day + timedelta(days=1)))
    ]


def _products(held: Sequence[Recurring]) -> tuple[int, ...]:
    return tuple(part.service_product_id for part in held if part.service_product_id is not None)


def _buy(tx: Connection, vault: Vault, business: Business, bought: Sequence[Offer], now: datetime) -> None:
    """Move the ends, and issue the invoices, which the balances settle at once."""
    ends = [(offer, *_end(offer, business)) for offer in bought]
    update_rows(
        tx,
        service,
        [
            {
                "id": offer.row.id,
                "paid_until": until,
                "prepaid_from": anchor,
                "billed_until": day,
                "plan_id": offer.plan_id,
            }
            for offer, until, anchor, day in ends
        ],
    )
    products = [{"id": each, "billed_until": day} for offer, _, _, day in ends for each in offer.product_ids]
    update_rows(tx, service_product, products)
    billed = [offer for offer in bought if offer.price or business.empty_invoices == "yes"]
    ids = issue_drafts(tx, vault, business, [offer.draft for offer in billed], now)
    invoices = {offer.row.id: invoice_id for offer, invoice_id in zip(billed, ids, strict=True)}
    for offer, until, _, _ in ends:
        detail = {"invoice_id": invoices.get(offer.row.id), "paid_until": until.isoformat()}
        trail.record(tx, "system", "service.renewed", subject="service", subject_id=offer.row.id, detail=detail)


def _end(offer: Offer, business: Business) -> tuple[datetime, datetime, date]:
    """(paid until, from where later ends are counted, first day that is not billed); cut where the service ends."""
    row, span = offer.row, offer.span
    if row.ends_on is None or _fits(span, row.ends_on, business):
        return span.end, offer.anchor, span.days.end
    until = min(span.end, local_midnight(row.ends_on, business.zone))
    # if it stays after all, it goes on from there
    return until, until, min(row.ends_on, span.days.end)


def _fits(span: Span, ends_on: date, business: Business) -> bool:
    """Whether a period is over when the service ends."""
    return span.days.end <= ends_on if span.days.days else span.end <= local_midnight(ends_on, business.zone)
