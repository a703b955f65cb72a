"""`tollkeeper cashier`: tills, counted and closed."""

from typing import TYPE_CHECKING

import click

from console.desk import ACTOR, Desk, desk_of_console

if TYPE_CHECKING:
    from billing.clearing.till import Day


@click.group()
def cashier() -> None:
    """Tills: each cashier's day, counted and closed."""


@cashier.command("list")
@click.option("--days", "back", type=int, default=31, show_default=True)
def cashier_list(back: int) -> None:
    """List each cashier's days with cash, and what of it came or left beside payments."""
    from datetime import timedelta

    from billing.clearing.till import days

    with desk_of_console() as desk:
        for each in days(desk.tx, desk.today - timedelta(days=back)):
            _show_till(desk, each)


@cashier.command("close")
@click.argument("name")
@click.argument("counted")
@click.option("--on", "day", default=None, help="The day; default: today.")
@click.option("--currency", default=None)
@click.option("--note", default="", help="Why the till differs.")
@click.option("--reopen", default="", help="Open the day again instead, for this reason.")
def cashier_close(name: str, counted: str, day: str | None, currency: str | None, note: str, reopen: str) -> None:
    """Close the day of the cashier NAME (staff:3, console) with what was COUNTED in the till."""
    from billing.clearing.till import close_day, days, reopen_day

    with desk_of_console() as desk:
        on, amount = desk.day(day), desk.money(counted, currency)
        if reopen:
            reopen_day(desk.tx, name, on, amount.currency, author=ACTOR, because=reopen)
        else:
            close_day(desk.tx, desk.business, name, on, amount, author=ACTOR, note=note)
            for each in days(desk.tx, on):
                if (each.cashier, each.day, each.taken.currency) == (name, on, amount.currency):
                    _show_till(desk, each)
    click.echo(f"{on} of {name} is {'open again' if reopen else 'closed'}.")


def _show_till(desk: Desk, day: "Day") -> None:
    """A cashier's day, with a line for each thing that is not a payment."""
    from base.money import Money

    state = "open"
    if day.closed is not None:
        counted = Money(day.closed.counted_minor, day.closed.currency)
        state = f"closed with {desk.shown(counted)}  {day.closed.note}".rstrip()
    click.echo(f"{day.day}  {day.cashier}  {day.payments} payments, {desk.shown(day.taken)}", nl=False)
    if not day.others:
        click.echo(f"  {state}")
        return
    click.echo()
    for what, amount in day.others:
        click.echo(f"    {desk.shown(amount)}  {what}")
    click.echo(f"    {desk.shown(day.expected)}  expected in the till  {state}")
