"""`tollkeeper outage`: give back money for days on which services were down."""

from typing import IO

import click

from console.desk import ACTOR, desk_of_console
from console.progress import progress_bar


@click.command()
@click.option("--days", type=int, required=True, help="How many days it lasted.")
@click.option("--from", "start", required=True, help="Its first day, such as 2027-01-05.")
@click.option("--nas", default=None, help="Services with a session on the NAS of this name then.")
@click.option("--plan", default=None, help="Services that had the plan of this name then.")
@click.option("--logins", type=click.File(encoding="utf-8"), help="Services whose logins the file names, one a line.")
@click.option("--text", default=None, help="What the subscriber reads; default: 'Outage from ... to ...'.")
@click.option("--commit", is_flag=True, help="Do it; without it, it is only said what would be done.")
def outage(
    days: int, start: str, nas: str | None, plan: str | None, logins: IO[str] | None, text: str | None, commit: bool
) -> None:
    """Give back what the days of an outage cost, once per service: by credit note, or off the bill that is to come."""
    from base.money import Money
    from billing.outages import commit_outage, on_list, on_nas, on_plan, outage_days, preview_outage
    from billing.refused import Refused
    from billing.sweep import Unfinished

    if sum(one is not None for one in (nas, plan, logins)) != 1:
        raise click.UsageError("Name exactly one of --nas, --plan and --logins.")
    with desk_of_console() as desk:
        period = outage_days(desk.day(start), days)
        if nas is not None:
            scope = on_nas(desk.tx, nas, period)
        elif plan is not None:
            scope = on_plan(desk.tx, plan, period)
        else:
            assert logins is not None
            scope = on_list(desk.tx, logins.read().splitlines())
        if not commit:
            sums: dict[str, list[int]] = {}
            with progress_bar("Looking") as tell:
                found = preview_outage(desk.tx, scope, period, tell)
            for each in found:
                both = sums.setdefault(each.credited.currency, [0, 0])
                both[0] += each.credited.minor
                both[1] += each.next_bill.minor
                next_bill = desk.shown(each.next_bill)
                click.echo(f"{each.login}\tcredit {desk.shown(each.credited)}\toff the next bill {next_bill}")
            for currency, (credited, off) in sums.items():
                words = desk.shown(Money(credited, currency)), desk.shown(Money(off, currency))
                click.echo(f"In all: credit {words[0]} (tax included), off the next bills {words[1]} (as priced)")
            click.echo(f"{len(found)} of {len(scope.service_ids)} services; nothing is written without --commit.")
            return
    said = text or f"Outage from {period.start} to {period.last_day}"
    try:
        with progress_bar("Giving back") as tell:
            given = commit_outage(scope, period, said, ACTOR, tell)
    except Refused as refused:
        raise click.ClickException(str(refused)) from None
    except Unfinished as unfinished:
        click.echo(f"{len(unfinished.done)} services were given money back.")
        raise click.ClickException(f"{unfinished}. Repeat the command to go on.") from None
    rest = len(scope.service_ids) - len(given)
    others = f"; {rest} had it already, or paid nothing for these days" if rest else ""
    click.echo(f"{len(given)} services were given money back{others}.")
