"""What debts and DSO are calculated from: movements of what is open, and sales; summed by day in the database."""

from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from billing.reports.debts import Movement, Sale
from billing.reports.shape import Window

# A write-off has a day of its own; what else is applied is applied on the provider's day of that instant.
APPLIED_ON = "coalesce(w.on_day, (a.created_at AT TIME ZONE :zone)::date)"

# Money that went back opened what had been settled: from then on what moves the invoice counts from the day it was open
# again (settle.take_back has it due then), not from its first due date. It was settled where as much as its total had
# been applied before; rows of one invoice are in the order of their ids.
_MOVEMENTS = f"""
WITH applied AS (
  SELECT a.id, a.invoice_id, a.amount_minor, a.payment_id, {APPLIED_ON} AS day
  FROM allocation a JOIN invoice i ON i.id = a.invoice_id LEFT JOIN write_off w ON w.id = a.write_off_id
  WHERE i.currency = :currency
), again AS (
  SELECT DISTINCT invoice_id FROM applied WHERE amount_minor < 0 AND payment_id IS NOT NULL
), opened AS (
  SELECT a.id, CASE WHEN a.amount_minor < 0 AND a.payment_id IS NOT NULL AND i.total_minor = sum(a.amount_minor)
    OVER (PARTITION BY a.invoice_id ORDER BY a.id) - a.amount_minor THEN greatest(i.due_on, a.day) END AS due_on
  FROM applied a JOIN again USING (invoice_id) JOIN invoice i ON i.id = a.invoice_id
), due AS (
  SELECT a.id, max(o.due_on) OVER (PARTITION BY a.invoice_id ORDER BY a.id) AS due_on
  FROM applied a JOIN opened o USING (id)
), movement AS (
  SELECT CASE WHEN series = 'opening' THEN (created_at AT TIME ZONE :zone)::date ELSE issued_on END AS day, due_on,
    total_minor AS minor
  FROM invoice WHERE currency = :currency
  UNION ALL
  SELECT a.day, coalesce(d.due_on, i.due_on), -a.amount_minor
  FROM applied a JOIN invoice i ON i.id = a.invoice_id LEFT JOIN due d ON d.id = a.id
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
