"""`tollkeeper preview`: what a day to come will bring, by name and in total."""

from collections import Counter

import click

from console.desk import desk_of_console
from console.progress import progress_bar

WORDS = {
    "invoice": "invoices",
    "charge": "cards tried",
    "part": "instalments due",
    "broken": "instalment plans broken",
    "cheque": "cheques that count",
    "fee": "fees",
    "mail": "mails",
    "slow": "lines slowed",
    "suspend": "lines walled in",
    "restore": "lines restored",
    "end": "lines ended",
}


@click.command()
@click.option("--on", "day", default=None, help="The day, such as 2027-01-01; default: tomorrow.")
@click.option("--totals", is_flag=True, help="Only the totals, without the names.")
def preview(day: str | None, totals: bool) -> None:
    """Say what a day will invoice, charge, mail, fee, suspend and restore if nobody pays until then.

    Nothing is changed.
    """
    from datetime import timedelta

    from base.money import Money
    from billing.refused import Refused
    from billing.tomorrow import preview_day

    with desk_of_console() as desk:
        on = desk.today + timedelta(days=1) if day is None else desk.day(day)
    try:
        with progress_bar("Looking ahead") as tell:
            found = preview_day(on, tell)
    except Refused as refused:
        raise click.ClickException(str(refused)) from None
    counted = Counter(item.kind for item in found.items)
    sums: dict[tuple[str, str], int] = Counter()
    for item in found.items:
        if item.amount is not None:
            sums[item.kind, item.amount.currency] += item.amount.minor
    with desk_of_console() as desk:
        click.echo(f"{found.day} will bring, if nobody pays before:")
        for kind, word in WORDS.items():
            worth = ", ".join(
                desk.shown(Money(minor, code)) for (of, code), minor in sorted(sums.items()) if of == kind
            )
            click.echo(f"  {counted[kind]:>8}  {word}{f', {worth}' if worth else ''}")
        for item in () if totals else found.items:
            amount = "" if item.amount is None else desk.shown(item.amount)
            click.echo(f"{item.kind:8}  {item.number}  {item.name:30}  {item.what:16}  {amount}".rstrip())
    for subscriber_id, reason in found.failures.items():
        click.echo(f"Subscriber {subscriber_id} cannot be worked on: {reason}", err=True)
