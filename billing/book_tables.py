"""Tables of the books beside the ledger: the accountant's codes, closed months, what is taken back, the chain of seals.

They hang on the same metadata as billing.tables. Closed months, reinstatements and seals are frozen by triggers that
the migrations make.
"""

from sqlalchemy import BigInteger, Column, Date, Index, Integer, LargeBinary, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from base.tables import identity, instant, metadata, reference

# The accountant's codes, where they are not ours (billing.accounts). Writer: billing.codes.
account_code = Table(
    "account_code",
    metadata,
    identity(),
    Column("account", Text, nullable=False),  # of billing.accounts
    reference("tax_class_id", "tax_class", nullable=True, index=False),  # NULL: of all classes without one of their own
    Column("code", Text, nullable=False),
    Index("uq_account_code", "account", "tax_class_id", unique=True, postgresql_nulls_not_distinct=True),
)

# Months that take no entries any more. Writer: billing.close. Readers: billing.ledger, a trigger on entry.
month_close = Table(
    "month_close",
    metadata,
    identity(),
    Column("month", Date, nullable=False),  # its first day
    Column("closed_by", Text, nullable=False),
    instant("closed_at"),
    # [{account, tax_class_id, currency, minor}] after the month's last entry: checked again by billing.books
    Column("balances", JSONB, nullable=False),
    Column("reopened_by", Text),  # then the row holds no longer
    instant("reopened_at", nullable=True),
    Column("reopen_reason", Text),
    Index("uq_month_close_month", "month", unique=True, postgresql_where=text("reopened_at IS NULL")),
)

# What of a write-off is a debt again, because it was paid or credited after all. Writer: billing.write_offs.
reinstatement = Table(
    "reinstatement",
    metadata,
    identity(),
    reference("write_off_id", "write_off"),
    reference("subscriber_id", "subscriber"),
    reference("invoice_id", "invoice"),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("on_day", Date, nullable=False),
    Column("account", Text, nullable=False),  # recovered: it was paid; bad_debt: it was no debt
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    instant("created_at"),
)

# The hash chain: each seal covers the rows of one kind whose ids lie in (from_id, to_id]. Writer: billing.chain.
seal = Table(
    "seal",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),  # 1, 2, 3 ... without gaps
    Column("format", Integer, nullable=False),  # of the rows' canonical bytes
    Column("kind", Text, nullable=False),  # entry, invoice, credit_note, document
    Column("from_id", BigInteger, nullable=False),
    Column("to_id", BigInteger, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("digest", Text, nullable=False),  # SHA-256 in hexadecimal, over the digest before it and the rows
    Column("rows", LargeBinary, nullable=False),  # of each row: 8 bytes id, 16 bytes of its SHA-256, to name a culprit
    instant("sealed_at", now=True),
    Index("ix_seal_kind_to_id", "kind", "to_id"),
)

# Up to which ids the rows of a kind are sealed when every transaction below `xid` has ended. Writer: billing.chain.
seal_mark = Table(
    "seal_mark",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("to_id", BigInteger, nullable=False),
    Column("xid", BigInteger, nullable=False),
)
