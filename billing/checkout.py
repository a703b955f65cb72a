"""Paying at Stripe's hosted page: the attempt is committed before Stripe is called, and settled once.

Fulfilment runs from the webhook and from the return page, whichever comes first; both ask Stripe what the Session
became, and the payment's unique gateway id makes the second one harmless.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import insert, select, update

from base import clock
from base.business import load_business
from base.crypto import Vault
from base.database import transaction
from base.log import alarm
from base.money import Money, total
from base.tables import subscriber
from billing import gateway
from billing.payments import record_payment
from billing.refused import Refused
from billing.settle import open_invoices
from billing.tables import checkout

REUSED_FOR = timedelta(minutes=20)  # a second click soon after leads to the same page; real time


def start(vault: Vault, subscriber_id: int, invoice_ids: Sequence[int], base_url: str) -> str:
    """Open a hosted page for these open invoices (none named: all) and return its address.

    Raises Refused when nothing of them is open, GatewayError when Stripe cannot be asked.
    """
    with transaction() as tx:
        business = load_business(tx, vault)
        payer = tx.execute(select(subscriber).where(subscriber.c.id == subscriber_id)).one()
        chosen = [each for each in open_invoices(tx, subscriber_id) if not invoice_ids or each.id in invoice_ids]
        if not chosen:
            raise Refused("There is nothing to pay.", "invoice_id")
        amount = total((each.open for each in chosen), payer.currency)
        ids = [each.id for each in chosen]
        known = tx.execute(
            select(checkout.c.url).where(
                checkout.c.subscriber_id == subscriber_id,
                checkout.c.state == "open",
                checkout.c.amount_minor == amount.minor,
                checkout.c.invoice_ids == ids,
                checkout.c.real_at > clock.real() - REUSED_FOR,
            )
        ).first()
        if known is not None:
            return str(known.url)
        attempt_id = tx.scalar(
            insert(checkout)
            .values(
                subscriber_id=subscriber_id,
                amount_minor=amount.minor,
                currency=amount.currency,
                invoice_ids=ids,
                state="created",
                created_at=clock.now(),
            )
            .returning(checkout.c.id)
        )
    numbers = ", ".join(each.number for each in chosen)
    try:
        opened = gateway.open_session(
            business,
            reference=str(attempt_id),
            amount=amount,
            description=f"{'Invoice' if len(chosen) == 1 else 'Invoices'} {numbers}",
            email=payer.email,
            success_url=f"{base_url}/pay/return?sid={{CHECKOUT_SESSION_ID}}",
            cancel_url=f"{base_url}/",
        )
    except gateway.GatewayError as error:
        state = "failed" if isinstance(error, gateway.NotSent) else "unknown"
        with transaction() as tx:
            tx.execute(update(checkout).where(checkout.c.id == attempt_id).values(state=state))
        raise
    with transaction() as tx:
        tx.execute(
            update(checkout)
            .where(checkout.c.id == attempt_id)
            .values(state="open", session_id=opened.id, url=opened.url)
        )
    return opened.url


def settle(vault: Vault, session_id: str) -> str:
    """Record what became of a hosted page; returns its state in our words: paid, open, expired or 'not ours'.

    Safe to call any number of times and at once.
    """
    with transaction() as tx:
        business = load_business(tx, vault)
    found = gateway.read_session(business, session_id)
    if not found.reference.isdigit():
        return "not ours"
    with transaction() as tx:
        business = load_business(tx, vault)
        row = tx.execute(select(checkout).where(checkout.c.id == int(found.reference)).with_for_update()).one_or_none()
        if row is None or row.session_id not in (None, session_id):
            return "not ours"
        if row.state == "paid":
            return "paid"
        if not found.paid or found.payment_intent is None or found.amount is None:
            state = "expired" if found.status == "expired" else "open"
            tx.execute(update(checkout).where(checkout.c.id == row.id).values(state=state, session_id=session_id))
            return state
        if found.amount != Money(row.amount_minor, row.currency):
            alarm("checkout_amount_differs", checkout_id=row.id, session=session_id)
        recorded = record_payment(
            tx,
            vault,
            business,
            subscriber_id=row.subscriber_id,
            amount=found.amount,
            method="card",
            author="stripe",
            gateway_id=found.payment_intent,
            invoice_ids=row.invoice_ids,
            now=clock.now(),
        )
        tx.execute(
            update(checkout)
            .where(checkout.c.id == row.id)
            .values(state="paid", session_id=session_id, payment_id=recorded.payment_id)
        )
    return "paid"
