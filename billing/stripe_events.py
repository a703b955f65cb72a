"""What each event of Stripe's means for us. Events only wake: the truth is read from Stripe (billing.checkout)."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import func, select, update

from base.crypto import Vault, open_vault
from base.database import transaction
from base.settings import settings
from base.tables import inbox
from billing import checkout


def _session(vault: Vault, event: dict[str, Any]) -> str:
    return checkout.settle(vault, event["data"]["object"]["id"])


EVENTS: dict[str, Callable[[Vault, dict[str, Any]], str]] = {
    "checkout.session.completed": _session,
    "checkout.session.async_payment_succeeded": _session,
    "checkout.session.async_payment_failed": _session,
    "checkout.session.expired": _session,
}


def handle(inbox_id: int) -> None:
    """Understand one event of the inbox, once; an event that means nothing to us is marked so."""
    with transaction() as tx:
        row = tx.execute(select(inbox).where(inbox.c.id == inbox_id)).one()
    if row.processed_at is not None:
        return
    act = EVENTS.get(row.kind)
    outcome = "ignored" if act is None else act(open_vault(settings().secret_keys), row.body)
    with transaction() as tx:
        tx.execute(
            update(inbox).where(inbox.c.id == inbox_id).values(processed_at=func.clock_timestamp(), outcome=outcome)
        )
