"""The bytes that stand for a row of ledger or documents in its seal: one JSON array, the same for ever.

Columns are named one by one, so that a column which comes later changes no seal made before; a seal says by which
format its rows were written.
"""

from collections.abc import Iterator

from sqlalchemy import Connection, Table, text

from billing.tables import credit_note, document, entry, invoice

FORMAT = 1

KINDS: dict[str, Table] = {"entry": entry, "invoice": invoice, "credit_note": credit_note, "document": document}

_PAPER = (
    "d.id, d.subscriber_id, d.number, d.series, d.sequence, d.currency, d.issued_on, d.net_minor, d.tax_minor, "
    "d.total_minor, d.taxes, d.seller, d.buyer, d.created_at"
)
# in place of d.created_at: whatever the session's time zone
_INSTANT = "(extract(epoch FROM d.created_at) * 1000000)::bigint"

# The rows of a kind in format 1, as what goes into the array.
_ROWS = {
    "entry": (
        "d.id, d.day, d.text, d.source, d.created_at, (SELECT jsonb_agg(jsonb_build_array(p.id, p.account, "
        "p.subscriber_id, p.tax_class_id, p.amount_minor, p.currency) ORDER BY p.id) FROM posting p "
        "WHERE p.entry_id = d.id)"
    ),
    "invoice": (
        "PAPER, d.due_on, (SELECT jsonb_agg(jsonb_build_array(l.id, l.service_id, "
        "l.position, l.kind, l.service_product_id, l.charge_id, l.text, l.quantity, l.period_start, l.period_end, "
        "l.amount_minor, l.inclusive, l.by_day, l.tax_class_id, l.net_minor, l.taxes) ORDER BY l.id) "
        "FROM invoice_line l WHERE l.invoice_id = d.id)"
    ),
    "credit_note": (
        "PAPER, d.invoice_id, d.reason, (SELECT jsonb_agg(jsonb_build_array(l.id, "
        "l.invoice_line_id, l.position, l.text, l.period_start, l.period_end, l.amount_minor, l.net_minor) "
        "ORDER BY l.id) FROM credit_note_line l WHERE l.credit_note_id = d.id)"
    ),
    "document": "d.id, d.kind, d.subject_id, d.sha256, d.created_at",
}


def canonical_rows(
    tx: Connection, kind: str, from_id: int, to_id: int, version: int, *, limit: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """(id, bytes) of the rows of a kind with ids in (from_id, to_id], in their order; the first `limit` of them."""
    assert version == FORMAT
    columns = _ROWS[kind].replace("PAPER", _PAPER).replace("d.created_at", _INSTANT)
    query = (
        f"SELECT d.id, jsonb_build_array({columns})::text AS row FROM {KINDS[kind].name} d "  # noqa: S608
        "WHERE d.id > :from_id AND d.id <= :to_id ORDER BY d.id LIMIT :most"
    )
    for row in tx.execute(text(query), {"from_id": from_id, "to_id": to_id, "most": limit}):
        yield row.id, row.row.encode()


def name_of(tx: Connection, kind: str, row_id: int) -> str:
    """A row as people find it: 'entry 17 (Invoice INV-000001)'."""
    shown = {
        "entry": "SELECT text FROM entry WHERE id = :id",
        "invoice": "SELECT number FROM invoice WHERE id = :id",
        "credit_note": "SELECT number FROM credit_note WHERE id = :id",
        "document": "SELECT kind || ' ' || subject_id FROM document WHERE id = :id",
    }
    words = tx.scalar(text(shown[kind]), {"id": row_id})
    return f"{kind} {row_id}" + (f" ({words})" if words else "")
