"""Plans with cycles, taxes with dates, extras, credit notes, and a table of what is open.

No release carries revision 0001 alone, so columns that this one replaces go at once.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add, fill, and take away what was filled from."""
    op.create_table(
        "coupon",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("percent", sa.Text(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("cycles", sa.Integer(), nullable=True),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.Column("most_uses", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coupon")),
        sa.UniqueConstraint("code", name=op.f("uq_coupon_code")),
    )
    op.create_table(
        "tax_class",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tax_class")),
        sa.UniqueConstraint("name", name=op.f("uq_tax_class_name")),
    )
    op.create_table(
        "product",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("price_inclusive", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("tax_class_id", sa.BigInteger(), nullable=False),
        sa.Column("retired_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["tax_class_id"], ["tax_class.id"], name=op.f("fk_product_tax_class_id_tax_class")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product")),
        sa.UniqueConstraint("name", name=op.f("uq_product_name")),
    )
    op.create_table(
        "tax_rate",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tax_class_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("percent", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("compound", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["tax_class_id"], ["tax_class.id"], name=op.f("fk_tax_rate_tax_class_id_tax_class")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tax_rate")),
    )
    op.create_index(op.f("ix_tax_rate_tax_class_id"), "tax_rate", ["tax_class_id"], unique=False)
    op.create_table(
        "credit_note",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("issued_on", sa.Date(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("taxes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("seller", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("buyer", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_credit_note_invoice_id_invoice")),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_credit_note_subscriber_id_subscriber")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_note")),
        sa.UniqueConstraint("number", name=op.f("uq_credit_note_number")),
        sa.UniqueConstraint("series", "sequence", name=op.f("uq_credit_note_series_sequence")),
    )
    op.create_index(op.f("ix_credit_note_invoice_id"), "credit_note", ["invoice_id"], unique=False)
    op.create_index(op.f("ix_credit_note_subscriber_id"), "credit_note", ["subscriber_id"], unique=False)
    op.create_table(
        "open_item",
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("open_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_open_item_invoice_id_invoice")),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_open_item_subscriber_id_subscriber")
        ),
        sa.PrimaryKeyConstraint("invoice_id", name=op.f("pk_open_item")),
    )
    op.create_index(op.f("ix_open_item_due_on"), "open_item", ["due_on"], unique=False)
    op.create_index(op.f("ix_open_item_subscriber_id"), "open_item", ["subscriber_id"], unique=False)
    op.create_table(
        "plan_price",
        sa.Column("plan_id", sa.BigInteger(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plan.id"], name=op.f("fk_plan_price_plan_id_plan")),
        sa.PrimaryKeyConstraint("plan_id", "valid_from", name=op.f("pk_plan_price")),
    )
    op.create_table(
        "write_off",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("on_day", sa.Date(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_write_off_invoice_id_invoice")),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_write_off_subscriber_id_subscriber")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_write_off")),
    )
    op.create_index(op.f("ix_write_off_invoice_id"), "write_off", ["invoice_id"], unique=False)
    op.create_index(op.f("ix_write_off_subscriber_id"), "write_off", ["subscriber_id"], unique=False)
    op.create_table(
        "charge",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("service_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("inclusive", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("tax_class_id", sa.BigInteger(), nullable=False),
        sa.Column("on_day", sa.Date(), nullable=False),
        sa.Column("bill_on", sa.Date(), nullable=True),
        sa.Column("invoice_id", sa.BigInteger(), nullable=True),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_charge_invoice_id_invoice")),
        sa.ForeignKeyConstraint(["service_id"], ["service.id"], name=op.f("fk_charge_service_id_service")),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscriber.id"], name=op.f("fk_charge_subscriber_id_subscriber")),
        sa.ForeignKeyConstraint(["tax_class_id"], ["tax_class.id"], name=op.f("fk_charge_tax_class_id_tax_class")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charge")),
    )
    op.create_index(op.f("ix_charge_invoice_id"), "charge", ["invoice_id"], unique=False)
    op.create_index(op.f("ix_charge_service_id"), "charge", ["service_id"], unique=False)
    op.create_index(
        "ix_charge_waiting",
        "charge",
        ["subscriber_id"],
        unique=False,
        postgresql_where=sa.text("invoice_id IS NULL AND dropped_at IS NULL"),
    )
    op.create_table(
        "discount",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("service_id", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("percent", sa.Text(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("from_on", sa.Date(), nullable=False),
        sa.Column("until_on", sa.Date(), nullable=True),
        sa.Column("coupon_id", sa.BigInteger(), nullable=True),
        sa.Column("author", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["coupon_id"], ["coupon.id"], name=op.f("fk_discount_coupon_id_coupon")),
        sa.ForeignKeyConstraint(["service_id"], ["service.id"], name=op.f("fk_discount_service_id_service")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_discount")),
    )
    op.create_index(op.f("ix_discount_coupon_id"), "discount", ["coupon_id"], unique=False)
    op.create_index(op.f("ix_discount_service_id"), "discount", ["service_id"], unique=False)
    op.create_table(
        "service_plan",
        sa.Column("service_id", sa.BigInteger(), nullable=False),
        sa.Column("from_on", sa.Date(), nullable=False),
        sa.Column("plan_id", sa.BigInteger(), nullable=False),
        sa.Column("anchor_on", sa.Date(), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=True),
        sa.Column("price_reason", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plan.id"], name=op.f("fk_service_plan_plan_id_plan")),
        sa.ForeignKeyConstraint(["service_id"], ["service.id"], name=op.f("fk_service_plan_service_id_service")),
        sa.PrimaryKeyConstraint("service_id", "from_on", name=op.f("pk_service_plan")),
    )
    op.create_index(op.f("ix_service_plan_plan_id"), "service_plan", ["plan_id"], unique=False)
    op.create_table(
        "service_product",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("service_id", sa.BigInteger(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.Integer(), server_default="1", nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=True),
        sa.Column("from_on", sa.Date(), nullable=False),
        sa.Column("until_on", sa.Date(), nullable=True),
        sa.Column("billed_until", sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_service_product_product_id_product")),
        sa.ForeignKeyConstraint(["service_id"], ["service.id"], name=op.f("fk_service_product_service_id_service")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_product")),
    )
    op.create_index(op.f("ix_service_product_product_id"), "service_product", ["product_id"], unique=False)
    op.create_index(op.f("ix_service_product_service_id"), "service_product", ["service_id"], unique=False)
    op.create_table(
        "skipped_period",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("service_id", sa.BigInteger(), nullable=False),
        sa.Column("start_on", sa.Date(), nullable=False),
        sa.Column("end_on", sa.Date(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["service_id"], ["service.id"], name=op.f("fk_skipped_period_service_id_service")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_skipped_period")),
    )
    op.create_index(op.f("ix_skipped_period_service_id"), "skipped_period", ["service_id"], unique=False)
    op.create_table(
        "credit_note_line",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("credit_note_id", sa.BigInteger(), nullable=False),
        sa.Column("invoice_line_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=True),
        sa.Column("period_end", sa.Date(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["credit_note_id"], ["credit_note.id"], name=op.f("fk_credit_note_line_credit_note_id_credit_note")
        ),
        sa.ForeignKeyConstraint(
            ["invoice_line_id"], ["invoice_line.id"], name=op.f("fk_credit_note_line_invoice_line_id_invoice_line")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_note_line")),
    )
    op.create_index(op.f("ix_credit_note_line_credit_note_id"), "credit_note_line", ["credit_note_id"], unique=False)
    op.create_index(op.f("ix_credit_note_line_invoice_line_id"), "credit_note_line", ["invoice_line_id"], unique=False)
    op.create_table(
        "open_credit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=True),
        sa.Column("credit_note_id", sa.BigInteger(), nullable=True),
        sa.Column("left_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.CheckConstraint("num_nonnulls(payment_id, credit_note_id) = 1", name=op.f("ck_open_credit_one_source")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_open_credit_payment_id_payment")),
        sa.ForeignKeyConstraint(
            ["credit_note_id"], ["credit_note.id"], name=op.f("fk_open_credit_credit_note_id_credit_note")
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_open_credit_subscriber_id_subscriber")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_open_credit")),
        sa.UniqueConstraint("payment_id", name=op.f("uq_open_credit_payment_id")),
        sa.UniqueConstraint("credit_note_id", name=op.f("uq_open_credit_credit_note_id")),
    )
    op.create_index(op.f("ix_open_credit_subscriber_id"), "open_credit", ["subscriber_id"], unique=False)
    op.add_column("allocation", sa.Column("credit_note_id", sa.BigInteger(), nullable=True))
    op.add_column("allocation", sa.Column("write_off_id", sa.BigInteger(), nullable=True))
    op.alter_column("allocation", "payment_id", existing_type=sa.BIGINT(), nullable=True)
    op.create_index(op.f("ix_allocation_credit_note_id"), "allocation", ["credit_note_id"], unique=False)
    op.create_index(op.f("ix_allocation_write_off_id"), "allocation", ["write_off_id"], unique=False)
    op.create_unique_constraint(
        op.f("uq_allocation_credit_note_id_invoice_id"), "allocation", ["credit_note_id", "invoice_id"]
    )
    op.create_foreign_key(
        op.f("fk_allocation_write_off_id_write_off"), "allocation", "write_off", ["write_off_id"], ["id"]
    )
    op.create_foreign_key(
        op.f("fk_allocation_credit_note_id_credit_note"), "allocation", "credit_note", ["credit_note_id"], ["id"]
    )
    op.add_column("invoice_line", sa.Column("kind", sa.Text(), nullable=True))
    op.add_column("invoice_line", sa.Column("service_product_id", sa.BigInteger(), nullable=True))
    op.add_column("invoice_line", sa.Column("charge_id", sa.BigInteger(), nullable=True))
    op.add_column("invoice_line", sa.Column("quantity", sa.Integer(), nullable=True))
    op.add_column("invoice_line", sa.Column("amount_minor", sa.BigInteger(), nullable=True))
    op.add_column("invoice_line", sa.Column("by_day", sa.Boolean(), server_default="true", nullable=False))
    op.add_column("invoice_line", sa.Column("inclusive", sa.Boolean(), nullable=True))
    op.add_column("invoice_line", sa.Column("taxes", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.drop_constraint(op.f("uq_invoice_line_service_period"), "invoice_line", type_="unique")
    op.create_index(
        "uq_invoice_line_charge_id",
        "invoice_line",
        ["charge_id"],
        unique=True,
        postgresql_where=sa.text("charge_id IS NOT NULL"),
    )
    op.create_foreign_key(
        op.f("fk_invoice_line_service_product_id_service_product"),
        "invoice_line",
        "service_product",
        ["service_product_id"],
        ["id"],
    )
    op.create_foreign_key(op.f("fk_invoice_line_charge_id_charge"), "invoice_line", "charge", ["charge_id"], ["id"])
    op.add_column("plan", sa.Column("price_inclusive", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("plan", sa.Column("cycle_unit", sa.Text(), nullable=True))
    op.add_column("plan", sa.Column("cycle_length", sa.SmallInteger(), nullable=True))
    op.add_column("plan", sa.Column("in_arrears", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("plan", sa.Column("tax_class_id", sa.BigInteger(), nullable=True))
    op.add_column("plan", sa.Column("setup_fee_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("plan", sa.Column("minimum_months", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("plan", sa.Column("early_end_fee_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("plan", sa.Column("proration", sa.Text(), server_default="daily", nullable=False))
    op.add_column("plan", sa.Column("first_period", sa.Text(), server_default="prorate", nullable=False))
    op.add_column("plan", sa.Column("retired_on", sa.Date(), nullable=True))
    op.create_foreign_key(op.f("fk_plan_tax_class_id_tax_class"), "plan", "tax_class", ["tax_class_id"], ["id"])
    op.add_column("service", sa.Column("payer_id", sa.BigInteger(), nullable=True))
    op.add_column("service", sa.Column("end_reason", sa.Text(), server_default="", nullable=False))
    op.add_column("service", sa.Column("contract_until", sa.Date(), nullable=True))
    op.add_column("service", sa.Column("billed_until", sa.Date(), nullable=True))
    op.add_column("service", sa.Column("next_bill_on", sa.Date(), nullable=True))
    op.add_column("service", sa.Column("next_in_advance", sa.Boolean(), server_default="true", nullable=False))
    op.create_index(op.f("ix_service_next_bill_on"), "service", ["next_bill_on"], unique=False)
    op.create_index(op.f("ix_service_payer_id"), "service", ["payer_id"], unique=False)
    op.create_foreign_key(op.f("fk_service_payer_id_subscriber"), "service", "subscriber", ["payer_id"], ["id"])
    op.add_column("subscriber", sa.Column("language", sa.Text(), nullable=True))
    op.add_column("subscriber", sa.Column("country", sa.Text(), server_default="", nullable=False))
    op.add_column("subscriber", sa.Column("billing_day", sa.SmallInteger(), nullable=True))
    op.add_column("subscriber", sa.Column("delivery", sa.Text(), server_default="mail", nullable=False))
    op.add_column("subscriber", sa.Column("tax_treatment", sa.Text(), server_default="normal", nullable=False))
    op.add_column("subscriber", sa.Column("tax_number", sa.Text(), server_default="", nullable=False))
    op.add_column("subscriber", sa.Column("tax_number_check", sa.Text(), server_default="", nullable=False))
    op.add_column("subscriber", sa.Column("tax_number_checked_on", sa.Date(), nullable=True))
    op.add_column("subscriber", sa.Column("exemption_reason", sa.Text(), server_default="", nullable=False))
    op.add_column("invoice", sa.Column("series", sa.Text(), nullable=True))
    op.add_column("invoice", sa.Column("sequence", sa.BigInteger(), nullable=True))
    op.create_unique_constraint(op.f("uq_invoice_series_sequence"), "invoice", ["series", "sequence"])
    for statement in _FILL:
        op.execute(statement)
    for table, column in _FILLED:
        op.alter_column(table, column, nullable=False)
    op.drop_column("invoice_line", "tax_percent")
    op.drop_column("plan", "cycle_months")
    op.drop_column("plan", "tax_percent")
    op.drop_column("service", "periods_billed")
    op.create_check_constraint("one_source", "allocation", "num_nonnulls(payment_id, credit_note_id, write_off_id) = 1")
    op.execute("DROP TRIGGER balanced ON posting")
    op.execute(_BALANCED)
    op.execute(
        "CREATE TRIGGER balanced AFTER INSERT ON posting REFERENCING NEW TABLE AS fresh "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_unbalanced_entries()"
    )
    op.execute("DROP FUNCTION refuse_unbalanced_entry")
    for table in ("credit_note", "credit_note_line", "write_off"):
        op.execute(
            f"CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER kept BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


# An entry gets all its postings in one statement, so that many entries are checked at once.
_BALANCED = """
CREATE FUNCTION refuse_unbalanced_entries() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong bigint;
BEGIN
    SELECT entry_id INTO wrong FROM posting WHERE entry_id IN (SELECT entry_id FROM fresh)
        GROUP BY entry_id, currency HAVING sum(amount_minor) <> 0 LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the postings of entry % do not sum to zero', wrong USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$
"""

_FILLED = (
    ("invoice", "series"),
    ("invoice", "sequence"),
    ("invoice_line", "kind"),
    ("invoice_line", "quantity"),
    ("invoice_line", "amount_minor"),
    ("invoice_line", "inclusive"),
    ("invoice_line", "taxes"),
    ("plan", "cycle_unit"),
    ("plan", "cycle_length"),
    ("plan", "tax_class_id"),
    ("service", "payer_id"),
    ("service", "billed_until"),
)

# Frozen rows get their new columns once, here.
_FILL = (
    "INSERT INTO tax_class (name) SELECT DISTINCT tax_percent || ' %' FROM plan",
    "INSERT INTO tax_rate (tax_class_id, position, name, percent, category, valid_from) "
    "SELECT id, 1, 'VAT', replace(name, ' %', ''), "
    "CASE WHEN replace(name, ' %', '')::numeric = 0 THEN 'Z' ELSE 'S' END, '1900-01-01' FROM tax_class",
    "UPDATE plan SET cycle_unit = 'month', cycle_length = cycle_months, "
    "tax_class_id = (SELECT id FROM tax_class WHERE name = tax_percent || ' %')",
    "UPDATE service SET payer_id = subscriber_id, billed_until = "
    "(starts_on + make_interval(months => periods_billed * (SELECT cycle_months FROM plan WHERE id = plan_id)))::date",
    "UPDATE service SET next_bill_on = billed_until WHERE ends_on IS NULL OR billed_until < ends_on",
    "INSERT INTO service_plan (service_id, from_on, plan_id, anchor_on) SELECT id, starts_on, plan_id, starts_on "
    "FROM service",
    "ALTER TABLE invoice_line DISABLE TRIGGER frozen",
    "UPDATE invoice_line SET kind = 'plan', quantity = 1, amount_minor = net_minor, inclusive = false, "
    "taxes = jsonb_build_array(jsonb_build_object('name', 'VAT', 'percent', tax_percent, 'category', "
    "CASE WHEN tax_percent::numeric = 0 THEN 'Z' ELSE 'S' END, 'compound', false))",
    "ALTER TABLE invoice_line ENABLE TRIGGER frozen",
    "ALTER TABLE invoice DISABLE TRIGGER frozen",
    "UPDATE invoice SET series = 'invoice', sequence = substring(number from '[0-9]+$')::bigint",
    "UPDATE invoice SET taxes = (SELECT coalesce(jsonb_agg(t || jsonb_build_object('name', 'VAT', 'category', "
    "CASE WHEN (t->>'percent')::numeric = 0 THEN 'Z' ELSE 'S' END)), '[]') FROM jsonb_array_elements(taxes) t)",
    "ALTER TABLE invoice ENABLE TRIGGER frozen",
    "INSERT INTO open_item (invoice_id, subscriber_id, due_on, open_minor, currency) "
    "SELECT i.id, i.subscriber_id, i.due_on, i.total_minor - coalesce(a.minor, 0), i.currency FROM invoice i "
    "LEFT JOIN (SELECT invoice_id, sum(amount_minor) AS minor FROM allocation GROUP BY invoice_id) a "
    "ON a.invoice_id = i.id WHERE i.total_minor > coalesce(a.minor, 0)",
    "INSERT INTO open_credit (subscriber_id, payment_id, left_minor, currency) "
    "SELECT p.subscriber_id, p.id, p.amount_minor - coalesce(a.minor, 0), p.currency FROM payment p "
    "LEFT JOIN (SELECT payment_id, sum(amount_minor) AS minor FROM allocation GROUP BY payment_id) a "
    "ON a.payment_id = p.id WHERE p.amount_minor > coalesce(a.minor, 0)",
    # payments are credit of their subscriber now, which invoices use: booked as if it had always been so
    "INSERT INTO entry (day, text, source, created_at) SELECT received_on, "
    "'Payment ' || receipt_number || ' is credit', 'credit:' || id, clock_timestamp() FROM payment",
    "INSERT INTO entry (day, text, source, created_at) SELECT created_at::date, 'Credit used for invoice ' || "
    "invoice_id, 'allocation:' || id, clock_timestamp() FROM allocation",
    "INSERT INTO posting (entry_id, account, subscriber_id, amount_minor, currency) "
    "SELECT e.id, side.account, p.subscriber_id, side.sign * p.amount_minor, p.currency FROM payment p "
    "JOIN entry e ON e.source = 'credit:' || p.id "
    "CROSS JOIN (VALUES ('receivable', 1), ('customer_credit', -1)) AS side (account, sign)",
    "INSERT INTO posting (entry_id, account, subscriber_id, amount_minor, currency) "
    "SELECT e.id, side.account, p.subscriber_id, side.sign * a.amount_minor, p.currency FROM allocation a "
    "JOIN payment p ON p.id = a.payment_id JOIN entry e ON e.source = 'allocation:' || a.id "
    "CROSS JOIN (VALUES ('customer_credit', 1), ('receivable', -1)) AS side (account, sign)",
)
