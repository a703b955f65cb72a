"""Data caps as ingest sees them: it only compares, and where a threshold is crossed it asks billing for a review."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from base import jobs

# A list of ids and a sum per row: whatever PostgreSQL believes about the tables, there is one way to go about it.
_CROSSED = """SELECT service_id, usage_from, usage_counts, usage_threshold FROM policy p
WHERE service_id = ANY(%(ids)s::bigint[]) AND usage_threshold IS NOT NULL AND usage_threshold <= (
    SELECT sum(CASE p.usage_counts WHEN 'down' THEN u.octets_out WHEN 'up' THEN u.octets_in
               ELSE u.octets_in + u.octets_out END)
    FROM usage_daily u WHERE u.service_id = p.service_id AND u.day >= p.usage_from
)"""
_LOCK = "SELECT id FROM service WHERE id = ANY(%(ids)s::bigint[]) ORDER BY id FOR NO KEY UPDATE"


def ask_for_reviews(tx: Connection, service_ids: Collection[int]) -> None:
    """Write a review job for each of these services that has come to its threshold; once per threshold and period.

    Call it after their usage is stored. Billing reads usage with the service's row locked. So the few that seem to
    have crossed are locked and looked at once more: either billing has seen what is stored here, or its next threshold
    is seen here.
    """
    seem = _crossed(tx, sorted(service_ids))
    if not seem:
        return
    ids = [row.service_id for row in seem]
    tx.exec_driver_sql(_LOCK, {"ids": ids})
    jobs.enqueue_all(
        tx,
        jobs.Kind.REVIEW_ACCESS,
        {
            f"usage:{row.service_id}:{row.usage_from}:{row.usage_counts}:{row.usage_threshold}": {
                "service_ids": [row.service_id],
                "because": "usage",
            }
            for row in _crossed(tx, ids)
        },
    )


def _crossed(tx: Connection, ids: Sequence[int]) -> Sequence[Row[Any]]:
    return tx.exec_driver_sql(_CROSSED, {"ids": list(ids)}).all()
