"""What bill runs issued, bills that are held back, and outages for which money is given back.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables, and the summary by which a run finds its invoices."""
    op.create_index("ix_invoice_issued_on", "invoice", ["issued_on"], unique=False, postgresql_using="brin")
    json = postgresql.JSONB(astext_type=sa.Text())
    op.create_table(
        "bill_run",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("issued", sa.Integer(), server_default="0", nullable=False),
        sa.Column("totals", json, server_default="{}", nullable=False),
        sa.Column("failures", json, server_default="{}", nullable=False),
        sa.Column("anomalies", json, server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_bill_run")),
    )
    op.create_table(
        "bill_hold",
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("held_on", sa.Date(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("sentences", json, nullable=False),
        sa.Column("released_by", sa.Text(), server_default="", nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_bill_hold_subscriber_id_subscriber")
        ),
        sa.PrimaryKeyConstraint("subscriber_id", name=op.f("pk_bill_hold")),
    )
    op.create_table(
        "outage",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("from_on", sa.Date(), nullable=False),
        sa.Column("until_on", sa.Date(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outage")),
        sa.UniqueConstraint("scope", "from_on", "until_on", name=op.f("uq_outage_scope_from_on_until_on")),
    )
    op.create_table(
        "outage_service",
        sa.Column("outage_id", sa.BigInteger(), nullable=False),
        sa.Column("service_id", sa.BigInteger(), nullable=False),
        sa.Column("credited_minor", sa.BigInteger(), nullable=False),
        sa.Column("next_bill_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["outage_id"], ["outage.id"], name=op.f("fk_outage_service_outage_id_outage")),
        sa.ForeignKeyConstraint(["service_id"], ["service.id"], name=op.f("fk_outage_service_service_id_service")),
        sa.PrimaryKeyConstraint("outage_id", "service_id", name=op.f("pk_outage_service")),
    )
    op.create_index(op.f("ix_outage_service_service_id"), "outage_service", ["service_id"], unique=False)
