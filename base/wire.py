"""What a person asks of an open session: rows that coa takes up under the same rules as everything else."""

from enum import Enum

from sqlalchemy import Connection, insert

from base import trail
from base.database import notify
from base.tables import wire_request

CHANNEL = "tollkeeper_wire"


class Act(Enum):
    """What coa can be asked to do with one session."""

    DISCONNECT = "disconnect"
    REAPPLY = "reapply"


def ask(tx: Connection, act: Act, session_id: int, author: str) -> int:
    """Ask coa; returns the row whose `result` will hold the answer."""
    row_id = tx.scalar(
        insert(wire_request).values(act=act.value, session_id=session_id, author=author).returning(wire_request.c.id)
    )
    assert row_id is not None
    trail.record(tx, author, f"session.{act.value}", subject="session", subject_id=session_id)
    notify(tx, CHANNEL)
    return int(row_id)
