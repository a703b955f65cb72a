"""Tables of instalment plans. Readers: portal, billing.settle, billing.dunning, billing.collect."""

from sqlalchemy import BigInteger, Boolean, Column, Date, ForeignKey, Index, Integer, Table, Text, text

from base.tables import identity, instant, metadata, reference

# What was agreed with a subscriber. Writer: billing.instalments.plans.
instalment_plan = Table(
    "instalment_plan",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),
    Column("made_on", Date, nullable=False),
    Column("total_minor", BigInteger, nullable=False),  # open of its invoices when it was made: the sum of its parts
    Column("currency", Text, nullable=False),
    Column("grace_days", Integer, nullable=False),  # that a part may be late
    # active; kept: everything is paid; broken: a part was missed; void: staff ended it, or its debt was given up
    Column("state", Text, nullable=False, server_default="active"),
    Column("decided_on", Date),
    Column("reason", Text, nullable=False, server_default=""),  # why staff ended it
    Column("author", Text, nullable=False),
    instant("created_at"),
    Index("uq_instalment_plan_active", "subscriber_id", unique=True, postgresql_where=text("state = 'active'")),
)

# Its parts. Writer: billing.instalments.plans.
instalment_part = Table(
    "instalment_part",
    metadata,
    Column("plan_id", BigInteger, ForeignKey("instalment_plan.id"), primary_key=True),
    Column("number", Integer, primary_key=True),  # 1, 2, 3 ... in the order of their days
    Column("due_on", Date, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
)

# The invoices that it pays; an invoice is in one that is active at most. Writer: billing.instalments.plans.
instalment_invoice = Table(
    "instalment_invoice",
    metadata,
    Column("plan_id", BigInteger, ForeignKey("instalment_plan.id"), primary_key=True),
    Column("invoice_id", BigInteger, ForeignKey("invoice.id"), primary_key=True),
    Column("alive", Boolean, nullable=False, server_default="true"),  # the plan is active
    Index("uq_instalment_invoice_alive", "invoice_id", unique=True, postgresql_where=text("alive")),
)
