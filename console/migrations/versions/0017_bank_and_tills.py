"""What of a bank line waits again; cash that moves without a payment; what Stripe exchanged.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table; the check lets a line that became payments in part wait again."""
    op.add_column("bank_line", sa.Column("left_minor", sa.BigInteger(), nullable=True))
    op.drop_constraint(op.f("ck_bank_line_matched_is_paid"), "bank_line", type_="check")
    op.create_check_constraint(
        op.f("ck_bank_line_matched_is_paid"),
        "bank_line",
        "left_minor IS NOT NULL OR (state = 'matched') = (cardinality(payment_ids) > 0)",
    )
    op.add_column("stripe_transaction", sa.Column("charged_minor", sa.BigInteger(), nullable=True))
    op.add_column("stripe_transaction", sa.Column("charged_currency", sa.Text(), nullable=True))
    op.create_table(
        "till_movement",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("cashier", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_till_movement")),
        sa.UniqueConstraint("source", name=op.f("uq_till_movement_source")),
    )
    op.create_index("ix_till_movement_day", "till_movement", ["cashier", "day"])
