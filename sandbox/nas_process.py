"""The demo's network: the simulated NASes of the database, with every subscriber's router behind one of them.

It follows the tables: a service added in the portal comes online here within seconds, a changed password is used at
the next login, and time travel is felt at once.
"""

import signal
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

import psycopg
from sqlalchemy import Engine, Row, select
from sqlalchemy.exc import SQLAlchemyError

from base.clock import CHANNEL
from base.crypto import SecretsUnavailable, Vault, open_vault
from base.database import DatabaseUnavailable, address, connect, raw_connection, transaction
from base.log import configure, logger
from base.settings import Settings, WrongSetting, settings
from base.stop import Stop, stop_at
from base.tables import nas, service
from sandbox.nas import FIRST_PAUSE, LONGEST_PAUSE, REDIAL, Nas
from sandbox.nas_session import Method, Session

DEMO = "Demo"  # names of the NAS rows that are simulated begin with it
LOOK = 3.0  # seconds between two readings of the tables
PATIENCE = 0.25  # seconds within which a wish to end is noticed
INTERIM = 60.0  # seconds, where the Access-Accept says nothing


@dataclass(frozen=True, slots=True)
class Login:
    """What a subscriber's router has been given."""

    username: str
    password: str = field(repr=False)
    port: int
    "Where it is plugged in: the first service that had this login, also once the line is another subscriber's."


class Network:
    """The simulated NASes and the routers behind them, as the tables last said."""

    def __init__(self, config: Settings, vault: Vault) -> None:
        self._config, self._vault = config, vault
        self._nases: list[Nas] = []
        self._switched_on: list[threading.Event] = []
        self._logins: dict[str, Login] = {}
        self._closing = threading.Event()

    def look(self, engine: Engine) -> None:
        """Read the tables (and the sandbox's time with them); start what is new."""
        with transaction(engine) as tx:
            rows = tx.execute(select(nas).where(nas.c.name.startswith(DEMO)).order_by(nas.c.id)).all()
            lines = tx.execute(select(service.c.id, service.c.login, service.c.password).order_by(service.c.id)).all()
        if not self._nases:
            self._nases = [self._build(row) for row in rows]
            for each in self._nases:
                self._switched_on.append(threading.Event())
                threading.Thread(target=self._switch_on, args=(each, self._switched_on[-1]), daemon=True).start()
        known = set(self._logins)
        if self._nases:
            ports: dict[str, int] = {}
            for row in lines:
                ports.setdefault(row.login, row.id)
            self._logins = {
                row.login: Login(row.login, self._vault.unlock_text(row.password), ports[row.login]) for row in lines
            }
        for username in self._logins.keys() - known:
            threading.Thread(target=self._keep_online, args=(username,), daemon=True).start()

    def close(self) -> None:
        """Switch everything off."""
        self._closing.set()
        for each in self._nases:
            each.close()

    def _build(self, row: Row[Any]) -> Nas:
        config = self._config
        place = str(row.network.network_address)
        try:
            return Nas(
                place,
                self._vault.unlock(row.secret),
                row.kind,
                row.name.lower().replace(" ", "-"),
                radius=(
                    next(host for host in config.radius_hosts if ":" not in host),
                    config.radius_auth_port,
                    config.radius_acct_port,
                ),
                coa_port=row.coa_port,
            )
        except OSError as error:
            raise WrongSetting(
                f"UDP port {row.coa_port} of {place} cannot be taken for {row.name} ({error.strerror}); "
                "the setting sandbox_coa_port moves it."
            ) from None

    def _switch_on(self, fresh: Nas, switched_on: threading.Event) -> None:
        """Have the sessions of an earlier run closed before the first new one begins."""
        while not fresh.reboot() and not self._closing.wait(FIRST_PAUSE):
            pass
        logger().info("nas.ready", nas=fresh.identifier, address=fresh.address, kind=fresh.kind)
        switched_on.set()

    def _keep_online(self, username: str) -> None:
        """A subscriber's router: log in, be counted, come back; ever more patiently while it is rejected."""
        port = self._logins[username].port
        place = port % len(self._nases)
        behind = self._nases[place]
        self._switched_on[place].wait()
        method: Method = "chap" if port % 2 else "pap"
        wait, pause = 0.0, FIRST_PAUSE
        while not self._closing.wait(wait) and (login := self._logins.get(username)) is not None:
            outcome = behind.login(login.username, login.password, method, redial=False)
            if isinstance(outcome, Session):
                while not outcome.ended.wait(outcome.interim or INTERIM):
                    behind.interim(outcome)
                wait, pause = REDIAL, FIRST_PAUSE
            else:
                wait, pause = pause, min(2 * pause, LONGEST_PAUSE)


def run(config: Settings) -> None:
    """Keep the demo's subscribers online until SIGTERM or SIGINT."""
    stop = stop_at(signal.SIGTERM, signal.SIGINT)
    network = Network(config, open_vault(config.secret_keys))
    url = address(config)
    engine = connect(url, pool_size=1)
    try:
        while not stop.is_set():
            try:
                with raw_connection(url) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    while not stop.is_set():
                        network.look(engine)
                        _wait_for_bell(connection, stop)
            except (psycopg.OperationalError, SQLAlchemyError) as error:
                logger().warning("database.away", error=str(error).splitlines()[0])
                stop.wait(0.5)
    finally:
        network.close()
        engine.dispose()


def _wait_for_bell(connection: psycopg.Connection, stop: Stop) -> None:
    """Until somebody has travelled, LOOK seconds are over, or it is time to end."""
    for _ in range(int(LOOK / PATIENCE)):
        if stop.is_set() or list(connection.notifies(timeout=PATIENCE, stop_after=1)):
            return


def main() -> None:
    """The process `python -m sandbox.nas`; 2 and a sentence where it cannot run."""
    try:
        config = settings()
        if not config.sandbox:
            raise WrongSetting("The simulated NASes run only in the sandbox (TOLLKEEPER_SANDBOX is not true).")
        configure(config, "nas")
        run(config)
    except (WrongSetting, DatabaseUnavailable, SecretsUnavailable) as error:
        print(f"tollkeeper: {error}", file=sys.stderr)
        sys.exit(2)
