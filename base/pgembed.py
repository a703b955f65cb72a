"""The embedded PostgreSQL: one private cluster, started as a direct child of whoever calls.

    cluster = prepare(data_dir)                      folders, account, initdb; clears what a crash left behind
    server = Popen(command(cluster), env=environment(), cwd="/")
    wait_ready(cluster, alive=lambda: server.poll() is None)
    create_database(cluster, "tollkeeper"); url(cluster, "tollkeeper")
    server.send_signal(STOP_SIGNAL)

Before every further start: `clear_remains(cluster)`. Other processes get the same Cluster by `find(data_dir)`.
The server listens on a socket in a 0700 folder and nowhere else, which is why it may trust whoever reaches it.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
from psycopg import conninfo, sql

from base.pgembed_place import (
    RECORD,
    SOCKET_FILE,
    Cluster,
    checkout_id,
    choose_account,
    choose_home,
    choose_socket,
    make_folder,
    make_private,
    read_record,
    write_record,
)
from base.pgembed_programs import EmbeddedPostgresError, find_programs, runnable, tool
from base.process import die_with_parent, has_ended

__all__ = [
    "STOP_SIGNAL",
    "Cluster",
    "EmbeddedPostgresError",
    "clear_remains",
    "command",
    "create_database",
    "dsn",
    "environment",
    "erase",
    "find",
    "prepare",
    "running_pid",
    "tool",
    "url",
    "wait_ready",
]

OWNER = "tollkeeper"
STOP_SIGNAL = signal.SIGINT  # fast shutdown: sessions are rolled back and closed, a checkpoint is written
STATE_DIR = Path("/var/lib/tollkeeper")
LONGEST_RECOVERY = 3600.0
CHILDREN_WAIT = 30.0
UNFINISHED = "data.part"

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",
    "cluster_name": "tollkeeper",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "huge_pages": "off",
    "wal_level": "replica",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] %q%d: ",
}
FORGETFUL = {"fsync": "off", "full_page_writes": "off"}  # still keeps what was committed when only the server dies


def prepare(data_dir: Path, run_as: str | None = None, *, durable: bool = True, state_dir: Path = STATE_DIR) -> Cluster:
    """Make the cluster ready to be started, creating it if it is new, and return it.

    Started by root, the server runs as `run_as`, else as the owner of the existing data, else as the first of
    postgres and nobody that works. Where that account cannot enter `data_dir`, the cluster lives in
    `state_dir`/<hash of the real path>, and where it cannot run the wheel's programs, it gets a copy of them
    beside its data. A cluster that is new appears whole or not at all. Raises EmbeddedPostgresError.
    """
    folder = Path(os.path.realpath(data_dir))
    with _explained(folder):
        programs = find_programs()
        known = read_record(folder)
        account = choose_account(run_as, (known.home if known else folder) / "data")
        make_folder(folder, 0o711 if account else 0o700)
        with _locked(folder):
            known = read_record(folder)  # another start may have made it just now
            home = known.home if known else choose_home(folder, account, state_dir)
            _refuse_running(home / "data")
            programs = runnable(programs, account, home)
            socket = choose_socket(home, known.socket if known else None, account, checkout_id(folder))
            cluster = Cluster(folder, home, home / "data", socket, programs.bin, account, durable)
            clear_remains(cluster)
            if not cluster.data.exists():
                _create(cluster, programs.major)
            _check_version(cluster, programs.major)
            write_record(cluster)
        return cluster


def find(data_dir: Path) -> Cluster:
    """Return the cluster that `prepare` made for this folder, to connect to it."""
    folder = Path(os.path.realpath(data_dir))
    with _explained(folder):
        known = read_record(folder)
    if known is None:
        raise EmbeddedPostgresError(f"There is no database in {folder} yet. Start Tollkeeper once to make it.")
    return known


def erase(data_dir: Path) -> None:
    """Delete the cluster of this folder with all its data; nothing happens if there is none, an error if it runs."""
    folder = Path(os.path.realpath(data_dir))
    with _explained(folder):
        cluster = read_record(folder)
        if cluster is None:
            return
        with _locked(folder):
            clear_remains(cluster)
            cluster.data.replace(cluster.home / UNFINISHED)  # if this is interrupted, half a cluster is never met
            (folder / RECORD).unlink()
            for part in (cluster.home / UNFINISHED, cluster.socket, *cluster.home.glob("programs-*")):
                if part.exists():
                    shutil.rmtree(part)
        if cluster.home != folder:
            with contextlib.suppress(OSError):  # unclaimed data of an older installation stays
                cluster.home.rmdir()


def command(cluster: Cluster) -> list[str]:
    """Return the command that runs the server in the foreground, as the right account, tied to the calling process.

    For Popen with `environment()`, from a thread that lives as long as the process; the child's pid is the server's.
    """
    settings = SETTINGS | ({} if cluster.durable else FORGETFUL)
    settings["unix_socket_directories"] = '"' + str(cluster.socket).replace('"', '""') + '"'
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    argv = [str(cluster.programs / "postgres"), "-D", str(cluster.data), *options]
    return die_with_parent(argv, STOP_SIGNAL, cluster.account)


def environment() -> dict[str, str]:
    """Return the whole environment of the server and its tools: nothing of ours, so that no PG* variable interferes."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def wait_ready(cluster: Cluster, timeout: float = 60.0, alive: Callable[[], bool] = lambda: True) -> None:
    """Return when the server answers a query.

    `timeout` is in seconds and starts anew whenever the server says that it is starting up: recovery after a
    crash takes as long as it takes, up to an hour. `alive` says whether the server's process still runs.
    """
    begun = heard = time.monotonic()
    pause = 0.01
    while True:
        running = alive()
        try:
            with psycopg.connect(dsn(cluster, "postgres"), connect_timeout=5) as connection:
                connection.execute("SELECT 1")
            return
        except psycopg.OperationalError as error:
            reason = " ".join(str(error).split())
        now = time.monotonic()
        if "starting up" in reason or "not yet accepting connections" in reason:
            heard = now
        if not running:
            raise EmbeddedPostgresError(
                f"PostgreSQL ended while it was starting on {cluster.data}. The last lines of its log say why."
            )
        if now - heard > timeout or now - begun > LONGEST_RECOVERY:
            raise EmbeddedPostgresError(
                f"PostgreSQL on {cluster.data} does not answer after {now - begun:.0f} s: {reason}. Look into its log."
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)


