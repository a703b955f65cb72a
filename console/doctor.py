"""The program says what is wrong with it: each check names what it looked at, what it found and what to do."""

import ctypes
import os
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from base.settings import Settings, settings
from console.ports import Taken, bind_udp, require_free_tcp

PDF_LIBRARIES = ("libpango-1.0.so.0", "libpangoft2-1.0.so.0", "libharfbuzz-subset.so.0")
PDF_PACKAGES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    name: str
    fine: bool
    found: str
    advice: str = ""


def examine(say: Callable[[str], None]) -> int:
    """Run every check and print it; 0 when all is fine, 1 when something needs a hand."""
    findings = []
    for check in CHECKS:
        try:
            found = list(check(settings()))
        except Exception as error:  # a check that fails is a finding, not the end of the examination
            found = [Finding(check.__name__.strip("_"), False, f"the check itself failed: {error}")]
        for finding in found:
            say(f"{'ok  ' if finding.fine else 'FIX '} {finding.name}: {finding.found}")
            if not finding.fine and finding.advice:
                say(f"       {finding.advice}")
        findings += found
    wrong = sum(not finding.fine for finding in findings)
    say(f"{len(findings) - wrong} fine, {wrong} to look at.")
    return 1 if wrong else 0


def _python(_: Settings) -> Iterator[Finding]:
    version = sys.version.split()[0]
    yield Finding("Python", (3, 11) <= sys.version_info[:2] < (3, 15), version, "Tollkeeper needs Python 3.11 to 3.14.")


def _clock(_: Settings) -> Iterator[Finding]:
    year = time.gmtime().tm_year
    yield Finding(
        "clock",
        2026 <= year < 2100,
        time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "Set the system clock (for example: apt-get install systemd-timesyncd); dates on bills follow it.",
    )


def _keys(config: Settings) -> Iterator[Finding]:
    path = config.secret_keys
    if not path.exists():
        yield Finding("encryption keys", True, f"{path} will be made at the first start")
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    yield Finding("encryption keys", not mode & 0o077, f"{path}, mode {mode:o}", f"Run: chmod 600 {path}")


def _data_dir(config: Settings) -> Iterator[Finding]:
    folder = config.data_dir if config.data_dir.exists() else config.data_dir.resolve().parent
    free = os.statvfs(folder)
    gigabytes = free.f_bavail * free.f_frsize / 1e9
    yield Finding(
        "data folder",
        os.access(folder, os.W_OK) and gigabytes > 1,
        f"{config.data_dir.resolve()}, {gigabytes:.1f} GB free",
        "Make it writable and keep at least 1 GB free, or move it with the setting data_dir.",
    )


def _database(config: Settings) -> Iterator[Finding]:
    from base.database import DatabaseUnavailable, engine
    from console import schema

    try:
        with engine().connect() as connection:
            found = schema.current(connection)
    except DatabaseUnavailable as error:
        yield Finding("database", config.database_url is None, f"embedded, not started yet ({error})")
        return
    except Exception as error:
        what = "is the embedded server" if config.database_url is None else "from the setting database_url"
        yield Finding(
            "database", False, f"cannot be reached: {str(error).splitlines()[0]}", f"The address {what}; start it."
        )
        return
    yield Finding("database", True, "reachable")
    yield Finding(
        "schema", found == schema.newest(), f"at {found}, newest is {schema.newest()}", "Run: ./run db upgrade"
    )


def _books(_: Settings) -> Iterator[Finding]:
    from base.database import DatabaseUnavailable, engine
    from billing.ledger import check_books

    try:
        with engine().connect() as tx:
            wrong = check_books(tx)
    except (DatabaseUnavailable, SQLAlchemyError) as error:
        yield Finding("books", True, f"not looked at: {str(error).splitlines()[0]}")
        return
    yield Finding(
        "books",
        not wrong,
        "; ".join(wrong[:3]) or "every entry balances, nothing is applied twice, no number is missing",
        "Stop billing and look at these rows; the ledger is append-only, so a reversal corrects it.",
    )


def _pdf(_: Settings) -> Iterator[Finding]:
    missing = []
    for name in PDF_LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            missing.append(name)
    yield Finding(
        "PDF libraries",
        not missing,
        "present" if not missing else f"missing: {', '.join(missing)}; invoices are issued without PDFs",
        f"As root: apt-get install -y --no-install-recommends {PDF_PACKAGES}",
    )


