"""What `./run` starts: the embedded PostgreSQL, every process of the house, and in the sandbox its pretend world."""

import fcntl
import os
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine, func, select, text

from base import pgembed
from base.database import DATABASE, PENDING_ADDRESS, address, connect
from base.process import die_with_parent
from base.settings import PREFIX, Settings, WrongSetting, load
from base.stop import Stop, stop_at
from base.tables import radius_node
from console import pretend_world
from console.addresses import keep_addresses
from console.ports import bind_udp, require_free_tcp
from console.schema import migrate
from console.supervisor import Program, Supervisor

_SHIFTED = [name for name in Settings.model_fields if name.endswith("_port")]


def run(*, sandbox: bool, fresh: bool, yes: bool, empty: bool, port_offset: int) -> int:
    """Start everything, say where it is, and keep it running until Ctrl-C; returns the exit code."""
    began = time.monotonic()
    config, addresses = _configure(sandbox, port_offset)
    if fresh and not _start_over(config, yes):
        return 2
    config.data_dir.mkdir(parents=True, exist_ok=True)
    with _only_one(config.data_dir):
        stop = stop_at(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if config.sandbox:
            keep_addresses(config.data_dir, addresses)
        supervisor = Supervisor(config.data_dir / "log", lambda text: click.echo(text, err=True))
        try:
            sockets = _claim_ports(config)
            _start_all(supervisor, config, sockets, demo=not empty)
            if not _wait_until_up(config, stop):
                return 0 if stop.is_set() else 1
            _welcome(config, time.monotonic() - began)
            supervisor.watch(stop)
        finally:
            if stop.is_set():
                click.echo("\nstopping ...", err=True)
            supervisor.stop()
    return 0


def _configure(sandbox: bool, offset: int) -> tuple[Settings, dict[str, str]]:
    """The settings of this start, put into the environment so that every child reads the same; and what it chose."""
    if sandbox:
        os.environ.setdefault(f"{PREFIX}SANDBOX", "true")
        os.environ.setdefault(f"{PREFIX}RADIUS_HOSTS", "127.0.0.1")
    config = load()
    changed: dict[str, object] = {}
    if offset:
        for name in _SHIFTED:
            port = getattr(config, name) + offset
            if not 1 <= port <= 65535:
                raise WrongSetting(f"--port-offset {offset} moves {name} to {port}; ports end at 65535.")
            changed[name] = port
    if config.sandbox:
        changed["public_url"] = f"http://{config.web_host}:{changed.get('web_port', config.web_port)}"
        changed["smtp_url"] = f"smtp://127.0.0.1:{changed.get('sandbox_mail_port', config.sandbox_mail_port)}"
    addresses = {name: str(value) for name, value in changed.items()}
    for name, value in {**addresses, "data_dir": str(config.data_dir.resolve())}.items():
        os.environ[PREFIX + name.upper()] = value
    return load(), addresses


def _start_over(config: Settings, yes: bool) -> bool:
    folder = config.data_dir
    if not folder.exists():
        return True
    if not config.sandbox:
        click.echo("--fresh deletes only a pretend provider's data; this is not the sandbox.", err=True)
        return False
    if not yes:
        if not sys.stdin.isatty():
            click.echo("--fresh deletes all data of the pretend provider; without a terminal it needs --yes.", err=True)
            return False
        if not click.confirm(f"Delete all data of the pretend provider in {folder}?"):
            return False
    with _only_one(folder):
        pgembed.erase(folder)
        for entry in folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    return True


class _only_one:
    """Hold the data folder: a second start fails with the first one's process number."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "supervisor.lock"

    def __enter__(self) -> None:
        self._file = self._path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            pid = self._file.read().strip() or "unknown"
            raise WrongSetting(
                f"Tollkeeper already runs on {self._path.parent} (process {pid}); stop it with Ctrl-C or: kill {pid}"
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _claim_ports(config: Settings) -> dict[str, list[socket.socket]]:
    """Bind the UDP sockets that radius inherits, and see that every TCP port is free, before anything starts."""
    require_free_tcp(config.web_host, config.web_port, "web_port")
    if config.sandbox:
        require_free_tcp("127.0.0.1", config.sandbox_stripe_port, "sandbox_stripe_port")
        require_free_tcp("127.0.0.1", config.sandbox_mail_port, "sandbox_mail_port")
        bind_udp("127.0.1.1", config.sandbox_coa_port, "sandbox_coa_port").close()  # the first simulated NAS
    return {
        "auth": [bind_udp(host, config.radius_auth_port, "radius_auth_port") for host in config.radius_hosts],
        "acct": [bind_udp(host, config.radius_acct_port, "radius_acct_port") for host in config.radius_hosts],
    }


def _start_all(
    supervisor: Supervisor, config: Settings, sockets: dict[str, list[socket.socket]], *, demo: bool
) -> None:
    if config.database_url is None:
        click.echo("Starting the database ...")
        _start_postgres(supervisor, config)
    engine = connect(address(config))
    migrate(engine)
    engine.dispose()
    if config.sandbox:
        pretend_world.prepare(config, demo=demo)
    click.echo("Starting the processes ...")
    for program in _programs(config, sockets):
        supervisor.start(program)


def _start_postgres(supervisor: Supervisor, config: Settings) -> None:
    cluster = pgembed.prepare(config.data_dir, config.postgres_account)
    child = supervisor.start(
        Program(
            "postgres",
            pgembed.command(cluster),
            environment=pgembed.environment(),
            stop_signal=pgembed.STOP_SIGNAL,
            last=True,
            before_start=lambda: pgembed.clear_remains(cluster),
        )
    )
    pgembed.wait_ready(cluster, alive=lambda: child.process.poll() is None)
    pgembed.create_database(cluster, DATABASE)
    url = pgembed.url(cluster, DATABASE)
    pending = config.data_dir / PENDING_ADDRESS
    pending.write_text(url + "\n")


def _programs(config: Settings, sockets: dict[str, list[socket.socket]]) -> list[Program]:
    def ours(name: str, *arguments: str, **more: Any) -> Program:
        return Program(name, die_with_parent([sys.executable, "-m", "console", *arguments]), **more)

    def pretend(name: str, module: str, environment: dict[str, str]) -> Program:
        return Program(name, die_with_parent([sys.executable, "-m", module]), environment={**os.environ, **environment})

    handed = [(name, sock.fileno()) for name, group in sockets.items() for sock in group]
    with_sockets = {**os.environ, f"{PREFIX}SOCKETS": ",".join(f"{name}:{number}" for name, number in handed)}
    programs = [
        ours("radius", "radius", environment=with_sockets, descriptors=[number for _, number in handed]),
        ours("web", "web"),
        ours("coa", "coa"),
        ours("ingest", "ingest"),
        ours("worker", "worker", "--beat"),
        ours("documents", "worker", "--lanes", "documents"),
    ]
    if config.sandbox:
        programs[1:1] = [
            pretend("stripe", "sandbox.stripe", pretend_world.stripe_environment(config)),
            pretend("mail", "sandbox.mail", {}),
        ]
        programs.append(pretend("nas", "sandbox.nas", {}))
    return programs


def _wait_until_up(config: Settings, stop: Stop) -> bool:
    """Until portal, radius and the pretend Stripe are there; False when it was stopped or takes a minute."""
    url = f"http://{config.web_host}:{config.web_port}/healthz"
    deadline = time.monotonic() + 60
    portal, node, stripe = False, False, not config.sandbox
    engine = connect(address(config), pool_size=1)
    while not stop.wait(0.05):
        if time.monotonic() > deadline:
            click.echo(f"Not up after a minute; the logs in {config.data_dir / 'log'} say why.", err=True)
            return False
        try:
            if not portal:
                with urllib.request.urlopen(url, timeout=1) as answer:
                    portal = answer.status == 200
            node = node or _radius_reports(engine)
            stripe = stripe or _listens(config.sandbox_stripe_port)
        except (urllib.error.URLError, OSError):
            continue
        if portal and node and stripe:
            return True
    return False


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def _radius_reports(engine: Engine) -> bool:
    with engine.connect() as connection:
        seen = connection.scalar(
            select(radius_node.c.id).where(radius_node.c.seen_at > func.clock_timestamp() - text("interval '2 s'"))
        )
    return seen is not None


def _welcome(config: Settings, seconds: float) -> None:
    click.echo(f"Tollkeeper is up after {seconds:.1f} s.\n")
    click.echo(f"  Portal   {config.public_url}")
    click.echo(f"  Staff    {config.public_url}/staff")
    hosts = ", ".join(config.radius_hosts)
    click.echo(f"  RADIUS   {hosts}, logins on {config.radius_auth_port}, accounting on {config.radius_acct_port}")
    if config.sandbox:
        click.echo(pretend_world.welcome(config))
    click.echo(f"\nData and logs: {config.data_dir}. Ctrl-C stops everything.")
