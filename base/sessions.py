"""What all rooms share about sessions: the bell for changes, and closing by inference when no Stop came.

By inference: a NAS rebooted, a newer session took the address, or a NAS no longer knows it.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, update

from base.tables import session

CHANNEL = "tollkeeper_sessions"
"Rung by ingest when sessions opened or closed."

REPLACED = "Replaced"
NAS_REBOOT = "NAS-Reboot"
UNKNOWN_TO_NAS = "Session-Unknown-To-NAS"
INFERRED = frozenset((REPLACED, NAS_REBOOT, UNKNOWN_TO_NAS))
"Causes of a closing that no Stop reported; a NAS that goes on counting such a session proves it wrong."


def close(tx: Connection, session_ids: Sequence[int], at: datetime, cause: str) -> int:
    """Close open sessions with a cause; a session that ended meanwhile keeps its own end. Returns how many."""
    if not session_ids:
        return 0
    result = tx.execute(
        update(session)
        .where(session.c.id.in_(session_ids), session.c.stopped_at.is_(None))
        .values(stopped_at=at, terminate_cause=cause)
    )
    return result.rowcount
