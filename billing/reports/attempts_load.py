"""The attempts that there are today: hosted pages of Stripe Checkout, in the words of the report."""

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
    "unknown": Outcome.UNKNOWN,
    "failed": Outcome.NOT_SENT,
}
BEFORE = timedelta(days=92)  # an invoice that is tried in a period may have been tried first this long before

_ATTEMPTS = """
SELECT id, (created_at AT TIME ZONE :zone)::date AS day, state, invoice_ids FROM checkout
WHERE currency = :currency AND (created_at AT TIME ZONE :zone)::date BETWEEN :first AND :on ORDER BY id
"""


def load_attempts(tx: Connection, window: Window, zone: ZoneInfo) -> list[Attempt]:
    """Hosted pages since a quarter before the first day that counts; their states are those of now."""
    values = {"currency": window.currency, "zone": zone.key, "first": window.first - BEFORE, "on": window.on}
    return [
        Attempt(row.id, row.day, OUTCOMES[row.state], tuple(row.invoice_ids))
        for row in tx.execute(text(_ATTEMPTS), values)
    ]
