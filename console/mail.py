"""`tollkeeper mail`: templates, previews, contacts, bounces and addresses that take no mail."""

import sys
from pathlib import Path
from typing import IO

import click

from console.desk import desk_of_console


@click.group()
def mail() -> None:
    """Mails to subscribers: templates, previews, contacts, bounces, addresses."""


@mail.command()
@click.argument("kind", required=False)
@click.option("--language", default=None, help="Such as de or es_MX; default: the provider's.")
def templates(kind: str | None, language: str | None) -> None:
    """List the kinds of mail and which templates are your own; with KIND print the template in use."""
    from billing.mail_templates import list_replaced, template_in_use
    from billing.mail_words import KINDS

    with desk_of_console() as desk:
        if kind is not None:
            click.echo(template_in_use(desk.tx, kind, language or desk.business.language), nl=False)
            return
        replaced: dict[str, list[str]] = {}
        for each in list_replaced(desk.tx):
            replaced.setdefault(each.kind, []).append(f"{each.language} by {each.author}, {each.created_at:%Y-%m-%d}")
    for each_kind in KINDS:
        own = "; ".join(replaced.get(each_kind, []))
        click.echo(f"{each_kind}\t{f'your own: {own}' if own else 'ours'}")


@mail.command()
@click.argument("kind")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--language", default=None, help="Such as de or es_MX; default: the provider's.")
def save(kind: str, file: IO[str], language: str | None) -> None:
    """Use FILE (`-`: standard input) as the template of KIND; its first line is the subject."""
    from billing.mail_templates import save_template

    source = file.read()
    with desk_of_console() as desk:
        spoken = language or desk.business.language
        save_template(desk.tx, desk.business, "console", kind, spoken, source)
    click.echo(f"{kind} in {spoken} is your own template from now on.")


@mail.command()
@click.argument("kind")
@click.option("--language", default=None, help="Such as de or es_MX; default: the provider's.")
def reset(kind: str, language: str | None) -> None:
    """Use our template of KIND again."""
    from billing.mail_templates import reset_template

    with desk_of_console() as desk:
        spoken = language or desk.business.language
        reset_template(desk.tx, "console", kind, spoken)
    click.echo(f"{kind} in {spoken} is our template again.")


@mail.command()
@click.argument("kind")
@click.option("--subscriber", "number", required=True, help="Account number.")
@click.option("--language", default=None, help="Instead of the subscriber's.")
@click.option(
    "--file", type=click.Path(exists=True, path_type=Path), help="Try this template instead of the saved one."
)
def preview(kind: str, number: str, language: str | None, file: Path | None) -> None:
    """Show what a mail of KIND to a subscriber would say; nothing is sent."""
    from billing.mail_preview import preview as show

    source = None if file is None else file.read_text()
    with desk_of_console() as desk:
        shown = show(desk.tx, desk.business, kind, number, language=language, source=source)
    click.echo(f"Subject: {shown.letter.subject}\n\n{shown.letter.body}", nl=False)
    if shown.invented:
        click.echo(f"\n(Invented, because there is none yet: {', '.join(shown.invented)}.)", err=True)


@mail.command()
@click.argument("number")
@click.option("--add", "email", default=None, help="Mail address of a new contact.")
@click.option("--name", default="", help="Name of the new contact.")
@click.option("--kind", "kinds", multiple=True, help="billing or technical; may be given twice.")
@click.option("--remove", default=None, help="Mail address of a contact that goes.")
def contacts(number: str, email: str | None, name: str, kinds: tuple[str, ...], remove: str | None) -> None:
    """List, add or remove the further contacts of the subscriber with account NUMBER."""
    from billing import contacts as book

    with desk_of_console() as desk:
        subscriber_id = book.find_subscriber(desk.tx, number)
        if email is not None:
            book.add_contact(desk.tx, "console", subscriber_id, email=email, name=name, kinds=kinds or ("billing",))
        if remove is not None:
            book.remove_contact(desk.tx, "console", subscriber_id, remove)
        for each in book.list_contacts(desk.tx, subscriber_id):
            click.echo(f"{each.email}\t{each.name}\t{', '.join(each.kinds)}")


@mail.command()
@click.argument("number")
@click.argument("delivery", type=click.Choice(["mail", "paper", "both"]))
def delivery(number: str, delivery: str) -> None:
    """Say how the subscriber with account NUMBER gets invoices, credit notes and reminders: mail, paper, or both."""
    from billing import contacts as book

    with desk_of_console() as desk:
        book.set_delivery(desk.tx, "console", book.find_subscriber(desk.tx, number), delivery)
    click.echo(f"{number} gets invoices and reminders by {'mail and paper' if delivery == 'both' else delivery}.")


@mail.command("print")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--two-sided", is_flag=True, help="Every letter begins on a front page.")
def print_paper(file: Path | None, two_sided: bool) -> None:
    """Write all that waits for paper into the PDF FILE, in post order, once; without FILE say what waits.

    What is in the file counts as printed and posted today: keep it until the letters are in the post.
    """
    import os

    from base import clock
    from billing.print_batch import print_batch, waiting_for_paper
    from billing.refused import Refused
    from console.progress import progress_bar

    with desk_of_console() as desk:
        vault = desk.vault
        waiting = waiting_for_paper(desk.tx)
    if file is None or not waiting:
        click.echo("\n".join(f"{kind}\t{count}" for kind, count in waiting.items()) or "Nothing waits for paper.")
        return

    def keep(pdf: bytes) -> None:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(pdf)
            out.flush()
            os.fsync(out.fileno())

    try:
        with progress_bar("Drawing") as tell:
            batch = print_batch(vault, "console", clock.now(), keep, two_sided=two_sided, tell=tell)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written ({error.strerror}): nothing is printed.") from None
    except Refused as refused:
        raise click.ClickException(str(refused)) from None
    if batch.letters:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(batch.kinds.items()))
        click.echo(f"{file}: {batch.letters} letters to {batch.recipients} recipients, {batch.pages} pages ({kinds}).")
    else:
        click.echo("Nothing could be printed.")
    if batch.fees:
        click.echo(f"{batch.fees} paper fees go on the next invoices.")
    if batch.settled:
        click.echo(f"{batch.settled} reminders are not needed any more: what they are about is paid.")
    for number, name, why in batch.waiting:
        click.echo(f"waits\t{number}\t{name}\t{why}")


@mail.command()
@click.option("--clear", default=None, help="Write to this address again.")
def bad(clear: str | None) -> None:
    """List the addresses that take no mail, with the reason; --clear ADDRESS takes one off the list."""
    from billing.addresses import clear_address, list_bad

    with desk_of_console() as desk:
        if clear is not None and not clear_address(desk.tx, "console", clear):
            raise click.ClickException(f"{clear} is not marked.")
        for each in list_bad(desk.tx):
            click.echo(f"{each.address}\t{each.since:%Y-%m-%d}\t{each.reason}")


@mail.command()
def bounces() -> None:
    """Read the mailbox of bounce_imap_url, and mark what came back."""
    from base.settings import settings
    from billing.bounces import read_mailbox
    from console.cli import _ready

    _ready("console")
    url = settings().bounce_imap_url
    if url is None:
        raise click.ClickException("The setting bounce_imap_url is not set: there is no mailbox to read.")
    try:
        read = read_mailbox(url.get_secret_value())
    except OSError as error:
        click.echo(f"tollkeeper: the mailbox cannot be read: {error}", err=True)
        sys.exit(1)
    click.echo(f"{read.mails} mails read: {read.bounced} bounced, {read.noted} delayed, {read.others} others left.")
