"""The database door: engines, transactions, LISTEN, and the check that the schema is one this release knows."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache

import psycopg
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import make_url

from base import clock
from base.settings import Settings, settings

DATABASE = "tollkeeper"
PENDING_ADDRESS = "database-url"  # file in data_dir: the supervisor writes the embedded server's address into it


class DatabaseUnavailable(Exception):
    """No address of a database is known; the message says what to do."""


def address(config: Settings) -> str:
    """The SQLAlchemy URL: the operator's own server, or the embedded one that the supervisor started."""
    if config.database_url is not None:
        url = make_url(config.database_url.get_secret_value()).set(drivername="postgresql+psycopg")
        return url.render_as_string(hide_password=False)
    try:
        return (config.data_dir / PENDING_ADDRESS).read_text().strip()
    except OSError:
        raise DatabaseUnavailable(
            f"the embedded PostgreSQL of {config.data_dir.resolve()} has not been started yet; "
            "start it with ./run, or set TOLLKEEPER_DATABASE_URL"
        ) from None


def connect(url: str, *, pool_size: int = 5) -> Engine:
    """An engine whose connections speak UTC and read committed."""
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        connect_args={"options": "-c timezone=UTC", "connect_timeout": 5, "application_name": "tollkeeper"},
    )


@cache
def engine() -> Engine:
    """The engine of this process."""
    config = settings()
    return connect(address(config), pool_size=max(5, config.worker_threads + 2, min(16, config.web_threads)))


@contextmanager
def transaction(on: Engine | None = None) -> Iterator[Connection]:
    """One transaction: committed at the end of the block, rolled back when it raises.

    In the sandbox each transaction first learns what time it is, so that time travel reaches every process.
    """
    with (on or engine()).begin() as tx:
        if settings().sandbox:
            follow_sandbox_clock(tx)
        yield tx


def follow_sandbox_clock(tx: Connection) -> None:
    """Set this process's business clock to the sandbox's."""
    seconds = tx.exec_driver_sql("SELECT offset_seconds FROM sandbox_clock").scalar()  # plain: it begins everything
    clock.travel_to_offset(timedelta(seconds=seconds or 0))


def raw_connection(url: str) -> psycopg.Connection:
    """An autocommit psycopg connection outside the pool, for LISTEN and session advisory locks."""
    parsed = make_url(url).set(drivername="postgresql")
    return psycopg.connect(
        parsed.render_as_string(hide_password=False),
        autocommit=True,
        connect_timeout=5,
        application_name="tollkeeper-listen",
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
    )


def notify(tx: Connection, channel: str) -> None:
    """Ring a bell that PostgreSQL delivers at commit; it wakes, the table tells."""
    tx.exec_driver_sql(f"NOTIFY {channel}")
