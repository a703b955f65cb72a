"""Tables of what staff have closed and taken on: tills, and the worklist. Readers: console."""

from sqlalchemy import BigInteger, Column, Date, Index, Table, Text, UniqueConstraint, text

from base.tables import identity, instant, metadata

# A cashier's day, counted; one that was opened again is kept. Writer: billing.clearing.till.
cash_close = Table(
    "cash_close",
    metadata,
    identity(),
    Column("cashier", Text, nullable=False),  # author of payments: 'staff:3', 'console'
    Column("day", Date, nullable=False),
    Column("currency", Text, nullable=False),
    Column("expected_minor", BigInteger, nullable=False),
    Column("counted_minor", BigInteger, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("author", Text, nullable=False),
    instant("closed_at"),
    instant("reopened_at", nullable=True),
    Column("reopened_by", Text, nullable=False, server_default=""),
    Column("reopened_because", Text, nullable=False, server_default=""),
    Index("uq_cash_close_day", "cashier", "day", "currency", unique=True, postgresql_where=text("reopened_at IS NULL")),
)

# Cash that came or went beside payments: vouchers sold, money paid back. Writer: billing.clearing.till.
till_movement = Table(
    "till_movement",
    metadata,
    identity(),
    Column("cashier", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),  # below zero: it left the till
    Column("currency", Text, nullable=False),
    Column("what", Text, nullable=False),  # in a few words
    Column("source", Text, nullable=False, unique=True),  # gone_back:7, voucher_batch:3
    instant("created_at"),
    Index("ix_till_movement_day", "cashier", "day"),
)

# What staff say about a thing on the worklist; what is on it is found, not kept. Writer: billing.clearing.worklist.
work_item = Table(
    "work_item",
    metadata,
    identity(),
    Column("kind", Text, nullable=False),  # of billing.clearing.worklist.SOURCES
    Column("subject_id", BigInteger, nullable=False),
    Column("owner", Text, nullable=False, server_default=""),  # 'staff:3'
    Column("note", Text, nullable=False, server_default=""),
    Column("next_on", Date),
    instant("done_at", nullable=True),
    Column("author", Text, nullable=False),  # who said the last of it
    instant("changed_at"),
    UniqueConstraint("kind", "subject_id"),
)
