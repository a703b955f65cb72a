"""Payments that were none: a bounced cheque, a returned debit, money that was another subscriber's."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from base import trail
from base.business import Business
from base.calendar import local_date
from base.crypto import Vault
from base.i18n import translations
from base.money import Money
from base.tables import subscriber
from billing.bank.undone import move_line, reopen_line
from billing.charges import add_charge
from billing.clearing.till import stay_where_it_is
from billing.dunning.policies import load_policies
from billing.gateway.offers import refunds_of
from billing.ledger import first_open_day
from billing.money_back import goes
from billing.money_back.tables import gone_back
from billing.payments import Incoming, record_payments
from billing.refused import need
from billing.settle import lock_subscribers
from billing.tables import payment

REVERSIBLE = ("cash", "transfer", "cheque")


@dataclass(frozen=True, slots=True)
class Reversed:
    """What a reversal did."""

    gone_id: int
    "Of its row in gone_back."
    moved_to: int | None
    "The payment that the other subscriber has now."
    charge_id: int | None
    "The fee's."


def reverse_payment(
    tx: Connection,
    vault: Vault,
    business: Business,
    actor: str,
    payment_id: int,
    reason: str,
    now: datetime,
    *,
    fee: Money | None = None,
    move_to: int | None = None,
) -> Reversed:
    """Take a recorded payment back whole; what it had settled is open again and dunned anew from today.

    `fee` (net) is charged to who had paid. `move_to`: the same money is recorded for this subscriber instead, with a
    receipt of its own. A line of the bank's statement that the payment came from waits again, or is the other's.
    Refused with a sentence where the payment was reversed or refunded, or is no money that staff recorded.
    """
    need(reason.strip(), "A reversal needs a reason.", "reason")
    paid = tx.execute(select(payment).where(payment.c.id == payment_id)).one_or_none()
    need(paid is not None, "There is no such payment.", "payment_id")
    assert paid is not None
    lock_subscribers(tx, [paid.subscriber_id] if move_to is None else [paid.subscriber_id, move_to])
    number, amount = paid.receipt_number, Money(paid.amount_minor, paid.currency)
    need(refunds_of(paid.method) is None, f"{number} was paid by {paid.method}: refund it.", "payment_id")
    need(paid.method in REVERSIBLE, f"{number} is no money that was received here ({paid.method}).", "payment_id")
    query = select(gone_back.c.kind).where(gone_back.c.payment_id == payment_id)
    kinds = set(tx.scalars(query.where(gone_back.c.state.not_in(goes.NOT_GONE))))
    need("reversal" not in kinds, f"{number} is reversed already.", "payment_id")
    need(not kinds, f"Something of {number} was given back already.", "payment_id")
    need(move_to != paid.subscriber_id, f"{number} is this subscriber's already.", "move_to")
    need(fee is None or move_to is None, "Nobody is charged for a mistake of yours: no fee when it is moved.", "fee")
    gone_id = goes.begin(
        tx, business, source=paid, kind="reversal", way=paid.method, amount=amount, state="succeeded", reason=reason,
        author=actor, now=now, ended_at=now,
    )  # fmt: skip
    moved = None if move_to is None else _move(tx, vault, business, actor, paid.id, move_to, now)
    goes.take_out(tx, vault, business, gone_id, "reversed" if moved is None else "moved", now)
    said = f"{number} was {'moved to another subscriber' if moved else 'reversed'}: {reason.strip()}"
    if moved is None:
        reopen_line(tx, paid.id, said)
    else:
        move_line(tx, paid.id, moved, said)
    charge_id = None if fee is None else _charge(tx, business, actor, paid.id, fee, now)
    detail = {"receipt": number, "reason": reason, "moved_to": move_to}
    trail.record(
        tx, actor, "payment.reversed", subject="subscriber", subject_id=paid.subscriber_id, detail=detail
    )  # fmt: skip
    return Reversed(gone_id, moved, charge_id)


def _move(
    tx: Connection, vault: Vault, business: Business, actor: str, payment_id: int, move_to: int, now: datetime
) -> int:
    """The same money for the subscriber whose it is: of the day on which it came, where the books still take that."""
    paid = tx.execute(select(payment).where(payment.c.id == payment_id)).one()
    first = first_open_day(tx)
    today = local_date(now, business.zone)
    day = paid.received_on if first is None or paid.received_on >= first else today
    amount, note = Money(paid.amount_minor, paid.currency), f"Moved: was {paid.receipt_number}"
    incoming = Incoming(move_to, amount, paid.method, day, note=note, here=True)
    (moved,) = record_payments(tx, vault, business, [incoming], author=actor, now=now)
    if paid.method == "cash":
        stay_where_it_is(tx, actor, day, amount, f"{paid.receipt_number} moved, no cash came", f"payment:{moved}")
    return moved


def _charge(tx: Connection, business: Business, actor: str, payment_id: int, fee: Money, now: datetime) -> int:
    paid = tx.execute(
        select(payment.c.receipt_number, subscriber.c.id, subscriber.c.language)
        .join(subscriber, subscriber.c.id == payment.c.subscriber_id)
        .where(payment.c.id == payment_id)
    ).one()
    words = translations(paid.language or business.language).gettext("Fee for the returned payment %(number)s")
    today = local_date(now, business.zone)
    tax_class_id = load_policies(tx, business).default.fee_tax_class_id
    need(tax_class_id is not None, "Say first which tax class fees have: it is part of the dunning policy.", "fee")
    assert tax_class_id is not None
    return add_charge(
        tx,
        subscriber_id=paid.id,
        kind="one_off",
        text=words % {"number": paid.receipt_number},
        amount=fee,
        tax_class_id=tax_class_id,
        on_day=today,
        bill_on=today,
        author=actor,
    )
