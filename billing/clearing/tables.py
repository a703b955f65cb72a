"""Tables of money that lies at Stripe or is on its way to the bank. Readers: console, billing.clearing.reconcile."""

from sqlalchemy import BigInteger, Column, Date, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY

from base.tables import identity, instant, metadata, reference

# Every movement on the balance at Stripe, once. Writers: billing.clearing.fetch (new ones; which payout paid them out),
# .suspense (whose it was after all) and .old_accounts (what lay at an account that is no longer used).
stripe_transaction = Table(
    "stripe_transaction",
    metadata,
    identity(),
    Column("txn_id", Text, nullable=False, unique=True),  # txn_…
    Column("account", Text, nullable=False),  # acct_…
    Column("type", Text, nullable=False),  # in Stripe's words
    Column("category", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),  # before the fee; below zero: the balance fell
    Column("fee_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("charged_minor", BigInteger),  # in the payer's currency, with the sign of the amount, where Stripe exchanged
    Column("charged_currency", Text),
    Column("source_id", Text, nullable=False, server_default=""),  # ch_…, re_…, du_…, po_…
    Column("payment_ref", Text, nullable=False, server_default="", index=True),  # pi_… or ch_… it belongs to
    Column("payout_id", Text, nullable=False, server_default="", index=True),  # po_… that paid it out
    Column("description", Text, nullable=False, server_default=""),
    # ours: its gross is booked by who recorded the payment, refund or dispute; converted: the same, and exchanged;
    # fee: Stripe's; payout: to the bank, or back; other: of other business, in suspense
    Column("kind", Text, nullable=False),
    reference("entry_id", "entry", nullable=True),  # NULL: nothing was left to book
    Column("decided_by", Text, nullable=False, server_default=""),  # of what was in suspense
    Column("decision", Text, nullable=False, server_default=""),  # assigned, left
    Column("note", Text, nullable=False, server_default=""),
    instant("made_at"),  # Stripe's time
    instant("fetched_at"),  # real time
    Index("ix_stripe_transaction_made", "account", "made_at"),
    Index("ix_stripe_transaction_other", "id", postgresql_where=text("kind = 'other' AND decision = ''")),
)

# What Stripe pays out to the bank. Writers: billing.clearing.fetch, and .payouts (the bank's line).
payout = Table(
    "payout",
    metadata,
    identity(),
    Column("payout_id", Text, nullable=False, unique=True),  # po_…
    Column("account", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("arrives_on", Date, nullable=False),
    Column("state", Text, nullable=False),  # pending, in_transit, paid, failed, canceled
    Column("failure", Text, nullable=False, server_default=""),
    Column("traces", ARRAY(Text), nullable=False, server_default="{}"),  # what may stand in the bank's line
    Column("banked_on", Date),  # by the bank's line; NULL: not seen there
    Column("bank_line_id", BigInteger),  # of bank_line; NULL also where the day was entered by hand
    Column("returned_on", Date),  # the bank sent it back
    Column("returned_line_id", BigInteger),
    instant("made_at"),
    Index("ix_payout_unbanked", "currency", "amount_minor", postgresql_where=text("banked_on IS NULL")),
)

# What lay at Stripe when it was last read, and when this began. Writer: billing.clearing.fetch.
stripe_balance = Table(
    "stripe_balance",
    metadata,
    Column("account", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("available_minor", BigInteger, nullable=False),
    Column("pending_minor", BigInteger, nullable=False),
    Column("opening_minor", BigInteger, nullable=False),  # that lay there before the first movement that was fetched
    instant("read_at"),  # real time
)
