"""Documents that are kept with their hash and never change, and the operator's own templates.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add, fill for what is there, then freeze."""
    op.create_table(
        "document_template",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "language", name=op.f("pk_document_template")),
    )
    op.add_column("document", sa.Column("sha256", sa.Text(), nullable=True))
    op.execute("UPDATE document SET sha256 = encode(sha256(pdf), 'hex')")
    op.alter_column("document", "sha256", nullable=False)
    op.execute(
        "CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON document FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute("CREATE TRIGGER kept BEFORE TRUNCATE ON document FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()")
