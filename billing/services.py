"""Subscribers, plans and services: adding them, and what staff order for one of them."""

from datetime import date
from ipaddress import IPv4Address

from sqlalchemy import Connection, func, insert, select, update

from base import calendar, clock, jobs, trail
from base.business import load_business
from base.crypto import Vault, hash_password
from base.money import Money
from base.offers import plan, service_plan
from base.tables import service, subscriber
from billing import notices
from billing.anchors import anchor_for
from billing.charges import add_charge
from billing.numbers import next_number
from billing.own_words import say
from billing.prepaid.renewal import renew_and_refresh
from billing.recurring import schedule
from billing.refused import need
from billing.settle import lock_subscribers

STAFF_ORDERS = ("none", "suspended", "blocked")


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
    need(name.strip(), "A subscriber needs a name.", "name")
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
    payer_id: int | None = None,
    retired_too: bool = False,
) -> int:
    """Give a subscriber a login on a plan, from `starts_on` (default: today) on; access follows at once.

    `payer_id` is who pays for it, where that is somebody else; `retired_too` takes plans that are no longer sold.
    """
    need(login.strip() == login and login, "A login is needed, without blanks around it.", "login")
    need(len(login.encode()) <= 253, "A login has at most 253 bytes.", "login")
    need(password, "A password is needed: the router logs in with it.", "password")
    need(len(password.encode()) <= 128, "A password has at most 128 bytes.", "password")
    need(tx.scalar(select(service.c.id).where(service.c.login == login)) is None, f"{login!r} is taken.", "login")
    payer_id = subscriber_id if payer_id is None else payer_id
    payer = tx.execute(select(subscriber).where(subscriber.c.id == payer_id)).one_or_none()
    bought = tx.execute(select(plan).where(plan.c.id == plan_id)).one_or_none()
    need(payer is not None, "There is no such subscriber.", "subscriber_id")
    need(bought is not None, "There is no such plan.", "plan_id")
    assert payer is not None
    assert bought is not None
    need(
        payer.currency == bought.currency,
        f"The plan is priced in {bought.currency}, the subscriber pays in {payer.currency}.",
        "plan_id",
    )
    if address is not None:
        need(_is_ipv4(address), f"{address!r} is not an IPv4 address.", "address")
    now = clock.now()
    business = load_business(tx, vault)
    today = calendar.local_date(now, business.zone)
    sold = retired_too or bought.retired_on is None or today < bought.retired_on
    need(sold, f"{bought.name} is no longer sold.", "plan_id")
    first_day = starts_on or today
    service_id = tx.execute(
        insert(service)
        .values(
            subscriber_id=subscriber_id,
            payer_id=payer_id,
            plan_id=plan_id,
            login=login,
            password=vault.lock(password),
            address=address,
            starts_on=first_day,
            billed_until=first_day,
            contract_until=calendar.add_months(first_day, bought.minimum_months) if bought.minimum_months else None,
            created_at=now,
        )
        .returning(service.c.id)
    ).scalar_one()
    anchor = anchor_for(payer.billing_day, first_day)
    tx.execute(insert(service_plan).values(service_id=service_id, from_on=first_day, plan_id=plan_id, anchor_on=anchor))
    if bought.setup_fee_minor:
        add_charge(
            tx,
            subscriber_id=payer_id,
            service_id=service_id,
            kind="setup",
            text=say(f"Set-up of {bought.name} ({login})", payer.language or business.language),
            amount=Money(bought.setup_fee_minor, bought.currency),
            inclusive=bought.price_inclusive,
            tax_class_id=bought.tax_class_id,
            on_day=first_day,
            author=actor,
        )
    schedule(tx, [service_id])
    trail.record(tx, actor, "service.added", subject="service", subject_id=service_id, detail={"login": login})
    renew_and_refresh(tx, vault, [service_id], now, because=f"service:{service_id}")
    notices.welcome(tx, load_business(tx, vault), int(service_id), now)
    # its first invoice need not wait for the next minute
    jobs.enqueue(tx, jobs.Kind.TICK, {}, key=f"tick:service:{service_id}")
    return int(service_id)


def set_staff_order(tx: Connection, vault: Vault, actor: str, service_id: int, order: str, note: str) -> None:
    """Suspend (walled), block (rejected) or restore ('none') one service; access follows in this transaction."""
    need(order in STAFF_ORDERS, f"An order is one of {', '.join(STAFF_ORDERS)}.", "order")
    payers = select(service.c.payer_id).where(service.c.id == service_id)
    lock_subscribers(tx, list(tx.scalars(payers)))  # before the service, as bills and payments do
    found = tx.execute(
        update(service).where(service.c.id == service_id).values(staff_order=order, staff_order_note=note)
    ).rowcount
    need(found, "There is no such service.", "service_id")
    trail.record(
        tx, actor, f"service.{'restored' if order == 'none' else order}",
        subject="service", subject_id=service_id, detail={"note": note},
    )  # fmt: skip
    renew_and_refresh(tx, vault, [service_id], clock.now(), because=actor)


def services_of(tx: Connection, subscriber_id: int) -> list[int]:
    """All services that a subscriber pays for: what a payment or an invoice touches."""
    return list(tx.scalars(select(service.c.id).where(service.c.payer_id == subscriber_id).order_by(service.c.id)))


def count_subscribers(tx: Connection) -> int:
    """How many subscribers there are."""
    return tx.scalar(select(func.count()).select_from(subscriber)) or 0


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True
