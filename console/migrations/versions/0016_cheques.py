"""Cheques that count after some days, and instalment plans.

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables, and what a collection has to know of a plan."""
    op.create_table(
        "cheque",
        sa.Column("payment_id", sa.BigInteger(), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("counts_on", sa.Date(), nullable=False),
        sa.Column("invoice_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("decided_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_cheque_payment_id_payment")),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscriber.id"], name=op.f("fk_cheque_subscriber_id_subscriber")),
        sa.PrimaryKeyConstraint("payment_id", name=op.f("pk_cheque")),
    )
    op.create_index("ix_cheque_waiting", "cheque", ["subscriber_id"], postgresql_where=sa.text("state = 'waiting'"))
    op.create_table(
        "instalment_plan",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("made_on", sa.Date(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("grace_days", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default="active", nullable=False),
        sa.Column("decided_on", sa.Date(), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_instalment_plan_subscriber_id_subscriber")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instalment_plan")),
    )
    op.create_index(op.f("ix_instalment_plan_subscriber_id"), "instalment_plan", ["subscriber_id"])
    op.create_index(
        "uq_instalment_plan_active",
        "instalment_plan",
        ["subscriber_id"],
        unique=True,
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_table(
        "instalment_part",
        sa.Column("plan_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["plan_id"], ["instalment_plan.id"], name=op.f("fk_instalment_part_plan_id_instalment_plan")
        ),
        sa.PrimaryKeyConstraint("plan_id", "number", name=op.f("pk_instalment_part")),
    )
    op.create_table(
        "instalment_invoice",
        sa.Column("plan_id", sa.BigInteger(), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("alive", sa.Boolean(), server_default="true", nullable=False),
        sa.ForeignKeyConstraint(
            ["plan_id"], ["instalment_plan.id"], name=op.f("fk_instalment_invoice_plan_id_instalment_plan")
        ),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_instalment_invoice_invoice_id_invoice")),
        sa.PrimaryKeyConstraint("plan_id", "invoice_id", name=op.f("pk_instalment_invoice")),
    )
    op.create_index(
        "uq_instalment_invoice_alive",
        "instalment_invoice",
        ["invoice_id"],
        unique=True,
        postgresql_where=sa.text("alive"),
    )
    op.add_column("collection", sa.Column("plan_id", sa.BigInteger(), nullable=True))
    op.add_column("collection", sa.Column("parts_until", sa.Date(), nullable=True))
    op.create_foreign_key(
        op.f("fk_collection_plan_id_instalment_plan"), "collection", "instalment_plan", ["plan_id"], ["id"]
    )
    op.create_index(op.f("ix_collection_plan_id"), "collection", ["plan_id"])
