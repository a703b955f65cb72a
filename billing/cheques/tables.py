"""The table of cheques that do not count at once. Readers: portal, billing.books, billing.reports."""

from sqlalchemy import BigInteger, Column, Date, ForeignKey, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY

from base.tables import metadata, reference

# What a payment by cheque waits for; one that counted at once has no row. Writers: billing.cheques.waiting and .clear.
cheque = Table(
    "cheque",
    metadata,
    Column("payment_id", BigInteger, ForeignKey("payment.id"), primary_key=True),
    reference("subscriber_id", "subscriber", index=False),
    Column("counts_on", Date, nullable=False),  # the first day on which it counts by itself
    Column("invoice_ids", ARRAY(BigInteger), nullable=False),  # it is meant for
    Column("state", Text, nullable=False, server_default="waiting"),  # waiting, cleared; bounced before it counted
    Column("decided_on", Date),
    Index("ix_cheque_waiting", "subscriber_id", postgresql_where=text("state = 'waiting'")),
)
