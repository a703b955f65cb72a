"""`tollkeeper import`: take over what an old system has, and money that a bank's statement names."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from console.desk import ACTOR, Desk, desk_of_console
from console.progress import progress_bar

if TYPE_CHECKING:
    from billing.importers.run import Report


@click.group("import")
def imports() -> None:
    """Check a CSV file and, with --commit, take it over: all of it, or nothing."""


@imports.command("example")
@click.argument("kind")
def example(kind: str) -> None:
    """Print an example file of one KIND: subscribers, services, products, balances or payments."""
    from billing.importers.examples import EXAMPLES

    if kind not in EXAMPLES:
        raise click.ClickException(f"There is no example {kind!r}; there are {', '.join(EXAMPLES)}.")
    click.echo(EXAMPLES[kind], nl=False)


def _add(kind: str, words: str, *more: Any) -> None:
    """One command for one kind of file."""

    def command(file: Path, commit: bool, maps: tuple[str, ...], quiet_days: int | None = None, **reading: Any) -> None:
        _run(kind, file, commit, maps, quiet_days, reading)

    options = (
        click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path)),
        click.option("--commit", is_flag=True, help="Do it; without it, it is only said what would be done."),
        click.option("--map", "maps", multiple=True, metavar="THEIRS=OURS", help="A column's name; THEIRS=: left out."),
        click.option("--delimiter", default=None, help="What divides the cells; default: found out. TAB for tabs."),
        click.option("--encoding", default=None, help="Such as utf-8 or latin-1; default: found out."),
        click.option("--decimal", default=None, help="Point or comma; default: a comma where semicolons divide."),
        *more,
    )
    for option in reversed(options):
        command = option(command)
    imports.command(kind, help=words)(command)


_add("subscribers", "Subscribers; their numbers are kept. Nobody is written to.")
_add("services", "Services with login and plan, billed from the day on that the old system has not billed.")
_add("products", "Add-ons and rented equipment of services, billed from where the old system stopped.")
_add(
    "balances",
    "What subscribers owed on the day of the move (above zero), or had as credit (below).",
    click.option("--quiet-days", type=int, default=None, help="So long nobody is dunned for what was overdue (14)."),
)
_add("payments", "Money that came in, by a bank's statement; the same movement is taken once.")


def _run(
    kind: str, file: Path, commit: bool, maps: tuple[str, ...], quiet_days: int | None, reading: dict[str, Any]
) -> None:
    from base import clock
    from billing.importers.reader import Reading
    from billing.importers.run import QUIET_DAYS, import_file

    names = {}
    for each in maps:
        theirs, sign, ours = each.rpartition("=")
        if not sign or not theirs.strip():
            raise click.ClickException(f"{each!r} is not THEIRS=OURS, such as Kundennummer=number.")
        names[theirs.strip()] = ours.strip()
    if reading["delimiter"] in ("TAB", "tab", "\\t"):
        reading["delimiter"] = "\t"
    with desk_of_console() as desk:
        with progress_bar("Importing" if commit else "Checking") as tell:
            report = import_file(
                desk.tx, desk.vault, desk.business, ACTOR, kind, file.read_bytes(), clock.now(),
                reading=Reading(names=names, **reading), commit=commit,
                quiet_days=QUIET_DAYS if quiet_days is None else quiet_days, tell=tell,
            )  # fmt: skip
        lines = _lines(desk, report)
    for line in lines:
        click.echo(line)
    if report.fault_count:
        noun = "fault" if report.fault_count == 1 else "faults"
        raise click.ClickException(f"{report.fault_count:,} {noun} in {file.name}; nothing is imported.")
    if report.committed:
        click.echo(f"{report.new:,} {kind} are imported.")
    elif not report.new:
        click.echo("There is nothing to import.")
    else:
        click.echo("Nothing is written without --commit.")


def _lines(desk: Desk, report: "Report") -> list[str]:
    """What the file holds, or every fault of it."""
    found = []
    if report.encoding:
        divider = "tabs" if report.delimiter == "\t" else report.delimiter
        read = f"Read as {report.encoding}, cells divided by {divider}, decimal sign {report.decimal}"
        found.append(f"{read}: {report.rows:,} rows.")
    for fault in report.faults:
        where = f"line {fault.line}" if fault.line else "the file"
        column = f", {fault.column}" if fault.column else ""
        found.append(f"{where}{column}: {fault.sentence}")
    if report.fault_count > len(report.faults):
        found.append(f"... and {report.fault_count - len(report.faults):,} more.")
    if report.fault_count:
        return found
    found.append(f"new\t{report.new:,}")
    if report.known:
        found.append(f"here already\t{report.known:,}")
    if report.left_out:
        found.append(f"left out, because they say nothing\t{report.left_out:,}")
    found += [f"{what}\t{desk.shown(amount)}" for what, amount in report.sums]
    found += report.notes
    if report.first:
        found.append("The first of them:" if report.new > len(report.first) else "They are:")
        found += [f"  {each}" for each in report.first]
    return found
