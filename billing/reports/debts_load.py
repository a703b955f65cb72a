"""What debts and DSO are calculated from: movements of what is open, and sales; summed by day in the database."""

from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from billing.reports.debts import Movement, Sale
from billing.reports.shape import Window

# A write-off has a day of its own; what else is applied is applied on the provider's day of that instant.
APPLIED_ON = "coalesce(w.on_day, (a.created_at AT TIME ZONE :zone)::date)"

_MOVEMENTS = f"""
WITH movement AS (
  SELECT CASE WHEN series = 'opening' THEN (created_at AT TIME ZONE :zone)::date ELSE issued_on END AS day, due_on,
    total_minor AS minor
  FROM invoice WHERE currency = :currency
  UNION ALL
  SELECT {APPLIED_ON}, i.due_on, -a.amount_minor
  FROM allocation a JOIN invoice i ON i.id = a.invoice_id LEFT JOIN write_off w ON w.id = a.write_off_id
  WHERE i.currency = :currency
)
SELECT greatest(day, :first) AS day, due_on, sum(minor)::bigint AS minor FROM movement WHERE day <= :on
GROUP BY 1, 2 HAVING sum(minor) <> 0
"""  # noqa: S608 - nothing of it comes from outside

_SALES = """
WITH credited AS (
  SELECT invoice_id, max(issued_on) AS voided_on, sum(total_minor) AS minor FROM credit_note
  WHERE currency = :currency AND issued_on <= :on GROUP BY invoice_id
)
SELECT i.issued_on, c.voided_on, sum(i.total_minor)::bigint AS minor
FROM invoice i LEFT JOIN credited c ON c.invoice_id = i.id AND c.minor = i.total_minor
WHERE i.currency = :currency AND i.issued_on <= :on GROUP BY 1, 2
"""


def load_movements(tx: Connection, window: Window, zone: ZoneInfo) -> list[Movement]:
    """What moved what is open, by day and due date; everything before the first day that counts is one movement."""
    values = {"currency": window.currency, "zone": zone.key, "on": window.days[-1], "first": window.days[0]}
    return [Movement(*row) for row in tx.execute(text(_MOVEMENTS), values)]


def load_sales(tx: Connection, window: Window) -> list[Sale]:
    """What was invoiced, by day, from the first invoice on: count-back goes back as far as it must."""
    values = {"currency": window.currency, "on": window.days[-1]}
    return [Sale(*row) for row in tx.execute(text(_SALES), values)]
