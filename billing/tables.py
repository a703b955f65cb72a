"""Tables of billing alone; portal reads them through billing's functions.

Finalised invoices and the ledger are frozen by triggers that the migrations make.
"""

from sqlalchemy import BigInteger, Column, Date, Integer, LargeBinary, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB

from base.tables import identity, instant, metadata, reference

# Gapless numbers. Writer: billing.numbers, in the transaction that uses the number.
series = Table(
    "series",
    metadata,
    Column("name", Text, primary_key=True),  # 'invoice', 'receipt', 'subscriber'
    Column("last_number", BigInteger, nullable=False),
)

# Writer: billing.issue. Rows exist only finalised: a draft is a value in memory.
invoice = Table(
    "invoice",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),
    Column("number", Text, nullable=False, unique=True),
    Column("currency", Text, nullable=False),
    Column("issued_on", Date, nullable=False),
    Column("due_on", Date, nullable=False, index=True),
    Column("net_minor", BigInteger, nullable=False),
    Column("tax_minor", BigInteger, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("taxes", JSONB, nullable=False),  # [{"percent": "20", "net_minor": n, "tax_minor": n}]
    Column("seller", JSONB, nullable=False),  # name, address, tax number as of issue
    Column("buyer", JSONB, nullable=False),
    instant("created_at"),
)

invoice_line = Table(
    "invoice_line",
    metadata,
    identity(),
    reference("invoice_id", "invoice"),
    reference("service_id", "service", nullable=True),
    Column("position", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("period_start", Date),
    Column("period_end", Date),
    Column("net_minor", BigInteger, nullable=False),
    Column("tax_percent", Text, nullable=False),
    UniqueConstraint("service_id", "period_start", name="uq_invoice_line_service_period"),
)

# The ledger: every entry's postings sum to zero per currency; append-only. Writer: billing.ledger.
entry = Table(
    "entry",
    metadata,
    identity(),
    Column("day", Date, nullable=False),
    Column("text", Text, nullable=False),
    Column("source", Text, nullable=False, unique=True),  # 'invoice:7', 'payment:3': booked once
    instant("created_at"),
)

posting = Table(
    "posting",
    metadata,
    identity(),
    reference("entry_id", "entry"),
    Column("account", Text, nullable=False, index=True),  # 'receivable', 'revenue', 'tax', 'bank', 'stripe'
    reference("subscriber_id", "subscriber", nullable=True),
    Column("amount_minor", BigInteger, nullable=False),  # debit positive, credit negative
    Column("currency", Text, nullable=False),
)

# Money received. Writer: billing.payments.
payment = Table(
    "payment",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),
    Column("receipt_number", Text, nullable=False, unique=True),
    Column("method", Text, nullable=False),  # cash, transfer, card
    Column("gateway_id", Text, unique=True),  # pi_…: recorded once
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("received_on", Date, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("author", Text, nullable=False),
    instant("created_at"),
)

# Which payment settles which invoice, and how much of it. Writer: billing.settle.
allocation = Table(
    "allocation",
    metadata,
    identity(),
    reference("payment_id", "payment"),
    reference("invoice_id", "invoice"),
    Column("amount_minor", BigInteger, nullable=False),
    instant("created_at"),
    UniqueConstraint("payment_id", "invoice_id"),
)

# A try to collect by Stripe Checkout, committed before Stripe is called. Writer: billing.checkout.
checkout = Table(
    "checkout",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("invoice_ids", JSONB, nullable=False),
    # created: before the call; open: Stripe has a Session; paid, expired: ended; unknown: no answer, to be asked about
    Column("state", Text, nullable=False),
    Column("session_id", Text, unique=True),  # cs_…
    Column("url", Text),
    reference("payment_id", "payment", nullable=True),
    instant("created_at"),
    instant("real_at", now=True),
)

# Mails to and from the queue. Writer: billing.mail.
message = Table(
    "message",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),
    reference("invoice_id", "invoice", nullable=True),
    Column("kind", Text, nullable=False),  # invoice, reminder, receipt
    Column("key", Text, nullable=False, unique=True),  # 'reminder:7': sent once
    Column("recipient", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    instant("created_at"),
    instant("sent_at", nullable=True),
)

# Rendered PDFs. Writer: billing.documents.
document = Table(
    "document",
    metadata,
    identity(),
    Column("kind", Text, nullable=False),  # invoice, receipt
    Column("subject_id", BigInteger, nullable=False),
    Column("pdf", LargeBinary, nullable=False),
    instant("created_at"),
    UniqueConstraint("kind", "subject_id"),
)
