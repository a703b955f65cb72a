"""Paying at Stripe's hosted page: the attempt is committed before Stripe is called, and settled once.

Fulfilment runs from the webhook, from the return page and from the sweep, whichever comes first; all ask Stripe what
the Session became, and the payment's unique gateway id makes the second one harmless. A page is closed when what it was
opened for is settled another way.
"""

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from base import clock, jobs
from base.business import Business, load_business
from base.crypto import Vault
from base.database import transaction
from base.log import alarm
from base.money import Money, total
from base.tables import subscriber
from billing.allocation import OpenInvoice
from billing.collect import cards
from billing.collect.tables import checkout
from billing.gateway import sessions
from billing.gateway.words import GatewayError, Gone, NotSent, chargeable, too_small
from billing.payments import record_payment
from billing.refused import need
from billing.settle import lock_subscribers, open_invoices

REUSED_FOR = timedelta(minutes=20)  # a second click soon after leads to the same page; real time
ASK_AFTER = timedelta(minutes=15)  # should neither the webhook nor the return page come
ASK_AGAIN = timedelta(hours=1)
LIVES = timedelta(hours=25)  # a Session is paid or closed within a day


@dataclass(frozen=True, slots=True)
class Wish:
    """What a subscriber wants to pay, and where the browser goes afterwards."""

    invoice_ids: Sequence[int] = ()
    "Open invoices; none: all."
    amount: Money | None = None
    "In part, or in advance; None: what is open of them."
    known: bool = True
    "The subscriber has logged in: the page may show cards that were kept, and keep this one."
    back: str = "/"
    "Path of ours."


def start(vault: Vault, subscriber_id: int, base_url: str, wish: Wish) -> str:
    """Open a hosted page and return its address.

    Raises Refused when nothing is open or the sum is too small for a card, GatewayError when Stripe cannot be asked.
    """
    return _with_customer(vault, subscriber_id, lambda: _start(vault, subscriber_id, base_url, wish))


def _start(vault: Vault, subscriber_id: int, base_url: str, wish: Wish) -> str:
    with transaction() as tx:
        payer = tx.execute(select(subscriber).where(subscriber.c.id == subscriber_id)).one()
        chosen, exact = wished(tx, payer, wish)
        amount = chargeable(exact)
        need(not too_small(amount), "This is too little for a card: pay it together with the next invoice.", "amount")
        invoice_ids = [each.id for each in chosen]
        reusable = (checkout.c.mode == "payment", checkout.c.invoice_ids == invoice_ids, checkout.c.back == wish.back)
        if (url := _reusable(tx, subscriber_id, amount, *reusable)) is not None:
            return url
        row = _intend(tx, subscriber_id, "payment", amount, invoice_ids, wish.back)
    numbers = ", ".join(each.number for each in chosen)
    names = {0: "Payment in advance", 1: f"Invoice {numbers}"}
    return _open(
        vault,
        row,
        lambda business, urls: sessions.open_session(
            business,
            reference=row.token,
            amount=amount,
            description=names.get(len(chosen), f"Invoices {numbers}"),
            customer=cards.customer_of(vault, subscriber_id) if wish.known else "",
            **urls,
        ),
        base_url,
    )


def wished(tx: Connection, payer: Row[Any], wish: Wish) -> tuple[list[OpenInvoice], Money]:
    """The open invoices that a wish is about, and how much is to be paid. Refused when that is nothing."""
    ids = set(wish.invoice_ids)
    chosen = [each for each in open_invoices(tx, payer.id) if not ids or each.id in ids]
    need(chosen or wish.amount, "There is nothing to pay.", "invoice_id")
    amount = total((each.open for each in chosen), payer.currency) if wish.amount is None else wish.amount
    need(amount.currency == payer.currency, f"The subscriber pays in {payer.currency}.", "amount")
    need(amount.minor > 0, "A payment is more than nothing.", "amount")
    return chosen, amount


