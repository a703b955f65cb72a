"""The mail sink as a real process: whatever a sender sends is a file before he hears 250."""

import contextlib
import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

from sandbox.mail import read_all

ROOT = Path(__file__).parents[2]


def start(data_dir: Path, port: int, sandbox: str = "true") -> subprocess.Popen[str]:
    environment = os.environ | {
        "TOLLKEEPER_SANDBOX": sandbox,
        "TOLLKEEPER_RADIUS_HOSTS": "127.0.0.1",
        "TOLLKEEPER_DATA_DIR": str(data_dir),
        "TOLLKEEPER_SANDBOX_MAIL_PORT": str(port),
    }
    argv = [sys.executable, "-m", "sandbox.mail"]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(data_dir: Path) -> Iterator[int]:
    """A sink that listens; its port. It ends cleanly, or the test fails."""
    port = free_port()
    process = start(data_dir, port)
    try:
        assert process.stdout is not None
        assert str(port) in process.stdout.readline()
        yield port
        process.send_signal(signal.SIGTERM)
        assert process.wait(3) == 0
    finally:
        process.kill()
        process.communicate()


def test_mails_are_kept_and_read(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox" / "mail"
    assert read_all(folder) == []
    with running(tmp_path) as port, smtplib.SMTP("127.0.0.1", port) as client:
        first = EmailMessage()
        first["From"] = "Net <net@example.net>"
        first["To"] = "anna@example.net"
        first["Subject"] = "Zażółć Ελλάδα\u00a0₹"
        first["Date"] = "Tue, 24 Nov 2026 12:00:00 +0000"
        first.set_content("Привет\n")
        first.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="INV-000001.pdf")
        client.send_message(first)
        time.sleep(0.002)
        client.sendmail("x@example.net", ["y@example.net"], b"no header at all")
        found = read_all(folder)
        assert len(found) == 2, "kept before the sender goes on"
    newest, oldest = found
    assert (oldest.subject, oldest.to, oldest.text) == (first["Subject"], "anna@example.net", "Привет\n")
    assert oldest.date == datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert oldest.attachments == ("INV-000001.pdf",)
    assert oldest.sender == "Net <net@example.net>"
    assert (newest.subject, newest.to, newest.date, newest.attachments) == ("", "", None, ())
    assert folder.stat().st_mode & 0o077 == 0, "mails are nobody else's business"


def test_many_at_once_are_all_kept(tmp_path: Path) -> None:
    with running(tmp_path) as port:
        clients = [smtplib.SMTP("127.0.0.1", port) for _ in range(8)]
        for number in range(5):
            for client in clients:
                client.sendmail("x@example.net", ["y@example.net"], f"Subject: {number}\n\nbody".encode())
        for client in clients:
            client.quit()
    assert len(read_all(tmp_path / "sandbox" / "mail")) == 40


def test_it_refuses_to_run_outside_the_sandbox(tmp_path: Path) -> None:
    process = start(tmp_path, free_port(), sandbox="false")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (2, "")
    assert "only in the sandbox" in err
    assert "Traceback" not in err


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with running(tmp_path) as port:
        second = start(tmp_path, port)
        _, err = second.communicate(timeout=20)
        assert second.returncode == 2
        assert "sandbox_mail_port" in err
        assert "Traceback" not in err
