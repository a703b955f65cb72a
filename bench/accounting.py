"""Accounting: records acknowledged, ours on disk before each answer; and how far the tables were behind then."""

import time
from contextlib import ExitStack

from bench.ground import Ground
from bench.house import House
from bench.process import Broken, Process
from bench.report import Row, median
from bench.start import first_answer
from bench.turns import Contestant, measure, rows
from radius.journal_format import Record
from radius.journal_reader import read

_WINDOW = 512  # requests under way: many routers send at once, and a sync takes its time
_CATCH_UP = 90.0  # seconds in which the tables must have it all


def run(ground: Ground) -> list[Row]:
    """Ours, synced and read into the tables meanwhile, by turns with FreeRADIUS' rlm_detail, which does not sync."""
    behind: list[Behind] = []
    house = ground.house
    with ExitStack() as held:
        radius = held.enter_context(house.radius())
        house.wait_until_settled(radius)
        ingest = held.enter_context(house.ingest())
        contestants = [Contestant(radius, house.acct_port, lambda: behind.append(catch_up(house, ingest)))]
        if ground.peer is not None:
            peer = held.enter_context(ground.peer.started())
            first_answer(ground.peer.auth_port, ground.house.services, peer)
            contestants.append(Contestant(peer, ground.peer.acct_port))
        found = measure(
            contestants, ground.generator, "accounting", house.services, _WINDOW, ground.seconds, ground.runs
        )
    details = {"ours": [{"records": each.records, "seconds": each.seconds} for each in behind]}
    return [
        *rows("records acknowledged", found),
        Row("not in the tables at the end, records", median([each.records for each in behind]), runs=details),
        Row("in the tables after, s", median([each.seconds for each in behind])),
    ]


class Behind:
    """How far the tables are behind the journal at one moment, and how long they take to get there."""

    def __init__(self, records: int, seconds: float) -> None:
        self.records, self.seconds = records, seconds


def catch_up(house: House, ingest: Process) -> Behind:
    """Count what is in the journal and not in the tables, and wait until it is; Broken after 90 s."""
    began = time.monotonic()
    records, end = 0, house.stored()
    for item, position in read(house.journal, end):
        records += isinstance(item, Record)
        end = position
    while house.stored() < end:
        if time.monotonic() - began > _CATCH_UP or not ingest.alive():
            raise Broken(f"{records} records are not in the tables after {_CATCH_UP:.0f} s:\n{ingest.last_words()}")
        time.sleep(0.02)
    return Behind(records, time.monotonic() - began)
