"""What no webhook has brought is asked for: Stripe's own list of events, and for longer gaps its payments.

Stripe keeps events for 30 days. Taking an event twice is harmless, so the poll reads a little of what it read before;
one that a webhook still has not brought ten minutes later means that webhooks are broken, and a person is told.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from base import clock, inbox
from base.business import load_business
from base.crypto import Vault
from base.database import transaction
from base.log import alarm, logger
from base.tables import inbox as events
from billing import checkout
from billing.collect import settle
from billing.collect.tables import gateway_state
from billing.gateway import intents, webhooks
from billing.gateway.words import GatewayError, NotConfigured
from billing.stripe_events import EVENTS

OVERLAP = timedelta(hours=1)  # events show up in the list a little late
KEPT = timedelta(days=30)
LATE = timedelta(minutes=10)  # real time


def poll(vault: Vault) -> int:
    """Read Stripe's events since the last poll; returns how many no webhook had brought. Says trouble in the log."""
    try:
        return _poll(vault)
    except NotConfigured:
        return 0
    except GatewayError as error:
        logger().warning("stripe.not_polled", because=str(error))
        return 0


def _poll(vault: Vault) -> int:
    with transaction() as tx:
        business = load_business(tx, vault)
        until: datetime | None = tx.scalar(select(gateway_state.c.polled_until))
        for event_id in inbox.untold(tx, "stripe", clock.real() - LATE):
            alarm("webhook_missed", event=event_id)
    if not business.stripe_secret_key:
        return 0
    if until is not None and until < clock.now() - KEPT:
        _read_payments(vault, until)
    newest, fresh = until, 0
    since = (until or clock.now()) - OVERLAP
    for event in webhooks.list_events(business, since, list(EVENTS)):
        # one from the future, by a wrong clock, must not hide what comes before it
        made = min(datetime.fromtimestamp(event["created"], UTC), max(clock.now(), clock.real()))
        newest = made if newest is None else max(newest, made)
        with transaction() as tx:
            fresh += inbox.receive(tx, "stripe", event["id"], event["type"], event, clock.real(), polled=True)
    with transaction() as tx:
        row = {"id": 1, "polled_until": newest or clock.now()}
        tx.execute(insert(gateway_state).values(row).on_conflict_do_update(index_elements=["id"], set_=row))
    return fresh


def _read_payments(vault: Vault, since: datetime) -> None:
    """A gap longer than Stripe keeps events: what its payments and pages became is read from themselves."""
    with transaction() as tx:
        business = load_business(tx, vault)
    for intent_id in intents.list_since(business, since):
        settle.hear(vault, intent_id)
    for session_id in checkout.unsettled():
        checkout.settle(vault, session_id)


def last_signed() -> datetime | None:
    """When a webhook last came in whose signature fitted: so long ago Stripe reached us."""
    with transaction() as tx:
        newest = select(events.c.received_at).where(events.c.source == "stripe", events.c.polled_at.is_(None))
        found: datetime | None = tx.scalar(newest.order_by(events.c.id.desc()).limit(1))
        return found
