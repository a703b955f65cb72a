"""Starts processes in order, restarts what dies with backoff, stops in reverse, keeps their output in log files.

Children are tied to this process by the kernel (base.process), so that even kill -9 of it leaves no orphan. The watch
runs in the main thread: Linux ties a child to the thread that started it.
"""

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path

from base.stop import Stop

LOG_BYTES, LOG_FILES = 10_000_000, 5
STEADY = 30.0  # seconds of life after which the backoff starts over
GRACE = 3.0  # seconds that children get to end by themselves


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and how it likes to be ended."""

    name: str
    argv: Sequence[str]
    "As base.process.die_with_parent returns it."
    environment: Mapping[str, str] | None = None
    "The whole environment; None: ours."
    descriptors: Sequence[int] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    last: bool = False
    "Others need it while they end: stopped after all of them (PostgreSQL)."
    before_start: Callable[[], None] | None = None


@dataclass(slots=True)
class Child:
    """A running program."""

    program: Program
    process: subprocess.Popen[bytes]
    started: float
    failures: int = 0
    restart_at: float | None = None


class Supervisor:
    """Keeps programs running; one per data folder."""

    def __init__(self, log_dir: Path, tell: Callable[[str], None]) -> None:
        self._log_dir = log_dir
        self._tell = tell
        self._children: list[Child] = []
        log_dir.mkdir(parents=True, exist_ok=True)

    def start(self, program: Program) -> Child:
        """Start a program; from now on it is kept running."""
        child = Child(program, self._spawn(program), time.monotonic())
        self._children.append(child)
        return child

    def watch(self, stop: Stop) -> None:
        """Restart what dies, until `stop` is set."""
        while not stop.wait(0.1):
            self.tend(time.monotonic())

    def tend(self, now: float) -> None:
        """One look at every child: note who ended, restart who has waited long enough."""
        for child in self._children:
            if child.restart_at is not None:
                if now >= child.restart_at:
                    child.process, child.started, child.restart_at = self._spawn(child.program), now, None
            elif child.process.poll() is not None:
                if now - child.started > STEADY:
                    child.failures = 0
                delay = min(30.0, 0.2 * 2**child.failures)
                child.failures += 1
                child.restart_at = now + delay
                self._tell(f"{child.program.name} {describe_end(child.process)}; starting it again in {delay:.1f} s")

    def stop(self) -> None:
        """End every child in reverse order; who does not listen is killed. Takes less than 5 s."""
        running = [child for child in reversed(self._children) if child.process.poll() is None]
        self._end([child for child in running if not child.program.last], GRACE)
        self._end([child for child in running if child.program.last], 1.5)

    def _end(self, children: Sequence[Child], grace: float) -> None:
        for child in children:
            child.process.send_signal(child.program.stop_signal)
        deadline = time.monotonic() + grace
        for child in children:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._tell(f"{child.program.name} did not end in time; killing it")
                child.process.kill()
                child.process.wait()

    def _spawn(self, program: Program) -> "subprocess.Popen[bytes]":
        if program.before_start is not None:
            program.before_start()
        process = subprocess.Popen(
            list(program.argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=program.environment,
            pass_fds=tuple(program.descriptors),
            start_new_session=True,  # Ctrl-C reaches us alone; we end the children in order
        )
        threading.Thread(target=self._keep_output, args=(program.name, process), daemon=True).start()
        return process

    def _keep_output(self, name: str, process: "subprocess.Popen[bytes]") -> None:
        handler = RotatingFileHandler(self._log_dir / f"{name}.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES - 1)
        assert process.stdout is not None
        for line in process.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            handler.emit(logging.makeLogRecord({"msg": text}))
            if "alarm=" in text or '"alarm"' in text or text.startswith("tollkeeper:"):
                self._tell(f"{name}: {text}")
        handler.close()


def describe_end(process: "subprocess.Popen[bytes]") -> str:
    """'ended with exit code 1' or 'was killed by SIGKILL'."""
    code = process.returncode
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
