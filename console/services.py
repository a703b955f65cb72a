"""`tollkeeper service add`, `show`, `suspend`, `block` and `restore`: lines, what they have, and what staff order."""

from collections.abc import Iterator
from typing import Any

import click

from console.desk import ACTOR, Desk, desk_of_console, find_plan, find_subscriber, one


@click.command("add")
@click.argument("number")
@click.argument("login")
@click.argument("plan_name", metavar="PLAN")
@click.option("--password", default=None, help="That the router logs in with; default: one is made and shown.")
@click.option("--from", "start", default=None, help="First day; default: today.")
@click.option("--payer", default=None, help="Account number of who pays, where that is somebody else.")
@click.option("--address", default=None, help="Fixed IPv4 address.")
def service_add(
    number: str, login: str, plan_name: str, password: str | None, start: str | None, payer: str | None,
    address: str | None,
) -> None:  # fmt: skip
    """Give the subscriber with account NUMBER a LOGIN on a PLAN, by its name or id; access follows at once."""
    import secrets

    from billing.services import add_service

    secret = secrets.token_urlsafe(9) if password is None else password
    with desk_of_console() as desk:
        bought = find_plan(desk, plan_name)
        add_service(
            desk.tx, desk.vault, ACTOR, subscriber_id=find_subscriber(desk, number), plan_id=bought.id, login=login,
            password=secret, starts_on=None if start is None else desk.day(start), address=address,
            payer_id=None if payer is None else find_subscriber(desk, payer),
        )  # fmt: skip
    click.echo(f"{login} is on {bought.name} from {start or 'today'} on.")
    if password is None:
        click.echo(f"Its password is {secret}")


@click.command("show")
@click.argument("login")
def service_show(login: str) -> None:
    """Say what a service is and has: plan, access and why, how far it is billed, add-ons, sessions."""
    with desk_of_console() as desk:
        for what, value in _shown(desk, _service(desk, login)):
            click.echo(f"{what}\t{value}")


def _service(desk: Desk, login: str) -> Any:
    from sqlalchemy import select

    from base.tables import service

    return one(desk, select(service).where(service.c.login == login), f"There is no service with the login {login!r}.")


def _shown(desk: Desk, row: Any) -> Iterator[tuple[str, str]]:
    from sqlalchemy import select

    from base.access import AccessLevel, Reason
    from base.i18n import format_instant
    from base.offers import plan, service_plan, skipped_period
    from base.tables import nas, policy, session, subscriber
    from billing.moves import sites
    from billing.tables import discount, product, service_product
    from billing.why import waits_of

    tx = desk.tx
    people = {
        each.id: each
        for each in tx.execute(select(subscriber).where(subscriber.c.id.in_([row.subscriber_id, row.payer_id])))
    }
    yield "subscriber", f"{people[row.subscriber_id].number} {people[row.subscriber_id].name}"
    if row.payer_id != row.subscriber_id:
        yield "paid by", f"{people[row.payer_id].number} {people[row.payer_id].name}"
    sold = select(service_plan, plan.c.name).join(plan, plan.c.id == service_plan.c.plan_id)
    for each in tx.execute(sold.where(service_plan.c.service_id == row.id).order_by(service_plan.c.from_on)):
        own = "" if each.price_minor is None else f", at a price of its own ({each.price_reason})"
        yield "plan", f"{each.name} from {each.from_on} on, periods counted from {each.anchor_on}{own}"
    now = tx.execute(select(policy).where(policy.c.service_id == row.id)).one()
    why = " ".join(Reason(each).for_staff for each in now.reasons)
    yield "access", f"{AccessLevel(now.level).name} {why}".strip()
    for said in waits_of(tx, desk.business, row.payer_id):
        yield "waits", said
    yield "billed until", f"{row.billed_until}, next on {row.next_bill_on or 'no day'}"
    if row.paid_until is not None:
        yield "paid until", format_instant(row.paid_until, desk.business.zone, desk.business.language)
    if row.ends_on is not None:
        yield "ends", f"{row.ends_on} ({row.end_reason})"
    if row.contract_until is not None:
        yield "term", f"until {row.contract_until}"
    for each in tx.execute(select(skipped_period).where(skipped_period.c.service_id == row.id)):
        yield "skipped", f"{each.start_on} to {each.end_on or 'further notice'} ({each.reason}) {each.note}".strip()
    extras = select(service_product, product.c.name).join(product, product.c.id == service_product.c.product_id)
    for each in tx.execute(extras.where(service_product.c.service_id == row.id).order_by(service_product.c.id)):
        until = "" if each.until_on is None else f" to {each.until_on}"
        yield "add-on", f"{each.quantity} × {each.name} from {each.from_on}{until}, billed until {each.billed_until}"
    for each in tx.execute(select(discount).where(discount.c.service_id == row.id).order_by(discount.c.id)):
        until = "for good" if each.until_on is None else f"to {each.until_on}"
        yield "discount", f"{each.text} from {each.from_on} {until}"
    for each in sites(tx, row.id):
        where = ", ".join(part for part in (*each.address.splitlines(), each.nas, each.port) if part)
        yield "at", f"{where} from {each.from_on} on"
    sessions = select(session, nas.c.name).join(nas, nas.c.id == session.c.nas_id)
    for each in tx.execute(sessions.where(session.c.service_id == row.id, session.c.stopped_at.is_(None))):
        since = format_instant(each.started_at, desk.business.zone, desk.business.language)
        yield "online", f"at {each.name} {each.nas_port_id} since {since}"


def _order(name: str, order: str, words: str, said: str) -> click.Command:
    def command(login: str, reason: str) -> None:
        from billing.services import set_staff_order

        with desk_of_console() as desk:
            set_staff_order(desk.tx, desk.vault, ACTOR, _service(desk, login).id, order, reason)
        click.echo(f"{login} {said}.")

    given = {"default": ""} if order == "none" else {"required": True}
    because = click.option("--because", "reason", help="For the record.", **given)
    return click.command(name, help=words)(click.argument("login")(because(command)))


ORDERS = (
    _order(
        "suspend", "suspended", "Wall a service in: only the portal is reached, until it is restored.", "is walled in"
    ),
    _order("block", "blocked", "Reject the logins of a service, until it is restored.", "is blocked"),
    _order("restore", "none", "Take back that a service is suspended or blocked.", "has what it may have"),
)
