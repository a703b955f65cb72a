"""`./run`, as a newcomer would: real processes, real ports, Ctrl-C, kill -9."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from sqlalchemy import text

from base.process import has_ended
from base.settings import Settings
from console import ports
from tests.patience import at_most

ROOT = Path(__file__).parents[2]
PORTS = [field.default for name, field in Settings.model_fields.items() if name.endswith("_port")]


def free_offset() -> int:
    """Workers of one test run look in different places."""
    return ports.free_offset(PORTS, 20_000 + (os.getpid() * 137) % 30_000)


class Started:
    """A running installation in a temporary folder."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.offset = free_offset()
        self.folder = folder
        self.log = folder / "output"
        environment = {**os.environ, "TOLLKEEPER_DATA_DIR": str(folder / "var"), "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "console", "start", "--sandbox", f"--port-offset={self.offset}", *arguments]
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )

    def output(self) -> str:
        return self.log.read_text()

    def wait_until_up(self, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while "Tollkeeper is up" not in self.output():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.05)

    def children(self) -> list[int]:
        """Every descendant of the supervisor."""
        parents: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents.setdefault(parent, []).append(int(stat.parent.name))
        found, looking = [], [self.process.pid]
        while looking:
            looking = [child for parent in looking for child in parents.get(parent, [])]
            found += looking
        return found

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture
def started(tmp_path):
    installation = Started(tmp_path)
    yield installation
    installation.end()


def wait_for_end(pids: list[int], seconds: float) -> list[int]:
    deadline = time.monotonic() + seconds
    while (left := [pid for pid in pids if not has_ended(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def test_it_starts_serves_and_ends_within_five_seconds_of_ctrl_c(started):
    started.wait_until_up()
    url = re.search(r"Portal +(\S+)", started.output())[1]
    with urllib.request.urlopen(f"{url}/healthz", timeout=5) as answer:
        assert answer.status == 200
    children = started.children()
    assert len(children) >= 3
    began = time.monotonic()
    started.process.send_signal(signal.SIGINT)
    assert started.process.wait(30) == 0
    assert time.monotonic() - began < at_most(5)
    assert wait_for_end(children, 1) == []


def test_a_command_works_on_the_pretend_provider_without_being_told(started, tmp_path):
    started.wait_until_up()
    result = run_once(tmp_path, "travel", "6", environment={})
    assert result.returncode == 0, result.stderr
    linked = run_once(tmp_path, "invoice", "link", "INV-000001", environment={})
    portal = re.search(r"Portal +(\S+)", started.output())[1]
    assert linked.stdout.startswith(f"{portal}/p/"), "at the port that it was started with"
    assert "It is now" in result.stdout
    assert run_once(tmp_path, "bill", environment={}).returncode == 0
    refused = run_once(tmp_path, "travel", "1", environment={"TOLLKEEPER_SANDBOX": "false"})
    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr


def test_kill_9_of_the_supervisor_leaves_no_orphan_and_the_data_survives(started, tmp_path):
    started.wait_until_up()
    children = started.children()
    started.process.kill()
    started.process.wait()
    left = wait_for_end(children, 10)
    assert [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left] == []
    again = Started(tmp_path)
    try:
        again.wait_until_up()
    finally:
        again.end()


def test_what_dies_is_started_again(started):
    started.wait_until_up()
    web = next(pid for pid in started.children() if b"console\0web" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(web, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while "web was killed by SIGKILL" not in started.output():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    url = re.search(r"Portal +(\S+)", started.output())[1]
    while True:
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=5) as answer:
                assert answer.status == 200
                return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def run_once(folder: Path, *arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "console", *arguments],
        cwd=ROOT,
        env={**os.environ, "TOLLKEEPER_DATA_DIR": str(folder / "var"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("kind", "setting"), [(socket.SOCK_STREAM, "web_port"), (socket.SOCK_DGRAM, "radius_auth_port")]
)
def test_a_taken_port_names_its_holder_and_the_setting(tmp_path, kind, setting):
    offset = free_offset()
    port = Settings.model_fields[setting].default + offset
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        result = run_once(tmp_path, "start", "--sandbox", f"--port-offset={offset}", environment={})
    assert result.returncode == 2
    assert f"port {port} " in result.stderr
    assert f"process {os.getpid()} (" in result.stderr
    assert f"TOLLKEEPER_{setting.upper()}" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_setting_ends_with_2_and_a_sentence(tmp_path):
    result = run_once(tmp_path, "start", "--sandbox", environment={"TOLLKEEPER_WEB_PORT": "eighty"})
    assert result.returncode == 2
    assert "web_port (TOLLKEEPER_WEB_PORT) is 'eighty'" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_process_whose_database_is_away_says_so_and_may_be_started_again(tmp_path):
    result = run_once(tmp_path, "coa", environment={"TOLLKEEPER_DATABASE_URL": "postgresql://x@127.0.0.1:1/none"})
    assert result.returncode == 1  # 2 is for what no other start can cure
    assert result.stderr.startswith("tollkeeper: the database does not answer: ")
    assert "Traceback" not in result.stderr


def test_starting_over_without_a_terminal_needs_yes(tmp_path):
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "precious").touch()
    result = run_once(tmp_path, "start", "--sandbox", "--fresh", environment={})
    assert result.returncode == 2
    assert "--yes" in result.stderr
    assert (tmp_path / "var" / "precious").exists()


def test_a_second_start_on_the_same_data_is_refused(started, tmp_path):
    started.wait_until_up()
    result = run_once(tmp_path, "start", "--sandbox", environment={})
    assert result.returncode == 2
    assert f"process {started.process.pid}" in result.stderr


def test_doctor_says_what_to_do(tmp_path):
    result = run_once(tmp_path, "doctor", environment={"TOLLKEEPER_DATABASE_URL": "postgresql://x@127.0.0.1:1/none"})
    assert result.returncode == 1
    assert "FIX  database: cannot be reached" in result.stdout
    assert "ok   dictionaries" in result.stdout


def test_doctor_looks_into_the_books(tmp_path, database):
    environment = {name: value for name, value in database.environment(tmp_path).items() if "DATA_DIR" not in name}
    result = run_once(tmp_path, "doctor", environment=environment)
    assert "ok   books: every entry balances" in result.stdout
    with database.engine.begin() as tx:
        tx.execute(text("INSERT INTO entry (day, text, source, created_at) VALUES (now(), 'x', 'x', now())"))
        tx.execute(
            text(
                "INSERT INTO posting (entry_id, account, amount_minor, currency) "
                "SELECT id, side.account, side.minor, 'EUR' FROM entry, "
                "(VALUES ('receivable', 5), ('bank', -5)) AS side (account, minor)"
            )
        )
    result = run_once(tmp_path, "doctor", environment=environment)
    assert result.returncode == 1
    assert "FIX  books: " in result.stdout


def test_every_setting_is_listed(tmp_path):
    result = run_once(tmp_path, "settings", environment={"TOLLKEEPER_SMTP_URL": "smtp://me:hunter2@mail:25"})
    for name in Settings.model_fields:
        assert f"{name}  (TOLLKEEPER_{name.upper()})" in result.stdout
    assert "hunter2" not in result.stdout
