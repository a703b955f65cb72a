"""Where an embedded cluster lives, and as whom: the account, the home folder and the socket folder.

PostgreSQL refuses to run as root, so root runs it as an account that exists already. Whether that account can
enter a folder or run a program is found out by trying it as that account. No permission of a folder that we did
not make is ever changed. A record in the data_dir tells other processes, and the next start, what was chosen.
"""

import hashlib
import json
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from base.pgembed_programs import EmbeddedPostgresError, can_run

ACCOUNTS = ("postgres", "nobody", "daemon", "bin")
SOCKET_FILE = ".s.PGSQL.5432"
SOCKET_PATH_LIMIT = 107  # bytes of sun_path in unix(7), without the closing zero
RECORD = "cluster.json"
RECORD_FORMAT = 1


@dataclass(frozen=True)
class Cluster:
    """One PostgreSQL cluster: where it is and as whom it runs.

    `folder`: the data_dir asked for. `home`: the folder that holds the cluster, mostly the same. `data`: PGDATA.
    `socket`: the socket's folder. `programs`: the folder of its programs. `account`: whom it runs as, None for
    the calling user. `durable`: False if a crash of the machine may destroy the data (tests).
    """

    folder: Path
    home: Path
    data: Path
    socket: Path
    programs: Path
    account: str | None
    durable: bool


def choose_account(wanted: str | None, data: Path) -> str | None:
    """Return the account the server runs as, None for the one we are.

    `wanted` is the operator's choice, `data` the cluster's data directory, which may not exist yet: its owner stays.
    """
    euid = os.geteuid()
    owner = data.stat().st_uid if data.exists() else None
    if euid != 0:
        me = _name(euid)
        if me is None:
            raise EmbeddedPostgresError(
                f"The user id {euid} has no line in /etc/passwd, and PostgreSQL refuses to start without one. "
                "Add a line for it, or set database_url to a PostgreSQL server of your own."
            )
        if wanted not in (None, me):
            raise EmbeddedPostgresError(
                f"Only root can run PostgreSQL as {wanted}, and this is {me}. Start as root or as {wanted}."
            )
        if owner not in (None, euid):
            raise EmbeddedPostgresError(
                f"The database in {data} belongs to {_name(owner) or owner}, and this is {me}. "
                "Start the way it was started first (as root, or as that account)."
            )
        return None
    if owner:
        if wanted not in (None, _name(owner)):
            raise EmbeddedPostgresError(
                f"The database in {data} belongs to {_name(owner) or owner}, not to {wanted}. Run "
                f"chown -R {wanted} {data}, or set postgres_account to {_name(owner) or owner}."
            )
        wanted = _name(owner)
    candidates = ACCOUNTS if wanted is None else (wanted,)
    for name in candidates:
        if name != "root" and can_run(name, ["/bin/sh", "-c", ":"]):
            return name
    raise EmbeddedPostgresError(
        f"PostgreSQL refuses to run as root, and this machine offers no other account: tried {', '.join(candidates)}. "
        "Start as an ordinary user, or set postgres_account to an account that exists."
    )


def checkout_id(data_dir: Path) -> str:
    """Return the short name of this data directory, made of its real path."""
    return hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]


def choose_home(data_dir: Path, account: str | None, state_dir: Path) -> Path:
    """Return the folder that holds the cluster: `data_dir`, or one in `state_dir` if the account cannot enter it."""
    if account is None or can_run(account, ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(data_dir)]):
        return data_dir
    home = state_dir / checkout_id(data_dir)
    make_folder(home, 0o711)
    if not can_run(account, ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(home)]):
        raise EmbeddedPostgresError(
            f"The account {account}, which runs PostgreSQL here, can enter neither {data_dir} nor {home}. "
            "Make one of them enterable for it, choose another data_dir, or set postgres_account to another account."
        )
    if (home / "data").exists():  # left by an installation that was deleted: nobody may meet its rows, nor lose them
        kept = Path(tempfile.mkdtemp(prefix="data-unclaimed-", dir=home))
        (home / "data").rename(kept / "data")
    return home


