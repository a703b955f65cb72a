"""What each event of Stripe's means for us. Events only wake: the truth is read from Stripe."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from sqlalchemy import Row, func, select

from base import clock, jobs
from base.bulk import update_rows
from base.business import Business, load_business
from base.crypto import Vault, open_vault
from base.database import transaction
from base.settings import settings
from base.tables import inbox
from billing import checkout
from billing.collect import cards, settle
from billing.gateway import offers
from billing.gateway.at_once import ask_all
from billing.gateway.client import is_test
from billing.gateway.ways import Notice
from billing.money_back import card, disputes

Act = Callable[[Vault, dict[str, Any]], str]


def _session(vault: Vault, event: dict[str, Any]) -> str:
    return checkout.settle(vault, event["data"]["object"]["id"])


def _intent(vault: Vault, event: dict[str, Any]) -> str:
    return settle.hear(vault, event["data"]["object"]["id"])


def _card(vault: Vault, event: dict[str, Any]) -> str:
    """A card was added, changed or taken away; one that was taken away names its owner only in what changed."""
    before = event["data"].get("previous_attributes") or {}
    owner = event["data"]["object"].get("customer") or before.get("customer")
    if not isinstance(owner, str):
        return "not ours"
    cards.refresh(vault, owner)
    return "cards read"


def _deleted(vault: Vault, event: dict[str, Any]) -> str:
    """A customer was deleted on Stripe's pages."""
    return cards.lose_customer(vault, event["data"]["object"]["id"])


def _refund(vault: Vault, event: dict[str, Any]) -> str:
    return card.hear(vault, event["data"]["object"]["id"])


def _refunded(vault: Vault, event: dict[str, Any]) -> str:
    """Something of a charge was refunded; which refund that is, the event does not say."""
    intent = event["data"]["object"].get("payment_intent")
    return card.hear_charge(vault, intent) if isinstance(intent, str) else "not ours"


def _dispute(vault: Vault, event: dict[str, Any]) -> str:
    return disputes.hear(vault, event["data"]["object"]["id"])


def _payout(vault: Vault, event: dict[str, Any]) -> str:
    with transaction() as tx:
        jobs.enqueue(tx, jobs.Kind.FETCH_BALANCE, {}, key=f"balance:{event['id']}")
    return "balance asked for"


EVENTS: dict[str, Act] = {
    "checkout.session.completed": _session,
    "checkout.session.async_payment_succeeded": _session,
    "checkout.session.async_payment_failed": _session,
    "checkout.session.expired": _session,
    "payment_intent.succeeded": _intent,
    "payment_intent.processing": _intent,
    "payment_intent.payment_failed": _intent,
    "payment_intent.requires_action": _intent,
    "payment_intent.canceled": _intent,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.refund.updated": _refund,  # all that accounts of older API versions send when one fails later
    "charge.refunded": _refunded,
    "charge.dispute.created": _dispute,
    "charge.dispute.updated": _dispute,
    "charge.dispute.funds_withdrawn": _dispute,
    "charge.dispute.funds_reinstated": _dispute,
    "charge.dispute.closed": _dispute,
    "payment_method.attached": _card,
    "payment_method.updated": _card,
    "payment_method.automatically_updated": _card,
    "payment_method.detached": _card,
    "customer.deleted": _deleted,
    "payout.created": _payout,
    "payout.paid": _payout,
    "payout.failed": _payout,
    "payout.canceled": _payout,
}


def handle(inbox_id: int) -> None:
    """Understand one event of the inbox, of whatever gateway, once; one that means nothing to us is marked so."""
    for error in handle_all([inbox_id]).values():
        raise error


def handle_all(inbox_ids: Collection[int]) -> dict[int, Exception]:
    """The same of many; returns what could not be understood now, by the ids of the inbox.

    What Stripe's tell of charges is taken together; the others each by itself, some at a time.
    """
    vault = open_vault(settings().secret_keys)
    with transaction() as tx:
        fresh = (inbox.c.id == func.any(list(inbox_ids)), inbox.c.processed_at.is_(None))
        rows = tx.execute(select(inbox).where(*fresh).order_by(inbox.c.id)).all()
        business = load_business(tx, vault)
    outcomes = {row.id: _needless(business, row) for row in rows}
    known = [row for row in rows if not outcomes[row.id]]
    names = {name for row in known if (name := _intent_of(row))}
    told = settle.hear_all(vault, names, patient=True) if names else {}
    failed: dict[int, Exception] = {}
    answers: list[tuple[Row[Any], str | Exception]]
    answers = [(row, told[name]) for row in known if (name := _intent_of(row))]
    for some in ask_all(partial(_understand, vault), [row for row in known if not _intent_of(row)]):
        answers += some
    for row, answer in answers:
        if isinstance(answer, Exception):
            failed[row.id] = answer
        else:
            outcomes[row.id] = answer
    ends = {"processed_at": clock.real()}
    with transaction() as tx:
        update_rows(
            tx, inbox, [{"id": each, "outcome": said, **ends} for each, said in outcomes.items() if each not in failed]
        )
    return failed


def _needless(business: Business, row: Row[Any]) -> str:
    """Why nothing has to be done about an event; '' where something has."""
    if row.source != "stripe":
        return ""
    return not_ours(business, row.body) or ("" if row.kind in EVENTS else "ignored")


def _understand(vault: Vault, row: Row[Any]) -> str:
    return offers.understand(vault, row.source, Notice(row.event_id, row.kind, row.body))


def _intent_of(row: Row[Any]) -> str:
    """The intent that an event of Stripe's is about; '' where it is about something else, or says nothing."""
    if row.source != "stripe" or EVENTS[row.kind] is not _intent:
        return ""
    name = row.body.get("data", {}).get("object", {}).get("id")
    return name if isinstance(name, str) else ""


def understand(vault: Vault, notice: Notice) -> str:
    """What an event of Stripe's means for us is done; what became of it in a word."""
    with transaction() as tx:
        business = load_business(tx, vault)
    act = EVENTS.get(notice.kind)
    return not_ours(business, notice.body) or ("ignored" if act is None else act(vault, notice.body))


def not_ours(business: Business, event: dict[str, Any]) -> str:
    """Why an event is none of ours although its signature fits: another mode or another account; '' when it is."""
    live = event.get("livemode")
    if isinstance(live, bool) and live is is_test(business.stripe_secret_key):
        return "refused: of live mode" if live else "refused: of test mode"
    account = event.get("account") or ""
    if account != business.stripe_connected_account:
        return f"refused: of the account {account or 'itself'}"
    return ""
