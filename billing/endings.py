"""How a service ends: planned, taken back, or handed over to somebody else; with a final bill that is right."""

from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, func, insert, select, update

from base.business import Business, load_business
from base.calendar import Period, local_midnight
from base.crypto import Vault
from base.money import Money
from base.tables import service
from billing.apply import refresh_access
from billing.charges import add_charge, drop_charge
from billing.credit_notes import credit_invoice, credited_of, kept_until
from billing.deed import Deed, begin, bill_products_from, plan_of
from billing.draft import FAR
from billing.own_words import say
from billing.paper import language_of
from billing.recurring import schedule
from billing.refused import need
from billing.services import add_service
from billing.settle import lock_subscribers
from billing.tables import charge, credit_note_line, invoice, invoice_line, service_product


def cancel(
    tx: Connection, vault: Vault, actor: str, service_id: int, ends_on: date, reason: str, *, waive: bool = False
) -> None:
    """End a service: `ends_on` is the first day without it. The final bill follows.

    Given back are days that were billed and, on the day it ends, deposits; charged is leaving before the minimum term
    is over, unless `waive`. `reason` is kept for the churn report: moved, price, non-payment and the like.
    """
    deed = begin(tx, vault, actor, service_id)
    need(reason.strip(), "Why does it end? A word for the reports.", "reason")
    need(ends_on >= deed.today, "A service ends today or later.", "ends_on")
    said = "Its end is set already; take that back first (`service keep`)."
    need(deed.row.ends_on is None, said, "service_id")
    deed.set(ends_on=ends_on, end_reason=reason)
    deed.give_back(Period(ends_on, FAR), "End of the service")
    if ends_on <= deed.today:
        _give_back_deposits(tx, vault, deed.business, actor, service_id, deed.now)
    _bill_what_waits(deed)
    bought = plan_of(tx, deed.row.plan_id)
    early = deed.row.contract_until is not None and ends_on < deed.row.contract_until
    if early and not waive and bought.early_end_fee_minor:
        add_charge(
            tx,
            subscriber_id=deed.row.payer_id,
            service_id=service_id,
            kind="early_end",
            text=say(
                f"End before the minimum term ({deed.row.login})", language_of(tx, deed.business, deed.row.payer_id)
            ),
            amount=Money(bought.early_end_fee_minor, bought.currency),
            inclusive=bought.price_inclusive,
            tax_class_id=bought.tax_class_id,
            on_day=deed.today,
            bill_on=deed.today,
            author=actor,
        )
    deed.end("service.cancelled", {"ends_on": ends_on.isoformat(), "reason": reason})


def keep(tx: Connection, vault: Vault, actor: str, service_id: int) -> None:
    """Take back a planned end: the days after it are billed again, and leaving early is not charged."""
    deed = begin(tx, vault, actor, service_id)
    ends_on = deed.row.ends_on
    need(ends_on is not None and deed.today < ends_on, "No end is planned for this service.", "service_id")
    values: dict[str, Any] = {"ends_on": None, "end_reason": ""}
    if ends_on < deed.row.billed_until:
        values["billed_until"] = ends_on
        if deed.row.paid_until is not None and kept_until(tx, service_id, ends_on) == ends_on:  # else nothing was given
            until = min(deed.row.paid_until, local_midnight(ends_on, deed.business.zone))
            values |= {"paid_until": until, "prepaid_from": until}
        bill_products_from(tx, service_id, ends_on)
    deed.set(**values)
    early = select(charge).where(
        charge.c.service_id == service_id, charge.c.kind == "early_end", charge.c.dropped_at.is_(None)
    )
    for row in tx.execute(early.order_by(charge.c.id)).all():
        if row.invoice_id is None:
            drop_charge(tx, actor, row.id)
        else:
            line_id = tx.scalar(select(invoice_line.c.id).where(invoice_line.c.charge_id == row.id))
            if line_id is not None and not credited_of(tx, line_id):
                amounts = {line_id: Money(row.amount_minor, plan_of(tx, deed.row.plan_id).currency)}
                credit_invoice(
                    tx, vault, deed.business, actor, row.invoice_id, "The service goes on", deed.now, amounts
                )
    deed.end("service.kept", {"not_on": ends_on.isoformat()})


