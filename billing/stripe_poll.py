"""What no webhook has brought is asked for: Stripe's own list of events, for longer gaps payments and what went back.

Stripe keeps events for 30 days. Taking an event twice is harmless, so the poll reads a little of what it read before;
one that a webhook still has not brought ten minutes later means that webhooks are broken, and a person is told.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

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
from billing.gateway import disputes, intents, refunds, webhooks
from billing.gateway.words import GatewayError, NotConfigured
from billing.money_back import card
from billing.money_back import disputes as denied
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
        until = clock.now() - KEPT  # what is older is told by nobody any more, and was read just now
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
    """A gap longer than Stripe keeps events: what its payments, pages and what went back became is read itself.

    Refunds of the month before, too: one that looked well may have failed in the gap.
    """
    with transaction() as tx:
        business = load_business(tx, vault)
    for intent_id in intents.list_since(business, since):
        settle.hear(vault, intent_id)
    for session_id in checkout.unsettled():
        checkout.settle(vault, session_id)
    for refund in refunds.list_since(business, since - KEPT):
        _take(refund.id, partial(card.take, vault, refund))
    for dispute in disputes.list_since(business, since):
        _take(dispute.id, partial(denied.hear, vault, dispute.id))


def _take(named: str, act: Callable[[], str]) -> None:
    """Take what went back; one of a payment that is not recorded keeps no other from being read."""
    try:
        act()
    except card.NotYet as error:
        alarm("stripe_not_understood", about=named, because=str(error))


def last_signed() -> datetime | None:
    """When a webhook last came in whose signature fitted: so long ago Stripe reached us."""
    with transaction() as tx:
        newest = select(events.c.received_at).where(events.c.source == "stripe", events.c.polled_at.is_(None))
        found: datetime | None = tx.scalar(newest.order_by(events.c.id.desc()).limit(1))
        return found
