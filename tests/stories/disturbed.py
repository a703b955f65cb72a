"""Plays the story and kills our own processes in the middle of it: `python -m tests.stories.disturbed`.

A process of its own, because the story sets the settings of its process. Kills by process id, and only children of the
supervisor that this story started. Prints one JSON object at the end.
"""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import Table, func, select

from base.database import transaction
from base.tables import inbox, session
from billing.collect.tables import checkout
from billing.ledger import check_books
from billing.tables import invoice, message, payment
from console.story import play

# scene of console.plot -> what is killed just before it begins
KILLED = {
    "count": ["radius", "ingest"],
    "bill": ["worker", "documents"],
    "wall_in": ["coa", "ingest", "worker"],
    "pay": ["worker", "coa", "radius"],
    "upgrade": ["coa", "ingest"],
    "second_month": ["worker"],
}


def children(parent: int) -> Iterator[tuple[int, list[str]]]:
    """(process id, command line) of each child."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                yield int(stat.parent.name), (stat.parent / "cmdline").read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue


def name_of(argv: list[str]) -> str:
    """What the supervisor calls a process of ours; empty for others."""
    if argv[1:3] != ["-m", "console"]:
        return ""
    return "documents" if "--lanes" in argv else argv[3]


class Disturbance:
    """Kills before scenes, and counts rows at the end."""

    def __init__(self) -> None:
        self.killed: list[tuple[str, str]] = []
        self.counts: dict[str, Any] = {}

    def between(self, supervisor: int, scene: str) -> None:
        """Told before every scene."""
        if scene == "end":
            self.counts = count_rows()
        wanted = KILLED.get(scene, [])
        for pid, argv in children(supervisor) if wanted else ():
            if name_of(argv) in wanted:
                os.kill(pid, signal.SIGKILL)
                self.killed.append((scene, name_of(argv)))


def count_rows() -> dict[str, Any]:
    """What is in the tables when the story has ended."""
    with transaction() as tx:

        def count(table: Table, *where: Any) -> int:
            return tx.scalar(select(func.count()).select_from(table).where(*where)) or 0

        return {
            "books": check_books(tx),
            "payments": count(payment),
            "paid_checkouts": count(checkout, checkout.c.state == "paid"),
            "invoices": count(invoice),
            "reminders": count(message, message.c.kind == "reminder_1"),
            "sessions": count(session),
            "open_sessions": count(session, session.c.stopped_at.is_(None)),
            "events_not_understood": count(inbox, inbox.c.processed_at.is_(None)),
        }


def main() -> None:
    """Play."""
    disturbance = Disturbance()
    outcome = play(print, disturbance.between)
    print(json.dumps({"outcome": asdict(outcome), "killed": disturbance.killed, "counts": disturbance.counts}))


if __name__ == "__main__":
    main()
