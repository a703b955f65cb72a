"""Tables of vouchers; billing alone writes and reads them."""

from sqlalchemy import BigInteger, Column, Date, ForeignKey, Integer, LargeBinary, Table, Text

from base.tables import identity, instant, metadata, reference

# Vouchers of one kind, made together. Writer: billing.prepaid.vouchers.
voucher_batch = Table(
    "voucher_batch",
    metadata,
    identity(),
    Column("name", Text, nullable=False, unique=True),
    Column("value_minor", BigInteger, nullable=False),  # of each
    Column("currency", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("valid_until", Date),  # last day on which they are taken
    Column("author", Text, nullable=False),
    instant("created_at"),
    Column("sold_on", Date),  # NULL: given away, as far as the books know
    Column("sold_minor", BigInteger),  # for all of them together
    instant("printed_at", nullable=True),
    instant("voided_at", nullable=True),
)

# One card each. Writer: billing.prepaid.vouchers (makes, erases codes), billing.prepaid.redemption (redeems).
voucher = Table(
    "voucher",
    metadata,
    identity(),
    reference("batch_id", "voucher_batch"),
    Column("digest", LargeBinary, nullable=False, unique=True),  # keyed: base.crypto.Vault.digests
    Column("code", LargeBinary),  # encrypted, until it is printed
    Column("payment_id", BigInteger, ForeignKey("payment.id"), unique=True),  # NULL: not redeemed
)

# Wrong codes in a row, by whom and from where. Writer: billing.prepaid.guesses.
voucher_guess = Table(
    "voucher_guess",
    metadata,
    Column("key", Text, primary_key=True),  # 'subscriber:9', 'address:192.0.2.1'
    Column("wrong", Integer, nullable=False, server_default="0"),
    instant("next_at"),  # before it no code is looked at; a day after it all is forgotten
)
