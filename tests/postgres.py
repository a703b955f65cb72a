"""Databases for tests: one throw-away server per test run, and fresh copies of a migrated template in milliseconds.

    template = migrated_template(migrate)    `migrate(url)` runs once per test run, whatever the number of workers
    url = create_database(template)
    drop_database(url)

The server is embedded, forgetful, shared by all workers of pytest-xdist, and kept by a guard: a process that waits
for the end of the pytest that was started first, however it ends, and then removes everything. With
TOLLKEEPER_TEST_DATABASE_URL (an SQLAlchemy URL of a role that may create databases) that server is used instead, and
the guard drops what the run created.
"""

import contextlib
import fcntl
import functools
import hashlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from base import pgembed

GIVEN = "TOLLKEEPER_TEST_DATABASE_URL"
QUICK = {"synchronous_commit": "off", "wal_level": "minimal", "max_wal_senders": "0", "autovacuum": "off"}
"""Of the embedded server: nothing of it is kept, and no database lives long enough to be cleaned up."""


def create_database(template: str = "template1") -> str:
    """Create a database as a copy of the template and return its URL."""
    return _url_of(_create(f"{_prefix()}{uuid.uuid4().hex[:12]}", template))


def drop_database(url: str) -> None:
    """Drop a database made by `create_database`, even if somebody is still connected to it."""
    _administer(_server(), sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(make_url(url).database)))


@functools.cache
def migrated_template(migrate: Callable[[str], None]) -> str:
    """Return the name of a database that `migrate(url)` has filled; the first who asks in this test run runs it."""
    key = hashlib.sha256(f"{migrate.__module__}.{migrate.__qualname__}".encode()).hexdigest()[:12]
    name = f"{_prefix()}template_{key}"
    server = _server()
    with _locked():
        finished = "SELECT NOT datallowconn FROM pg_database WHERE datname = {}"
        found = _administer(server, sql.SQL(finished).format(name))
        if found != [(True,)]:
            if found:  # by somebody who failed in the middle
                drop_database(_url_of(name))
            migrate(_url_of(_create(name, "template1")))
            _administer(server, sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
    return name


def _create(name: str, template: str) -> str:
    names = [sql.Identifier(name), sql.Identifier(template)]
    # Copying files takes a third of the time of logging every page, where a checkpoint costs nothing.
    how = "" if os.environ.get(GIVEN) else " STRATEGY file_copy"
    _administer(_server(), sql.SQL("CREATE DATABASE {} TEMPLATE {}" + how).format(*names))
    return name


def _administer(server: URL, statement: sql.Composed) -> list[tuple]:
    answer = _connection(server).execute(statement)
    return answer.fetchall() if answer.description else []


@functools.cache
def _connection(server: URL) -> psycopg.Connection:
    """One for this process: a test asks three times."""
    return psycopg.connect(server.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True)


def _url_of(name: str) -> str:
    return _server().set(database=name).render_as_string(hide_password=False)


@functools.cache
def _controller() -> int:
    """Return the process whose end is the end of the test run: pytest, or the pytest that started this xdist worker."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return os.getpid()
    parent = os.getppid()
    assert os.getsid(parent) == os.getsid(0), "the test run was killed before it asked for a database"
    return parent


@functools.cache
def _prefix() -> str:
    """Return what the names of this run's databases begin with."""
    born = Path(f"/proc/{_controller()}/stat").read_text().rpartition(")")[2].split()[19]
    return f"tktest_{_controller()}_{born}_"


def quick_folder() -> Path:
    """Return the folder for throw-away data: in memory if there is room (and no TMPDIR), else the temporary one."""
    memory = Path("/dev/shm")
    if "TMPDIR" not in os.environ and os.access(memory, os.W_OK):
        room = os.statvfs(memory)
        if room.f_bavail * room.f_frsize > 2**30 and not room.f_flag & os.ST_NOEXEC:
            return memory
    return Path(tempfile.gettempdir())


@functools.cache
def _folder() -> Path:
    """Make the folder of this test run, which every account can enter."""
    folder = quick_folder() / f"{_prefix()}{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o755)
    assert folder.lstat().st_uid == os.getuid(), f"{folder} belongs to somebody else"
    return folder


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Hold the lock of this test run."""
    descriptor = os.open(_folder(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@functools.cache
def _server() -> URL:
    folder = _folder()
    ready = folder / "url"
    with _locked():
        if not ready.exists():
            end = os.pidfd_open(_controller())
            with (folder / "log").open("w") as log:
                argv = [sys.executable, "-m", "tests.postgres", str(end), str(folder), _prefix()]
                guard = subprocess.Popen(
                    argv,
                    cwd=Path(__file__).parents[1],
                    pass_fds=[end],
                    start_new_session=True,  # Ctrl-C is for pytest
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            os.close(end)
            while not ready.exists():
                assert guard.poll() is None, (folder / "log").read_text()
                time.sleep(0.02)
            guard.returncode = 0  # it is meant to outlive us
        return make_url(ready.read_text())


def _guard(end: int, folder: Path, prefix: str) -> None:
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, folder)
        if os.environ.get(GIVEN):
            server = make_url(os.environ[GIVEN])
            cleanup.callback(_drop_all, server, prefix)
        else:
            cluster = pgembed.prepare(folder / "pg", durable=False, state_dir=folder / "state")
            options = [word for name, value in QUICK.items() for word in ("-c", f"{name}={value}")]
            postgres = subprocess.Popen([*pgembed.command(cluster), *options], env=pgembed.environment(), cwd="/")
            cleanup.callback(postgres.wait)
            cleanup.callback(postgres.send_signal, signal.SIGQUIT)  # at once, yet leaving no shared memory behind
            pgembed.wait_ready(cluster, alive=lambda: postgres.poll() is None)
            server = make_url(pgembed.url(cluster, "postgres"))
        part = folder / "url.part"
        part.touch(mode=0o600)
        part.write_text(server.render_as_string(hide_password=False))
        part.rename(folder / "url")
        select.select([end], [], [])


def _drop_all(server: URL, prefix: str) -> None:
    ours = sql.SQL("SELECT datname FROM pg_database WHERE starts_with(datname, {})").format(prefix)
    for (name,) in _administer(server, ours):
        _administer(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


if __name__ == "__main__":
    _guard(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
