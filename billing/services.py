"""Subscribers, plans and services: adding them, and what staff order for one of them."""

from datetime import date
from ipaddress import IPv4Address

from sqlalchemy import Connection, func, insert, select, update

from base import calendar, clock, jobs, trail
from base.business import load_business, percent
from base.crypto import Vault, hash_password
from base.money import Money
from base.tables import plan, service, subscriber
from billing.apply import refresh_access
from billing.numbers import next_number

STAFF_ORDERS = ("none", "suspended", "blocked")


class Refused(ValueError):
    """What was asked cannot be done; the message is a sentence for people, `field` the input it is about."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


def add_subscriber(
    tx: Connection,
    vault: Vault,
    actor: str,
    *,
    name: str,
    email: str = "",
    phone: str = "",
    address: str = "",
    note: str = "",
    currency: str | None = None,
    portal_password: str | None = None,
) -> int:
    """Add somebody who pays; the account number is the next of its series. Returns the subscriber's id."""
    _need(name.strip(), "A subscriber needs a name.", "name")
    subscriber_id = tx.scalar(
        insert(subscriber)
        .values(
            number=f"{next_number(tx, 'subscriber'):05d}",
            name=name,
            email=email,
            phone=phone,
            address=address,
            note=note,
            currency=currency or load_business(tx, vault).currency,
            portal_password=None if portal_password is None else hash_password(portal_password),
            created_at=clock.now(),
        )
        .returning(subscriber.c.id)
    )
    assert subscriber_id is not None
    trail.record(tx, actor, "subscriber.added", subject="subscriber", subject_id=subscriber_id, detail={"name": name})
    return int(subscriber_id)


def add_plan(
    tx: Connection,
    actor: str,
    *,
    name: str,
    price: Money,
    cycle_months: int = 1,
    tax_percent: str = "0",
    rate_down: int,
    rate_up: int,
    pool: str | None = None,
) -> int:
    """Add something that can be bought: net `price` per cycle, rates in bit/s (0 = not limited)."""
    _need(name.strip(), "A plan needs a name.", "name")
    _need(price.minor >= 0, "A price is not negative.", "price")
    _need(1 <= cycle_months <= 120, "A cycle is 1 to 120 months.", "cycle_months")
    _need(rate_down >= 0 and rate_up >= 0, "A rate is not negative.", "rate_down")
    percent(tax_percent)
    taken = tx.scalar(select(plan.c.id).where(plan.c.name == name))
    _need(taken is None, f"There is a plan called {name!r} already.", "name")
    plan_id = tx.scalar(
        insert(plan)
        .values(
            name=name,
            price_minor=price.minor,
            currency=price.currency,
            cycle_months=cycle_months,
            tax_percent=tax_percent,
            rate_down=rate_down,
            rate_up=rate_up,
            pool=pool,
            created_at=clock.now(),
        )
        .returning(plan.c.id)
    )
    assert plan_id is not None
    trail.record(tx, actor, "plan.added", subject="plan", subject_id=plan_id, detail={"name": name})
    return int(plan_id)


