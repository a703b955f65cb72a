"""Messages with states and channels, the operator's templates, contacts, and addresses that take no mail.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add, and give the messages that exist their states."""
    op.create_table(
        "mail_pace",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail_pace")),
    )
    op.create_table(
        "mail_template",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "language", name=op.f("pk_mail_template")),
    )
    op.create_table(
        "contact",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("kinds", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscriber.id"], name=op.f("fk_contact_subscriber_id_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact")),
        sa.UniqueConstraint("subscriber_id", "email", name=op.f("uq_contact_subscriber_id_email")),
    )
    op.create_index(op.f("ix_contact_subscriber_id"), "contact", ["subscriber_id"], unique=False)
    op.create_table(
        "bad_address",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_bad_address")),
    )
    for column in (
        sa.Column("channel", sa.Text(), server_default="mail", nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("state_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("copies", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("mail_id", sa.Text(), nullable=True),
        sa.Column("resent", sa.Integer(), server_default="0", nullable=False),
        sa.Column("turn_at", sa.DateTime(timezone=True), nullable=True),
    ):
        op.add_column("message", column)
    op.create_unique_constraint(op.f("uq_message_mail_id"), "message", ["mail_id"])
    op.create_index("ix_message_paper", "message", ["id"], unique=False, postgresql_where=sa.text("state = 'paper'"))
    op.execute(
        "UPDATE message SET kind = CASE kind WHEN 'reminder' THEN 'reminder_1' ELSE kind END, "
        "state = CASE WHEN sent_at IS NOT NULL THEN 'sent' WHEN recipient = '' THEN 'none' ELSE 'queued' END"
    )