def create_database(cluster: Cluster, name: str) -> None:
    """Create the database if it is not there."""
    with psycopg.connect(dsn(cluster, "postgres"), autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).rowcount:
            return
        with contextlib.suppress(
            psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation
        ):  # by another, just now
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def url(cluster: Cluster, database: str) -> str:
    """Return the SQLAlchemy URL of a database of this cluster."""
    query = urlencode({"host": str(cluster.socket), "port": SETTINGS["port"]}, quote_via=quote)
    return f"postgresql+psycopg://{OWNER}@/{quote(database, safe='')}?{query}"


def dsn(cluster: Cluster, database: str) -> str:
    """Return the libpq connection string of a database of this cluster, for psycopg, psql and pg_dump."""
    return conninfo.make_conninfo(host=str(cluster.socket), port=SETTINGS["port"], user=OWNER, dbname=database)


def running_pid(cluster: Cluster) -> int | None:
    """Return the pid of the server that runs on this data, None if none does."""
    return _running_pid(cluster.data)


def clear_remains(cluster: Cluster) -> None:
    """Remove the lock files that a killed server left; raise if a server, or a part of one, works on this data.

    The children of a killed server end by themselves within moments, after their current query at the latest;
    they are waited for, since they keep shared memory that PostgreSQL would refuse to start beside. The lock
    files fall when no living postgres works on the data: their process is gone, a zombie, or some other program
    that got its number. Nothing is ever killed.
    """
    _refuse_running(cluster.data)
    deadline = time.monotonic() + CHILDREN_WAIT
    while left := _processes(cluster.data):
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"Processes of a PostgreSQL that was killed still work on {cluster.data}. "
                f"Wait until they end, or stop them with: kill {' '.join(map(str, left))}"
            )
        time.sleep(0.02)
    for lock in (cluster.data / "postmaster.pid", cluster.socket / f"{SOCKET_FILE}.lock", cluster.socket / SOCKET_FILE):
        lock.unlink(missing_ok=True)


def _running_pid(data: Path) -> int | None:
    try:
        pid = int((data / "postmaster.pid").read_text().partition("\n")[0])
    except (FileNotFoundError, ValueError):
        return None
    return pid if _serves(pid, data) else None


def _refuse_running(data: Path) -> None:
    pid = _running_pid(data)
    if pid is not None:
        raise EmbeddedPostgresError(
            f"PostgreSQL already runs on {data}: it is process {pid}. Stop the Tollkeeper that started it, "
            f"or, if there is none, stop it with: kill -INT {pid}"
        )


def _serves(pid: int, data: Path) -> bool:
    """Say whether this process is a living postgres on this data; every one of them works in its data directory."""
    try:
        program = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
        same = os.path.samestat(os.stat(f"/proc/{pid}/cwd"), data.stat())
    except OSError:  # it has ended, or belongs to somebody else, who cannot work on our data
        return False
    return same and os.path.basename(program) == "postgres" and not has_ended(pid)


def _processes(data: Path) -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and _serves(int(name), data)]


def _create(cluster: Cluster, major: int) -> None:
    """Run initdb beside the final place and move the finished directory there, so that half a cluster is never met."""
    staging = cluster.home / UNFINISHED
    if staging.exists():
        shutil.rmtree(staging)
    make_private(staging, cluster.account)
    # Sorting by code point, the same on every machine. Before 17 only the C library can do that.
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= 17 else ["--locale=C.UTF-8"]
    argv = [str(cluster.programs / "initdb"), "-D", str(staging), "-U", OWNER, "--auth=trust"]
    argv += ["--encoding=UTF8", "--data-checksums", *locale, *([] if cluster.durable else ["--no-sync"])]
    done = subprocess.run(
        die_with_parent(argv, account=cluster.account),
        env=environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        shutil.rmtree(staging, ignore_errors=True)
        raise EmbeddedPostgresError(
            f"initdb could not create the database in {cluster.home}: exit code {done.returncode}, "
            f"{done.stderr.strip()}"
        )
    staging.rename(cluster.data)


def _check_version(cluster: Cluster, major: int) -> None:
    made_by = (cluster.data / "PG_VERSION").read_text().strip()
    if made_by != str(major):
        raise EmbeddedPostgresError(
            f"The database in {cluster.data} was made by PostgreSQL {made_by}, and the programs in {cluster.programs} "
            f"are version {major}. Install {made_by} again and dump the database with pg_dump, "
            "then restore it into a new data_dir."
        )


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into a sentence."""
    try:
        yield
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The database in {folder} cannot be used: {error}. Start as the user who started it before, "
            "give this user the right to write there, or choose another data_dir."
        ) from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold off a second start on this folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
