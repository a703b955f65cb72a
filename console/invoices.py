"""More of `tollkeeper invoice`: what there is, what became of it, and its PDF; and `tollkeeper statement`."""

from pathlib import Path

import click

from console.billing import _invoice, invoice
from console.desk import ACTOR, desk_of_console, find_subscriber


@invoice.command("list")
@click.argument("number")
def invoice_list(number: str) -> None:
    """List the invoices of the subscriber with account NUMBER, the newest first, with what has become of each."""
    from billing.invoice_states import load_states
    from billing.invoices import list_invoices

    with desk_of_console() as desk:
        found = list_invoices(desk.tx, find_subscriber(desk, number))
        states = load_states(desk.tx, [each.id for each in found], desk.today)
        for each in found:
            words = f"{desk.shown(each.total)}\topen {desk.shown(each.open)}\t{states[each.id].value}"
            click.echo(f"{each.number}\t{each.issued_on}\tdue {each.due_on}\t{words}")


@invoice.command("show")
@click.argument("number")
def invoice_show(number: str) -> None:
    """Show an invoice: its lines, taxes, what has become of it, and its credit notes."""
    from sqlalchemy import select

    from base.money import Money
    from billing.invoice_states import load_states
    from billing.invoices import load_invoice
    from billing.tables import credit_note

    with desk_of_console() as desk:
        invoice_id, currency = _invoice(desk, number)
        found = load_invoice(desk.tx, invoice_id)
        assert found is not None
        state = load_states(desk.tx, [invoice_id], desk.today)[invoice_id]
        click.echo(f"{found.number}\t{found.buyer['number']} {found.buyer['name']}\t{state.value}")
        click.echo(f"issued {found.issued_on}, due {found.due_on}")
        for position, line in enumerate(found.lines, start=1):
            days = "" if line.period is None else f"{line.period.start} to {line.period.last_day}"
            click.echo(f"{position}\t{line.text}\t{days}\t{line.tax_rate}\t{desk.shown(line.net)}")
        for tax in found.taxes:
            click.echo(f"{tax.name} {tax.percent.normalize():f} %\ton {desk.shown(tax.net)}\t{desk.shown(tax.tax)}")
        click.echo(f"total {desk.shown(found.total)}, open {desk.shown(found.open)}")
        notes = select(credit_note).where(credit_note.c.invoice_id == invoice_id).order_by(credit_note.c.id)
        for note in desk.tx.execute(notes):
            amount = desk.shown(Money(note.total_minor, currency))
            click.echo(f"{note.number}\t{note.issued_on}\t{amount} given back\t{note.reason}")


@invoice.command("link")
@click.argument("number")
def invoice_link(number: str) -> None:
    """Print the address that pays an invoice without logging in."""
    from billing.links import link_to

    with desk_of_console() as desk:
        click.echo(link_to(desk.tx, _invoice(desk, number)[0]))


@invoice.command("revoke-link")
@click.argument("number")
def invoice_revoke_link(number: str) -> None:
    """Make every link to an invoice worthless that is about; `invoice link` prints a new one."""
    from billing.links import revoke_link

    with desk_of_console() as desk:
        revoke_link(desk.tx, ACTOR, _invoice(desk, number)[0])
    click.echo("The links that are about are worthless now.")


@invoice.command("pdf")
@click.argument("number")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
def invoice_pdf(number: str, out: Path) -> None:
    """Write the PDF of an invoice, a credit note (CN-...) or a receipt (R-...): the one that everybody gets."""
    from sqlalchemy import select

    from billing import documents

    with desk_of_console() as desk:
        ids = {
            kind: desk.tx.scalar(select(table.c.id).where(column == number))
            for kind, (table, column) in documents.NUMBERS.items()
        }
        found = [(kind, subject_id) for kind, subject_id in ids.items() if subject_id is not None]
        if not found:
            raise click.ClickException(f"There is no document {number!r}.")
        try:
            pdf = documents.fetch(desk.tx, *found[0])
        except documents.Damaged as damaged:
            raise click.ClickException(f"{damaged}.") from None
    if pdf is None:
        raise click.ClickException(f"The PDF of {number} is not made yet; the worker makes it.")
    out.write_bytes(pdf)
    click.echo(f"{out} is written.")


@invoice.command("reissue")
@click.argument("number")
@click.option("--because", "reason", required=True, help="What the subscriber reads on the credit note.")
def invoice_reissue(number: str, reason: str) -> None:
    """Cancel an invoice by a credit note and issue it again, with address, tax number and treatment of today."""
    from sqlalchemy import select

    from base import clock
    from billing import tables
    from billing.reissue import reissue_invoice

    with desk_of_console() as desk:
        invoice_id, _ = _invoice(desk, number)
        note, made = reissue_invoice(desk.tx, desk.vault, desk.business, ACTOR, invoice_id, reason, clock.now())
        by = desk.tx.scalar(select(tables.credit_note.c.number).where(tables.credit_note.c.id == note))
        new = desk.tx.scalar(select(tables.invoice.c.number).where(tables.invoice.c.id == made))
    click.echo(f"{number} is cancelled by {by} and issued again as {new}.")


@click.command()
@click.argument("number")
@click.option("--from", "start", default=None, help="First day, such as 2027-01-01; default: the first of this year.")
@click.option("--to", "last", default=None, help="Last day; default: today.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the PDF into this file.")
@click.option("--mail", is_flag=True, help="Send it to the subscriber, as invoices are: by mail, on paper, or both.")
def statement(number: str, start: str | None, last: str | None, out: Path | None, mail: bool) -> None:
    """Statement of account of the subscriber with account NUMBER: shown here, as a PDF, or sent to the subscriber."""
    from datetime import timedelta

    from base import clock
    from base.calendar import Period
    from billing import documents
    from billing.account_documents import load_statement
    from billing.statement_mail import send_statement

    if out is not None and (missing := documents.available()):
        raise click.ClickException(missing)
    page, ways = None, []
    with desk_of_console() as desk:
        begins = desk.today.replace(month=1, day=1) if start is None else desk.day(start)
        ends = desk.day(last) + timedelta(days=1)
        if ends <= begins:
            raise click.ClickException("The last day comes before the first.")
        days = Period(begins, ends)
        subscriber_id = find_subscriber(desk, number)
        if out is not None:
            page = documents.statement_html(desk.tx, desk.business, subscriber_id, days, desk.today)
        elif mail:
            ways = send_statement(desk.tx, desk.business, ACTOR, subscriber_id, days, clock.now())
        else:
            found = load_statement(desk.tx, subscriber_id, days, desk.today, desk.business.language)
            click.echo(f"{begins}\tcarried forward\t\t{desk.shown(found.opening)}")
            for line in found.lines:
                moved = line.charged if line.charged else -line.credited
                click.echo(f"{line.day}\t{line.text}\t{desk.shown(moved)}\t{desk.shown(line.balance)}")
            click.echo(f"{days.last_day}\tbalance\t\t{desk.shown(found.closing)}")
    if page is not None and out is not None:
        out.write_bytes(documents.render_pdf(page))
        click.echo(f"{out} is written.")
    if ways == ["none"]:
        raise click.ClickException(f"Nothing reaches {number}: there is no mail address, phone or paper delivery.")
    if ways:
        click.echo(f"The statement of {number} goes out: {' and '.join(ways)}.")
