"""Bank statements: files, lines, mappings of CSV files, and which account paid for whom.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the four tables."""
    op.create_table(
        "bank_file",
        _identity(),
        *_texts("sha256", "name", "format", "account"),
        sa.Column("from_on", sa.Date(), nullable=True),
        sa.Column("to_on", sa.Date(), nullable=True),
        sa.Column("line_count", sa.Integer(), nullable=False),
        sa.Column("new_count", sa.Integer(), nullable=False),
        *_texts("author"),
        _instant("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_file")),
        sa.UniqueConstraint("sha256", name=op.f("uq_bank_file_sha256")),
    )
    op.create_table(
        "bank_line",
        _identity(),
        sa.Column("file_id", sa.BigInteger(), nullable=False),
        sa.Column("at_line", sa.Integer(), nullable=False),
        *_texts("fingerprint", "account"),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        *_texts("currency"),
        *_texts("counterparty", "iban", "text", "bank_reference", "end_to_end", default=""),
        sa.Column("returned", sa.Boolean(), server_default="false", nullable=False),
        *_texts("doubt", default=""),
        *_texts("state", default="new"),
        *_texts("why", default=""),
        sa.Column("confidence", sa.Integer(), nullable=True),
        sa.Column("candidates", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("payment_ids", postgresql.ARRAY(sa.BigInteger()), server_default="{}", nullable=False),
        *_texts("author", default=""),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'matched') = (cardinality(payment_ids) > 0)", name=op.f("ck_bank_line_matched_is_paid")
        ),
        sa.ForeignKeyConstraint(["file_id"], ["bank_file.id"], name=op.f("fk_bank_line_file_id_bank_file")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_line")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_bank_line_fingerprint")),
    )
    op.create_index(op.f("ix_bank_line_file_id"), "bank_line", ["file_id"], unique=False)
    op.create_index("ix_bank_line_day", "bank_line", ["account", "day", "amount_minor"], unique=False)
    waiting = sa.text("state IN ('new', 'queued')")
    op.create_index("ix_bank_line_waiting", "bank_line", ["state", "id"], unique=False, postgresql_where=waiting)
    op.create_table(
        "bank_mapping",
        _identity(),
        *_texts("name"),
        sa.Column("mapping", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        *_texts("author"),
        _instant("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_mapping")),
        sa.UniqueConstraint("name", name=op.f("uq_bank_mapping_name")),
    )
    op.create_table(
        "payer_account",
        *_texts("iban"),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("last_on", sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_payer_account_subscriber_id_subscriber")
        ),
        sa.PrimaryKeyConstraint("iban", "subscriber_id", name=op.f("pk_payer_account")),
    )
    op.create_index(op.f("ix_payer_account_subscriber_id"), "payer_account", ["subscriber_id"], unique=False)


def _identity() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False)


def _instant(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def _texts(*names: str, default: str | None = None) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), server_default=default, nullable=False) for name in names]
