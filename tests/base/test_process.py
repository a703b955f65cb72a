"""Children end with their parent, and a zombie counts as ended."""

import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from base.process import die_with_parent, has_ended

ROOT = Path(__file__).parents[2]
PARENT = """
import subprocess, sys, time
from base.process import die_with_parent
child = subprocess.Popen(die_with_parent(["sleep", "60"], account=sys.argv[1] or None))
print(child.pid, flush=True)
time.sleep(60)
"""


def wait_until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("account", ["", "nobody"])
def test_a_child_ends_when_its_parent_is_killed(account):
    if account and os.geteuid() != 0:
        pytest.skip("only root can switch accounts")
    parent = subprocess.Popen([sys.executable, "-c", PARENT, account], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    child = int(parent.stdout.readline())
    wait_until(lambda: command_line(child) == b"sleep\x0060\x00")  # the same process has become the program
    if account:
        assert Path(f"/proc/{child}").stat().st_uid == pwd.getpwnam(account).pw_uid
    parent.kill()
    parent.wait()
    parent.stdout.close()
    try:
        wait_until(lambda: has_ended(child))
    finally:
        if not has_ended(child):
            os.kill(child, signal.SIGKILL)


def test_a_child_whose_parent_is_gone_already_does_not_start(tmp_path):
    argv = die_with_parent(["touch", str(tmp_path / "ran")], signal.SIGINT)
    gone = subprocess.Popen(["true"])
    gone.wait()
    argv[argv.index(str(os.getpid()))] = str(gone.pid)
    assert subprocess.run(argv, check=False).returncode == 128 + signal.SIGINT
    assert not (tmp_path / "ran").exists()


def test_the_child_starts_with_ordinary_signals():
    shell = 'trap "" INT; exec "$@"'  # what a shell does to its background jobs
    show = ["sh", "-c", "grep -E 'SigBlk|SigIgn' /proc/self/status"]
    argv = die_with_parent(show)
    code = f"import os, subprocess; subprocess.run({argv!r}[:5] + [str(os.getpid())] + {argv!r}[6:])"
    done = subprocess.run(
        ["sh", "-c", shell, "sh", sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    _, blocked, _, ignored = done.stdout.split()
    hangup = 1 << (signal.SIGHUP - 1)  # stays ignored where the tests run under nohup, as it should
    assert (int(blocked, 16), int(ignored, 16) & ~hangup) == (0, 0)


def test_descriptors_reach_the_child():
    reading, writing = os.pipe()
    argv = die_with_parent(["sh", "-c", f"echo hello >/proc/self/fd/{writing}"])
    subprocess.run(argv, pass_fds=[writing], check=True)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "hello\n"


def test_what_cannot_be_run_is_said():
    missing = subprocess.run(die_with_parent(["/nonexistent/program"]), capture_output=True, text=True, check=False)
    assert missing.returncode == 127
    assert missing.stderr == "cannot run /nonexistent/program: No such file or directory\n"
    refused = subprocess.run(
        die_with_parent(["true"], account="no-such-account"), capture_output=True, text=True, check=False
    )
    assert refused.returncode == 126
    assert "as the account no-such-account" in refused.stderr


def test_a_zombie_has_ended():
    child = subprocess.Popen(["sleep", "60"])
    assert not has_ended(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert has_ended(child.pid)
    assert command_line(child.pid) == b""  # it is still there, as a zombie
    child.wait()
    assert has_ended(child.pid)
    assert not has_ended(os.getpid())
