"""`tollkeeper subscriber`: who pays."""

from typing import TYPE_CHECKING

import click

from console.desk import ACTOR, Desk, desk_of_console, find_subscriber, whole

if TYPE_CHECKING:
    from base.money import Money


@click.group()
def subscriber() -> None:
    """Who pays; subscribers are named by their account number."""


@subscriber.command("add")
@click.argument("name")
@click.option("--email", default="")
@click.option("--phone", default="")
@click.option("--address", default="", help="Postal; \\n begins a new line.")
@click.option("--currency", default=None, help="Default: yours.")
@click.option("--billing-day", type=int, default=None, help="1 to 31; default: each service its own day.")
@click.option("--note", default="", help="For staff only.")
def subscriber_add(
    name: str, email: str, phone: str, address: str, currency: str | None, billing_day: int | None, note: str
) -> None:
    """Add somebody who pays; says the account number."""
    from sqlalchemy import select

    from base.tables import subscriber as table
    from billing.billing_days import set_billing_day
    from billing.services import add_subscriber

    with desk_of_console() as desk:
        subscriber_id = add_subscriber(
            desk.tx, desk.vault, ACTOR, name=name, email=email, phone=phone, address=address.replace("\\n", "\n"),
            note=note, currency=currency and currency.upper(),
        )  # fmt: skip
        if billing_day is not None:
            set_billing_day(desk.tx, desk.vault, ACTOR, subscriber_id, billing_day)
        number = desk.tx.scalar(select(table.c.number).where(table.c.id == subscriber_id))
    click.echo(f"{name} has the account number {number}.")


@subscriber.command("list")
@click.argument("words", default="")
def subscriber_list(words: str) -> None:
    """List subscribers, or those whose number, name or mail has WORDS in it: what they owe, how many services."""
    from sqlalchemy import func, or_, select

    from base.tables import service
    from base.tables import subscriber as table
    from billing.ledger import receivables

    with desk_of_console() as desk:
        lines = select(func.count()).where(service.c.payer_id == table.c.id).scalar_subquery().label("services")
        found = (column.icontains(words, autoescape=True) for column in (table.c.number, table.c.name, table.c.email))
        rows = desk.tx.execute(select(table, lines).where(or_(*found)).order_by(table.c.number).limit(1000)).all()
        owed = receivables(desk.tx, [row.id for row in rows])
        for row in rows:
            day = "" if row.billing_day is None else f"billing day {row.billing_day}, "
            balance = balance_words(desk, owed[row.id])
            click.echo(f"{row.number}\t{row.name}\t{row.email}\t{day}{row.services} services, {balance}")


@subscriber.command("billing-day")
@click.argument("number")
@click.argument("day")
def subscriber_billing_day(number: str, day: str) -> None:
    """Bill all that a subscriber pays for on DAY of the month (1 to 31), or each service on its `own` day."""
    from billing.billing_days import set_billing_day

    with desk_of_console() as desk:
        on = None if day == "own" else whole(day)
        found = set_billing_day(desk.tx, desk.vault, ACTOR, find_subscriber(desk, number), on)
    for login, begins in found.items():
        if begins is None:
            click.echo(f"{login}: stays as it is.")
        else:
            click.echo(f"{login}: from {begins[0]} on; what lies between that and its first such day is a part.")
    click.echo(f"{number} is billed on {'the days on which services began' if on is None else f'day {on}'}.")


def balance_words(desk: Desk, owed: "Money") -> str:
    """What somebody owes, or has as credit."""
    return f"has {desk.shown(-owed)} of credit" if owed.minor < 0 else f"owes {desk.shown(owed)}"
