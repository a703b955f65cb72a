"""Tables of money that goes back. Readers: portal, billing.reports, billing.books."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, Index, Integer, Table, Text, text

from base.tables import identity, instant, metadata, reference

# What went back of a payment (or of a credit note's worth), or is about to. Writers: billing.money_back.goes, .refunds
# and .disputes.
gone_back = Table(
    "gone_back",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),
    reference("payment_id", "payment", nullable=True),
    reference("credit_note_id", "credit_note", nullable=True),
    Column("kind", Text, nullable=False),  # refund, reversal, dispute
    Column("way", Text, nullable=False),  # card, cash, transfer, cheque; of a reversal: the method of the payment
    Column("amount_minor", BigInteger, nullable=False),
    Column("beyond_minor", BigInteger, nullable=False, server_default="0"),  # more than the payment had left: a loss
    Column("currency", Text, nullable=False),
    # sent: Stripe is being asked; unknown: no answer; pending, succeeded; failed, canceled: it is theirs again; of
    # disputes: inquiry, open; won, lost
    Column("state", Text, nullable=False),
    Column("gateway_id", Text, unique=True),  # re_…, du_…
    Column("key", Text, nullable=False, unique=True),  # idempotency key; random
    Column("reason", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=""),  # of Stripe, for staff
    Column("author", Text, nullable=False),
    Column("on_day", Date, nullable=False),  # booked; of a dispute: it was opened
    Column("withdrawn_on", Date),  # of a dispute: Stripe took the money
    Column("returned_on", Date),  # of a dispute: and gave it back
    Column("ended_on", Date),  # lost, or failed: booked then
    Column("asked", Integer, nullable=False, server_default="0"),
    instant("ask_at", nullable=True),  # real time: when Stripe is asked what became of it
    instant("real_at"),  # real time of its key, which Stripe forgets after a day
    instant("created_at"),
    instant("ended_at", nullable=True),
    CheckConstraint("num_nonnulls(payment_id, credit_note_id) = 1", name="one_source"),
    CheckConstraint("amount_minor > 0 AND beyond_minor BETWEEN 0 AND amount_minor", name="amounts"),
    Index("ix_gone_back_ask", "ask_at", postgresql_where=text("ask_at IS NOT NULL")),
)
