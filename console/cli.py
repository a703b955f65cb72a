"""The command line: each command parses, calls one function and prints what came back."""

import gc
import os
import sys
from typing import Any

import click

from base.settings import PREFIX, Settings, WrongSetting, load
from console.addresses import load_addresses
from console.bank import bank
from console.bank_mapping import mapping
from console.billing import charge, invoice, service
from console.bills import bill
from console.books import books
from console.cards import card, collect
from console.clearing import clearing
from console.documents import logo, template
from console.dunning import dunning, promise
from console.imports import imports
from console.instalments import instalment
from console.invoices import statement
from console.mail import mail
from console.money_back import dispute, refund, reverse
from console.offers import coupon, plan, product, tax
from console.outage import outage
from console.payments import payment
from console.prepaid import prepaid, voucher
from console.preview import preview
from console.reports import report
from console.stripe import stripe
from console.subscribers import subscriber
from console.till import cashier
from console.worklist import worklist


class Group(click.Group):
    """Turns errors that are meant for people into one sentence and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; WrongSetting and its like end with their message, never with a traceback."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if not isinstance(error, _meant_for_people()):
                raise
            click.echo(f"tollkeeper: {error}", err=True)
            sys.exit(2)


def _meant_for_people() -> tuple[type[Exception], ...]:
    """Imported only when something went wrong: a health check costs a third without them."""
    from base.crypto import SecretsUnavailable
    from base.database import DatabaseUnavailable
    from base.pgembed import EmbeddedPostgresError
    from console.ports import Taken
    from console.schema import SchemaUnknown
    from radius.journal_format import JournalError
    from radius.snapshot import NewerSnapshot

    return (
        WrongSetting,
        SecretsUnavailable,
        DatabaseUnavailable,
        SchemaUnknown,
        EmbeddedPostgresError,
        Taken,
        JournalError,
        NewerSnapshot,
    )


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tollkeeper", message="%(version)s")
def main() -> None:
    """Tollkeeper: AAA and billing enforcement for internet providers."""
    gc.set_threshold(50_000)  # imports make many objects and no garbage; looking for it is a fifth of a start
    _recognise_sandbox(starting=click.get_current_context().invoked_subcommand == "start")


def _recognise_sandbox(*, starting: bool) -> None:
    """Let a command work on the pretend provider that `./run` made in this data folder without being told.

    It finds it where it was started last; a start looks at its own options instead.
    """
    config = load()
    made_here = config.database_url is None and (config.data_dir / "sandbox").is_dir()
    if made_here and f"{PREFIX}SANDBOX" not in os.environ:
        os.environ[f"{PREFIX}SANDBOX"] = "true"
        os.environ.setdefault(f"{PREFIX}RADIUS_HOSTS", "127.0.0.1")
        if not starting:
            for name, value in load_addresses(config.data_dir).items():
                os.environ.setdefault(PREFIX + name.upper(), value)


def _process(name: str) -> Settings:
    """Settings and logs of a process of the house."""
    from base.log import configure
    from base.settings import settings

    config = settings()
    configure(config, name)
    return config


def _ready(name: str) -> Settings:
    """The same, for a process that works on the schema."""
    from sqlalchemy.exc import OperationalError

    from base.database import engine
    from console import schema

    config = _process(name)
    try:
        schema.require(engine())
    except OperationalError as error:
        click.echo(f"tollkeeper: the database does not answer: {str(error.orig).splitlines()[0]}", err=True)
        sys.exit(1)  # not 2: this may pass, so whoever keeps us running shall start us again
    return config


@main.command()
@click.option("--sandbox", is_flag=True, help="The pretend provider, with simulated NASes, Stripe and mail.")
@click.option("--fresh", is_flag=True, help="Delete the pretend provider's data first.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
@click.option("--empty", is_flag=True, help="A pretend provider without subscribers.")
@click.option("--port-offset", default=0, help="Move every port by this number.")
def start(sandbox: bool, fresh: bool, yes: bool, empty: bool, port_offset: int) -> None:
    """Start everything on this machine; Ctrl-C stops it."""
    from console.start import run

    sys.exit(run(sandbox=sandbox, fresh=fresh, yes=yes, empty=empty, port_offset=port_offset))


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
@click.option("--markdown", "as_markdown", is_flag=True, help="All settings as the page docs/settings.md.")
def settings(as_markdown: bool) -> None:
    """List the deployment settings with their meaning, default and current value."""
    from console.described import describe_settings, markdown

    click.echo(markdown() if as_markdown else describe_settings())


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


@main.command()
@click.argument("process")
def health(process: str) -> None:
    """Whether PROCESS of this machine is well: radius, ingest, coa, web, worker, documents or beat."""
    from base.settings import settings
    from console.health import PROCESSES, complaint

    if process not in PROCESSES:
        raise click.BadParameter(f"{process!r} is not one of {', '.join(PROCESSES)}.", param_hint="PROCESS")
    wrong = complaint(settings(), process)
    click.echo(wrong or f"{process} is well.")
    sys.exit(1 if wrong else 0)


@main.command()
def radius() -> None:
    """Answer logins and accounting on this node."""
    from radius.server import run

    run(_process("radius"))


@main.command()
def ingest() -> None:
    """Read this node's journal into the tables."""
    from radius.ingest import run

    run(_ready("ingest"))


