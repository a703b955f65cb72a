"""Dunning as data; what is billed while debt walls a service in; where services are installed.

Revision ID: 0005
Revises: 0004
"""

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STANDARD = [
    {"days": 0, "act": "due_notice"},
    {"days": 3, "act": "reminder_1"},
    {"days": 7, "act": "reminder_2"},
    {"days": 14, "act": "final_notice"},
    {"days": 21, "act": "wall"},
]


def upgrade() -> None:
    """Add, and keep the days that the provider has been dunning by."""
    op.create_table(
        "holiday",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_holiday")),
    )
    op.create_table(
        "dunning_policy",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("steps", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("notice_days", sa.SmallInteger(), server_default="5", nullable=False),
        sa.Column("minimum_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("weekdays_off", postgresql.ARRAY(sa.SmallInteger()), server_default="{}", nullable=False),
        sa.Column("opens", sa.Time(), server_default="00:00", nullable=False),
        sa.Column("closes", sa.Time(), nullable=True),
        sa.Column("fee_as", sa.Text(), server_default="document", nullable=False),
        sa.Column("fee_tax_class_id", sa.BigInteger(), nullable=True),
        sa.Column("reconnection", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("reconnection_first", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("promise_days", sa.SmallInteger(), server_default="7", nullable=False),
        sa.Column("promises_a_year", sa.SmallInteger(), server_default="2", nullable=False),
        sa.ForeignKeyConstraint(
            ["fee_tax_class_id"], ["tax_class.id"], name=op.f("fk_dunning_policy_fee_tax_class_id_tax_class")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dunning_policy")),
        sa.UniqueConstraint("name", name=op.f("uq_dunning_policy_name")),
    )
    op.create_index(
        "uq_dunning_policy_default",
        "dunning_policy",
        ["is_default"],
        unique=True,
        postgresql_where=sa.text("is_default"),
    )
    op.create_table(
        "exemption",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("from_on", sa.Date(), nullable=False),
        sa.Column("until_on", sa.Date(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("until_on >= from_on", name=op.f("ck_exemption_ends")),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_exemption_subscriber_id_subscriber")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exemption")),
        sa.UniqueConstraint("subscriber_id", "from_on", name=op.f("uq_exemption_subscriber_id_from_on")),
    )
    op.create_index(op.f("ix_exemption_subscriber_id"), "exemption", ["subscriber_id"], unique=False)
    op.create_table(
        "promise",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("made_on", sa.Date(), nullable=False),
        sa.Column("until_on", sa.Date(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("invoice_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("decided_on", sa.Date(), nullable=True),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscriber.id"], name=op.f("fk_promise_subscriber_id_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promise")),
    )
    op.create_index(op.f("ix_promise_subscriber_id"), "promise", ["subscriber_id"], unique=False)
    op.create_index(
        "uq_promise_open", "promise", ["subscriber_id"], unique=True, postgresql_where=sa.text("state = 'open'")
    )
    op.create_table(
        "dunning_group",
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("policy_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["dunning_policy.id"], name=op.f("fk_dunning_group_policy_id_dunning_policy")
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_dunning_group_subscriber_id_subscriber")
        ),
        sa.PrimaryKeyConstraint("subscriber_id", name=op.f("pk_dunning_group")),
    )
    op.create_index(op.f("ix_dunning_group_policy_id"), "dunning_group", ["policy_id"], unique=False)
    op.create_table(
        "dunning_notice",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("on_day", sa.Date(), nullable=False),
        sa.Column("message_key", sa.Text(), nullable=False),
        sa.Column("arrived_on", sa.Date(), nullable=True),
        sa.Column("in_time", sa.Boolean(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_dunning_notice_invoice_id_invoice")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dunning_notice")),
    )
    op.create_index(op.f("ix_dunning_notice_invoice_id"), "dunning_notice", ["invoice_id"], unique=False)
    op.create_index(
        "ix_dunning_notice_waiting",
        "dunning_notice",
        ["id"],
        unique=False,
        postgresql_where=sa.text("arrived_on IS NULL"),
    )
    op.create_table(
        "dunning_step",
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("on_day", sa.Date(), nullable=False),
        sa.Column("charge_id", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["charge_id"], ["charge.id"], name=op.f("fk_dunning_step_charge_id_charge")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_dunning_step_invoice_id_invoice")),
        sa.PrimaryKeyConstraint("invoice_id", "act", name=op.f("pk_dunning_step")),
    )
    op.create_index(
        "uq_dunning_step_fee",
        "dunning_step",
        ["invoice_id"],
        unique=True,
        postgresql_where=sa.text("charge_id IS NOT NULL"),
    )
    op.add_column("open_item", sa.Column("dunned", sa.Boolean(), server_default="true", nullable=False))
    op.add_column("plan", sa.Column("walled_billing", sa.Text(), server_default="bill", nullable=False))
    op.add_column("plan", sa.Column("walled_stop_days", sa.SmallInteger(), server_default="0", nullable=False))
    op.create_table(
        "service_site",
        sa.Column("service_id", sa.BigInteger(), nullable=False),
        sa.Column("from_on", sa.Date(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("nas_id", sa.BigInteger(), nullable=True),
        sa.Column("port", sa.Text(), server_default="", nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["nas_id"], ["nas.id"], name=op.f("fk_service_site_nas_id_nas")),
        sa.ForeignKeyConstraint(["service_id"], ["service.id"], name=op.f("fk_service_site_service_id_service")),
        sa.PrimaryKeyConstraint("service_id", "from_on", name=op.f("pk_service_site")),
    )
    op.create_index(op.f("ix_service_site_nas_id"), "service_site", ["nas_id"], unique=False)
    _keep_what_holds()


def _keep_what_holds() -> None:
    """Who bills already goes on as before: one reminder, which names the date, and the wall."""
    connection = op.get_bind()
    known = {
        row.key: int(row.value)
        for row in connection.execute(
            sa.text("SELECT key, value FROM business_setting WHERE key IN ('remind_after_days', 'wall_after_days')")
        )
    }
    bills = connection.execute(sa.text("SELECT EXISTS (SELECT FROM invoice)")).scalar_one()
    if not known and not bills:
        _add_policy(connection, STANDARD, 5)
        return
    wall = max(1, known.get("wall_after_days", 7))
    remind = max(0, min(known.get("remind_after_days", 3), wall - 1))
    notice = min(5, wall - remind)
    zone = connection.execute(sa.text("SELECT value FROM business_setting WHERE key = 'time_zone'")).scalar() or "UTC"
    _add_policy(connection, [{"days": remind, "act": "reminder_1"}, {"days": wall, "act": "wall"}], notice)
    given = {"remind": remind, "wall": wall, "notice": notice, "zone": zone}
    # reminded, or walled in without a reminder because there was no address
    connection.execute(
        sa.text(
            "INSERT INTO dunning_step (invoice_id, act, on_day, at) "
            "SELECT o.invoice_id, 'reminder_1', o.due_on + :remind, coalesce(m.created_at, now()) FROM open_item o "
            "LEFT JOIN message m ON m.key = 'reminder:' || o.invoice_id "
            "WHERE m.id IS NOT NULL OR EXISTS (SELECT FROM service s JOIN policy p ON p.service_id = s.id "
            "WHERE s.payer_id = o.subscriber_id AND 'debt' = ANY(p.reasons) "
            "AND o.due_on + :wall <= (p.changed_at AT TIME ZONE :zone)::date)"
        ),
        given,
    )
    # whoever is walled in stays so, whatever became of the mail
    connection.execute(
        sa.text(
            "INSERT INTO dunning_notice (invoice_id, act, on_day, message_key, arrived_on, in_time, created_at) "
            "SELECT d.invoice_id, 'wall', o.due_on + :wall, 'reminder:' || d.invoice_id, "
            "CASE WHEN held.so THEN o.due_on + :wall - :notice END, CASE WHEN held.so THEN true END, d.at "
            "FROM dunning_step d JOIN open_item o USING (invoice_id) "
            "LEFT JOIN message m ON m.key = 'reminder:' || d.invoice_id "
            "CROSS JOIN LATERAL (SELECT m.state IS NOT DISTINCT FROM 'sent' OR EXISTS (SELECT FROM service s "
            "JOIN policy p ON p.service_id = s.id WHERE s.payer_id = o.subscriber_id AND 'debt' = ANY(p.reasons) "
            "AND o.due_on + :wall <= (p.changed_at AT TIME ZONE :zone)::date) AS so) held"
        ),
        given,
    )


def _add_policy(connection: sa.Connection, steps: list[dict[str, object]], notice_days: int) -> None:
    connection.execute(
        sa.text(
            "INSERT INTO dunning_policy (name, is_default, steps, notice_days) "
            "VALUES ('standard', true, CAST(:steps AS jsonb), :notice_days)"
        ),
        {"steps": json.dumps(steps), "notice_days": notice_days},
    )
