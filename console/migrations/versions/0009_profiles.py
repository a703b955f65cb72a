"""What a plan says beyond its rates: bursts, slower and walled profiles, extra attributes, a data cap.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NUMBERS = (
    "burst_rate_down", "burst_rate_up", "burst_threshold_down", "burst_threshold_up", "reduced_rate_down",
    "reduced_rate_up", "walled_rate_down", "walled_rate_up", "cap_octets",
)  # fmt: skip


def upgrade() -> None:
    """Add the columns, and the index by which ingest finds the services whose usage is watched."""
    for name in NUMBERS:
        op.add_column("plan", sa.Column(name, sa.BigInteger(), nullable=True))
    for name in ("burst_seconds_down", "burst_seconds_up"):
        op.add_column("plan", sa.Column(name, sa.SmallInteger(), nullable=True))
    for name in ("walled_pool", "walled_address_list"):
        op.add_column("plan", sa.Column(name, sa.Text(), nullable=True))
    json = postgresql.JSONB(astext_type=sa.Text())
    op.add_column("plan", sa.Column("extra_attributes", json, server_default="[]", nullable=False))
    op.add_column("plan", sa.Column("cap_counts", sa.Text(), server_default="total", nullable=False))
    op.add_column("plan", sa.Column("cap_action", sa.Text(), server_default="none", nullable=False))
    op.add_column("policy", sa.Column("usage_from", sa.Date(), nullable=True))
    op.add_column("policy", sa.Column("usage_threshold", sa.BigInteger(), nullable=True))
    op.add_column("policy", sa.Column("usage_counts", sa.Text(), nullable=True))
    watched = sa.text("usage_threshold IS NOT NULL")
    op.create_index("ix_policy_usage", "policy", ["service_id"], unique=False, postgresql_where=watched)