@main.command()
def coa() -> None:
    """Make open sessions obey the current policy."""
    from coa.process import run

    run(_ready("coa"))


@main.command()
@click.option("--lanes", default="urgent,charges,mail", show_default=True, help="Which jobs this process runs.")
@click.option("--beat/--no-beat", default=False, help="Also send the tick that makes time pass.")
def worker(lanes: str, beat: bool) -> None:
    """Run jobs: webhooks, bills, mails; documents in a process of their own."""
    from base.jobs import Lane
    from billing.worker import main as work

    known = {lane.value: lane for lane in Lane}
    chosen = [name.strip() for name in lanes.split(",")]
    if unknown := [name for name in chosen if name not in known]:
        raise click.BadParameter(f"{unknown[0]!r} is not one of {', '.join(known)}.", param_hint="--lanes")
    _ready("worker")
    work([known[name] for name in chosen], beat)


@main.command()
def beat() -> None:
    """Send the tick that makes time pass, where several workers share a broker; one is enough, more do no harm."""
    from billing.worker import main as work

    _ready("beat")
    work([], True)


@main.group()
def nas() -> None:
    """Routers and access servers."""


@nas.command("add")
@click.argument("name")
@click.argument("network")
@click.option("--kind", default="mikrotik", show_default=True, help="mikrotik, wispr or cisco.")
@click.option("--coa-port", default=3799, show_default=True)
@click.option("--message-authenticator", default="auto", show_default=True, help="yes, no or auto.")
@click.option("--secret", default=None, help="Shared secret; not given: asked for, or made at random.")
def nas_add(name: str, network: str, kind: str, coa_port: int, message_authenticator: str, secret: str | None) -> None:
    """Add a NAS by its address (or a network in CIDR notation); it is answered at once."""
    from base.crypto import open_vault, random_password
    from base.database import transaction
    from base.nas import WrongNas, add_nas
    from radius.dialects import DIALECTS

    config = _ready("console")
    if kind not in DIALECTS:
        raise click.BadParameter(f"{kind!r} is not one of {', '.join(DIALECTS)}.", param_hint="--kind")
    shared = secret or random_password()
    try:
        with transaction() as tx:
            add_nas(
                tx,
                open_vault(config.secret_keys),
                "console",
                name=name,
                network=network,
                secret=shared,
                kind=kind,
                message_authenticator=message_authenticator,
                coa_port=coa_port,
            )
    except WrongNas as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{name} ({network}) is known from now on." + ("" if secret else f" Its shared secret: {shared}"))


@nas.command("list")
def nas_list() -> None:
    """List the NASes."""
    from sqlalchemy import select

    from base.database import transaction
    from base.tables import nas as table

    _ready("console")
    with transaction() as tx:
        for row in tx.execute(select(table).order_by(table.c.name)):
            click.echo(f"{row.name}\t{row.network}\t{row.kind}\tCoA port {row.coa_port}")


@main.group()
def business() -> None:
    """Business settings: company, taxes, days, gateways; used from the next transaction on."""


@business.command("list")
def business_list() -> None:
    """List the business settings with their values; secrets are hidden."""
    from console.described import describe_business

    config = _ready("console")
    click.echo(describe_business(config))


@business.command("set")
@click.argument("key")
@click.argument("value")
def business_set(key: str, value: str) -> None:
    """Set one business setting; `-` as value reads it from standard input (for secrets)."""
    from base import clock
    from base.business import WrongBusinessSetting
    from base.crypto import open_vault
    from base.database import transaction
    from billing.business_changes import change_business

    config = _ready("console")
    text = sys.stdin.readline().rstrip("\n") if value == "-" else value
    try:
        with transaction() as tx:
            decided = change_business(tx, open_vault(config.secret_keys), "console", clock.now(), **{key: text})
    except WrongBusinessSetting as error:
        raise click.ClickException(str(error)) from None
    follows = f" Access is decided anew for {decided} services with the next tick, within a minute." if decided else ""
    click.echo(f"{key} is set.{follows}")


@main.command()
@click.argument("days", type=click.IntRange(1, 400))
def travel(days: int) -> None:
    """Sandbox: let DAYS pass, one after the other, each with its bills, reminders and walls."""
    from base.database import transaction
    from console.progress import progress_bar
    from sandbox.travel import CannotTravel, live
    from sandbox.travel import now as now_in_sandbox

    _ready("console")
    try:
        with progress_bar("Travelling") as tell:
            worked = live(days, tell)
    except CannotTravel as refused:
        raise click.ClickException(str(refused)) from refused
    with transaction() as tx:
        click.echo(f"It is now {now_in_sandbox(tx):%Y-%m-%d %H:%M} UTC.")
    if not worked:
        click.echo("Nobody worked meanwhile: `./run` starts the workers, which catch up what is due.")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
def story(as_json: bool) -> None:
    """Play one subscriber's two months on an installation of its own, as a timeline with measured milliseconds."""
    from console.story import run

    sys.exit(run(as_json=as_json))


for command in (
    bank, bill, books, card, cashier, charge, clearing, collect, coupon, dispute, dunning, imports, instalment, invoice,
    logo, mail, outage, payment, plan, prepaid, preview, product, promise, refund, report, reverse, service, statement,
    stripe, subscriber, tax, template, voucher, worklist,
):  # fmt: skip
    main.add_command(command)
bank.add_command(mapping)
