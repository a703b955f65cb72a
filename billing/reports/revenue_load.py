"""What revenue is calculated from: lines of invoices and credit notes, and their tax tables, summed in the database."""

from sqlalchemy import Connection, text

from billing.reports.revenue import Sold, Taxed
from billing.reports.shape import Window

# The plan that a service had on a day: [from_on, until_on).
SOLD = (
    "SELECT service_id, plan_id, price_minor, from_on, "
    "coalesce(lead(from_on) OVER (PARTITION BY service_id ORDER BY from_on), 'infinity') AS until_on FROM service_plan"
)

_LINES = f"""
WITH sold AS ({SOLD}), moved AS (
  SELECT i.issued_on AS day, l.kind, l.service_id, l.service_product_id, l.period_start, l.net_minor AS invoiced,
    0 AS credited
  FROM invoice i JOIN invoice_line l ON l.invoice_id = i.id
  WHERE i.currency = :currency AND i.issued_on BETWEEN :first AND :on
  UNION ALL
  SELECT n.issued_on, l.kind, l.service_id, l.service_product_id, l.period_start, 0, c.net_minor
  FROM credit_note n JOIN credit_note_line c ON c.credit_note_id = n.id JOIN invoice_line l ON l.id = c.invoice_line_id
  WHERE n.currency = :currency AND n.issued_on BETWEEN :first AND :on
)
SELECT date_trunc('month', m.day)::date AS month, m.day >= :start AND m.day < :end AS inside,
  CASE WHEN m.kind <> 'discount' THEN m.kind WHEN m.service_product_id IS NULL THEN 'plan' ELSE 'product' END AS kind,
  coalesce(o.name, p.name, '') AS name, sum(m.invoiced)::bigint, sum(m.credited)::bigint
FROM moved m
LEFT JOIN service_product s ON s.id = m.service_product_id LEFT JOIN product o ON o.id = s.product_id
LEFT JOIN sold ON m.kind IN ('plan', 'discount') AND m.service_product_id IS NULL AND sold.service_id = m.service_id
  AND m.period_start >= sold.from_on AND m.period_start < sold.until_on
LEFT JOIN plan p ON p.id = sold.plan_id
WHERE m.kind NOT IN ('deposit', 'opening') GROUP BY 1, 2, 3, 4 ORDER BY 4, 3, 1
"""  # noqa: S608 - nothing of it comes from outside

_TAXES = """
WITH document AS (
  SELECT issued_on AS day, taxes, 1 AS way FROM invoice
  WHERE currency = :currency AND issued_on BETWEEN :first AND :on
  UNION ALL
  SELECT issued_on, taxes, -1 FROM credit_note WHERE currency = :currency AND issued_on BETWEEN :first AND :on
)
SELECT date_trunc('month', day)::date AS month, day >= :start AND day < :end AS inside, t.name, t.percent, t.category,
  sum(way * t.net_minor)::bigint, sum(way * t.tax_minor)::bigint
FROM document, jsonb_to_recordset(taxes)
  AS t(name text, percent text, category text, net_minor bigint, tax_minor bigint)
GROUP BY 1, 2, 3, 4, 5
"""


def load_sold(tx: Connection, window: Window) -> list[Sold]:
    """Lines without deposits; those of a plan under the plan that the service had on the line's first day."""
    return [Sold(*row) for row in tx.execute(text(_LINES), _values(window))]


def load_taxed(tx: Connection, window: Window) -> list[Taxed]:
    """The tax tables of all documents."""
    return [Taxed(*row) for row in tx.execute(text(_TAXES), _values(window))]


def _values(window: Window) -> dict[str, object]:
    period = {"start": window.period.start, "end": window.period.end}
    return {"currency": window.currency, "first": window.first, "on": window.on, **period}
