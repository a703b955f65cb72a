"""Prepaid plans, the time that a service is paid for, vouchers and wrong guesses at them.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add."""
    for name in ("prepaid", "ends_at_midnight"):
        op.add_column("plan", sa.Column(name, sa.Boolean(), server_default="false", nullable=False))
    for name in ("paid_until", "prepaid_from"):
        op.add_column("service", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column("service", sa.Column("auto_renew", sa.Boolean(), server_default="true", nullable=False))
    op.create_table(
        "voucher_batch",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sold_on", sa.Date(), nullable=True),
        sa.Column("sold_minor", sa.BigInteger(), nullable=True),
        sa.Column("printed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_voucher_batch")),
        sa.UniqueConstraint("name", name=op.f("uq_voucher_batch_name")),
    )
    op.create_table(
        "voucher",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("code", sa.LargeBinary(), nullable=True),
        sa.Column("payment_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["voucher_batch.id"], name=op.f("fk_voucher_batch_id_voucher_batch")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_voucher_payment_id_payment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_voucher")),
        sa.UniqueConstraint("digest", name=op.f("uq_voucher_digest")),
        sa.UniqueConstraint("payment_id", name=op.f("uq_voucher_payment_id")),
    )
    op.create_index(op.f("ix_voucher_batch_id"), "voucher", ["batch_id"], unique=False)
    op.create_table(
        "voucher_guess",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("wrong", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_voucher_guess")),
    )