def start_saving(vault: Vault, subscriber_id: int, base_url: str, back: str = "/") -> str:
    """Open a hosted page where the subscriber leaves a card; returns its address. Raises GatewayError."""
    return _with_customer(vault, subscriber_id, lambda: _start_saving(vault, subscriber_id, base_url, back))


def _with_customer(vault: Vault, subscriber_id: int, open_page: Callable[[], str]) -> str:
    """Open a page, and once more where the customer that it was opened for has been deleted at Stripe."""
    try:
        return open_page()
    except Gone:
        if cards.lose_customer(vault, cards.customer_of(vault, subscriber_id)) != "customer forgotten":
            raise
        return open_page()


def _start_saving(vault: Vault, subscriber_id: int, base_url: str, back: str) -> str:
    customer = cards.customer_of(vault, subscriber_id)
    with transaction() as tx:
        payer = tx.execute(select(subscriber).where(subscriber.c.id == subscriber_id)).one()
        row = _intend(tx, subscriber_id, "setup", Money(0, payer.currency), [], back)
    return _open(
        vault,
        row,
        lambda business, urls: sessions.open_setup(
            business, reference=row.token, customer=customer, currency=payer.currency, **urls
        ),
        base_url,
    )


def settle(vault: Vault, session_id: str) -> str:
    """Record what became of a hosted page; returns its state in our words, or 'not ours'.

    Safe to call any number of times and at once.
    """
    with transaction() as tx:
        business = load_business(tx, vault)
    return _take(vault, sessions.read_session(business, session_id))


def close(vault: Vault, checkout_ids: Collection[int]) -> None:
    """Close pages that are still open; one that was paid meanwhile is recorded. Raises GatewayError."""
    with transaction() as tx:
        business = load_business(tx, vault)
        query = select(checkout.c.session_id).where(
            checkout.c.id == func.any(list(checkout_ids)), checkout.c.state == "open"
        )
        found = list(tx.scalars(query))
    for session_id in found:
        _take(vault, sessions.expire_session(business, session_id))


def close_pages(vault: Vault, subscriber_ids: Collection[int]) -> dict[int, GatewayError | None]:
    """Close the open payment pages of these subscribers before their cards are charged.

    Returns who cannot be charged now: because Stripe gave this error, or (None) because a page is being paid just now.
    """
    query = select(checkout.c.id, checkout.c.subscriber_id, checkout.c.state).where(
        checkout.c.subscriber_id == func.any(sorted(subscriber_ids)),
        checkout.c.mode == "payment",
        checkout.c.state.in_(("open", "pending")),
    )
    with transaction() as tx:
        rows = tx.execute(query).all()
    found: dict[int, GatewayError | None] = {}
    for owner in {row.subscriber_id for row in rows if row.state == "open"}:
        try:
            close(vault, [row.id for row in rows if row.subscriber_id == owner])
        except GatewayError as error:
            found[owner] = error
    if rows:
        with transaction() as tx:
            rows = tx.execute(query).all()
    return {row.subscriber_id: None for row in rows if row.state == "pending"} | found


def unsettled() -> list[str]:
    """The Sessions of which it is not known yet what they became."""
    with transaction() as tx:
        query = select(checkout.c.session_id).where(
            checkout.c.state.in_(("open", "pending")), checkout.c.session_id.is_not(None)
        )
        return [str(each) for each in tx.scalars(query)]


def ask_due(tx: Connection) -> None:
    """Have Stripe asked about pages of which nobody has told for a while."""
    real = clock.real()
    due = select(checkout.c.id, checkout.c.session_id).where(checkout.c.ask_at <= real)
    rows = tx.execute(due.with_for_update(skip_locked=True)).all()
    payloads = {f"page:{row.id}:{real.isoformat()}": {"session_id": row.session_id} for row in rows}
    jobs.enqueue_all(tx, jobs.Kind.ASK_PAGE, payloads)
    later = update(checkout).where(checkout.c.id == func.any([row.id for row in rows]))
    tx.execute(later.values(ask_at=real + ASK_AGAIN))


