"""Money that is given back on purpose: in cash, by transfer, or onto the subscriber's balance; see .card for cards."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from base.business import Business
from base.calendar import local_date
from base.crypto import Vault
from base.money import Money, total
from billing.cheques.waiting import is_waiting
from billing.money_back import goes
from billing.prepaid.renewal import renew_and_refresh
from billing.refused import need
from billing.services import services_of
from billing.settle import apply_credits, credits_by_subscriber, lock_subscribers, open_invoices, take_back
from billing.tables import credit_note, payment

BY_HAND = ("cash", "transfer")


def refund_by_hand(
    tx: Connection, vault: Vault, business: Business, actor: str, payment_id: int, amount: Money | None, way: str,
    reason: str, now: datetime,
) -> int:  # fmt: skip
    """Give back a payment, or part of it, in cash or by transfer; returns the id in gone_back.

    First goes what no invoice has used; what had been settled with the rest is open again. Refused with a sentence.
    """
    need(way in BY_HAND, f"Money is given back by hand in one of these ways: {', '.join(BY_HAND)}.", "way")
    paid, amount = checked(tx, payment_id, amount, reason)
    gone_id = goes.begin(
        tx, business, source=paid, kind="refund", way=way, amount=amount, state="succeeded", reason=reason,
        author=actor, now=now, ended_at=now,
    )  # fmt: skip
    goes.take_out(tx, vault, business, gone_id, "refund", now)
    return gone_id


def pay_out_credit(
    tx: Connection, vault: Vault, business: Business, actor: str, subscriber_id: int, amount: Money | None, way: str,
    reason: str, now: datetime,
) -> list[int]:  # fmt: skip
    """Pay out what a subscriber has as credit (payments in advance, credit notes, returned deposits), or part of it.

    The oldest credit goes first; returns the ids in gone_back, one for each payment or credit note it comes from.
    Refused with a sentence.
    """
    need(reason.strip(), "Giving money back needs a reason.", "reason")
    need(way in BY_HAND, f"Credit is paid out in one of these ways: {', '.join(BY_HAND)}.", "way")
    lock_subscribers(tx, [subscriber_id])
    parts: list[tuple[Row[Any], Money]] = []
    for each in credits_by_subscriber(tx, [subscriber_id]).get(subscriber_id, []):
        table = payment if each.source == "payment_id" else credit_note
        source = tx.execute(select(table).where(table.c.id == each.source_id)).one()
        free = each.left if table is credit_note else min(each.left, goes.left_of(tx, source))
        if free:
            parts.append((source, free))
    need(parts, "This subscriber has no credit.", "subscriber_id")
    currency = parts[0][1].currency
    all_of_it = total((free for _, free in parts), currency)
    wanted = all_of_it if amount is None else amount
    need(wanted.currency == currency and wanted.minor > 0, f"An amount in {currency} is paid out.", "amount")
    need(wanted <= all_of_it, "The subscriber has less credit than that.", "amount")
    made = []
    for source, free in parts:
        part = min(free, wanted)
        if part:
            wanted = wanted - part
            made.append(
                goes.begin(
                    tx,
                    business,
                    source=source,
                    kind="refund",
                    way=way,
                    amount=part,
                    state="succeeded",
                    reason=reason,
                    author=actor,
                    now=now,
                    ended_at=now,
                )
            )
    for gone_id in made:
        goes.take_out(tx, vault, business, gone_id, "refund", now)
    return made


def move_to_balance(
    tx: Connection, vault: Vault, business: Business, actor: str, payment_id: int, amount: Money | None, reason: str,
    now: datetime, prefer: Collection[int] = (),
) -> int:  # fmt: skip
    """Take a payment, or part of it, off what it has settled and use it for what else is open, `prefer` first.

    What was settled is open again from today; what then is left is used for that, so nobody owes beside credit of
    their own. Refused where nothing else is open: there a credit note is what is meant, whose worth is credit.
    """
    paid, amount = checked(tx, payment_id, amount, reason)
    others = open_invoices(tx, paid.subscriber_id)
    need(others, "Nothing else is open that it could pay: correct the invoice with a credit note.", "payment_id")
    today = local_date(now, business.zone)
    gone_id = goes.begin(
        tx, business, source=paid, kind="refund", way="balance", amount=amount, state="succeeded", reason=reason,
        author=actor, now=now, ended_at=now,
    )  # fmt: skip
    reopened = take_back(tx, paid, amount, now, today)
    apply_credits(tx, [paid.subscriber_id], now, today, prefer or [each.id for each in others])
    goes.dun_anew(tx, reopened, now, today)
    renew_and_refresh(tx, vault, services_of(tx, paid.subscriber_id), now, because=f"gone_back:{gone_id}")
    return gone_id


def checked(tx: Connection, payment_id: int, amount: Money | None, reason: str) -> tuple[Row[Any], Money]:
    """The payment that money may go back of, its subscriber locked, and how much: all that is left by default."""
    need(reason.strip(), "Giving money back needs a reason.", "reason")
    paid = tx.execute(select(payment).where(payment.c.id == payment_id)).one_or_none()
    need(paid is not None, "There is no such payment.", "payment_id")
    assert paid is not None
    lock_subscribers(tx, [paid.subscriber_id])
    late = is_waiting(tx, payment_id)
    need(not late, f"{paid.receipt_number} is a cheque that does not count yet: reverse it instead.", "payment_id")
    left = goes.left_of(tx, paid)
    need(left, f"Nothing of {paid.receipt_number} is left: it went back already, or is disputed.", "payment_id")
    wanted = left if amount is None else amount
    need(wanted.currency == paid.currency, f"{paid.receipt_number} was paid in {paid.currency}.", "amount")
    need(wanted.minor > 0, "What goes back is more than nothing.", "amount")
    need(wanted <= left, f"Of {paid.receipt_number} less than that is left.", "amount")
    return paid, wanted


def gone_of(tx: Connection, subscriber_id: int) -> list[Row[Any]]:
    """What went back of a subscriber's money, or is disputed, the newest first, each with `number` of its receipt."""
    from billing.money_back.tables import gone_back

    query = (
        select(gone_back, func.coalesce(payment.c.receipt_number, credit_note.c.number).label("number"))
        .outerjoin(payment, payment.c.id == gone_back.c.payment_id)
        .outerjoin(credit_note, credit_note.c.id == gone_back.c.credit_note_id)
        .where(gone_back.c.subscriber_id == subscriber_id)
        .order_by(gone_back.c.id.desc())
    )
    return list(tx.execute(query))
