"""Tables of bill runs and outages, beside billing.tables; portal reads them through billing's functions."""

from sqlalchemy import BigInteger, Column, Date, ForeignKey, Index, Integer, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB

from base.tables import identity, instant, metadata
from billing.tables import invoice

# Reports look up the invoices of a day. They lie together: a summary of blocks finds them and costs nothing to keep.
Index("ix_invoice_issued_on", invoice.c.issued_on, postgresql_using="brin")

# What the bill runs of a day issued, counted in the transactions that issue. Writer: billing.bill_runs.
bill_run = Table(
    "bill_run",
    metadata,
    Column("day", Date, primary_key=True),
    instant("started_at"),
    instant("ended_at", nullable=True),  # NULL: under way, or killed; the next run ends it
    Column("issued", Integer, nullable=False, server_default="0"),
    Column("totals", JSONB, nullable=False, server_default="{}"),  # currency: minor units, tax included
    Column("failures", JSONB, nullable=False, server_default="{}"),  # subscriber: sentence; of the last run of the day
    Column("anomalies", JSONB, nullable=False, server_default="{}"),  # subscriber: sentences for which it was held back
)

# Subscribers whose bill waits for somebody to look at it. Writer: billing.bill_holds.
bill_hold = Table(
    "bill_hold",
    metadata,
    Column("subscriber_id", BigInteger, ForeignKey("subscriber.id"), primary_key=True),
    Column("held_on", Date, nullable=False),
    Column("total_minor", BigInteger, nullable=False),  # of the bills that would have gone out
    Column("currency", Text, nullable=False),
    Column("sentences", JSONB, nullable=False),
    Column("released_by", Text, nullable=False, server_default=""),  # '': nobody has yet
    instant("released_at", nullable=True),
)

# Days on which services were down, for which their subscribers are given back money. Writer: billing.outages.
outage = Table(
    "outage",
    metadata,
    identity(),
    Column("scope", Text, nullable=False),  # 'nas:edge1', 'plan:Home', 'logins:<digest of the list>'
    Column("from_on", Date, nullable=False),
    Column("until_on", Date, nullable=False),  # first day after it
    Column("text", Text, nullable=False),  # what the subscriber reads
    Column("author", Text, nullable=False),
    instant("created_at"),
    UniqueConstraint("scope", "from_on", "until_on"),
)

# What each service was given for an outage, once. Writer: billing.outages.
outage_service = Table(
    "outage_service",
    metadata,
    Column("outage_id", BigInteger, ForeignKey("outage.id"), primary_key=True),
    Column("service_id", BigInteger, ForeignKey("service.id"), primary_key=True, index=True),
    Column("credited_minor", BigInteger, nullable=False),  # by credit notes, tax included
    Column("next_bill_minor", BigInteger, nullable=False),  # by discounts of days that are not billed yet, as priced
    Column("currency", Text, nullable=False),
    instant("created_at"),
)
