"""Starts: from the process's first instruction to its first accepted login, and what it takes of the memory then."""

import socket
import time

from bench.datagrams import build_login
from bench.ground import Ground
from bench.process import Broken, Process
from bench.report import Row, median
from radius.packet import Code

_PATIENCE = 120.0  # seconds
_KNOCK = 0.02  # seconds between two requests while nobody answers


def run(ground: Ground) -> list[Row]:
    """Ours with an empty disk and with yesterday's snapshot, beside FreeRADIUS reading its users file."""
    house = ground.house
    cold, warm, theirs = [], [], []
    memory, peak, their_memory = [], [], []
    for _ in range(ground.runs):
        house.snapshot.unlink(missing_ok=True)
        with house.radius() as radius:
            cold.append(first_answer(house.auth_port, house.services, radius))
            house.wait_until_settled(radius)
        with house.radius() as radius:
            warm.append(first_answer(house.auth_port, house.services, radius))
            house.wait_until_settled(radius)
            memory.append(radius.memory())
            peak.append(radius.peak())
        if ground.peer is not None:
            with ground.peer.started() as peer:
                theirs.append(first_answer(ground.peer.auth_port, house.services, peer))
                their_memory.append(peer.memory())
    seconds = median(theirs) if theirs else None
    megabytes = median(their_memory) if their_memory else None
    return [
        Row("first answer after a restart, s", median(warm), seconds, False, runs={"ours": warm, "peer": theirs}),
        Row("first answer with an empty disk, s", median(cold), seconds, False, runs={"ours": cold}),
        Row("memory, MB", median(memory), megabytes, False, runs={"ours": memory, "peer": their_memory}),
        Row("memory at its most, MB", median(peak), more_is_better=False, runs={"ours": peak}),
    ]


def first_answer(port: int, services: int, process: Process) -> float:
    """Seconds from the start of the process until a login was accepted; knocks until then."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(_KNOCK)
        for number in range(int(_PATIENCE / _KNOCK)):
            try:
                sock.send(build_login(number, number & 255, services))
                if sock.recv(4096)[0] == Code.ACCESS_ACCEPT:
                    return time.time() - process.started_at
            except TimeoutError:
                continue
            except ConnectionRefusedError:
                time.sleep(_KNOCK)
            if not process.alive():
                break
    raise Broken(f"it never accepted a login:\n{process.last_words()}")
