"""Tables of bank statements: files, their lines, saved mappings of CSV files, and which account paid for whom."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Date, ForeignKey, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from base.tables import identity, instant, metadata, reference

# Files that were taken in, each once. Writer: billing.bank.intake. Readers: console.
bank_file = Table(
    "bank_file",
    metadata,
    identity(),
    Column("sha256", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("format", Text, nullable=False),  # camt.053, mt940, csv
    Column("account", Text, nullable=False),  # IBAN of ours; '' where neither file nor settings say it
    Column("from_on", Date),  # of its lines
    Column("to_on", Date),
    Column("line_count", Integer, nullable=False),  # in the file
    Column("new_count", Integer, nullable=False),  # of them not here before
    Column("author", Text, nullable=False),
    instant("created_at"),
)

# Every movement on the account, once. Writers: billing.bank.intake (new), .settling (what became of it, also by a
# person's word: .queue), .undone (it waits again) and .payouts. Readers: console, reports of unmatched money.
bank_line = Table(
    "bank_line",
    metadata,
    identity(),
    reference("file_id", "bank_file"),
    Column("at_line", Integer, nullable=False),  # where it stands in the file
    Column("fingerprint", Text, nullable=False, unique=True),
    Column("account", Text, nullable=False),
    Column("day", Date, nullable=False),  # of booking
    Column("amount_minor", BigInteger, nullable=False),  # above zero: it came in
    Column("currency", Text, nullable=False),
    Column("counterparty", Text, nullable=False, server_default=""),
    Column("iban", Text, nullable=False, server_default=""),  # of the other side
    Column("text", Text, nullable=False, server_default=""),
    Column("bank_reference", Text, nullable=False, server_default=""),
    Column("end_to_end", Text, nullable=False, server_default=""),
    Column("returned", Boolean, nullable=False, server_default="false"),  # the bank says: it came back
    Column("doubt", Text, nullable=False, server_default=""),  # why nothing is done by itself, in a sentence
    # new: not looked at; matched: it is payments; queued: a person decides; ignored: a person did;
    # outgoing: it left; payout: of Stripe's
    Column("state", Text, nullable=False, server_default="new"),
    Column("why", Text, nullable=False, server_default=""),  # it is in that state, in a sentence
    Column("confidence", Integer),  # percent, of what was matched by itself
    Column("candidates", JSONB, nullable=False, server_default="[]"),  # of billing.bank.match.Candidate, best first
    Column("payment_ids", ARRAY(BigInteger), nullable=False, server_default="{}"),
    Column(
        "left_minor", BigInteger
    ),  # of a line that became several payments: so much waits again; NULL: all or nothing
    Column("author", Text, nullable=False, server_default=""),  # who decided
    instant("decided_at", nullable=True),
    CheckConstraint(
        "left_minor IS NOT NULL OR (state = 'matched') = (cardinality(payment_ids) > 0)", name="matched_is_paid"
    ),
    Index("ix_bank_line_waiting", "state", "id", postgresql_where=text("state IN ('new', 'queued')")),
    Index("ix_bank_line_day", "account", "day", "amount_minor"),
)

# How a bank's CSV is read. Writer and reader: billing.bank.mappings.
bank_mapping = Table(
    "bank_mapping",
    metadata,
    identity(),
    Column("name", Text, nullable=False, unique=True),
    Column("mapping", JSONB, nullable=False),  # of billing.bank.table.Mapping
    Column("author", Text, nullable=False),
    instant("created_at"),
)

# Which account paid for which subscriber before. Writer: billing.bank.accounts. Reader: .load.
payer_account = Table(
    "payer_account",
    metadata,
    Column("iban", Text, primary_key=True),
    Column("subscriber_id", BigInteger, ForeignKey("subscriber.id"), primary_key=True, index=True),
    Column("times", Integer, nullable=False),
    Column("last_on", Date, nullable=False),
)
