"""What each debt has walled in, when the run of dunning looks at an invoice again, and notices that were withdrawn.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# whoever debt has walled in stays so, and the fee for coming back is theirs
WALLED_NOW = """
INSERT INTO dunning_wall (invoice_id, service_id, on_day)
SELECT open_item.invoice_id, policy.service_id, min(dunning_notice.on_day)
FROM policy
JOIN service ON service.id = policy.service_id
JOIN open_item ON open_item.subscriber_id = service.payer_id AND open_item.dunned
JOIN dunning_notice ON dunning_notice.invoice_id = open_item.invoice_id
WHERE 'debt' = ANY (policy.reasons) AND dunning_notice.act = 'wall' AND dunning_notice.in_time
AND dunning_notice.on_day <= greatest(current_date, policy.changed_at::date + 1)
GROUP BY open_item.invoice_id, policy.service_id
"""


def upgrade() -> None:
    """Add two tables and a column."""
    op.create_table(
        "dunning_wall",
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("service_id", sa.BigInteger(), nullable=False),
        sa.Column("on_day", sa.Date(), nullable=False),
        sa.Column("back_on", sa.Date(), nullable=True),
        sa.Column("charge_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_dunning_wall_invoice_id_invoice")),
        sa.ForeignKeyConstraint(["service_id"], ["service.id"], name=op.f("fk_dunning_wall_service_id_service")),
        sa.ForeignKeyConstraint(["charge_id"], ["charge.id"], name=op.f("fk_dunning_wall_charge_id_charge")),
        sa.PrimaryKeyConstraint("invoice_id", "service_id", name=op.f("pk_dunning_wall")),
    )
    op.create_index("ix_dunning_wall_service", "dunning_wall", ["service_id"], unique=False)
    op.create_table(
        "dunning_look",
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("look_on", sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_dunning_look_invoice_id_invoice")),
        sa.PrimaryKeyConstraint("invoice_id", name=op.f("pk_dunning_look")),
    )
    op.add_column("dunning_notice", sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(WALLED_NOW)
