"""The load generator: a process of its own that sends prebuilt datagrams in a closed loop and looks at the answers.

A closed loop keeps a fixed number of requests under way: each answer lets the next request go, so the server is always
busy and never flooded. Requests go round robin over several source ports. All servers here answer in the order in
which they were asked, so waiting for the ports in the same order costs no poll; an answer out of order is found by its
identifier all the same.

Run as a program it takes one JSON command per line and answers with one JSON line; `Generator` is its other end.
"""

import gc
import json
import os
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from base.process import die_with_parent
from bench.datagrams import SECRET, build_accounting, build_login
from bench.process import Broken
from radius.packet import Code, Malformed, check_message_authenticator, check_response, parse

Kind = Literal["login", "accounting"]

PORTS = 16  # source ports; each has 256 identifiers
PATIENCE = 2  # seconds after which an answer counts as lost
_MOST_LOST = 16  # of one run; more, and it is given up
_SAMPLE = 101  # every so many answers one is kept and checked in every octet
_EXPECTED = {"login": Code.ACCESS_ACCEPT, "accounting": Code.ACCOUNTING_RESPONSE}


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of the generator saw."""

    answered: int
    lost: int
    wrong: int
    "Answers that are no acceptance, and of the sample those that are not right in every octet."
    seconds: float
    "From the first request to the last answer."
    p50_ms: float
    p99_ms: float
    worst_ms: float
    busy: float
    "Share of the time in which the generator itself used its core; near 1 it measured itself."


def exchange(datagrams: list[bytes], kind: Kind, port: int, window: int, seconds: float) -> Load:
    """Send to this port of loopback until the time is over or the datagrams are used up.

    `window`: requests under way, a multiple of PORTS.
    """
    assert window % PORTS == 0
    expected = int(_EXPECTED[kind])
    sockets = [_connect(port) for _ in range(PORTS)]
    sent_at = [[0.0] * 256 for _ in sockets]
    carried = [[0] * 256 for _ in sockets]
    sample: list[tuple[bytes, bytes]] = []
    took: list[float] = []
    lost = unexpected = following = 0
    clock = time.perf_counter
    cpu = time.process_time()
    gc.disable()
    began = last = clock()
    end = began + seconds
    try:
        while following < min(window, len(datagrams)):
            at, octets = following % PORTS, datagrams[following]
            carried[at][octets[1]], sent_at[at][octets[1]] = following, clock()
            sockets[at].send(octets)
            following += 1
        under_way, at = following, 0
        while under_way:
            sock = sockets[at]
            try:
                answer = sock.recv(4096)
            except BlockingIOError:
                lost += 1
                if lost > _MOST_LOST:
                    raise Broken(f"{lost} requests to port {port} were not answered in {PATIENCE} s each") from None
            else:
                last = clock()
                took.append(last - sent_at[at][answer[1]])
                unexpected += answer[0] != expected
                if len(took) % _SAMPLE == 0:
                    sample.append((datagrams[carried[at][answer[1]]], answer))
            if following < len(datagrams) and last < end:
                octets = datagrams[following]
                carried[at][octets[1]], sent_at[at][octets[1]] = following, clock()
                sock.send(octets)
                following += 1
            else:
                under_way -= 1
            at = (at + 1) % PORTS
    except ConnectionRefusedError:
        raise Broken(f"nobody listens on port {port} any more") from None
    finally:
        gc.enable()
        cpu = time.process_time() - cpu
        for sock in sockets:
            sock.close()
    wrong = unexpected + sum(not _is_right(request, answer) for request, answer in sample)
    took.sort()
    return Load(
        answered=len(took),
        lost=lost,
        wrong=wrong,
        seconds=last - began,
        p50_ms=_at_share(took, 0.5) * 1000,
        p99_ms=_at_share(took, 0.99) * 1000,
        worst_ms=_at_share(took, 1) * 1000,
        busy=cpu / max(1e-9, last - began),
    )


def build(kind: Kind, count: int, services: int, first: int) -> list[bytes]:
    """Datagrams for one run: the nth goes from port n modulo PORTS, so its identifier is n // PORTS.

    `first` tells logins which number they begin with, and accounting which session.
    """
    if kind == "login":
        return [build_login(first + n, n // PORTS & 255, services) for n in range(count)]
    return [build_accounting(n, n // PORTS & 255, services, first) for n in range(count)]


def _connect(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.connect(("127.0.0.1", port))
    # A timeout of the kernel's: Python's own would cost a poll per datagram.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", PATIENCE, 0))
    return sock


def _is_right(request: bytes, answer: bytes) -> bool:
    """Whether the answer was signed for this request; a Message-Authenticator must be right where there is one."""
    try:
        packet = parse(answer)
    except Malformed:
        return False
    signed = check_message_authenticator(packet, SECRET, request[4:20])
    unsigned_ok = packet.code == Code.ACCOUNTING_RESPONSE
    return (
        packet.identifier == request[1]
        and check_response(packet, request[4:20], SECRET)
        and (signed == "valid" or (signed == "absent" and unsigned_ok))
    )


def _at_share(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


class Generator:
    """The generator's process, on a core of its own."""

    def __init__(self, core: int) -> None:
        self._core = core

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            die_with_parent([sys.executable, "-m", "bench.load"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.sched_setaffinity(self._process.pid, {self._core})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate()

    def build(self, kind: Kind, count: int, services: int, first: int) -> None:
        """Prepare the datagrams of the next run."""
        self._ask({"do": "build", "kind": kind, "count": count, "services": services, "first": first})

    def run(self, port: int, window: int, seconds: float) -> Load:
        """Send what was prepared."""
        return Load(**self._ask({"do": "run", "port": port, "window": window, "seconds": seconds}))

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise Broken("the load generator has ended; its complaint stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def main() -> None:
    """Obey commands until the pipe is closed."""
    datagrams: list[bytes] = []
    kind: Kind = "login"
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {}
        if command.pop("do") == "build":
            kind = command["kind"]
            datagrams = build(**command)
        else:
            load = exchange(datagrams, kind, **command)
            answer = {name: getattr(load, name) for name in Load.__slots__}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
