"""A voucher is redeemed: once, by whoever types its code first, and felt by access in the same commit."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from base.business import Business, load_business
from base.calendar import local_date
from base.crypto import Vault
from base.i18n import format_date, format_instant, format_money, translations
from base.money import Money
from base.tables import subscriber
from billing.ledger import Posting, post
from billing.payments import record_payment
from billing.prepaid.codes import read_code
from billing.prepaid.guesses import count_wrong, hold, keys_of
from billing.prepaid.tables import voucher, voucher_batch
from billing.prepaid.vouchers import PURPOSE
from billing.refused import need
from billing.settle import lock_subscribers
from billing.tables import payment


@dataclass(frozen=True, slots=True)
class Redemption:
    """What became of a typed code."""

    sentence: str
    "For the subscriber, in their language."
    amount: Money | None = None
    "What went to their balance; None: nothing did."
    payment_id: int | None = None
    retry_at: datetime | None = None
    "Before it no further code is looked at."


def redeem(
    tx: Connection, vault: Vault, subscriber_id: int, typed: str, now: datetime, actor: str, address: str | None = None
) -> Redemption:
    """Put what a voucher is worth on a subscriber's balance, and renew what that pays for.

    `address` is where the request came from, None at the operator's own desk. The caller commits whatever comes back:
    a wrong code is remembered in this transaction. Only who has the right code learns that a voucher was redeemed, is
    void or out of date. Raises Refused when there is no such subscriber.
    """
    need(lock_subscribers(tx, [subscriber_id]), "There is no such subscriber.", "subscriber_id")
    owner = tx.execute(select(subscriber).where(subscriber.c.id == subscriber_id)).one()
    business = load_business(tx, vault)
    language = owner.language or business.language
    say = translations(language).gettext
    code = read_code(typed)
    if code is None:
        return Redemption(say("There is a slip in this code: please compare it with the card."))
    keys = keys_of(subscriber_id, address)
    retry_at = hold(tx, keys, now)
    if retry_at is not None:
        return Redemption(_wait(business, language, retry_at), retry_at=retry_at)
    found = _find(tx, vault, code)
    if found is None:
        retry_at = count_wrong(tx, keys, now)
        wrong = say("There is no voucher with this code.")
        more = "" if retry_at is None else " " + _wait(business, language, retry_at)
        return Redemption(wrong + more, retry_at=retry_at)
    why_not = _why_not(tx, business, found, owner, now)
    if why_not is not None:
        return Redemption(why_not)
    return _take(tx, vault, business, found, owner, now, actor)


def _find(tx: Connection, vault: Vault, code: str) -> Row[Any] | None:
    """The voucher with its batch; the batch is held as it is, and the voucher is ours until the commit."""
    by_code = voucher.c.digest == func.any(vault.digests(code, PURPOSE))
    batch_id = tx.scalar(select(voucher.c.batch_id).where(by_code))
    if batch_id is None:
        return None
    batch = select(voucher_batch).where(voucher_batch.c.id == batch_id)
    held = tx.execute(batch.with_for_update(read=True)).one()  # before the voucher, as who voids or prints a batch does
    query = select(
        voucher.c.id, voucher.c.payment_id, *(voucher_batch.c[name] for name in held._fields if name != "id")
    )
    query = query.join(voucher_batch, voucher_batch.c.id == voucher.c.batch_id).where(by_code)
    return tx.execute(query.with_for_update(of=voucher)).one()


def _why_not(tx: Connection, business: Business, found: Row[Any], owner: Row[Any], now: datetime) -> str | None:
    """Why a voucher that was found is not taken; None when it is."""
    language = owner.language or business.language
    say = translations(language).gettext
    if found.payment_id is not None:
        taken = tx.execute(select(payment).where(payment.c.id == found.payment_id)).one()
        if taken.subscriber_id == owner.id:
            yours = say("You redeemed this voucher on %(day)s already: it went to your balance.")
            return yours % {"day": format_date(taken.received_on, language)}
        return say("This voucher was redeemed already.")
    if found.voided_at is not None:
        return say("This voucher is no longer valid. Please ask where you bought it.")
    if found.valid_until is not None and found.valid_until < local_date(now, business.zone):
        over = say("This voucher was valid until %(day)s.")
        return over % {"day": format_date(found.valid_until, language)}
    if found.currency != owner.currency:
        return say("This voucher is in another currency than your account.")
    return None


def _take(
    tx: Connection, vault: Vault, business: Business, found: Row[Any], owner: Row[Any], now: datetime, actor: str
) -> Redemption:
    """Record it as a payment; what was never sold was given away."""
    value = Money(found.value_minor, found.currency)
    recorded = record_payment(
        tx,
        vault,
        business,
        subscriber_id=owner.id,
        amount=value,
        method="voucher",
        author=actor,
        note=f"Voucher {found.id} of {found.name}",
        now=now,
    )
    tx.execute(update(voucher).where(voucher.c.id == found.id).values(payment_id=recorded.payment_id, code=None))
    if found.sold_on is None:
        sides = [Posting("promotions", None, value), Posting("vouchers_sold", None, -value)]
        day = local_date(now, business.zone)
        post(tx, day, f"Voucher {found.id} of {found.name}, never sold", f"voucher:{found.id}", sides)
    language = owner.language or business.language
    words = translations(language).gettext("%(amount)s went to your balance.")
    return Redemption(words % {"amount": format_money(value, language)}, value, recorded.payment_id)


def _wait(business: Business, language: str, until: datetime) -> str:
    words = translations(language).gettext("Too many wrong codes: please try again after %(time)s.")
    return words % {"time": format_instant(until, business.zone, language)}
