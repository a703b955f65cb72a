"""Real radius and ingest processes for tests, with the sockets held here, as the supervisor holds them."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

_MAIN = (
    "from base.log import configure; from base.settings import settings; from radius.{0} import run; "
    "configure(settings(), '{0}'); run(settings())"
)


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    """Look until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def udp(host: str) -> socket.socket:
    """A UDP socket on a free port."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    return sock


class Process:
    """One process of the house, started as often as the test wants; its log goes into one file."""

    def __init__(
        self, name: str, environment: dict[str, str], log: Path, descriptors: tuple[int, ...] = (), first: str = ""
    ) -> None:
        self._argv = [sys.executable, "-c", first + _MAIN.format(name)]
        self._environment = {**os.environ, **environment}
        self._descriptors, self._log = descriptors, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, env=self._environment, stdout=log, stderr=log, pass_fds=self._descriptors
            )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        return self._log.read_text()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(10)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Node:
    """A radius process, and an ingest process beside it if wanted, on one data folder.

    `first`: Python that the radius process runs before anything else.
    """

    def __init__(self, environment: dict[str, str], folder: Path, host: str = "127.0.0.1", *, first: str = "") -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.auth, self.acct = udp(host), udp(host)
        self.auth_port, self.acct_port = self.auth.getsockname()[1], self.acct.getsockname()[1]
        descriptors = self.auth.fileno(), self.acct.fileno()
        sockets = "auth:{},acct:{}".format(*descriptors)
        environment = {**environment, "TOLLKEEPER_DATA_DIR": str(folder)}
        handed_down = {**environment, "TOLLKEEPER_SOCKETS": sockets}
        self.radius = Process("server", handed_down, folder / "radius.log", descriptors, first)
        self.ingest = Process("ingest", environment, folder / "ingest.log")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.radius.kill()
        self.ingest.kill()
        self.auth.close()
        self.acct.close()


def ask(datagram: bytes, port: int, host: str = "127.0.0.1", tries: int = 60, wait: float = 0.5) -> bytes:
    """Send a request until it is answered, as a NAS does; identical each time."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(wait)
        sock.connect((host, port))  # only answers from this address and port are let through
        for _ in range(tries):
            try:
                sock.send(datagram)
                return sock.recv(4096)
            except ConnectionRefusedError:
                time.sleep(wait)
            except TimeoutError:
                continue
    raise AssertionError("not answered")
