"""Attempts to collect by card, hosted pages and charges of saved cards, in the words of the report."""

from datetime import timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from billing.reports.attempts import Attempt, Outcome
from billing.reports.shape import Window

OUTCOMES = {
    "paid": Outcome.SUCCEEDED,
    "expired": Outcome.FAILED,
    "created": Outcome.PENDING,
    "open": Outcome.PENDING,
    "pending": Outcome.PENDING,
    "sent": Outcome.PENDING,
    "succeeded": Outcome.SUCCEEDED,
    "declined": Outcome.FAILED,
    "not_sent": Outcome.NOT_SENT,
    "unknown": Outcome.UNKNOWN,
    "failed": Outcome.NOT_SENT,
}
BEFORE = timedelta(days=92)  # an invoice that is tried in a period may have been tried first this long before

_ATTEMPTS = """
SELECT row_number() OVER (ORDER BY at, real_at) AS id, (at AT TIME ZONE :zone)::date AS day, state, invoice_ids FROM (
  SELECT created_at AS at, real_at, state, currency, invoice_ids FROM checkout WHERE mode = 'payment'
  UNION ALL
  SELECT a.at, a.real_at, a.state, a.currency,
    (SELECT jsonb_agg(c.invoice_id ORDER BY c.id) FROM collected c WHERE c.collection_id = a.collection_id)
  FROM attempt a
) tried
WHERE currency = :currency AND (at AT TIME ZONE :zone)::date BETWEEN :first AND :on ORDER BY at, real_at
"""


def load_attempts(tx: Connection, window: Window, zone: ZoneInfo) -> list[Attempt]:
    """Attempts since a quarter before the first day that counts; their states are those of now."""
    values = {"currency": window.currency, "zone": zone.key, "first": window.first - BEFORE, "on": window.on}
    return [
        Attempt(row.id, row.day, OUTCOMES[row.state], tuple(row.invoice_ids))
        for row in tx.execute(text(_ATTEMPTS), values)
    ]
