"""Cards on file: customers, cards and autopay, what is collected from them, and every attempt.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables; a payment page that is open gets the word that Stripe knows it by."""
    op.create_table(
        "gateway_account",
        sa.Column("key_digest", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key_digest", name=op.f("pk_gateway_account")),
    )
    op.create_table(
        "gateway_pace",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_pace")),
    )
    op.create_table(
        "autopay",
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscriber.id"], name=op.f("fk_autopay_subscriber_id_subscriber")),
        sa.PrimaryKeyConstraint("subscriber_id", name=op.f("pk_autopay")),
    )
    op.create_table(
        "collection",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.Text(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("intent_key", sa.Text(), nullable=True),
        sa.Column("intent_key_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ask_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asked", sa.Integer(), server_default="0", nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_collection_subscriber_id_subscriber")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collection")),
        sa.UniqueConstraint("intent_id", name=op.f("uq_collection_intent_id")),
        sa.UniqueConstraint("token", name=op.f("uq_collection_token")),
    )
    op.create_index(
        "ix_collection_ask", "collection", ["ask_at"], unique=False, postgresql_where=sa.text("ask_at IS NOT NULL")
    )
    op.create_index(op.f("ix_collection_subscriber_id"), "collection", ["subscriber_id"], unique=False)
    op.create_index(
        "ix_collection_waiting",
        "collection",
        ["next_try_at"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "gateway_customer",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_gateway_customer_subscriber_id_subscriber")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_customer")),
        sa.UniqueConstraint("customer_id", name=op.f("uq_gateway_customer_customer_id")),
        sa.UniqueConstraint(
            "subscriber_id", "account", "live", name=op.f("uq_gateway_customer_subscriber_id_account_live")
        ),
        sa.UniqueConstraint("token", name=op.f("uq_gateway_customer_token")),
    )
    op.create_table(
        "card",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("method_id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("brand", sa.Text(), nullable=False),
        sa.Column("last4", sa.Text(), nullable=False),
        sa.Column("exp_year", sa.Integer(), nullable=False),
        sa.Column("exp_month", sa.Integer(), nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("state", sa.Text(), server_default="usable", nullable=False),
        sa.Column("warned_for", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["gateway_customer.id"], name=op.f("fk_card_customer_id_gateway_customer")
        ),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscriber.id"], name=op.f("fk_card_subscriber_id_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card")),
        sa.UniqueConstraint("method_id", name=op.f("uq_card_method_id")),
    )
    op.create_index(op.f("ix_card_customer_id"), "card", ["customer_id"], unique=False)
    op.create_index(op.f("ix_card_fingerprint"), "card", ["fingerprint"], unique=False)
    op.create_index(op.f("ix_card_subscriber_id"), "card", ["subscriber_id"], unique=False)
    op.create_index("uq_card_default", "card", ["subscriber_id"], unique=True, postgresql_where=sa.text("is_default"))
    op.create_table(
        "collected",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("collection_id", sa.BigInteger(), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("alive", sa.Boolean(), server_default="true", nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collection.id"], name=op.f("fk_collected_collection_id_collection")
        ),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_collected_invoice_id_invoice")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collected")),
    )
    op.create_index(op.f("ix_collected_collection_id"), "collected", ["collection_id"], unique=False)
    op.create_index(op.f("ix_collected_invoice_id"), "collected", ["invoice_id"], unique=False)
    op.create_index("uq_collected_alive", "collected", ["invoice_id"], unique=True, postgresql_where=sa.text("alive"))
    op.create_table(
        "attempt",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("collection_id", sa.BigInteger(), nullable=False),
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="sent", nullable=False),
        sa.Column("charge_id", sa.Text(), server_default="", nullable=False),
        sa.Column("code", sa.Text(), server_default="", nullable=False),
        sa.Column("decline_code", sa.Text(), server_default="", nullable=False),
        sa.Column("advice_code", sa.Text(), server_default="", nullable=False),
        sa.Column("network_code", sa.Text(), server_default="", nullable=False),
        sa.Column("meaning", sa.Text(), server_default="", nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("real_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_attempt_card_id_card")),
        sa.ForeignKeyConstraint(["collection_id"], ["collection.id"], name=op.f("fk_attempt_collection_id_collection")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_attempt_payment_id_payment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
        sa.UniqueConstraint("key", name=op.f("uq_attempt_key")),
    )
    op.create_index(op.f("ix_attempt_card_id"), "attempt", ["card_id"], unique=False)
    op.create_index(op.f("ix_attempt_collection_id"), "attempt", ["collection_id"], unique=False)
    op.create_index(op.f("ix_attempt_payment_id"), "attempt", ["payment_id"], unique=False)
    op.add_column(
        "checkout", sa.Column("token", sa.Text(), server_default=sa.text("gen_random_uuid()::text"), nullable=False)
    )
    op.add_column("checkout", sa.Column("mode", sa.Text(), server_default="payment", nullable=False))
    op.add_column("checkout", sa.Column("back", sa.Text(), server_default="", nullable=False))
    op.add_column("checkout", sa.Column("ask_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("checkout", sa.Column("held_until", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_checkout_ask", "checkout", ["ask_at"], unique=False, postgresql_where=sa.text("ask_at IS NOT NULL")
    )
    op.create_index(
        "ix_checkout_open", "checkout", ["subscriber_id"], unique=False, postgresql_where=sa.text("state = 'open'")
    )
    op.create_unique_constraint(op.f("uq_checkout_token"), "checkout", ["token"])
    for name in ("polled_at", "told_at"):
        op.add_column("inbox", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_inbox_polled", "inbox", ["polled_at"], postgresql_where=sa.text("polled_at IS NOT NULL AND told_at IS NULL")
    )
    op.create_table(
        "gateway_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("polled_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("findings", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_state")),
    )
    op.create_table(
        "pay_link",
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_pay_link_invoice_id_invoice")),
        sa.PrimaryKeyConstraint("invoice_id", name=op.f("pk_pay_link")),
    )
    op.execute("UPDATE checkout SET token = CAST(id AS text)")
