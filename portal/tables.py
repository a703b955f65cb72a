"""Tables of the portal alone: who of the staff may log in, and which browsers are logged in."""

from sqlalchemy import BigInteger, Boolean, Column, LargeBinary, Table, Text

from base.tables import identity, instant, metadata

# Writer: portal.accounts (console's `staff add` calls it).
staff = Table(
    "staff",
    metadata,
    identity(),
    Column("login", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("password", Text, nullable=False),  # argon2
    Column("role", Text, nullable=False),  # owner, agent
    Column("active", Boolean, nullable=False, server_default="true"),
    instant("created_at"),
)

# Logged-in browsers, revocable. Writer: portal.accounts. Times are real.
web_session = Table(
    "web_session",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("account", Text, nullable=False, index=True),  # 'staff:3', 'subscriber:9'
    Column("subject_id", BigInteger, nullable=False),
    instant("created_at", now=True),
    instant("expires_at"),
)
