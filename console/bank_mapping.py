"""`tollkeeper bank mapping`: say once which columns of a bank's CSV are what; tried on a file before it is kept."""

from pathlib import Path

import click

from console.bank import unreadable_file
from console.desk import ACTOR, desk_of_console

SHOWN = 5


@click.group()
def mapping() -> None:
    """How a bank's CSV is read; kept under a name."""


@mapping.command("list")
def mapping_list() -> None:
    """The mappings that are kept."""
    from billing.bank.mappings import list_mappings

    with desk_of_console() as desk:
        known = list_mappings(desk.tx)
    for name, each in known.items():
        columns = ", ".join(f"{ours.rstrip('0123456789')}={theirs}" for theirs, ours in each.columns)
        click.echo(f"{name}\t{columns}\tdates {each.date_format}")
    if not known:
        click.echo("There is no mapping yet; `tollkeeper bank mapping save --help` says how to make one.")


@mapping.command("save")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--day", required=True, help="Column of the day of booking.")
@click.option("--amount", default="", help="Column of the amount, below zero where it left ...")
@click.option("--sign", default="", help="... or with a column beside it that says which way ...")
@click.option("--debit", "debit_words", multiple=True, help="... and what that column says where it left, such as S.")
@click.option("--in", "credit", default="", help="Column of what came in, where there are two columns ...")
@click.option("--out", "debit", default="", help="... and of what left.")
@click.option("--text", multiple=True, required=True, help="Column of the text; several are put together.")
@click.option("--name", "counterparty", default="", help="Column of the name of the other side.")
@click.option("--iban", default="", help="Column of the account of the other side.")
@click.option("--reference", default="", help="Column of the bank's own reference.")
@click.option("--end-to-end", default="", help="Column of the end-to-end reference.")
@click.option("--balance", default="", help="Column of what the account holds after the line: sums are checked by it.")
@click.option("--currency", default="", help="Column of the currency; default: yours.")
@click.option("--account", default="", help="Column of your own IBAN.")
@click.option("--dates", default="DD.MM.YYYY", help="How dates are written; default DD.MM.YYYY.")
@click.option("--decimal", default=None, help="Point or comma; default: a comma where semicolons divide.")
@click.option("--delimiter", default=None, help="What divides the cells; default: found out. TAB for tabs.")
@click.option("--encoding", default=None, help="Such as utf-8 or latin-1; default: found out.")
def mapping_save(name: str, file: Path, counterparty: str, dates: str, delimiter: str | None, **columns: str) -> None:
    """Try a mapping on a FILE of the bank, show its first lines, and keep it as NAME if all of them can be read."""
    from base import clock
    from billing.bank.mappings import save_mapping
    from billing.bank.table import TableMapping
    from billing.importers.reader import Unreadable

    delimiter = "\t" if delimiter in ("TAB", "tab", "\\t") else delimiter
    made = TableMapping(name=counterparty, date_format=dates, delimiter=delimiter, **columns)  # type: ignore[arg-type]
    with desk_of_console() as desk:
        try:
            lines = save_mapping(desk.tx, ACTOR, name, made, file.read_bytes(), desk.business.currency, clock.now())
        except Unreadable as unreadable:
            raise unreadable_file(file, unreadable, "the mapping is not kept") from None
        for line in lines[:SHOWN]:
            click.echo(f"{line.day}\t{desk.shown(line.amount)}\t{line.name}\t{line.iban}\t{line.text[:60]}")
    click.echo(f"{len(lines):,} lines can be read; the mapping is kept as {name}.")
