"""Logins: PAP with Message-Authenticator, all services loaded, one core, no answer from memory."""

from contextlib import ExitStack

from bench.ground import Ground
from bench.report import Row
from bench.start import first_answer
from bench.turns import Contestant, measure, rows

_WINDOW = 64  # requests under way


def run(ground: Ground) -> list[Row]:
    """Ours by turns with FreeRADIUS on a static users file."""
    with ExitStack() as held:
        radius = held.enter_context(ground.house.radius())
        ground.house.wait_until_settled(radius)
        contestants = [Contestant(radius, ground.house.auth_port)]
        if ground.peer is not None:
            peer = held.enter_context(ground.peer.started())
            first_answer(ground.peer.auth_port, ground.house.services, peer)
            contestants.append(Contestant(peer, ground.peer.auth_port))
        found = measure(
            contestants, ground.generator, "login", ground.house.services, _WINDOW, ground.seconds, ground.runs
        )
        memory = [each.process.memory() for each in contestants]
    theirs = memory[1] if ground.peer else None
    return [*rows("logins", found), Row("memory after them, MB", memory[0], theirs, more_is_better=False)]
