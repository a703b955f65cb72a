"""Charging a saved card: one PaymentIntent per case, made unconfirmed, confirmed once per try.

Stripe doc: Payment Intents, create, update, confirm, cancel; off-session payments. An intent succeeds once whatever
happens, so a case cannot be charged twice; a confirmation that got no answer is asked about by the intent's id.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from base.business import Business
from base.money import Money
from billing.gateway.client import client, sorted_errors
from billing.gateway.words import Decline, Intent, Status, from_stripe, to_stripe

if TYPE_CHECKING:
    from stripe import PaymentIntent, StripeError

_STATUS: dict[str, Status] = {
    "requires_payment_method": "waiting",
    "requires_confirmation": "waiting",
    "requires_action": "action",
    "processing": "pending",
    "requires_capture": "pending",
    "succeeded": "succeeded",
    "canceled": "canceled",
}


def create(business: Business, *, key: str, reference: str, customer: str, amount: Money, description: str) -> Intent:
    """Make an intent that charges nobody yet; sending the same `key` again within 24 hours brings the same one."""
    params: dict[str, Any] = {
        "amount": to_stripe(amount),
        "currency": amount.currency.lower(),
        "customer": customer,
        "description": description,
        "metadata": {"tollkeeper_collection": reference},
    }
    with sorted_errors():
        made = client(business).v1.payment_intents.create(params=params, options={"idempotency_key": key})  # type: ignore[arg-type]
    return _seen(made)


def set_amount(business: Business, intent_id: str, amount: Money) -> Intent:
    """Have the next try charge another amount: what is owed by now."""
    with sorted_errors():
        changed = client(business).v1.payment_intents.update(intent_id, params={"amount": to_stripe(amount)})
    return _seen(changed)


def confirm(business: Business, intent_id: str, *, key: str, method: str) -> Intent:
    """Charge the card `method` without its owner being there.

    A declined card is an answer, not an error: the intent comes back waiting, with its decline. Raises Unknown when
    the card may have been charged, NotSent when it cannot have been.
    """
    import stripe

    with sorted_errors():
        try:
            confirmed = client(business).v1.payment_intents.confirm(
                intent_id,
                params={"payment_method": method, "off_session": True},
                options={"idempotency_key": key},
            )
        except stripe.CardError as error:
            return _declined(business, intent_id, error)
    return _seen(confirmed)


def read(business: Business, intent_id: str) -> Intent:
    """The intent as Stripe has it now."""
    with sorted_errors():
        return _seen(client(business).v1.payment_intents.retrieve(intent_id))


def is_ours(business: Business, intent_id: str) -> bool:
    """Whether an intent was made by this product: by a collection, or on a page that it opened."""
    with sorted_errors():
        found = client(business).v1.payment_intents.retrieve(intent_id).metadata
    return found is not None and ("tollkeeper_collection" in found or "tollkeeper_attempt" in found)


def list_since(business: Business, since: datetime) -> Iterator[str]:
    """The ids of the account's intents made since then, newest first, whoever made them."""
    with sorted_errors():
        params: Any = {"created": {"gte": int(since.timestamp())}, "limit": 100}
        for each in client(business).v1.payment_intents.list(params=params).auto_paging_iter():
            yield each.id


def cancel(business: Business, intent_id: str) -> Intent:
    """Close an intent for good, its case being settled another way; one that succeeded meanwhile comes back so."""
    import stripe

    with sorted_errors():
        try:
            return _seen(client(business).v1.payment_intents.cancel(intent_id))
        except stripe.InvalidRequestError as error:
            if error.code != "payment_intent_unexpected_state":
                raise
    return read(business, intent_id)


def _declined(business: Business, intent_id: str, error: "StripeError") -> Intent:
    """The intent inside a card error; asked for where Stripe did not put it there."""
    told = getattr(error.error, "payment_intent", None)
    found = _seen(told) if told is not None else read(business, intent_id)
    return found if found.status != "waiting" or found.decline else read(business, intent_id)


def _seen(intent: "PaymentIntent") -> Intent:
    failed = intent.last_payment_error
    charge, method = intent.latest_charge, intent.payment_method
    named = method or (failed and failed.payment_method)
    types = intent.payment_method_types or []
    return Intent(
        id=intent.id,
        status=_STATUS[intent.status],
        amount=from_stripe(intent.amount, intent.currency),
        charge=charge if isinstance(charge, str) else charge.id if charge else "",
        decline=None if failed is None else _reasons(failed),
        method=named if isinstance(named, str) else named.id if named else "",
        delayed=intent.status == "processing" and types != ["card"],
    )


def _reasons(failed: Any) -> Decline:
    def said(name: str) -> str:
        return str(getattr(failed, name, None) or "")

    return Decline(
        code=said("code"),
        decline_code=said("decline_code"),
        advice_code=said("advice_code"),
        network_code=said("network_decline_code"),
        message=said("message"),
    )
