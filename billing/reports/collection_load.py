"""What collection and lateness are calculated from: invoices that are alike in their days, summed in the database."""

from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from billing.reports.collection import Bills, Received
from billing.reports.debts_load import APPLIED_ON
from billing.reports.shape import Window

_BILLS = f"""
WITH chosen AS (
  SELECT id, issued_on, due_on, total_minor FROM invoice
  WHERE currency = :currency AND series <> 'opening' AND issued_on <= :on
    AND (issued_on >= :first OR due_on >= :first)
), credited AS (
  SELECT invoice_id, sum(total_minor) AS minor FROM credit_note
  WHERE currency = :currency AND issued_on <= :on GROUP BY invoice_id
), applied AS (
  SELECT a.invoice_id, sum(a.amount_minor) AS minor, max({APPLIED_ON}) AS last_on,
    sum(a.amount_minor) FILTER (WHERE a.payment_id IS NOT NULL OR n.invoice_id <> a.invoice_id) AS paid,
    bool_or(a.write_off_id IS NOT NULL) AS given_up
  FROM allocation a LEFT JOIN write_off w ON w.id = a.write_off_id LEFT JOIN credit_note n ON n.id = a.credit_note_id
  WHERE {APPLIED_ON} <= :on GROUP BY a.invoice_id
), bill AS (
  SELECT i.issued_on, i.due_on, CASE WHEN a.minor = i.total_minor THEN a.last_on END AS cleared_on,
    coalesce(a.given_up, false) AS given_up, i.total_minor - coalesce(c.minor, 0) AS billed,
    coalesce(a.paid, 0) AS paid
  FROM chosen i LEFT JOIN credited c ON c.invoice_id = i.id LEFT JOIN applied a ON a.invoice_id = i.id
)
SELECT issued_on, due_on, cleared_on, given_up, count(*) AS invoices, sum(billed)::bigint AS billed,
  sum(least(paid, billed))::bigint AS collected
FROM bill WHERE billed > 0 GROUP BY 1, 2, 3, 4
"""  # noqa: S608 - nothing of it comes from outside

# What came in less what went back, each on the day it was booked: a refund, a reversal, a dispute that was lost; a
# refund that came to nothing is money again. What was only put on another invoice ('balance') stayed in the house. A
# cheque came in on the day it counted, and one that bounced before never did.
_RECEIVED = """
WITH moved AS (
  SELECT CASE WHEN q.payment_id IS NULL THEN received_on ELSE q.decided_on END AS day, amount_minor AS minor
  FROM payment p LEFT JOIN cheque q ON q.payment_id = p.id
  WHERE currency = :currency AND method <> 'opening' AND (q.payment_id IS NULL OR q.state = 'cleared')
  UNION ALL
  SELECT CASE WHEN kind = 'dispute' THEN ended_on ELSE on_day END, -amount_minor FROM gone_back
  WHERE currency = :currency AND way <> 'balance' AND (kind <> 'dispute' OR state = 'lost')
    AND NOT EXISTS (SELECT 1 FROM cheque q WHERE q.payment_id = gone_back.payment_id AND q.state = 'bounced')
  UNION ALL
  SELECT ended_on, amount_minor FROM gone_back
  WHERE currency = :currency AND kind = 'refund' AND state IN ('failed', 'canceled')
)
SELECT day, sum(minor)::bigint FROM moved WHERE day BETWEEN :first AND :on GROUP BY 1
"""


def load_bills(tx: Connection, window: Window, zone: ZoneInfo) -> list[Bills]:
    """The invoices that were issued or fell due since the first day that counts, as of `window.on`."""
    values = {"currency": window.currency, "zone": zone.key, "on": window.on, "first": window.first}
    return [Bills(*row) for row in tx.execute(text(_BILLS), values)]


def load_received(tx: Connection, window: Window) -> list[Received]:
    """Money received less money that went back, by day."""
    values = {"currency": window.currency, "on": window.on, "first": window.first}
    return [Received(*row) for row in tx.execute(text(_RECEIVED), values)]
