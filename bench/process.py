"""A process under measurement: pinned to its core, tied to ours by the kernel, asked for its seconds and its memory."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from base.process import die_with_parent

_TICKS = os.sysconf("SC_CLK_TCK")
_GRACE = 15.0  # seconds in which a process must end when told to


class Broken(Exception):
    """A bench cannot be finished; the message says why."""


def cores() -> tuple[int, int]:
    """The core of the servers and that of everything else; the same one twice where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[-1], usable[0]


class Process:
    """One process from `with` to the end of its block; what it prints goes into `log`. `core` None: it may use all."""

    def __init__(
        self,
        argv: Sequence[str],
        core: int | None,
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self._argv, self._core, self._log, self._stop_signal = argv, core, log, stop_signal
        self._environment, self._descriptors = environment, tuple(descriptors)

    def __enter__(self) -> Self:
        self.started_at = time.time()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                die_with_parent(self._argv, self._stop_signal),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                pass_fds=self._descriptors,
                start_new_session=True,  # Ctrl-C is for us; we end it
            )
        self.pid = self._process.pid
        if self._core is not None:
            os.sched_setaffinity(self.pid, {self._core})  # before it has a second thread; all it starts inherit this
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.alive():
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(self._stop_signal)
            try:
                self._process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def last_words(self) -> str:
        """The end of what it printed."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-12:])

    def cpu_seconds(self) -> float:
        """Processor seconds that all its threads have used, to a hundredth."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> float:
        """Resident memory in MB (10^6 bytes)."""
        return self._status("VmRSS")

    def peak(self) -> float:
        """The most that its resident memory ever was, in MB."""
        return self._status("VmHWM")

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Hold it still, so that it takes nothing from the core while another is measured there."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def _status(self, name: str) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise Broken(f"process {self.pid} has ended")


def processor_seconds() -> float:
    """Processor seconds of this process and of all that it has started, as far as they live: of everything we do."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = each.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        pid = int(each.parent.name)
        parents[pid] = int(fields[1])
        used[pid] = sum(map(int, fields[11:15])) / _TICKS  # its own, and that of children it has waited for
    ours = {os.getpid()}
    while found := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= found
    return sum(used.get(pid, 0.0) for pid in ours)


def wait_for(condition: Callable[[], object], seconds: float, what: str, process: Process | None = None) -> None:
    """Look until it holds; Broken when it does not in time, with the last words of the process that was to do it."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline or (process is not None and not process.alive()):
            words = "" if process is None else f":\n{process.last_words()}"
            raise Broken(f"{what} did not happen within {seconds:.0f} s{words}")
        time.sleep(0.01)