def _reusable(tx: Connection, subscriber_id: int, amount: Money, *where: Any) -> str | None:
    """The address of the same page, opened a moment ago."""
    query = select(checkout.c.url).where(
        *where,
        checkout.c.subscriber_id == subscriber_id,
        checkout.c.state == "open",
        checkout.c.amount_minor == amount.minor,
        checkout.c.real_at > clock.real() - REUSED_FOR,
    )
    url: str | None = tx.scalar(query.limit(1))
    return url


def _intend(
    tx: Connection, subscriber_id: int, mode: str, amount: Money, invoice_ids: list[int], back: str
) -> Row[Any]:
    made = (
        insert(checkout)
        .values(
            subscriber_id=subscriber_id,
            token=secrets.token_urlsafe(18),
            mode=mode,
            back=back,
            amount_minor=amount.minor,
            currency=amount.currency,
            invoice_ids=invoice_ids,
            state="created",
            created_at=clock.now(),
        )
        .returning(checkout)
    )
    return tx.execute(made).one()


def _open(vault: Vault, row: Row[Any], ask: Any, base_url: str) -> str:
    """Ask Stripe for the page of an attempt that is committed, and keep its address."""
    with transaction() as tx:
        business = load_business(tx, vault)
    urls = {
        "success_url": f"{base_url}/pay/return?sid={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{base_url}{row.back or '/'}",
    }
    own = update(checkout).where(checkout.c.id == row.id)
    try:
        opened: sessions.OpenedSession = ask(business, urls)
    except GatewayError as error:
        with transaction() as tx:
            tx.execute(own.values(state="failed" if isinstance(error, NotSent) else "unknown"))
        raise
    with transaction() as tx:
        values = {"session_id": opened.id, "url": opened.url, "ask_at": clock.real() + ASK_AFTER}
        tx.execute(own.values(state="open", **values))
    return opened.url


def _take(vault: Vault, found: sessions.SessionState) -> str:
    """Record what Stripe says of a Session."""
    with transaction() as tx:
        # the release before kept its own id as the word for it, but knows the Session
        own = or_(checkout.c.token == found.reference, checkout.c.session_id == found.id)
        owner = tx.scalar(select(checkout.c.subscriber_id).where(own))
        if owner is None:
            return "not ours"
        lock_subscribers(tx, [owner])  # before the attempt, as everything that moves money does
        row = tx.execute(select(checkout).where(own).with_for_update()).one()
        if row.session_id not in (None, found.id):
            return "not ours"
        if row.state in ("paid", "saved"):
            return str(row.state)
        state = _state_of(row, found)
        over = state not in ("open", "pending") or row.real_at < clock.real() - LIVES - ASK_AGAIN
        values: dict[str, Any] = {"state": state, "session_id": found.id, **({"ask_at": None} if over else {})}
        if state == "pending" and row.state != "pending":
            values["held_until"] = clock.now() + timedelta(days=load_business(tx, vault).debit_pending_days)
        tx.execute(update(checkout).where(checkout.c.id == row.id).values(**values))
        if found.status == "complete" and found.customer:
            payload = {"customer_id": found.customer}
            jobs.enqueue(tx, jobs.Kind.REFRESH_CARDS, payload, key=f"cards:{found.id}")
        if state == "paid":
            _record(tx, vault, load_business(tx, vault), row, found)
    return state


def _state_of(row: Row[Any], found: sessions.SessionState) -> str:
    if found.status == "complete" and row.mode == "setup":
        return "saved"
    if found.paid and found.payment_intent is not None and found.amount is not None:
        return "paid"
    return {"complete": "pending", "expired": "expired"}.get(found.status, "open")


def _record(tx: Connection, vault: Vault, business: Business, row: Row[Any], found: sessions.SessionState) -> None:
    assert found.amount is not None
    if found.amount != Money(row.amount_minor, row.currency):
        alarm("checkout_amount_differs", checkout_id=row.id, session=found.id)
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
    tx.execute(update(checkout).where(checkout.c.id == row.id).values(payment_id=recorded.payment_id))
