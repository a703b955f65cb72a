"""Restorations by payments, from the history of access and the attempts of coa."""

from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from billing.reports.restoring import Restored
from billing.reports.shape import Window

# The level before is that of the service's history row before; each session counts with its first acknowledgement of
# the restored version, and the service with the last of its sessions.
_RESTORED = """
WITH paid AS (
  SELECT id, service_id, version, level, at, real_at FROM access_history
  WHERE because LIKE 'payment:%' AND (at AT TIME ZONE :zone)::date BETWEEN :first AND :on
), restored AS (
  SELECT p.* FROM paid p CROSS JOIN LATERAL (SELECT h.level FROM access_history h WHERE h.service_id = p.service_id
    AND h.id < p.id ORDER BY h.id DESC LIMIT 1) h WHERE h.level > p.level
), acknowledged AS (
  SELECT r.id, a.session_id, min(a.answered_at) AS at FROM restored r JOIN session s ON s.service_id = r.service_id
  JOIN coa_attempt a ON a.session_id = s.id AND a.version = r.version AND a.result = 'ack'
  GROUP BY 1, 2
)
SELECT (r.at AT TIME ZONE :zone)::date AS day,
  round(extract(epoch FROM max(a.at) - r.real_at) * 1000)::bigint AS milliseconds
FROM restored r LEFT JOIN acknowledged a ON a.id = r.id GROUP BY r.id, r.at, r.real_at ORDER BY r.id
"""


def load_restored(tx: Connection, window: Window, zone: ZoneInfo) -> list[Restored]:
    """Every restoration by a payment since the first day that counts."""
    values = {"zone": zone.key, "first": window.first, "on": window.on}
    return [Restored(*row) for row in tx.execute(text(_RESTORED), values)]