def choose_socket(home: Path, recorded: Path | None, account: str | None, name: str) -> Path:
    """Make and return the 0700 folder of the socket: in `home`, or a short one elsewhere if that path is too long.

    `recorded` is the folder used last time; it is kept if it still fits and is truly ours. `name` is the cluster's own.
    """
    inside = home / "socket"
    if _fits(inside):
        if not inside.exists():
            make_private(inside, account)
        return _verified(inside, account)
    prefix = f"tollkeeper-{name}-"
    if recorded is not None and recorded.name.startswith(prefix):  # not so in a copy of another installation
        if not os.path.lexists(recorded) and recorded.parent.is_dir():
            make_private(recorded, account)  # a temporary folder is emptied at boot
        if _is_private(recorded, account):
            return recorded
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    usable = account is None and runtime.startswith("/") and _is_private(Path(runtime), None)
    for parent in ([runtime] if usable else []) + [tempfile.gettempdir(), "/tmp", "/var/tmp"]:  # noqa: S108
        if not _fits(Path(parent, prefix + "12345678")):
            continue
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        _give(folder, account)
        if can_run(account, ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)]):
            return folder
        folder.rmdir()
    raise EmbeddedPostgresError(
        f"No place for PostgreSQL's socket: {inside} is longer than {SOCKET_PATH_LIMIT} bytes, and neither "
        f"XDG_RUNTIME_DIR nor {tempfile.gettempdir()} can be used instead. Choose a shorter data_dir."
    )


def make_folder(path: Path, mode: int) -> None:
    """Make the folder with this mode, and missing parents with 0755, whatever the umask; leave what exists as it is."""
    if path.is_dir():
        return
    make_folder(path.parent, 0o755)
    path.mkdir()
    path.chmod(mode)


def make_private(path: Path, account: str | None) -> None:
    """Make a folder, 0700, that belongs to the account."""
    path.mkdir(mode=0o700)
    path.chmod(0o700)
    _give(path, account)


def write_record(cluster: Cluster) -> None:
    """Write down where the cluster is, for other processes and the next start."""
    record = {
        "format": RECORD_FORMAT,
        "home": None if cluster.home == cluster.folder else str(cluster.home),  # may be moved with its folder
        "socket": None if cluster.socket.parent == cluster.home else str(cluster.socket),
        "programs": str(cluster.programs),
        "account": cluster.account,
        "durable": cluster.durable,
    }
    part = cluster.folder / f"{RECORD}.part"
    part.unlink(missing_ok=True)
    with part.open("x") as file:
        os.fchmod(file.fileno(), 0o644)
        json.dump(record, file, indent=1)
    part.replace(cluster.folder / RECORD)


def read_record(folder: Path) -> Cluster | None:
    """Return the cluster that was written down for this folder, None if there is none."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        record = {}
    if record.get("format") != RECORD_FORMAT:
        raise EmbeddedPostgresError(
            f"{path} has a format that this version does not know. Use the version of Tollkeeper that wrote it."
        )
    home = Path(record["home"] or folder)
    if home != folder and home.name != checkout_id(folder):
        raise EmbeddedPostgresError(
            f"{folder} was moved or copied: its database is in {home} and belongs to the folder's old place. "
            f"Move the folder back, or delete {path} to start with an empty database."
        )
    if not (home / "data").is_dir():
        raise EmbeddedPostgresError(
            f"{path} says that the database is in {home / 'data'}, and it is not there. "
            f"Bring it back (is a disk not mounted?), or delete {path} to start with an empty database."
        )
    socket = Path(record["socket"] or home / "socket")
    return Cluster(folder, home, home / "data", socket, Path(record["programs"]), record["account"], record["durable"])


def _give(path: Path, account: str | None) -> None:
    if account:
        shutil.chown(path, account, pwd.getpwnam(account).pw_gid)


def _fits(folder: Path) -> bool:
    # libpq reads a comma in a host as the start of another host
    return len(os.fsencode(folder / SOCKET_FILE)) <= SOCKET_PATH_LIMIT and "," not in str(folder)


def _is_private(path: Path, account: str | None) -> bool:
    uid = pwd.getpwnam(account).pw_uid if account else os.geteuid()
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o077


def _verified(path: Path, account: str | None) -> Path:
    if not _is_private(path, account):
        raise EmbeddedPostgresError(
            f"The folder of PostgreSQL's socket, {path}, is not a folder of mode 0700 that belongs to "
            f"{account or _name(os.geteuid())}. Somebody changed it: remove it, then start again."
        )
    return path


def _name(uid: int | None) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name if uid is not None else None
    except KeyError:
        return None
