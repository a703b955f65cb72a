"""`tollkeeper bill`: the run that issues what is due, what it would do, what it did, and the bills that wait."""

import csv
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from console.desk import ACTOR, Desk, desk_of_console, find_subscriber
from console.progress import progress_bar

if TYPE_CHECKING:
    from billing.anomalies import Anomaly


@click.group(invoke_without_command=True)
@click.pass_context
def bill(context: click.Context) -> None:
    """The bill run: issue what is due (as `bill run`), preview it, report on it, release bills that are held."""
    if context.invoked_subcommand is None:
        context.invoke(bill_run)


@bill.command("run")
def bill_run() -> None:
    """Issue every invoice that is due, now; harmless to repeat, and beside the worker that does the same."""
    from base import clock
    from base.database import transaction
    from billing.invoices import issue_due
    from billing.sweep import Unfinished
    from console.cli import _ready

    _ready("console")
    with transaction():
        now = clock.now()
    try:
        with progress_bar("Billing") as tell:
            issued = issue_due(now, tell)
    except Unfinished as unfinished:
        click.echo(f"{len(unfinished.done)} invoices issued.")
        raise click.ClickException(f"{unfinished}. `tollkeeper bill report` names them all.") from None
    click.echo(f"{len(issued)} invoices issued." if issued else "Nothing is due to be billed.")


@bill.command("preview")
@click.option("--on", "day", default=None, help="The run of this day, such as 2027-01-01; default: today.")
@click.option("--csv", "file", type=click.File("w", encoding="utf-8", lazy=True), help="Write a line per bill into it.")
def bill_preview(day: str | None, file: Any) -> None:
    """Say what the run of a day would issue, and what is odd about it; nothing is changed."""
    from billing.bill_preview import preview_run

    with desk_of_console() as desk:
        on = desk.day(day)
    with progress_bar("Drafting") as tell:
        found = preview_run(on, tell)
    with desk_of_console() as desk:
        click.echo(f"The run of {found.day} would issue:")
        for currency, each in sorted(found.sums.items()):
            words = [desk.shown(_money(minor, currency)) for minor in (each.net, each.tax, each.total)]
            counted = f"{each.invoices} invoices, {each.services} services"
            click.echo(f"{counted}: net {words[0]}, tax {words[1]}, total {words[2]}")
        if not found.sums:
            click.echo("nothing")
        for title, table in (("By what is sold", found.plans), ("By tax", found.taxes)):
            for (currency, name), each in sorted(table.items()):
                net, tax = desk.shown(_money(each.net, currency)), desk.shown(_money(each.tax, currency))
                click.echo(f"{title}\t{name}\t{each.invoices}\tnet {net}" + (f"\ttax {tax}" if each.tax else ""))
        held = [each for each in found.bills if each.held]
        if held:
            click.echo(f"{len(held)} bills would be held back: {', '.join(each.number for each in held)}")
        _show_anomalies(desk, found.anomalies)
        numbers = _numbers(desk, found.failures)
        for subscriber_id, sentence in found.failures.items():
            click.echo(f"cannot be billed\t{numbers[subscriber_id]}\t{sentence}")
    if file is not None:
        _write(file, found)


@bill.command("report")
@click.option("--on", "day", default=None, help="The runs of this day; default: today.")
def bill_report(day: str | None) -> None:
    """Say what became of the runs of a day, as of now: issued, mailed, bounced, paid, failed, odd."""
    from billing.bill_facts import judge_issued
    from billing.bill_runs import issued_on, report

    with desk_of_console() as desk:
        on = desk.day(day)
        found = report(desk.tx, on)
        click.echo(f"Bill runs of {on}: {_when(desk, found.run)}")
        for each in found.issued:
            sums = [desk.shown(money) for money in (each.net, each.tax, each.total)]
            click.echo(f"issued\t{each.invoices}\tnet {sums[0]}, tax {sums[1]}, total {sums[2]}")
            click.echo(f"charged\t{each.paid}\t{desk.shown(each.charged)} paid of them until now")
        for name, words in _WAYS.items():
            count = getattr(found.sent, name)
            if count or (found.issued and name in ("mailed", "bounced")):  # none of these is an answer, too
                click.echo(f"{words}\t{count}")
        if found.issued and not found.failed:
            click.echo("failed\t0")
        for word, rows in (("failed", found.failed), ("held back", found.held)):
            for number, name, sentence in rows:
                click.echo(f"{word}\t{number}\t{name}\t{sentence}")
        invoices = issued_on(desk.tx, on)
        with progress_bar("Looking for what is odd") as tell:
            odd = []
            for begin in range(0, len(invoices), 500):
                odd += judge_issued(desk.tx, desk.business, invoices[begin : begin + 500])
                tell(min(begin + 500, len(invoices)), len(invoices))
        if invoices and not odd:
            click.echo("anomalies\t0")
        _show_anomalies(desk, odd)


