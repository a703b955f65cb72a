"""The trail: who did what to whom, because of what; append-only, in the transaction of the deed."""

from typing import Any

from sqlalchemy import Connection, insert

from base import clock
from base.tables import trail


def record(
    tx: Connection,
    actor: str,
    act: str,
    *,
    subject: str,
    subject_id: int | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Keep one deed: actor 'staff:3', 'subscriber:9' or 'system', act in words of the code ('service.suspended')."""
    tx.execute(
        insert(trail).values(
            at=clock.now(), actor=actor, act=act, subject=subject, subject_id=subject_id, detail=detail or {}
        )
    )
