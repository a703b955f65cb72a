"""Money that goes back: refunds, reversals, disputes, and debts that are dunned anew.

An invoice may be settled by the same payment twice once that was taken back in between, so two unique constraints go;
the release before writes no second row of that kind and runs on as it did.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables and the column, and let go of the constraints."""
    op.drop_constraint(op.f("uq_allocation_payment_id_invoice_id"), "allocation", type_="unique")
    op.drop_constraint(op.f("uq_allocation_credit_note_id_invoice_id"), "allocation", type_="unique")
    op.add_column("open_item", sa.Column("reopened", sa.Boolean(), server_default="false", nullable=False))
    op.create_table(
        "gone_back",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=True),
        sa.Column("credit_note_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("beyond_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("gateway_id", sa.Text(), nullable=True),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("on_day", sa.Date(), nullable=False),
        sa.Column("withdrawn_on", sa.Date(), nullable=True),
        sa.Column("returned_on", sa.Date(), nullable=True),
        sa.Column("ended_on", sa.Date(), nullable=True),
        sa.Column("asked", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ask_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("real_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("num_nonnulls(payment_id, credit_note_id) = 1", name=op.f("ck_gone_back_one_source")),
        sa.CheckConstraint(
            "amount_minor > 0 AND beyond_minor BETWEEN 0 AND amount_minor", name=op.f("ck_gone_back_amounts")
        ),
        sa.ForeignKeyConstraint(
            ["credit_note_id"], ["credit_note.id"], name=op.f("fk_gone_back_credit_note_id_credit_note")
        ),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_gone_back_payment_id_payment")),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_gone_back_subscriber_id_subscriber")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gone_back")),
        sa.UniqueConstraint("gateway_id", name=op.f("uq_gone_back_gateway_id")),
        sa.UniqueConstraint("key", name=op.f("uq_gone_back_key")),
    )
    op.create_index(
        "ix_gone_back_ask", "gone_back", ["ask_at"], unique=False, postgresql_where=sa.text("ask_at IS NOT NULL")
    )
    for name in ("subscriber_id", "payment_id", "credit_note_id"):
        op.create_index(op.f(f"ix_gone_back_{name}"), "gone_back", [name], unique=False)
    op.create_table(
        "dunning_anew",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("on_day", sa.Date(), nullable=False),
        sa.Column("steps", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("walls", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_dunning_anew_invoice_id_invoice")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dunning_anew")),
    )
    op.create_index(op.f("ix_dunning_anew_invoice_id"), "dunning_anew", ["invoice_id"], unique=False)