def add_service(
    tx: Connection,
    vault: Vault,
    actor: str,
    *,
    subscriber_id: int,
    plan_id: int,
    login: str,
    password: str,
    starts_on: date | None = None,
    address: str | None = None,
) -> int:
    """Give a subscriber a login on a plan, from `starts_on` (default: today) on; access follows at once."""
    _need(login.strip() == login and login, "A login is needed, without blanks around it.", "login")
    _need(len(login.encode()) <= 253, "A login has at most 253 bytes.", "login")
    _need(password, "A password is needed: the router logs in with it.", "password")
    _need(len(password.encode()) <= 128, "A password has at most 128 bytes.", "password")
    _need(tx.scalar(select(service.c.id).where(service.c.login == login)) is None, f"{login!r} is taken.", "login")
    payer = tx.execute(select(subscriber.c.currency).where(subscriber.c.id == subscriber_id)).one_or_none()
    bought = tx.execute(select(plan.c.currency).where(plan.c.id == plan_id)).one_or_none()
    _need(payer is not None, "There is no such subscriber.", "subscriber_id")
    _need(bought is not None, "There is no such plan.", "plan_id")
    assert payer is not None
    assert bought is not None
    _need(
        payer.currency == bought.currency,
        f"The plan is priced in {bought.currency}, the subscriber pays in {payer.currency}.",
        "plan_id",
    )
    if address is not None:
        _need(_is_ipv4(address), f"{address!r} is not an IPv4 address.", "address")
    now = clock.now()
    service_id = tx.scalar(
        insert(service)
        .values(
            subscriber_id=subscriber_id,
            plan_id=plan_id,
            login=login,
            password=vault.lock(password),
            address=address,
            starts_on=starts_on or calendar.local_date(now, load_business(tx, vault).zone),
            created_at=now,
        )
        .returning(service.c.id)
    )
    assert service_id is not None
    trail.record(tx, actor, "service.added", subject="service", subject_id=service_id, detail={"login": login})
    refresh_access(tx, vault, [service_id], now, because=f"service:{service_id}")
    # its first invoice need not wait for the next minute
    jobs.enqueue(tx, jobs.Kind.TICK, {}, key=f"tick:service:{service_id}")
    return int(service_id)


def set_staff_order(tx: Connection, vault: Vault, actor: str, service_id: int, order: str, note: str) -> None:
    """Suspend (walled), block (rejected) or restore ('none') one service; access follows in this transaction."""
    _need(order in STAFF_ORDERS, f"An order is one of {', '.join(STAFF_ORDERS)}.", "order")
    found = tx.execute(
        update(service).where(service.c.id == service_id).values(staff_order=order, staff_order_note=note)
    ).rowcount
    _need(found, "There is no such service.", "service_id")
    trail.record(
        tx, actor, f"service.{'restored' if order == 'none' else order}",
        subject="service", subject_id=service_id, detail={"note": note},
    )  # fmt: skip
    refresh_access(tx, vault, [service_id], clock.now(), because=actor)


def change_plan(tx: Connection, vault: Vault, actor: str, service_id: int, plan_id: int) -> None:
    """Put a service on another plan of the same cycle: speeds follow at once, the price with the next invoice."""
    found = tx.execute(
        select(service.c.plan_id, service.c.subscriber_id).where(service.c.id == service_id)
    ).one_or_none()
    _need(found is not None, "There is no such service.", "service_id")
    assert found is not None
    query = select(plan.c.id, plan.c.name, plan.c.currency, plan.c.cycle_months).where(
        plan.c.id.in_([found.plan_id, plan_id])
    )
    plans = {row.id: row for row in tx.execute(query)}
    _need(plan_id in plans, "There is no such plan.", "plan_id")
    old, new = plans[found.plan_id], plans[plan_id]
    _need(new.currency == old.currency, f"The plan is priced in {new.currency}, not in {old.currency}.", "plan_id")
    _need(new.cycle_months == old.cycle_months, "The plan has another billing cycle.", "plan_id")
    tx.execute(update(service).where(service.c.id == service_id).values(plan_id=plan_id))
    detail = {"from": old.name, "to": new.name}
    trail.record(tx, actor, "service.plan_changed", subject="service", subject_id=service_id, detail=detail)
    refresh_access(tx, vault, [service_id], clock.now(), because=actor)


def services_of(tx: Connection, subscriber_id: int) -> list[int]:
    """All services that a subscriber pays for: what a payment or an invoice touches."""
    return list(tx.scalars(select(service.c.id).where(service.c.subscriber_id == subscriber_id).order_by(service.c.id)))


def count_subscribers(tx: Connection) -> int:
    """How many subscribers there are."""
    return tx.scalar(select(func.count()).select_from(subscriber)) or 0


def _need(condition: object, message: str, field: str) -> None:
    if not condition:
        raise Refused(message, field)


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True
