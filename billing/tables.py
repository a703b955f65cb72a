"""Tables of billing alone; portal reads them through billing's functions.

Finalised invoices and the ledger are frozen by triggers that the migrations make.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from base.tables import identity, instant, metadata, reference

# Gapless numbers. Writer: billing.numbers, in the transaction that uses the number.
series = Table(
    "series",
    metadata,
    # 'invoice', 'invoice:2027', 'credit_note', 'receipt', 'subscriber', 'opening', 'opening_credit'
    Column("name", Text, primary_key=True),
    Column("last_number", BigInteger, nullable=False),
)

# What is sold beside plans. Writer: billing.extras.
product = Table(
    "product",
    metadata,
    identity(),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),  # addon and rent (each cycle); one_off and deposit (once)
    Column("price_minor", BigInteger, nullable=False),
    Column("price_inclusive", Boolean, nullable=False, server_default="false"),
    Column("currency", Text, nullable=False),
    reference("tax_class_id", "tax_class", index=False),
    Column("retired_on", Date),
)

# Add-ons and rented equipment of a service, billed with its periods. Writer: billing.extras, billing.recurring.
service_product = Table(
    "service_product",
    metadata,
    identity(),
    reference("service_id", "service"),
    reference("product_id", "product"),
    Column("quantity", Integer, nullable=False, server_default="1"),
    Column("price_minor", BigInteger),  # for one, instead of the product's
    Column("from_on", Date, nullable=False),
    Column("until_on", Date),  # first day without it
    Column("billed_until", Date, nullable=False),
)

# Amounts that the next invoice takes along. Writer: billing.charges, billing.issue.
charge = Table(
    "charge",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber", index=False),
    reference("service_id", "service", nullable=True),
    Column("kind", Text, nullable=False),  # setup, one_off, deposit, early_end, equipment, late_fee, reconnection
    Column("text", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("inclusive", Boolean, nullable=False, server_default="false"),
    reference("tax_class_id", "tax_class", index=False),
    Column("on_day", Date, nullable=False),  # of supply
    Column("bill_on", Date),  # from then on it is worth an invoice of its own; NULL: it waits for another
    reference("invoice_id", "invoice", nullable=True),  # that took it along
    Column("author", Text, nullable=False),
    instant("created_at"),
    instant("dropped_at", nullable=True),
    Index("ix_charge_waiting", "subscriber_id", postgresql_where=text("invoice_id IS NULL AND dropped_at IS NULL")),
)

# Codes that a subscriber turns into a discount. Writer: billing.extras.
coupon = Table(
    "coupon",
    metadata,
    identity(),
    Column("code", Text, nullable=False, unique=True),
    Column("text", Text, nullable=False),
    Column("percent", Text),  # either of the two
    Column("amount_minor", BigInteger),  # per cycle
    Column("currency", Text, nullable=False),
    Column("cycles", Integer),  # NULL: for good
    Column("valid_until", Date),  # first day on which it is no longer taken
    Column("most_uses", Integer),
)

# What makes a service's periods cheaper. Writer: billing.extras, billing.outages.
discount = Table(
    "discount",
    metadata,
    identity(),
    reference("service_id", "service"),
    Column("text", Text, nullable=False),
    Column("percent", Text),  # either of the two
    Column("amount_minor", BigInteger),  # per cycle, in the price's own way (net or gross)
    Column("from_on", Date, nullable=False),
    Column("until_on", Date),  # first day without it
    reference("coupon_id", "coupon", nullable=True),
    Column("author", Text, nullable=False),
)

# Writer: billing.issue; of the series 'opening' billing.importers, for what an old system had invoiced.
# Rows exist only finalised: a draft is a value in memory.
invoice = Table(
    "invoice",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),
    Column("number", Text, nullable=False, unique=True),
    Column("series", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),  # in the series, without gaps
    Column("currency", Text, nullable=False),
    Column("issued_on", Date, nullable=False),
    Column("due_on", Date, nullable=False, index=True),
    Column("net_minor", BigInteger, nullable=False),
    Column("tax_minor", BigInteger, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("taxes", JSONB, nullable=False),  # of billing.tax.TaxGroup: name, percent, category, net_minor, tax_minor
    Column("seller", JSONB, nullable=False),  # name, address, tax number as of issue
    Column("buyer", JSONB, nullable=False),
    instant("created_at"),
    UniqueConstraint("series", "sequence"),
)

invoice_line = Table(
    "invoice_line",
    metadata,
    identity(),
    reference("invoice_id", "invoice"),
    reference("service_id", "service", nullable=True),
    Column("position", Integer, nullable=False),
    Column("kind", Text, nullable=False),  # plan, product, discount, opening, or the kind of a charge
    reference("service_product_id", "service_product", nullable=True, index=False),
    reference("charge_id", "charge", nullable=True, index=False),
    Column("text", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("period_start", Date),
    Column("period_end", Date),
    Column("amount_minor", BigInteger, nullable=False),  # as priced: net, or gross where inclusive
    Column("inclusive", Boolean, nullable=False),
    Column("by_day", Boolean, nullable=False, server_default="true"),  # else it is given back whole or not at all
    Column("tax_class_id", BigInteger),  # NULL: of before it was kept
    Column("net_minor", BigInteger, nullable=False),
    Column("taxes", JSONB, nullable=False),  # of billing.tax.Tax: name, percent, category, compound
    Index("uq_invoice_line_charge_id", "charge_id", unique=True, postgresql_where=text("charge_id IS NOT NULL")),
)

# What of an invoice is still to be paid; the row goes when nothing is. Writer: billing.settle. Readers: portal.
open_item = Table(
    "open_item",
    metadata,
    Column("invoice_id", BigInteger, ForeignKey("invoice.id"), primary_key=True),
    reference("subscriber_id", "subscriber"),
    Column("due_on", Date, nullable=False, index=True),
    Column("open_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("dunned", Boolean, nullable=False, server_default="true"),  # no dunning for an invoice of fees alone
    # it had been settled, and the money went back, or an instalment plan for it is over: due from then on, and no card
    # is charged for it by itself
    Column("reopened", Boolean, nullable=False, server_default="false"),
)

# What of a payment or a credit note no invoice has used yet; the row goes when nothing is left. Writer: billing.settle.
open_credit = Table(
    "open_credit",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),
    Column("payment_id", BigInteger, ForeignKey("payment.id"), unique=True),
    Column("credit_note_id", BigInteger, ForeignKey("credit_note.id"), unique=True),
    Column("left_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    CheckConstraint("num_nonnulls(payment_id, credit_note_id) = 1", name="one_source"),
)

# Corrects an invoice: what it credits was charged there, at the rates of then. Writer: billing.credit_notes.
credit_note = Table(
    "credit_note",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),
    reference("invoice_id", "invoice"),
    Column("number", Text, nullable=False, unique=True),
    Column("series", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),  # in the series, without gaps
    Column("currency", Text, nullable=False),
    Column("issued_on", Date, nullable=False),
    Column("reason", Text, nullable=False),
    Column("net_minor", BigInteger, nullable=False),
    Column("tax_minor", BigInteger, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("taxes", JSONB, nullable=False),
    Column("seller", JSONB, nullable=False),
    Column("buyer", JSONB, nullable=False),
    instant("created_at"),
    UniqueConstraint("series", "sequence"),
)

credit_note_line = Table(
    "credit_note_line",
    metadata,
    identity(),
    reference("credit_note_id", "credit_note"),
    reference("invoice_line_id", "invoice_line"),
    Column("position", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("period_start", Date),
    Column("period_end", Date),
    Column("amount_minor", BigInteger, nullable=False),  # as priced
    Column("net_minor", BigInteger, nullable=False),
)

# What is given up of an invoice. Writer: billing.credit_notes.
write_off = Table(
    "write_off",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),
    reference("invoice_id", "invoice"),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("on_day", Date, nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    instant("created_at"),
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
    Column("account", Text, nullable=False, index=True),  # of billing.accounts
    reference("subscriber_id", "subscriber", nullable=True),
    Column("tax_class_id", BigInteger),  # of revenue and unearned; NULL there: of before it was kept
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
    Column("method", Text, nullable=False),  # cash, transfer, cheque, card, voucher; opening: credit taken over
    Column("gateway_id", Text, unique=True),  # pi_…: recorded once
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("received_on", Date, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("author", Text, nullable=False),
    instant("created_at"),
)

# Which payment, credit note or write-off settles which invoice, and how much of it; negative: that is taken back, the
# money having gone back or the write-off having been reinstated. Writer: billing.settle.
allocation = Table(
    "allocation",
    metadata,
    identity(),
    reference("payment_id", "payment", nullable=True),
    reference("credit_note_id", "credit_note", nullable=True),
    reference("write_off_id", "write_off", nullable=True),
    reference("invoice_id", "invoice"),
    Column("amount_minor", BigInteger, nullable=False),
    instant("created_at"),
    CheckConstraint("num_nonnulls(payment_id, credit_note_id, write_off_id) = 1", name="one_source"),
)

# What subscribers are told, one row per cause and channel. Writer: billing.mail, billing.bounces. Readers: portal.
message = Table(
    "message",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),
    reference("invoice_id", "invoice", nullable=True),
    Column("kind", Text, nullable=False),  # of billing.mail_words.KINDS
    Column("key", Text, nullable=False, unique=True),  # 'reminder:7': once; ':sms', ':paper' when a channel took over
    Column("channel", Text, nullable=False, server_default="mail"),  # mail, sms (through the webhook), paper
    # queued; sending: the content is under way; sent; uncertain: the server's answer got lost; refused; bounced;
    # paper: to be printed; none: no way to reach the subscriber; withdrawn: what it said no longer holds
    Column("state", Text, nullable=False, server_default="queued"),
    Column("state_reason", Text, nullable=False, server_default=""),  # a sentence for staff
    Column("recipient", Text, nullable=False),  # address, phone number; '' on paper
    Column("copies", ARRAY(Text), nullable=False, server_default="{}"),  # further addresses of the same mail
    Column("mail_id", Text, unique=True),  # its Message-ID for ever
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("resent", Integer, nullable=False, server_default="0"),  # times it was sent again because it was uncertain
    instant("turn_at", nullable=True),  # real time that mails_per_minute leaves to it
    instant("created_at"),
    instant("sent_at", nullable=True),  # accepted by the mail server or the webhook, or printed
    Index("ix_message_paper", "id", postgresql_where=text("state = 'paper'")),
)

# When the next mail may leave, where mails_per_minute limits them. Writer: billing.pace.
mail_pace = Table(
    "mail_pace",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1: the one row
    instant("next_at"),  # real time
)

# Mail templates that the operator put in place of ours. Writer: billing.mail_templates.
mail_template = Table(
    "mail_template",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("language", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("author", Text, nullable=False),
    instant("created_at"),
)

# Who else is written to. Writer: billing.contacts. Readers: portal.
contact = Table(
    "contact",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),
    Column("email", Text, nullable=False),
    Column("name", Text, nullable=False, server_default=""),
    Column("kinds", ARRAY(Text), nullable=False),  # billing, technical
    instant("created_at"),
    UniqueConstraint("subscriber_id", "email"),
)

# Addresses that take no mail. Writer: billing.addresses. Readers: portal.
bad_address = Table(
    "bad_address",
    metadata,
    Column("address", Text, primary_key=True),  # in lower case
    instant("since"),
    Column("reason", Text, nullable=False),
)

# PDFs as they were first made; frozen by a trigger. Writer: billing.documents.
document = Table(
    "document",
    metadata,
    identity(),
    Column("kind", Text, nullable=False),  # invoice, credit_note, receipt
    Column("subject_id", BigInteger, nullable=False),
    Column("pdf", LargeBinary, nullable=False),
    instant("created_at"),
    Column("sha256", Text, nullable=False),  # of pdf, in hexadecimal
    UniqueConstraint("kind", "subject_id"),
)

# Templates that the operator has put in place of ours. Writer: billing.document_templates. Reader: billing.documents.
document_template = Table(
    "document_template",
    metadata,
    Column("kind", Text, primary_key=True),  # of billing.pages.KINDS
    Column("language", Text, primary_key=True),  # 'de', 'de_AT'; '' for all that have none of their own
    Column("source", Text, nullable=False),
    Column("author", Text, nullable=False),
    instant("created_at"),
)
