"""`tollkeeper books`: the chart of accounts, months, trial balance, the chain of seals, and what leaves the house."""

import sys
from datetime import date
from typing import TYPE_CHECKING, TextIO

import click

from console.desk import ACTOR, Desk, desk_of_console, one

if TYPE_CHECKING:
    from billing.earnings import ByClass


@click.group()
def books() -> None:
    """The ledger for the accountant."""


@books.command("accounts")
def books_accounts() -> None:
    """List the chart of accounts with the codes that hold."""
    from billing.accounts import CHART
    from billing.codes import load_codes

    with desk_of_console() as desk:
        codes = load_codes(desk.tx)
    for each in CHART:
        whose = ", by subscriber" if each.personal else ", by tax class" if each.by_tax_class else ""
        click.echo(
            f"{codes.of(each.key)}\t{each.key}\t{each.name}\t{each.type}, {each.normal_side}{whose}\t{each.holds}"
        )
        for (account, tax_class), code in sorted(codes.given.items(), key=lambda item: item[0][1] or 0):
            if account == each.key and tax_class is not None:
                click.echo(f"{code}\t{each.key}\t{each.name}, {codes.class_name(tax_class)}")


@books.command("code")
@click.argument("account")
@click.argument("code")
@click.option("--tax-class", default=None, help="Of what bears this tax only (revenue, unearned).")
def books_code(account: str, code: str, tax_class: str | None) -> None:
    """Give ACCOUNT the accountant's CODE; an empty one gives it ours again."""
    from sqlalchemy import select

    from base import offers
    from billing.codes import set_code

    with desk_of_console() as desk:
        query = select(offers.tax_class.c.id).where(offers.tax_class.c.name == tax_class)
        of_class = None if tax_class is None else one(desk, query, f"There is no tax class {tax_class!r}.").id
        set_code(desk.tx, ACTOR, account, code, of_class)
    click.echo(f"{account} has the code {code}." if code.strip() else f"{account} has our code again.")


@books.command("check")
def books_check() -> None:
    """Look into the books: a sentence for each thing that is not right."""
    from billing.ledger import check_books

    with desk_of_console() as desk:
        found = check_books(desk.tx)
    for sentence in found:
        click.echo(sentence)
    if found:
        sys.exit(1)
    click.echo("The books are right.")


@books.command("close")
@click.argument("month")
def books_close(month: str) -> None:
    """Close MONTH (2026-11): its balances are kept, and it takes no entries any more."""
    from base import clock
    from billing.close import close_month

    with desk_of_console() as desk:
        close_month(desk.tx, desk.business, ACTOR, _month(month), clock.now())
    click.echo(f"{month} is closed.")


@books.command("reopen")
@click.argument("month")
@click.option("--because", "reason", required=True, help="For the trail.")
def books_reopen(month: str, reason: str) -> None:
    """Open the last closed month again."""
    from base import clock
    from billing.close import reopen_month

    with desk_of_console() as desk:
        reopen_month(desk.tx, ACTOR, _month(month), reason, clock.now())
    click.echo(f"{month} is open again.")


@books.command("months")
def books_months() -> None:
    """List the closed months."""
    from billing.close import closed_months

    with desk_of_console() as desk:
        for each in closed_months(desk.tx):
            click.echo(f"{each.month:%Y-%m}\tclosed by {each.closed_by}, {each.closed_at:%Y-%m-%d %H:%M} UTC")


@books.command("trial")
@click.option("--from", "start", default=None, help="First day; default: of the month that --to lies in.")
@click.option("--to", "last", default=None, help="Last day; default: today.")
def books_trial(start: str | None, last: str | None) -> None:
    """The trial balance: opening, debits, credits and closing of each account; credit balances are negative."""
    from base.i18n import decimal_text
    from billing.accounts import BY_KEY
    from billing.codes import load_codes
    from billing.trial_balance import trial_balance

    with desk_of_console() as desk:
        begin, end = _days(desk, start, last)
        codes = load_codes(desk.tx)
        found = trial_balance(desk.tx, begin, end)
    click.echo("code\taccount\tcurrency\topening\tdebits\tcredits\tclosing")
    for each in found:
        name = ", ".join(part for part in (BY_KEY[each.account].name, codes.class_name(each.tax_class_id)) if part)
        figures = (decimal_text(money) for money in (each.opening, each.debits, each.credits, each.closing))
        click.echo("\t".join((each.code, name, each.opening.currency, *figures)))


@books.command("earned")
@click.option("--from", "start", default=None, help="First day; default: of the month that --to lies in.")
@click.option("--to", "last", default=None, help="Last day; default: today.")
def books_earned(start: str | None, last: str | None) -> None:
    """Revenue earned day by day between two days, and what was invoiced for days after the last, by tax class."""
    from billing.codes import load_codes
    from billing.earnings import earned_between, unearned_before

    with desk_of_console() as desk:
        begin, end = _days(desk, start, last)
        names = load_codes(desk.tx).class_name

        def show(words: str, found: "ByClass") -> None:
            for (tax_class, _), money in sorted(found.items(), key=lambda item: (item[0][1], item[0][0] or 0)):
                click.echo(f"{words}\t{names(tax_class) or 'before classes were kept'}\t{desk.shown(money)}")

        show("earned", earned_between(desk.tx, begin, end))
        show("unearned", unearned_before(desk.tx, end))


@books.command("prove")
def books_prove() -> None:
    """Prove that nothing sealed was changed, deleted or slipped in, and that numbers have no gaps."""
    from billing.chain import prove, sealed_rows

    with (
        desk_of_console() as desk,
        click.progressbar(length=sealed_rows(desk.tx), label="Rows", file=sys.stderr) as bar,
    ):
        proof = prove(desk.tx, bar.update)
    for sentence in proof.wrong:
        click.echo(sentence)
    if proof.wrong:
        sys.exit(1)
    click.echo(f"{proof.rows} rows under {proof.seals} seals are as they were sealed; {proof.waiting} wait for a seal.")
    click.echo(f"The chain ends with {proof.head}: keep that elsewhere.")


@books.command("export")
@click.option("--from", "start", default=None, help="First day; default: of the month that --to lies in.")
@click.option("--to", "last", default=None, help="Last day; default: today.")
@click.option("--format", "form", default="csv", help="csv, beancount or hledger (csv).")
@click.option(
    "-o", "--out", "output", type=click.File("w", encoding="utf-8", lazy=True), default="-", help="Default: stdout."
)
def books_export(start: str | None, last: str | None, form: str, output: TextIO) -> None:
    """Write the journal, one transaction per entry."""
    from billing.export import export

    with desk_of_console() as desk:
        for piece in export(desk.tx, *_days(desk, start, last), form):
            output.write(piece)


def _month(text: str) -> date:
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise click.ClickException(f"{text!r} is not a month such as 2026-11.") from None


def _days(desk: Desk, start: str | None, last: str | None) -> tuple[date, date]:
    """[first, day after the last)."""
    from datetime import timedelta

    to = desk.day(last)
    return (to.replace(day=1) if start is None else desk.day(start)), to + timedelta(days=1)
