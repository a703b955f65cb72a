"""`tollkeeper report`: how the business does, as tables and as CSV."""

import sys
from typing import TYPE_CHECKING, Any

import click

from console.desk import Desk, desk_of_console

if TYPE_CHECKING:  # every command imports this module
    from datetime import date

    from base.calendar import Period
    from billing.reports.shape import Window


@click.command()
@click.argument("name", default="")
@click.option("--month", default=None, help="Month such as 2026-11 (the one of --on, or this one).")
@click.option("--from", "from_", default=None, help="First day, instead of --month.")
@click.option("--to", default=None, help="Last day, with --from.")
@click.option("--on", default=None, help="As of the end of this day; nothing dated later counts (today).")
@click.option("--months", type=click.IntRange(1, 120), default=12, show_default=True, help="Months of the trend.")
@click.option("--currency", default=None, help="The provider's, or another one that subscribers pay in.")
@click.option("--csv", "csv_file", default=None, help="Write CSV to this file, or - for standard output.")
def report(name: str, csv_file: str | None, **asked: Any) -> None:
    """How the business does: without NAME, the list of reports."""
    from billing.reports.catalogue import REPORTS
    from console.report_csv import write_csv
    from console.report_text import show

    if not name:
        for known, described in REPORTS.items():
            click.echo(f"{known:<17}{described.sentence}")
        return
    if name not in REPORTS:
        raise click.ClickException(f"There is no report {name!r}; it is one of {', '.join(REPORTS)}.")
    with desk_of_console() as desk:
        made = REPORTS[name].make(desk.tx, desk.business, _window(desk, **asked))
        language, others = desk.business.language, _other_currencies(desk, made.window.currency)
    if csv_file is None:
        click.echo(show(made, language))
        if others:
            click.echo(f"Subscribers who pay in {', '.join(others)} are not in it: --currency {others[0]}.")
    elif csv_file == "-":
        write_csv(made, sys.stdout)
    else:
        try:
            with open(csv_file, "w", encoding="utf-8", newline="") as file:
                write_csv(made, file)
        except OSError as error:
            raise click.ClickException(f"{csv_file}: {error.strerror}.") from None
        click.echo(f"{csv_file} is written.")


def _window(
    desk: Desk, *, month: str | None, from_: str | None, to: str | None, on: str | None, months: int,
    currency: str | None,
) -> "Window":  # fmt: skip
    from billing.reports.shape import Window

    if (from_ is None) != (to is None) or (month is not None and from_ is not None):
        raise click.ClickException("A period is --month, or --from and --to together.")
    day = desk.day(on)
    if day > desk.today:
        raise click.ClickException(f"{day} is still to come; `tollkeeper preview` looks ahead.")
    period = _month(month, day) if from_ is None else _between(desk.day(from_), desk.day(to))
    if period.start > day:
        raise click.ClickException(f"The period begins on {period.start}, after {day}.")
    return Window(period, day, currency or desk.business.currency, months)


def _month(text: str | None, day: "date") -> "Period":
    from datetime import date

    from billing.reports.shape import month_of

    if text is None:
        return month_of(day)
    try:
        return month_of(date.fromisoformat(f"{text}-01"))
    except ValueError:
        raise click.ClickException(f"{text!r} is not a month such as 2026-11.") from None


def _between(first: "date", last: "date") -> "Period":
    from datetime import timedelta

    from base.calendar import Period

    if last < first:
        raise click.ClickException(f"The period ends on {last}, before it begins.")
    return Period(first, last + timedelta(days=1))


def _other_currencies(desk: Desk, currency: str) -> list[str]:
    from sqlalchemy import select

    from base.tables import subscriber

    return sorted(set(desk.tx.scalars(select(subscriber.c.currency).distinct())) - {currency})
