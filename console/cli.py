"""The command line: each command parses, calls one function and prints what came back."""

import sys
from collections.abc import Callable
from typing import Any

import click

from base.settings import Settings, WrongSetting


class Group(click.Group):
    """Turns errors that are meant for people into one sentence and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; WrongSetting and its like end with their message, never with a traceback."""
        from base.crypto import SecretsUnavailable
        from base.database import DatabaseUnavailable
        from base.pgembed import EmbeddedPostgresError
        from console.ports import Taken
        from console.schema import SchemaUnknown

        try:
            return super().invoke(ctx)
        except (
            WrongSetting,
            SecretsUnavailable,
            DatabaseUnavailable,
            SchemaUnknown,
            EmbeddedPostgresError,
            Taken,
        ) as error:
            click.echo(f"tollkeeper: {error}", err=True)
            sys.exit(2)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tollkeeper", message="%(version)s")
def main() -> None:
    """Tollkeeper: AAA and billing enforcement for internet providers."""


def _process(name: str) -> Settings:
    """Settings and logs of a process of the house."""
    from base.log import configure
    from base.settings import settings

    config = settings()
    configure(config, name)
    return config


def _ready(name: str) -> Settings:
    """The same, for a process that works on the schema."""
    from base.database import engine
    from console import schema

    config = _process(name)
    schema.require(engine())
    return config


@main.command()
@click.option("--sandbox", is_flag=True, help="The pretend provider, with simulated NASes, Stripe and mail.")
@click.option("--fresh", is_flag=True, help="Delete the pretend provider's data first.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
@click.option("--port-offset", default=0, help="Move every port by this number.")
def start(sandbox: bool, fresh: bool, yes: bool, port_offset: int) -> None:
    """Start everything on this machine; Ctrl-C stops it."""
    from console.start import run

    sys.exit(run(sandbox=sandbox, fresh=fresh, yes=yes, port_offset=port_offset))


@main.group()
def db() -> None:
    """The database."""


@db.command()
def upgrade() -> None:
    """Bring the schema to this release."""
    from base.database import engine
    from console.schema import migrate

    _process("db")
    before, after = migrate(engine())
    click.echo(f"The database was at {before or 'nothing'} and is now at {after}.")


@main.command()
def web() -> None:
    """The portal (gunicorn)."""
    from console.web import serve

    serve(_ready("web"))


@main.command()
def settings() -> None:
    """List the deployment settings with their meaning, default and current value."""
    from console.described import describe_settings

    click.echo(describe_settings())


@main.group()
def staff() -> None:
    """Who may use the staff pages."""


@staff.command("add")
@click.argument("login")
@click.option("--name", default="", help="Name as colleagues know it.")
@click.option("--role", type=click.Choice(["owner", "agent"]), default="owner", show_default=True)
def staff_add(login: str, name: str, role: str) -> None:
    """Add a member of staff; asks for the password, or reads it from standard input."""
    from base.database import transaction
    from portal.accounts import add_staff

    _ready("console")
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    with transaction() as tx:
        add_staff(tx, "console", login, name or login, password, role)
    click.echo(f"{login} may now log in as {role}.")


@main.command()
def doctor() -> None:
    """Check everything that a newcomer stumbles over, and say for each what to do."""
    from console.doctor import examine

    sys.exit(examine(click.echo))


def _add(name: str, run: Callable[[], None], text: str) -> None:
    main.command(name, help=text)(run)
