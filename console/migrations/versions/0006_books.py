"""Revenue by tax class, the accountant's codes, closed months, write-offs taken back, and the chain of seals.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add; what was booked before has no tax class."""
    # Postings that revision 0002 booked may still wait for a deferred check of theirs.
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    # No foreign keys: a bill run would look up the same class a hundred thousand times, and classes are never deleted.
    op.add_column("posting", sa.Column("tax_class_id", sa.BigInteger(), nullable=True))
    op.add_column("invoice_line", sa.Column("tax_class_id", sa.BigInteger(), nullable=True))
    op.create_table(
        "account_code",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("tax_class_id", sa.BigInteger(), nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tax_class_id"], ["tax_class.id"], name=op.f("fk_account_code_tax_class_id_tax_class")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_code")),
    )
    op.create_index(
        "uq_account_code",
        "account_code",
        ["account", "tax_class_id"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "month_close",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("closed_by", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("balances", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reopened_by", sa.Text(), nullable=True),
        sa.Column("reopened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reopen_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_month_close")),
    )
    op.create_index(
        "uq_month_close_month",
        "month_close",
        ["month"],
        unique=True,
        postgresql_where=sa.text("reopened_at IS NULL"),
    )
    op.create_table(
        "reinstatement",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("write_off_id", sa.BigInteger(), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("on_day", sa.Date(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_reinstatement_invoice_id_invoice")),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_reinstatement_subscriber_id_subscriber")
        ),
        sa.ForeignKeyConstraint(
            ["write_off_id"], ["write_off.id"], name=op.f("fk_reinstatement_write_off_id_write_off")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reinstatement")),
    )
    for column in ("write_off_id", "subscriber_id", "invoice_id"):
        op.create_index(op.f(f"ix_reinstatement_{column}"), "reinstatement", [column], unique=False)
    op.create_table(
        "seal",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("format", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("from_id", sa.BigInteger(), nullable=False),
        sa.Column("to_id", sa.BigInteger(), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("rows", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seal")),
    )
    op.create_index("ix_seal_kind_to_id", "seal", ["kind", "to_id"], unique=False)
    op.create_table(
        "seal_mark",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("to_id", sa.BigInteger(), nullable=False),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_seal_mark")),
    )
    for table in ("reinstatement", "seal"):
        op.execute(
            f"CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
    op.execute("CREATE TRIGGER frozen BEFORE DELETE ON month_close FOR EACH ROW EXECUTE FUNCTION refuse_change()")
    for table in ("reinstatement", "seal", "month_close"):
        op.execute(
            f"CREATE TRIGGER kept BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    op.execute(_ONLY_REOPENED)
    op.execute(
        "CREATE TRIGGER only_reopened BEFORE UPDATE ON month_close FOR EACH ROW "
        "EXECUTE FUNCTION refuse_all_but_reopening()"
    )
    op.execute(_CLOSED)
    op.execute(
        "CREATE TRIGGER month_is_open AFTER INSERT ON entry REFERENCING NEW TABLE AS fresh "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_closed_month()"
    )


_ONLY_REOPENED = """
CREATE FUNCTION refuse_all_but_reopening() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.reopened_at IS NOT NULL OR NEW.reopened_at IS NULL
        OR (OLD.id, OLD.month, OLD.closed_by, OLD.closed_at, OLD.balances)
        IS DISTINCT FROM (NEW.id, NEW.month, NEW.closed_by, NEW.closed_at, NEW.balances)
    THEN
        RAISE EXCEPTION 'a closed month can only be reopened, once' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$
"""

# Whoever closes a month holds the table against writers, so that an entry sees every month closed before it.
_CLOSED = """
CREATE FUNCTION refuse_closed_month() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    open_from date;
    wrong record;
BEGIN
    SELECT (max(month) + interval '1 month')::date INTO open_from FROM month_close WHERE reopened_at IS NULL;
    SELECT source, day INTO wrong FROM fresh WHERE day < open_from LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % of % is in a closed month; the first day that can be used is %',
            wrong.source, wrong.day, open_from USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$
"""