@bill.command("held")
def bill_held() -> None:
    """List the bills that wait until somebody releases them (business setting bill_run_hold)."""
    from base.money import Money
    from billing.bill_holds import list_held

    with desk_of_console() as desk:
        rows = list_held(desk.tx)
        for row in rows:
            total = desk.shown(Money(row.total_minor, row.currency))
            state = f"released by {row.released_by}" if row.released_by else f"held since {row.held_on}"
            click.echo(f"{row.number}\t{row.name}\t{total}\t{state}\t{' '.join(row.sentences)}")
    if not rows:
        click.echo("No bill is held back.")


@bill.command("release")
@click.argument("number")
def bill_release(number: str) -> None:
    """Let the bill of the subscriber with account NUMBER go out with the next run."""
    from base import clock
    from billing.bill_holds import release

    with desk_of_console() as desk:
        release(desk.tx, ACTOR, find_subscriber(desk, number), clock.now())
    click.echo(f"The bill of {number} goes out with the next run.")


_WAYS = {
    "mailed": "mailed",
    "by_sms": "by SMS or chat",
    "on_paper": "on paper",
    "under_way": "under way",
    "uncertain": "uncertain",
    "refused": "refused",
    "bounced": "bounced",
    "unreachable": "without any channel",
}


def _when(desk: Desk, run: Any) -> str:
    if run is None:
        return "none had anything to do."
    began = f"{run.started_at.astimezone(desk.business.zone):%H:%M:%S}"
    if run.ended_at is None:
        return f"{run.issued} invoices since {began}, under way (or stopped; the next run goes on with it)."
    ended = f"{run.ended_at.astimezone(desk.business.zone):%Y-%m-%d %H:%M:%S}"
    return f"{run.issued} invoices from {began} to {ended}."


def _show_anomalies(desk: Desk, anomalies: "list[Anomaly]") -> None:
    numbers = _numbers(desk, {each.subscriber_id for each in anomalies})
    for each in sorted(anomalies, key=lambda one: (one.severity.value != "severe", one.kind)):
        number = numbers[each.subscriber_id]
        click.echo(f"{each.severity.value}\t{each.kind}\t{number}\t{desk.shown(each.amount)}\t{each.sentence}")


def _numbers(desk: Desk, subscriber_ids: Iterable[int]) -> dict[int, str]:
    from sqlalchemy import func, select

    from base.tables import subscriber

    query = select(subscriber.c.id, subscriber.c.number).where(subscriber.c.id == func.any(list(subscriber_ids)))
    return {row.id: row.number for row in desk.tx.execute(query)}


def _money(minor: int, currency: str) -> Any:
    from base.money import Money

    return Money(minor, currency)


def _write(file: Any, found: Any) -> None:
    from base.i18n import decimal_text

    odd: dict[int, list[str]] = {}
    for each in found.anomalies:
        odd.setdefault(each.subscriber_id, []).append(each.sentence)
    rows = csv.writer(file)
    rows.writerow(["account", "name", "services", "currency", "net", "tax", "total", "held back", "odd"])
    for one in found.bills:
        sums = [decimal_text(money) for money in (one.net, one.tax, one.total)]
        sentences = " ".join(odd.get(one.subscriber_id, ()))
        rows.writerow(
            [one.number, one.name, one.services, one.total.currency, *sums, "yes" if one.held else "", sentences]
        )
    click.echo(f"{len(found.bills)} bills are in {file.name}.")
