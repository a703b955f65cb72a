"""Postings are checked among those of their own statement, so that a long history slows nobody.

Revision ID: 0010
Revises: 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Compare only what is new: joined with all postings, PostgreSQL read the index from its beginning each time."""
    op.execute(_BALANCED)


# What was there before sums to zero, so the new postings of an entry have to do so among themselves.
_BALANCED = """
CREATE OR REPLACE FUNCTION refuse_unbalanced_entries() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong bigint;
BEGIN
    SELECT entry_id INTO wrong FROM fresh GROUP BY entry_id, currency HAVING sum(amount_minor) <> 0 LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the postings of entry % do not sum to zero', wrong USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$
"""