def due_deposits(tx: Connection, today: date) -> list[int]:
    """Services that have ended lately and whose deposits are still kept."""
    lately = today - timedelta(days=366)
    ended = select(service.c.id).where(service.c.ends_on <= today, service.c.ends_on > lately)
    kept = select(invoice_line.c.service_id).where(
        invoice_line.c.service_id == service.c.id, invoice_line.c.kind == "deposit", _left() > 0
    )
    return list(tx.scalars(ended.where(kept.exists()).order_by(service.c.id)))


def return_deposits(tx: Connection, vault: Vault, service_ids: list[int], now: datetime) -> list[int]:
    """Give back the deposits of services that have ended: what is owed is set off, the rest is credit."""
    payers = select(service.c.payer_id).where(service.c.id == func.any(service_ids)).distinct()
    lock_subscribers(tx, list(tx.scalars(payers)))
    business = load_business(tx, vault)
    for service_id in service_ids:
        _give_back_deposits(tx, vault, business, "system", service_id, now)
    return service_ids


def _give_back_deposits(
    tx: Connection, vault: Vault, business: Business, actor: str, service_id: int, now: datetime
) -> None:
    for line in _deposits(tx, service_id):
        amounts = {line.id: Money(line.left_minor, line.currency)}
        credit_invoice(tx, vault, business, actor, line.invoice_id, "Deposit returned", now, amounts)


def hand_over(tx: Connection, vault: Vault, actor: str, service_id: int, subscriber_id: int) -> int:
    """Give a line to another person today: this service ends with its final bill, the next one begins with its login.

    Returns the new service's id.
    """
    deed = begin(tx, vault, actor, service_id)
    cancel(tx, vault, actor, service_id, max(deed.today, deed.row.starts_on), "handed over", waive=True)
    deed.set(login=f"{deed.row.login} (until {deed.today.isoformat()}, {service_id})")
    refresh_access(tx, vault, [service_id], deed.now, because=actor)  # it lets go of the login
    begins = max(deed.today, deed.row.starts_on)
    new_id = add_service(
        tx,
        vault,
        actor,
        subscriber_id=subscriber_id,
        plan_id=deed.row.plan_id,
        login=deed.row.login,
        password=vault.unlock_text(deed.row.password),
        starts_on=begins,
        address=None if deed.row.address is None else str(deed.row.address),
        retired_too=True,
    )
    products = select(service_product).where(
        service_product.c.service_id == service_id,
        service_product.c.until_on.is_(None) | (service_product.c.until_on > begins),
    )
    for row in tx.execute(products).all():
        kept = {name: getattr(row, name) for name in ("product_id", "quantity", "price_minor", "until_on")}
        tx.execute(insert(service_product).values(service_id=new_id, from_on=begins, billed_until=begins, **kept))
    schedule(tx, [new_id])
    return new_id


def _bill_what_waits(deed: Deed) -> None:
    """No later invoice of an ending service takes its charges along; a deposit that was not billed is not needed."""
    waiting = select(charge).where(
        charge.c.service_id == deed.row.id, charge.c.invoice_id.is_(None), charge.c.dropped_at.is_(None)
    )
    for row in deed.tx.execute(waiting).all():
        if row.kind == "deposit":
            drop_charge(deed.tx, deed.actor, row.id)
        elif row.bill_on is None:
            due = max(row.on_day, deed.today)
            deed.tx.execute(update(charge).where(charge.c.id == row.id).values(bill_on=due))


def _left() -> ColumnElement[int]:
    """What of an invoice_line was not given back yet."""
    given = select(func.sum(credit_note_line.c.amount_minor)).where(
        credit_note_line.c.invoice_line_id == invoice_line.c.id
    )
    return (invoice_line.c.amount_minor - func.coalesce(given.scalar_subquery(), 0)).cast(BigInteger)


def _deposits(tx: Connection, service_id: int) -> list[Row[Any]]:
    """Deposits of a service that were billed, with what was not given back yet (left_minor)."""
    query = (
        select(invoice_line, _left().label("left_minor"), invoice.c.currency)
        .join(invoice, invoice.c.id == invoice_line.c.invoice_id)
        .where(invoice_line.c.service_id == service_id, invoice_line.c.kind == "deposit", _left() > 0)
        .order_by(invoice_line.c.id)
    )
    return list(tx.execute(query))
