"""What lay at an account at Stripe that the key no longer opens: said in words, and booked out when it was paid out.

Nobody can read such an account any more. Either its key is set again until it is empty, or a person who sees at Stripe
that it was paid out says so.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from base import clock, trail
from base.business import Business
from base.calendar import local_date
from base.i18n import format_money
from base.money import Money
from billing.clearing.tables import payout, stripe_balance, stripe_transaction
from billing.collect.account import current_account
from billing.ledger import Posting, first_open_day, post
from billing.refused import need


@dataclass(frozen=True, slots=True)
class Left:
    """What lay at an account in one currency when it was read last."""

    account: str
    "acct_…"
    amount: Money
    "Below zero: it is owed to Stripe."
    read_at: datetime


def left_behind(tx: Connection, business: Business) -> list[Left]:
    """What lies at accounts that the key does not open; nothing while the key's own account is not known yet."""
    now_used = current_account(tx, business)
    if now_used is None and business.stripe_secret_key:
        return []
    query = select(stripe_balance).where(stripe_balance.c.account != ("" if now_used is None else now_used.account))
    return [
        Left(row.account, Money(row.available_minor + row.pending_minor, row.currency), row.read_at)
        for row in tx.execute(query.order_by(stripe_balance.c.account, stripe_balance.c.currency))
        if row.available_minor + row.pending_minor
    ]


def in_words(each: Left, business: Business) -> str:
    """What it is and what to do, in a sentence or two."""
    amount = format_money(each.amount, business.language)
    return (
        f"{amount} lay at {each.account}, which the key no longer opens, when it was read last on "
        f"{local_date(each.read_at, business.zone)}. Set its key again until Stripe has paid it out; or, when Stripe "
        f"has, run `tollkeeper clearing book-out {each.account}`."
    )


def book_out(tx: Connection, business: Business, actor: str, account: str, kept: Money | None = None) -> list[str]:
    """Say that Stripe paid out all that lay at such an account, but what it `kept`; returns what to expect at the bank.

    From then on it is on its way to the bank like any payout, under the names returned. Refused when the account is in
    use, or nothing lies there.
    """
    found = [each for each in left_behind(tx, business) if each.account == account]
    need(found, f"Nothing lies at {account}, or the key opens it.", "account")
    mine = stripe_balance.c.account == account
    tx.execute(select(stripe_balance).where(mine).with_for_update())
    now, names = clock.now(), []
    today = local_date(now, business.zone)
    day = max(today, first_open_day(tx) or today)
    if kept is not None:
        sums = {each.amount.currency: each.amount for each in found}
        fits = kept.currency in sums and 0 <= kept.minor <= sums[kept.currency].minor
        need(fits, "Stripe keeps at most what lay there.", "kept")
    for each in found:
        code = each.amount.currency
        fee = kept if kept is not None and kept.currency == code else Money(0, code)
        name = f"booked_out:{account}:{code}:{now:%Y-%m-%dT%H:%M:%S}"
        sides = [
            Posting("payouts", None, each.amount - fee),
            Posting("gateway_fees", None, fee),
            Posting("stripe", None, -each.amount),
        ]
        entry_id = post(tx, day, f"Paid out of {account}", f"stripe:{name}", sides)
        moved = {
            "txn_id": name, "account": account, "type": "payout", "category": "payout", "kind": "payout",
            "amount_minor": -each.amount.minor, "fee_minor": 0, "currency": code, "entry_id": entry_id, "made_at": now,
            "fetched_at": clock.real(), "decided_by": actor,
        }  # fmt: skip
        tx.execute(insert(stripe_transaction).values(**moved))
        if (arriving := (each.amount - fee).minor) > 0:
            row = {"payout_id": name, "account": account, "amount_minor": arriving, "currency": code, "state": "paid"}
            tx.execute(insert(payout).values(**row, arrives_on=today, made_at=now))
            names.append(name)
    tx.execute(update(stripe_balance).where(mine).values(available_minor=0, pending_minor=0))
    detail = {"account": account, "sums": [format_money(each.amount, business.language) for each in found]}
    trail.record(tx, actor, "stripe.account_booked_out", subject="setting", detail=detail)
    return names
