"""Tables that two rooms touch; each names its one writer and its readers. Migrations live in console/migrations.

Instants are timestamptz in UTC, dates are the provider's local dates, money is BIGINT minor units.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, CIDR, INET, JSONB, UUID

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def identity() -> Column[int]:
    """A BIGINT primary key that the database hands out."""
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def instant(name: str, *, now: bool = False, nullable: bool = False) -> Column[object]:
    """A timestamptz; `now` defaults it to the real time of the row (not of its transaction)."""
    default = func.clock_timestamp() if now else None
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=default)


def reference(name: str, target: str, *, nullable: bool = False, index: bool = True) -> Column[int]:
    """A BIGINT foreign key to `target`.id."""
    return Column(name, BigInteger, ForeignKey(f"{target}.id"), nullable=nullable, index=index)


# Who pays. Writer: billing.services. Readers: portal, sandbox.
subscriber = Table(
    "subscriber",
    metadata,
    identity(),
    Column("number", Text, nullable=False, unique=True),  # account number, as printed on invoices
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False, server_default=""),
    Column("phone", Text, nullable=False, server_default=""),
    Column("address", Text, nullable=False, server_default=""),
    Column("note", Text, nullable=False, server_default=""),
    Column("currency", Text, nullable=False),
    Column("portal_password", Text),  # argon2 hash; NULL = cannot log in to the portal
    Column("stripe_customer", Text, unique=True),  # cus_…, made at the first checkout
    Column("language", Text),  # NULL: the provider's
    Column("country", Text, nullable=False, server_default=""),  # ISO 3166-1 alpha-2
    Column("billing_day", SmallInteger),  # 1 to 31; NULL: each service's own anniversary
    Column("delivery", Text, nullable=False, server_default="mail"),  # mail, paper, both
    Column("tax_treatment", Text, nullable=False, server_default="normal"),  # normal, exempt, reverse_charge
    Column("tax_number", Text, nullable=False, server_default=""),
    Column("tax_number_check", Text, nullable=False, server_default=""),  # '', format, vies
    Column("tax_number_checked_on", Date),
    Column("exemption_reason", Text, nullable=False, server_default=""),
    instant("created_at"),
    Index("ix_subscriber_email_lower", func.lower(text("email"))),
)

# One login and one plan each. Writer: billing.services, and deeds of billing upon it. Readers: portal, ingest.
service = Table(
    "service",
    metadata,
    identity(),
    reference("subscriber_id", "subscriber"),  # whose it is
    reference("payer_id", "subscriber"),  # who pays for it
    reference("plan_id", "plan"),  # as of the last look at the clock; service_plan knows all of them
    Column("login", Text, nullable=False, unique=True),
    Column("password", LargeBinary, nullable=False),  # encrypted, reversible: CHAP needs it
    Column("address", INET),  # fixed IPv4
    Column("starts_on", Date, nullable=False),
    Column("ends_on", Date),  # first day without service
    Column("end_reason", Text, nullable=False, server_default=""),
    Column("contract_until", Date),  # first day on which leaving costs nothing
    Column("billed_until", Date, nullable=False),  # first day that no invoice covers
    Column("next_bill_on", Date, index=True),  # when something of it is due to be billed; NULL: never again
    Column("next_in_advance", Boolean, nullable=False, server_default="true"),  # then it may be some days earlier
    Column("staff_order", Text, nullable=False, server_default="none"),  # none, suspended, blocked
    Column("staff_order_note", Text, nullable=False, server_default=""),
    instant("paid_until", nullable=True),  # of a prepaid plan; NULL: nothing was paid for yet
    instant("prepaid_from", nullable=True),  # when the time began that was paid for without a gap: its clock counts
    Column("auto_renew", Boolean, nullable=False, server_default="true"),
    instant("created_at"),
)

# What the network must do now. Writer: billing.apply. Readers: radius, ingest, coa, portal.
policy = Table(
    "policy",
    metadata,
    Column("service_id", BigInteger, ForeignKey("service.id"), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("level", SmallInteger, nullable=False),
    Column("reasons", ARRAY(Text), nullable=False),
    instant("review_at", nullable=True),
    Column("login", Text, nullable=False, unique=True),
    Column("password", LargeBinary),
    Column("obeyed", JSONB, nullable=False),  # AccessPolicy.obeyed()
    instant("changed_at"),
    # What ingest compares: with so many bytes since that day the service's access is to be reviewed. NULL: never.
    Column("usage_from", Date),
    Column("usage_threshold", BigInteger),
    Column("usage_counts", Text),  # total, down, up
    Index("ix_policy_review_at", "review_at", postgresql_where=text("review_at IS NOT NULL")),
    Index("ix_policy_usage", "service_id", postgresql_where=text("usage_threshold IS NOT NULL")),
)

# Every change of access with its cause; append-only. Writer: billing.apply. Readers: coa, portal.
access_history = Table(
    "access_history",
    metadata,
    identity(),
    reference("service_id", "service"),
    Column("version", BigInteger, nullable=False),
    Column("level", SmallInteger, nullable=False),
    Column("reasons", ARRAY(Text), nullable=False),
    Column("because", Text, nullable=False),  # 'payment:12', 'staff:3', 'time' ...
    Column("obeyed", JSONB, nullable=False),
    instant("at"),  # business time
    instant("real_at", now=True),  # wall time, for latencies
    Index("ix_access_history_service_version", "service_id", "version"),
)

# What changed that a radius node or coa must read, in commit order (xid below pg_snapshot_xmin).
# Writer: base.feed for billing.apply and radius settings. Readers: radius, coa.
change_feed = Table(
    "change_feed",
    metadata,
    identity(),
    Column(
        "xid",
        BigInteger,
        nullable=False,
        index=True,
        server_default=text("(pg_current_xact_id()::text::bigint)"),
    ),
    Column("kind", Text, nullable=False),  # 'policy', 'nas'
    Column("subject_id", BigInteger, nullable=False),
    instant("real_at", now=True),
    Index("ix_change_feed_subject", "kind", "subject_id", "xid"),
)

# Routers and access servers. Writer: base.nas for console and portal. Readers: radius, ingest, coa, portal.
nas = Table(
    "nas",
    metadata,
    identity(),
    Column("name", Text, nullable=False, unique=True),
    Column("network", CIDR, nullable=False, unique=True),  # a single address is a /32 or /128
    Column("secret", LargeBinary, nullable=False),  # encrypted
    Column("kind", Text, nullable=False),  # a key of radius.dialects.DIALECTS
    Column("message_authenticator", Text, nullable=False, server_default="auto"),  # yes, no, auto
    Column("coa_port", Integer, nullable=False, server_default="3799"),
    instant("created_at"),
)

# A line in use. Writer: radius.ingest (base.sessions closes by inference). Readers: coa, portal, billing.
session = Table(
    "session",
    metadata,
    identity(),
    reference("service_id", "service", nullable=True),  # NULL: the login is not ours (any more)
    reference("nas_id", "nas"),
    Column("device", INET, nullable=False),  # source address of its accounting: where CoA goes
    Column("nas_identifier", Text, nullable=False, server_default=""),
    Column("acct_session_id", Text, nullable=False),
    Column("login", Text, nullable=False),
    Column("framed_address", INET),
    Column("calling_station", Text, nullable=False, server_default=""),
    Column("nas_port_id", Text, nullable=False, server_default=""),
    Column("nas_address", INET),  # NAS-IP-Address as the NAS reported it
    instant("started_at"),
    instant("updated_at"),
    instant("stopped_at", nullable=True),
    Column("terminate_cause", Text, nullable=False, server_default=""),
    Column("octets_in", BigInteger, nullable=False, server_default="0"),  # from the subscriber (upload)
    Column("octets_out", BigInteger, nullable=False, server_default="0"),  # to the subscriber (download)
    Column("seconds", BigInteger, nullable=False, server_default="0"),
    Column("accepted_version", BigInteger),  # from Class; NULL when the NAS returned none
    UniqueConstraint("nas_id", "device", "acct_session_id", "login", "started_at"),
    Index(
        "ix_session_open_address",
        "framed_address",
        postgresql_where=text("stopped_at IS NULL"),
    ),
    Index("ix_session_open_service", "service_id", postgresql_where=text("stopped_at IS NULL")),
    Index("ix_session_open_device", "nas_id", "device", postgresql_where=text("stopped_at IS NULL")),
)

# Traffic per local day. Writer: radius.ingest. Readers: portal, billing.
usage_daily = Table(
    "usage_daily",
    metadata,
    Column("service_id", BigInteger, ForeignKey("service.id"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("octets_in", BigInteger, nullable=False),
    Column("octets_out", BigInteger, nullable=False),
    Column("seconds", BigInteger, nullable=False),
)

# How far coa brought each open session. Writer: coa. Readers: portal.
enforcement = Table(
    "enforcement",
    metadata,
    Column("session_id", BigInteger, ForeignKey("session.id"), primary_key=True),
    Column("applied_version", BigInteger),  # version of the last acknowledged request; NULL: none yet
    instant("disconnected_at", nullable=True),  # real time, when that request was a Disconnect
    Column("in_doubt", Boolean, nullable=False, server_default="false"),  # a CoA left, and no ACK is known
    Column("tried_version", BigInteger),  # version of the last request; a newer one does not wait
    Column("failures", Integer, nullable=False, server_default="0"),  # of that version, in a row
    instant("next_try_at", nullable=True),  # real time
)

# Every CoA and Disconnect that was sent, with its answer; append-only. Writer: coa. Readers: portal.
coa_attempt = Table(
    "coa_attempt",
    metadata,
    identity(),
    reference("session_id", "session"),
    reference("wire_request_id", "wire_request", nullable=True),
    Column("version", BigInteger, nullable=False),
    Column("step", Text, nullable=False),  # coa, disconnect
    Column("target", Text, nullable=False),  # address:port
    Column("request", JSONB, nullable=False),  # attribute names and values, no secrets
    Column("result", Text, nullable=False),  # ack, nak, silence, not_sent
    Column("error_cause", Integer),
    Column("sends", Integer, nullable=False),  # 1 = no retransmission
    instant("sent_at"),  # real time of the first datagram
    instant("answered_at", nullable=True),
    Column("milliseconds", Integer),  # first datagram to answer
    Column("commit_to_answer_ms", Integer),  # policy's commit to answer, when this attempt was caused by one
)

# What a person asks coa for; its answer stands in the row. Writer: base.wire (asks), coa (answers). Readers: portal.
wire_request = Table(
    "wire_request",
    metadata,
    identity(),
    Column("act", Text, nullable=False),  # disconnect, reapply
    reference("session_id", "session"),
    Column("author", Text, nullable=False),
    instant("asked_at", now=True),
    instant("answered_at", nullable=True),
    Column("result", Text),
    Index("ix_wire_request_open", "id", postgresql_where=text("answered_at IS NULL")),
)

# Radius nodes: alive, and how far they read the feed. Writer: radius (its own row). Readers: coa, portal.
radius_node = Table(
    "radius_node",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("feed_position", BigInteger, nullable=False),  # every xid below it has been read
    Column("feed_ahead", ARRAY(BigInteger), nullable=False, server_default="{}"),  # and these at or above it
    instant("seen_at"),  # real time, heartbeat
    Column("counters", JSONB, nullable=False, server_default="{}"),
)

# How far the journal of a node has been read. Writer: radius.ingest.
journal_offset = Table(
    "journal_offset",
    metadata,
    Column("node_id", UUID(as_uuid=True), primary_key=True),
    Column("segment", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
)

# Logins as radius answered them. Writer: radius.ingest. Readers: portal.
login_log = Table(
    "login_log",
    metadata,
    identity(),
    instant("at"),
    Column("nas_id", BigInteger, nullable=False),
    Column("login", Text, nullable=False),
    Column("service_id", BigInteger),
    Column("result", Text, nullable=False),  # accept, reject
    Column("reason", Text, nullable=False),
    Column("calling_station", Text, nullable=False, server_default=""),
    Index("ix_login_log_login_at", "login", "at"),
    Index("ix_login_log_at", "at"),
)

# Packets that were dropped, by name and source. Writer: radius.ingest, coa for its own. Readers: portal, console.
drop_count = Table(
    "drop_count",
    metadata,
    Column("name", Text, primary_key=True),
    Column("source", INET, primary_key=True),
    Column("count", BigInteger, nullable=False),
    instant("last_at"),
)

# Work to do, written in the transaction that needs it done. Writer: base.jobs. Readers: billing.worker, portal.
job = Table(
    "job",
    metadata,
    identity(),
    Column("kind", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("key", Text, unique=True),  # the same key is enqueued once
    Column("state", Text, nullable=False, server_default="ready"),  # ready, sent, done, dead
    instant("run_after", now=True),  # real time
    instant("lease_until", nullable=True),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("last_error", Text, nullable=False, server_default=""),
    instant("created_at", now=True),
    instant("done_at", nullable=True),
    Index("ix_job_due", "lane", "run_after", postgresql_where=text("state IN ('ready', 'sent')")),
)

# Webhooks as they came, before they are understood. Writer: base.inbox. Readers: billing, portal.
inbox = Table(
    "inbox",
    metadata,
    identity(),
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    instant("received_at"),  # real time at which the request arrived, or the poll found it
    instant("polled_at", nullable=True),  # real time at which the poll found what no webhook had brought
    instant("told_at", nullable=True),  # real time at which a webhook brought what the poll had found
    instant("processed_at", nullable=True),
    Column("outcome", Text, nullable=False, server_default=""),
    UniqueConstraint("source", "event_id"),
    Index("ix_inbox_polled", "polled_at", postgresql_where=text("polled_at IS NOT NULL AND told_at IS NULL")),
)

# Who did what; append-only. Writer: base.trail. Readers: portal.
trail = Table(
    "trail",
    metadata,
    identity(),
    instant("at"),
    Column("actor", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("subject_id", BigInteger),
    Column("detail", JSONB, nullable=False),
    Index("ix_trail_subject", "subject", "subject_id", "at"),
)

# Business settings, used from the next transaction on. Writer: base.business. Readers: everybody.
business_setting = Table(
    "business_setting",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", JSONB, nullable=False),
    Column("secret", Boolean, nullable=False, server_default="false"),  # value is an encrypted string
)

# Time travel: one row, read only while the sandbox is on. Writer: sandbox. Readers: base.database.
sandbox_clock = Table(
    "sandbox_clock",
    metadata,
    Column("id", SmallInteger, primary_key=True),
    Column("offset_seconds", BigInteger, nullable=False),
)
