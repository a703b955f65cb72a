"""Commands about what documents look like: the logo, and templates in place of ours."""

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def logo(file: Path) -> None:
    """Put the PNG or SVG in FILE on documents; at most 200 kB."""
    from base64 import b64encode

    from base.business import WrongBusinessSetting, set_business
    from base.crypto import open_vault
    from base.database import transaction

    config = _ready()
    try:
        with transaction() as tx:
            packed = b64encode(file.read_bytes()).decode()
            set_business(tx, open_vault(config.secret_keys), "console", company_logo=packed)
    except WrongBusinessSetting as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{file.name} is the logo of documents made from now on.")


@click.group()
def template() -> None:
    """Templates of documents: ours, and your own in their place."""


_LANGUAGE = click.option("--language", default="", help="Such as de; not given: for all that have none of their own.")


@template.command("list")
def template_list() -> None:
    """List the kinds of documents and whose template holds."""
    from base.database import transaction
    from billing.document_templates import list_templates
    from billing.pages import KINDS

    _ready()
    with transaction() as tx:
        own = list_templates(tx)
    for kind in KINDS:
        for each in [each for each in own if each.kind == kind]:
            click.echo(
                f"{kind}\t{each.language or 'all'}\tyour own, by {each.author}, {each.created_at:%Y-%m-%d %H:%M}"
            )
        if not any(each.kind == kind and not each.language for each in own):
            click.echo(f"{kind}\t{'others' if any(each.kind == kind for each in own) else 'all'}\tours")


@template.command("show")
@click.argument("kind")
@_LANGUAGE
def template_show(kind: str, language: str) -> None:
    """Print the template that holds for KIND: where your own begins."""
    from base.database import transaction
    from billing.document_templates import load_template
    from billing.refused import Refused

    _ready()
    try:
        with transaction() as tx:
            click.echo(load_template(tx, kind, language), nl=False)
    except Refused as error:
        raise click.ClickException(str(error)) from None


@template.command("save")
@click.argument("kind")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@_LANGUAGE
def template_save(kind: str, file: Any, language: str) -> None:
    """Put the template in FILE (- for standard input) in place of ours; refused when it does not fit sample values."""
    from base.database import transaction
    from billing.document_templates import save_template
    from billing.refused import Refused

    _ready()
    try:
        with transaction() as tx:
            save_template(tx, "console", kind, language, file.read())
    except Refused as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"The template of {kind} holds for documents made from now on.")


@template.command("reset")
@click.argument("kind")
@_LANGUAGE
def template_reset(kind: str, language: str) -> None:
    """Take your own template of KIND away."""
    from base.database import transaction
    from billing.document_templates import reset_template
    from billing.refused import Refused

    _ready()
    try:
        with transaction() as tx:
            reset_template(tx, "console", kind, language)
    except Refused as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"Your own template of {kind} is gone.")


@template.command("preview")
@click.argument("kind")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The PDF to write.")
@click.option("--id", "subject_id", type=int, help="A real invoice, credit note or receipt; not given: sample values.")
@_LANGUAGE
def template_preview(kind: str, out: Path, subject_id: int | None, language: str) -> None:
    """Write a PDF of KIND as it would be made now; nothing is kept."""
    from base.business import load_business
    from base.crypto import open_vault
    from base.database import transaction
    from billing.documents import available, preview_html, render_pdf
    from billing.refused import Refused

    config = _ready()
    if missing := available():
        raise click.ClickException(missing)
    vault = open_vault(config.secret_keys)
    try:
        with transaction() as tx:
            html = preview_html(tx, load_business(tx, vault), vault, kind, language, subject_id)
    except (Refused, LookupError) as error:
        raise click.ClickException(str(error)) from None
    out.write_bytes(render_pdf(html))
    click.echo(f"{out} is written.")


def _ready() -> Any:
    from console.cli import _ready as ready

    return ready("console")
