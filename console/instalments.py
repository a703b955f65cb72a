"""`tollkeeper instalment`: overdue invoices that are paid in parts."""

from typing import TYPE_CHECKING

import click

from console.desk import ACTOR, Desk, desk_of_console, find_subscriber, one

if TYPE_CHECKING:
    from billing.instalments.agreed import Plan
    from billing.instalments.rules import Part


@click.group()
def instalment() -> None:
    """Agree with a subscriber to pay overdue invoices in parts."""


@instalment.command("plan")
@click.argument("account")
@click.option("--parts", "count", type=int, default=None, help="How many equal parts.")
@click.option("--first", default=None, help="Day of the first one; default: today.")
@click.option("--every", "days", type=int, default=None, metavar="DAYS", help="Days between them; default: a month.")
@click.option("--part", "given", multiple=True, metavar="'DAY AMOUNT'", help="One part, instead: '2026-04-01 12.00'.")
@click.option("--invoice", "invoices", multiple=True, help="Number of an invoice; default: all that are overdue.")
@click.option("--try", "try_out", is_flag=True, help="Only show the parts; nothing is agreed.")
def instalment_plan(
    account: str, count: int | None, first: str | None, days: int | None, given: tuple[str, ...],
    invoices: tuple[str, ...], try_out: bool,
) -> None:  # fmt: skip
    """Have the subscriber with this ACCOUNT number pay in parts: while they do, dunning and late fees wait."""
    from sqlalchemy import select

    from base import clock
    from billing.instalments.plans import agree, overdue
    from billing.instalments.rules import spread
    from billing.tables import invoice

    if (count is None) is not bool(given):
        raise click.ClickException("Say either --parts 3, or each part: --part '2026-04-01 12.00' --part ...")
    if (count is not None and count < 1) or (days is not None and days < 1):
        raise click.ClickException("Parts, and the days between them, are 1 or more.")
    with desk_of_console() as desk:
        who, ids = find_subscriber(desk, account), []
        for each in invoices:
            theirs = select(invoice.c.id).where(invoice.c.number == each, invoice.c.subscriber_id == who)
            ids.append(one(desk, theirs, f"{account} has no invoice {each}.").id)
        amount, _ = overdue(desk.tx, who, desk.today, ids)
        if count is not None:
            parts = spread(amount, count, desk.day(first), days)
        else:
            parts = tuple(_part(desk, each, amount.currency) for each in given)
        for part in parts:
            click.echo(f"{part.due_on}  {desk.shown(part.amount)}")
        if not try_out:
            agree(desk.tx, desk.vault, desk.business, ACTOR, who, parts, clock.now(), ids)
    click.echo("Nothing is agreed yet." if try_out else f"It is agreed; {account} is told by mail.")


@instalment.command("list")
def instalment_list() -> None:
    """List the plans that are being kept."""
    from billing.instalments.plans import list_plans

    with desk_of_console() as desk:
        found = list_plans(desk.tx)
        for number, name, plan in found:
            click.echo(f"{number}  {name}  {', '.join(plan.numbers)}  {_next(desk, plan)}")
    if not found:
        click.echo("Nobody pays in parts.")


@instalment.command("show")
@click.argument("account")
def instalment_show(account: str) -> None:
    """Show the plans of a subscriber with their parts, the newest first."""
    from billing.instalments.plans import plans_of
    from billing.instalments.rules import left_of

    with desk_of_console() as desk:
        for plan in plans_of(desk.tx, find_subscriber(desk, account)):
            said = _next(desk, plan) if plan.state == "active" else plan.state
            click.echo(f"{plan.made_on}  {', '.join(plan.numbers)}  {said}")
            left = left_of(plan.parts, plan.open)
            for part, rest in zip(plan.parts, left, strict=True):
                state = "paid" if not rest else f"{desk.shown(rest)} open"
                click.echo(f"    {part.due_on}  {desk.shown(part.amount)}  {state if plan.state == 'active' else ''}")


@instalment.command("cancel")
@click.argument("account")
@click.option("--because", "reason", required=True, help="For the trail.")
def instalment_cancel(account: str, reason: str) -> None:
    """End the plan of a subscriber: what is open is dunned anew from today."""
    from base import clock
    from billing.instalments.plans import cancel

    with desk_of_console() as desk:
        cancel(desk.tx, desk.vault, desk.business, ACTOR, find_subscriber(desk, account), reason, clock.now())
    click.echo("It is ended; dunning begins anew today.")


def _next(desk: Desk, plan: "Plan") -> str:
    from billing.instalments.rules import breaks_on, left_of, next_part

    place = next_part(plan.parts, plan.open)
    if place is None:
        return "paid"
    left = desk.shown(left_of(plan.parts, plan.open)[place])
    day = breaks_on(plan.parts, plan.open, plan.grace_days)
    return f"{desk.shown(plan.open)} open, next {left} on {plan.parts[place].due_on}, breaks on {day}"


def _part(desk: Desk, text: str, currency: str) -> "Part":
    from billing.instalments.rules import Part

    words = text.split()
    if len(words) != 2:
        raise click.ClickException(f"{text!r} is no part such as '2026-04-01 12.00'.")
    return Part(desk.day(words[0]), desk.money(words[1], currency))
