"""Tables of collecting by saved card. Readers: portal, billing.reports, billing.dunning."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from base.tables import identity, instant, metadata, reference

# The account at Stripe that a key opens, asked for once a key. Writer: billing.collect.account.
gateway_account = Table(
    "gateway_account",
    metadata,
    Column("key_digest", Text, primary_key=True),  # sha256 of the secret key and the connected account
    Column("account", Text, nullable=False),  # acct_…
    Column("live", Boolean, nullable=False),
    instant("seen_at"),  # real time
)

# A subscriber at Stripe, in one account and mode. Writer: billing.collect.cards.
gateway_customer = Table(
    "gateway_customer",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber", index=False),
    Column("account", Text, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("token", Text, nullable=False, unique=True),  # idempotency key of its making
    Column("customer_id", Text, unique=True),  # cus_…; NULL: Stripe was asked, or will be
    instant("created_at"),
    UniqueConstraint("subscriber_id", "account", "live"),
)

# Cards that subscribers left with Stripe. Writer: billing.collect.cards.
card = Table(
    "card",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),
    reference("customer_id", "gateway_customer"),
    Column("method_id", Text, nullable=False, unique=True),  # pm_…
    Column("fingerprint", Text, nullable=False, index=True),  # the same for the same number
    Column("brand", Text, nullable=False),
    Column("last4", Text, nullable=False),
    Column("exp_year", Integer, nullable=False),
    Column("exp_month", Integer, nullable=False),
    Column("is_default", Boolean, nullable=False, server_default="false"),
    # usable; refused: its issuer said never again; disputed: its owner took a payment back; removed
    Column("state", Text, nullable=False, server_default="usable"),
    Column("warned_for", Integer),  # year × 100 + month of the expiry that its owner was told of
    instant("created_at"),
    Index("uq_card_default", "subscriber_id", unique=True, postgresql_where=text("is_default")),
)

# Who pays by card without being asked each time. Writer: billing.collect.cards.
autopay = Table(
    "autopay",
    metadata,
    Column("subscriber_id", BigInteger, ForeignKey("subscriber.id"), primary_key=True),
    Column("author", Text, nullable=False),  # who switched it on: 'subscriber:9', 'staff:3'
    instant("since"),
)

# The collecting of one or more invoices of a subscriber: one PaymentIntent. Writers: billing.collect.cases, .charge and
# .settle.
collection = Table(
    "collection",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),
    Column("currency", Text, nullable=False),
    Column("token", Text, nullable=False, unique=True),  # our word for it at Stripe; random
    # waiting: for next_try_at; creating: the intent is asked for; charging: a try is under way; pending: money is;
    # unknown: no answer; customer: its owner has to do something; stopped: given up; paid; ended: settled otherwise
    Column("state", Text, nullable=False),
    Column("intent_id", Text, unique=True),  # pi_…
    Column("amount_minor", BigInteger),  # that the intent charges, as far as Stripe was told
    Column("intent_key", Text),  # of its creation; random
    instant("intent_key_at", nullable=True),  # real time; Stripe forgets a key after a day
    instant("next_try_at", nullable=True),  # business time; of 'waiting'
    Column("reason", Text, nullable=False, server_default=""),  # of the state and the next try, for staff
    instant("held_until", nullable=True),  # business time: dunning waits for money under way or unknown
    instant("ask_at", nullable=True),  # real time: when Stripe is asked (again) what became of it
    Column("asked", Integer, nullable=False, server_default="0"),  # times it was asked about
    instant("opened_at"),
    instant("ended_at", nullable=True),
    reference("plan_id", "instalment_plan", nullable=True),  # it collects what is due of this plan, not all of it
    Column("parts_until", Date),  # of the plan: its parts up to that day
    Index("ix_collection_waiting", "next_try_at", postgresql_where=text("state = 'waiting'")),
    Index("ix_collection_ask", "ask_at", postgresql_where=text("ask_at IS NOT NULL")),
)

# When Stripe may be called for a charge again, where stripe_calls_per_second limits it. Writer: billing.collect.pace.
gateway_pace = Table(
    "gateway_pace",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1: the one row
    instant("next_at"),  # real time
)

# How far Stripe's own list of events was read, and what the last check of the account found. Writers:
# billing.stripe_poll and billing.stripe_check.
gateway_state = Table(
    "gateway_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1: the one row
    instant("polled_until", nullable=True),  # Stripe's time of the newest event that was read
    instant("checked_at", nullable=True),  # real time
    Column("findings", JSONB, nullable=False, server_default="[]"),  # [ok, sentence] each
)

# Payment links that were revoked: a link names the revision it was made for. Writer: billing.links.
pay_link = Table(
    "pay_link",
    metadata,
    Column("invoice_id", BigInteger, ForeignKey("invoice.id"), primary_key=True),
    Column("revision", Integer, nullable=False),
)

# Which invoices a collection collects; an invoice is in one that is alive at most. Writer: billing.collect.cases.
collected = Table(
    "collected",
    metadata,
    identity(),
    reference("collection_id", "collection"),
    reference("invoice_id", "invoice"),
    Column("alive", Boolean, nullable=False, server_default="true"),
    Index("uq_collected_alive", "invoice_id", unique=True, postgresql_where=text("alive")),
)

# A try to charge a card, committed before Stripe is called. Writers: billing.collect.charge and .settle.
attempt = Table(
    "attempt",
    metadata,
    identity(),
    reference("collection_id", "collection"),
    reference("card_id", "card"),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("key", Text, nullable=False, unique=True),  # idempotency key; random
    # sent: Stripe is being asked; succeeded; declined; pending; unknown; not_sent: it cannot have happened
    Column("state", Text, nullable=False, server_default="sent"),
    Column("charge_id", Text, nullable=False, server_default=""),  # ch_…
    Column("code", Text, nullable=False, server_default=""),
    Column("decline_code", Text, nullable=False, server_default=""),
    Column("advice_code", Text, nullable=False, server_default=""),
    Column("network_code", Text, nullable=False, server_default=""),
    Column("meaning", Text, nullable=False, server_default=""),  # class of billing.collect.declines
    Column("note", Text, nullable=False, server_default=""),  # of Stripe, for staff
    reference("payment_id", "payment", nullable=True),
    instant("at"),  # business time
    instant("real_at"),
    instant("ended_at", nullable=True),  # real time
)

# A hosted page of Stripe's, committed before Stripe is called. Writer: billing.checkout.
checkout = Table(
    "checkout",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),
    Column("token", Text, nullable=False, unique=True, server_default=text("gen_random_uuid()::text")),  # at Stripe
    Column("mode", Text, nullable=False, server_default="payment"),  # payment, setup: a card is kept, nothing paid
    Column("back", Text, nullable=False, server_default=""),  # where the browser goes afterwards; '': home
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("invoice_ids", JSONB, nullable=False),
    # created: before the call; open: Stripe has a Session; pending: money is under way; paid, saved, expired: ended;
    # failed: Stripe refused; unknown: no answer, so nobody was led there
    Column("state", Text, nullable=False),
    Column("session_id", Text, unique=True),  # cs_…
    Column("url", Text),
    reference("payment_id", "payment", nullable=True),
    instant("created_at"),
    instant("real_at", now=True),
    instant("ask_at", nullable=True),  # real time: when Stripe is asked what became of it, should nobody tell
    instant("held_until", nullable=True),  # business time: dunning waits for money under way
    Index("ix_checkout_ask", "ask_at", postgresql_where=text("ask_at IS NOT NULL")),
    Index("ix_checkout_open", "subscriber_id", postgresql_where=text("state = 'open'")),
)