def _fonts(_: Settings) -> Iterator[Finding]:
    folder = Path(__file__).parent.parent / "billing" / "fonts"
    found = sorted(path.name for path in folder.glob("*.ttf")) + sorted(path.name for path in folder.glob("*.woff2"))
    yield Finding("fonts", bool(found), ", ".join(found) or "none", "The checkout is incomplete; clone it again.")


def _dictionaries(_: Settings) -> Iterator[Finding]:
    from base.dictionary import load

    yield Finding("dictionaries", True, f"{len(load().by_name)} RADIUS attributes")


def _ports(config: Settings) -> Iterator[Finding]:
    wanted: list[tuple[str, str, int, str]] = [("tcp", config.web_host, config.web_port, "web_port")]
    for host in config.radius_hosts:
        wanted.append(("udp", host, config.radius_auth_port, "radius_auth_port"))
        wanted.append(("udp", host, config.radius_acct_port, "radius_acct_port"))
    if _running(config):
        yield Finding("ports", True, "in use by Tollkeeper, which is running")
        return
    for kind, host, port, setting in wanted:
        try:
            if kind == "tcp":
                require_free_tcp(host, port, setting)
            else:
                bind_udp(host, port, setting).close()
        except Taken as taken:
            yield Finding(f"port {port}/{kind}", False, f"taken by {taken.holder}", str(taken))
        except OSError as error:
            yield Finding(f"port {port}/{kind}", False, f"{host}: {error.strerror}", f"Change the setting {setting}.")
        else:
            yield Finding(f"port {port}/{kind}", True, f"free on {host}")


def _nas(config: Settings) -> Iterator[Finding]:
    from base.database import DatabaseUnavailable, engine
    from base.tables import nas

    try:
        with engine().connect() as connection:
            rows = connection.execute(select(nas.c.name, nas.c.network)).all()
    except (DatabaseUnavailable, SQLAlchemyError) as error:
        yield Finding("NAS", True, f"not looked at: {str(error).splitlines()[0]}")
        return
    if not rows:
        yield Finding("NAS", False, "none known", "Add one: ./run nas add NAME ADDRESS")
    for row in rows:
        host = str(row.network).partition("/")[0]
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((host, 9))  # no packet leaves: this only asks the routing table
        except OSError as error:
            yield Finding(f"NAS {row.name}", False, f"{row.network}: {error.strerror}", "There is no route to it.")
        else:
            yield Finding(f"NAS {row.name}", True, f"{row.network} is routable")


def _mail_dns(config: Settings) -> Iterator[Finding]:
    from base.business import load_business
    from base.crypto import SecretsUnavailable, open_vault
    from base.database import DatabaseUnavailable, engine
    from billing.mail_dns import check_domain

    if config.sandbox:
        yield Finding("mail", True, "the sandbox keeps its mails to itself, so the DNS is not asked about them")
        return
    try:
        with engine().connect() as tx:
            business = load_business(tx, open_vault(config.secret_keys))
    except (DatabaseUnavailable, SecretsUnavailable, SQLAlchemyError) as error:
        yield Finding("mail", True, f"not looked at: {str(error).splitlines()[0]}")
        return
    domain = business.mail_from.rpartition("@")[2].strip().lower()
    if domain == "example.net":
        yield Finding(
            "mail",
            False,
            f"mail_from is still {business.mail_from}",
            "Set the address that your mails come from: ./run business set mail_from ADDRESS",
        )
        return
    for verdict in check_domain(domain, business.dkim_selector):
        yield Finding(f"{verdict.name} of {domain}", verdict.fine, verdict.found, verdict.advice)


def _stripe(_: Settings) -> Iterator[Finding]:
    from base.database import DatabaseUnavailable, engine
    from billing.stripe_check import kept

    try:
        with engine().connect() as tx:
            at, found = kept(tx)
    except (DatabaseUnavailable, SQLAlchemyError) as error:
        yield Finding("Stripe", True, f"not looked at: {str(error).splitlines()[0]}")
        return
    if at is None:
        yield Finding("Stripe", True, "not looked at yet; workers do so once an hour")
    for each in found:
        yield Finding("Stripe", each.ok, each.sentence, "Then run: tollkeeper stripe check")


def _running(config: Settings) -> bool:
    import fcntl

    try:
        with (config.data_dir / "supervisor.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _python, _clock, _data_dir, _keys, _database, _books, _pdf, _fonts, _dictionaries, _ports, _nas, _mail_dns, _stripe,
)  # fmt: skip
