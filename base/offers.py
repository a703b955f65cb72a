"""Tables of what is sold: taxes, plans and their prices, and which plan a service has when.

Two rooms touch them, so they stand in base; each names its one writer and its readers.
"""

from sqlalchemy import BigInteger, Boolean, Column, Date, ForeignKey, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from base.tables import identity, instant, metadata, reference

# What is taxed alike, such as 'standard'. Writer: billing.taxes. Readers: portal.
tax_class = Table(
    "tax_class",
    metadata,
    identity(),
    Column("name", Text, nullable=False, unique=True),
)

# The taxes of a class and the days on which each holds. Writer: billing.taxes. Readers: portal.
tax_rate = Table(
    "tax_rate",
    metadata,
    identity(),
    reference("tax_class_id", "tax_class"),
    Column("position", SmallInteger, nullable=False),  # order in which compound taxes are taken
    Column("name", Text, nullable=False),  # as printed: 'VAT', 'State tax'
    Column("percent", Text, nullable=False),  # decimal number as text: '20', '5.5'
    Column("category", Text, nullable=False),  # UNCL5305: S, Z, E, AE, K, G, O
    Column("compound", Boolean, nullable=False, server_default="false"),  # also taken on the taxes before it
    Column("valid_from", Date, nullable=False),
    Column("valid_until", Date),  # first day on which it no longer holds
)

# What can be bought. Writer: billing.plans, billing.profiles. Readers: portal.
plan = Table(
    "plan",
    metadata,
    identity(),
    Column("name", Text, nullable=False, unique=True),
    Column("price_minor", BigInteger, nullable=False),  # per cycle, until plan_price says otherwise
    Column("price_inclusive", Boolean, nullable=False, server_default="false"),  # tax is in the price
    Column("currency", Text, nullable=False),
    Column("cycle_unit", Text, nullable=False),  # hour (prepaid only), day, week, month
    Column("cycle_length", SmallInteger, nullable=False),  # that many units
    Column("in_arrears", Boolean, nullable=False, server_default="false"),
    reference("tax_class_id", "tax_class", index=False),
    Column("setup_fee_minor", BigInteger, nullable=False, server_default="0"),
    Column("minimum_months", SmallInteger, nullable=False, server_default="0"),  # term that a subscriber agrees to
    Column("early_end_fee_minor", BigInteger, nullable=False, server_default="0"),  # for leaving before it is over
    Column("proration", Text, nullable=False, server_default="daily"),  # daily, none
    Column("first_period", Text, nullable=False, server_default="prorate"),  # prorate, prorate_next, full
    Column("rate_down", BigInteger, nullable=False),  # bit/s
    Column("rate_up", BigInteger, nullable=False),
    Column("burst_rate_down", BigInteger),  # bit/s; NULL: no burst
    Column("burst_rate_up", BigInteger),
    Column("burst_threshold_down", BigInteger),  # bit/s; NULL: the rate
    Column("burst_threshold_up", BigInteger),
    Column("burst_seconds_down", SmallInteger),  # NULL: one
    Column("burst_seconds_up", SmallInteger),
    Column("reduced_rate_down", BigInteger),  # bit/s; NULL, here and below: as the business settings say
    Column("reduced_rate_up", BigInteger),
    Column("walled_rate_down", BigInteger),
    Column("walled_rate_up", BigInteger),
    Column("walled_pool", Text),
    Column("walled_address_list", Text),
    Column("extra_attributes", JSONB, nullable=False, server_default="[]"),  # as base.extras.check_extras keeps them
    Column("cap_octets", BigInteger),  # per period; NULL: none
    Column("cap_counts", Text, nullable=False, server_default="total"),  # total, down, up
    Column("cap_action", Text, nullable=False, server_default="none"),  # none, reduce, wall
    Column("pool", Text),
    Column("prepaid", Boolean, nullable=False, server_default="false"),  # each period is paid from the balance
    Column("ends_at_midnight", Boolean, nullable=False, server_default="false"),  # else at the time it began
    Column("walled_billing", Text, nullable=False, server_default="bill"),  # while walled for debt: bill, stop, days
    Column("walled_stop_days", SmallInteger, nullable=False, server_default="0"),  # with stop: so many days are billed
    Column("retired_on", Date),  # from this day on it is not sold; who has it keeps it
    instant("created_at"),
)

# What a plan costs from a day on. Writer: billing.plans. Readers: portal.
plan_price = Table(
    "plan_price",
    metadata,
    Column("plan_id", BigInteger, ForeignKey("plan.id"), primary_key=True),
    Column("valid_from", Date, primary_key=True),
    Column("price_minor", BigInteger, nullable=False),
)

# What a service is sold from a day on, past and future. Writer: billing.services, billing.deed. Readers: portal.
service_plan = Table(
    "service_plan",
    metadata,
    Column("service_id", BigInteger, ForeignKey("service.id"), primary_key=True),
    Column("from_on", Date, primary_key=True),
    reference("plan_id", "plan"),
    Column("anchor_on", Date, nullable=False),  # a day on which a period begins; all others are counted from it
    Column("price_minor", BigInteger),  # instead of the plan's
    Column("price_reason", Text, nullable=False, server_default=""),
)

# Days on which a service is paused or, for another reason, not billed. Writer: billing.changes, billing.walled.
# Readers: portal.
skipped_period = Table(
    "skipped_period",
    metadata,
    identity(),
    reference("service_id", "service"),
    Column("start_on", Date, nullable=False),
    Column("end_on", Date),  # first day that is billed again; NULL: until somebody says so
    Column("reason", Text, nullable=False),  # pause, walled
    Column("note", Text, nullable=False, server_default=""),
    Column("author", Text, nullable=False),
)

# Where a service is installed from a day on: moving house is a new row. Writer: billing.moves. Readers: portal.
service_site = Table(
    "service_site",
    metadata,
    Column("service_id", BigInteger, ForeignKey("service.id"), primary_key=True),
    Column("from_on", Date, primary_key=True),
    Column("address", Text, nullable=False),  # postal, several lines
    reference("nas_id", "nas", nullable=True),
    Column("port", Text, nullable=False, server_default=""),  # as the NAS names it
    Column("author", Text, nullable=False),
)
