"""Tables of dunning: policies, what was done to each case, notices, and who is waited for. Readers: portal."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    SmallInteger,
    Table,
    Text,
    Time,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from base.tables import identity, instant, metadata, reference

# How a group of subscribers is dunned. Writer: billing.dunning.policies.
dunning_policy = Table(
    "dunning_policy",
    metadata,
    identity(),
    Column("name", Text, nullable=False, unique=True),
    Column("is_default", Boolean, nullable=False, server_default="false"),  # of those who are in no group
    Column("currency", Text),  # of fees and the minimum; NULL: the provider's
    Column("steps", JSONB, nullable=False),  # of billing.dunning.policy.Step: days, act, fee
    Column("notice_days", SmallInteger, nullable=False, server_default="5"),
    Column("minimum_minor", BigInteger, nullable=False, server_default="0"),
    Column("weekdays_off", ARRAY(SmallInteger), nullable=False, server_default="{}"),  # ISO: 1 = Monday
    Column("opens", Time, nullable=False, server_default="00:00"),
    Column("closes", Time),  # NULL: the end of the day
    Column("fee_as", Text, nullable=False, server_default="document"),  # document, line
    reference("fee_tax_class_id", "tax_class", nullable=True, index=False),
    Column("reconnection", JSONB, nullable=False, server_default="{}"),  # cause: minor units
    Column("reconnection_first", Boolean, nullable=False, server_default="false"),
    Column("promise_days", SmallInteger, nullable=False, server_default="7"),
    Column("promises_a_year", SmallInteger, nullable=False, server_default="2"),
    Index("uq_dunning_policy_default", "is_default", unique=True, postgresql_where=text("is_default")),
)

# Days on which nobody is cut off. Writer: billing.dunning.policies.
holiday = Table(
    "holiday",
    metadata,
    Column("day", Date, primary_key=True),
    Column("name", Text, nullable=False),
)

# Who is dunned by another policy than the default. Writer: billing.dunning.policies.
dunning_group = Table(
    "dunning_group",
    metadata,
    Column("subscriber_id", BigInteger, ForeignKey("subscriber.id"), primary_key=True),
    reference("policy_id", "dunning_policy"),
)

# The steps that were taken because of an invoice, each once. Writer: billing.dunning.run.
dunning_step = Table(
    "dunning_step",
    metadata,
    Column("invoice_id", BigInteger, ForeignKey("invoice.id"), primary_key=True),
    Column("act", Text, primary_key=True),
    Column("on_day", Date, nullable=False),
    Column("charge_id", BigInteger, ForeignKey("charge.id")),  # the late fee that came with it
    instant("at"),
    Index("uq_dunning_step_fee", "invoice_id", unique=True, postgresql_where=text("charge_id IS NOT NULL")),
)

# Messages that name the date on which something is taken away. Writer: billing.dunning.run. Reader: billing.facts.
dunning_notice = Table(
    "dunning_notice",
    metadata,
    identity(),
    reference("invoice_id", "invoice"),
    Column("act", Text, nullable=False),  # reduce, wall, end
    Column("on_day", Date, nullable=False),
    Column("message_key", Text, nullable=False),
    Column("arrived_on", Date),  # accepted by a server, or printed
    Column("in_time", Boolean),  # as the policy of then wanted it; NULL: not arrived; false without a day: it came back
    instant("created_at"),
    instant("withdrawn_at", nullable=True),  # from then on it counts for nothing, even where its message left after all
    Index("ix_dunning_notice_waiting", "id", postgresql_where=text("arrived_on IS NULL")),
)

# The services that an invoice has walled in, and what coming back costs: once for a debt, however often the wall opens
# and closes meanwhile. Writer: billing.dunning.walls. Reader: billing.dunning.debts.
dunning_wall = Table(
    "dunning_wall",
    metadata,
    Column("invoice_id", BigInteger, ForeignKey("invoice.id"), primary_key=True),
    Column("service_id", BigInteger, ForeignKey("service.id"), primary_key=True),
    Column("on_day", Date, nullable=False),  # the first time
    Column("back_on", Date),  # NULL: it is walled in now
    Column("charge_id", BigInteger, ForeignKey("charge.id")),  # the fee for coming back
    Index("ix_dunning_wall_service", "service_id"),
)

# Debts that were settled and are open again, or whose instalment plan is over: dunned from the start, what was done
# before is kept here. Writer: billing.dunning.anew.
dunning_anew = Table(
    "dunning_anew",
    metadata,
    identity(),
    reference("invoice_id", "invoice"),
    Column("on_day", Date, nullable=False),  # it was open again
    Column("steps", JSONB, nullable=False),  # rows of dunning_step as they were
    Column("walls", JSONB, nullable=False),  # rows of dunning_wall that had opened again
    instant("at"),
)

# When the run looks at an invoice again; one without a row is looked at as soon as it is due. Whatever may bring a step
# forward deletes the row. Writer: billing.dunning.agenda.
dunning_look = Table(
    "dunning_look",
    metadata,
    Column("invoice_id", BigInteger, ForeignKey("invoice.id"), primary_key=True),
    Column("look_on", Date, nullable=False),
)

# Subscribers who said when they will pay. Writer: billing.dunning.promises. Reader: billing.facts.
promise = Table(
    "promise",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),
    Column("made_on", Date, nullable=False),
    Column("until_on", Date, nullable=False),  # the last day
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("invoice_ids", ARRAY(BigInteger), nullable=False),  # it is kept when none of them is open
    Column("state", Text, nullable=False, server_default="open"),  # open, kept, broken, void: given up or taken back
    Column("decided_on", Date),
    Column("author", Text, nullable=False),
    instant("created_at"),
    Index("uq_promise_open", "subscriber_id", unique=True, postgresql_where=text("state = 'open'")),
)

# Subscribers who are not dunned for a while. Writer: billing.dunning.exemptions. Reader: billing.facts.
exemption = Table(
    "exemption",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),
    Column("from_on", Date, nullable=False),
    Column("until_on", Date, nullable=False),  # first day on which they are dunned again
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    instant("created_at"),
    UniqueConstraint("subscriber_id", "from_on"),
    CheckConstraint("until_on >= from_on", name="ends"),
)
