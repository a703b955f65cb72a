"""Late fees, and how fees are waived; a fee is a charge like others."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from base.business import Business
from base.crypto import Vault
from base.i18n import translations
from base.money import Money
from base.tables import subscriber
from billing.charges import add_charge, drop_charge
from billing.credit_notes import credit_invoice
from billing.dunning.cases import Payer
from billing.dunning.policy import Fee
from billing.dunning.rules import Case, late_fee
from billing.refused import need
from billing.tables import charge, credit_note_line, invoice, invoice_line
from billing.tax import Taxed, compute
from billing.taxes import load_taxes, treated

AUTHOR = "dunning"
KINDS = ("late_fee", "reconnection")


def charge_late_fee(
    tx: Connection, business: Business, payer: Payer, case: Case, fee: Fee, today: date
) -> tuple[Money | None, int | None]:
    """Charge a late fee for an invoice; returns it with its tax, and the charge's id, or nothing when it
    comes to nothing."""
    amount = late_fee(payer.policy, fee, case)
    if not amount:
        return None, None
    words = translations(payer.language or business.language).gettext("Late fee for invoice %(number)s")
    charge_id = add_charge(
        tx,
        subscriber_id=payer.id,
        kind="late_fee",
        text=words % {"number": case.number},
        amount=amount,
        tax_class_id=payer.policy.fee_tax_class,
        on_day=today,
        bill_on=today if payer.policy.fee_as == "document" else None,
        author=AUTHOR,
    )
    return with_tax(tx, payer, amount, today), charge_id


def with_tax(tx: Connection, payer: Payer, fee: Money, day: date) -> Money:
    """What a fee of the payer's policy comes to on its invoice: what letters have to say."""
    class_id = payer.policy.fee_tax_class
    row = tx.execute(select(subscriber).where(subscriber.c.id == payer.id)).one()
    taxes = treated(load_taxes(tx, {class_id}).on(class_id, day), row.tax_treatment, row.tax_number_check)
    return compute([Taxed(fee, False, taxes)], payer.currency).total


def list_fees(tx: Connection, subscriber_id: int | None = None) -> list[Row[Any]]:
    """Late fees and fees for coming back, the newest first; of one subscriber or of all.

    Each with its id, account number and name, text, net amount and currency, day, number of its invoice or None, when
    it was dropped or None, and what of it was given back (net, in minor units).
    """
    given = select(func.coalesce(func.sum(credit_note_line.c.net_minor), 0)).where(
        credit_note_line.c.invoice_line_id == invoice_line.c.id
    )
    query = (
        select(
            charge.c.id, subscriber.c.number, subscriber.c.name, charge.c.text, charge.c.amount_minor,
            subscriber.c.currency, charge.c.on_day, invoice.c.number.label("invoice"), charge.c.dropped_at,
            given.scalar_subquery().label("given_minor"),
        )
        .join(subscriber, subscriber.c.id == charge.c.subscriber_id)
        .outerjoin(invoice, invoice.c.id == charge.c.invoice_id)
        .outerjoin(invoice_line, invoice_line.c.charge_id == charge.c.id)
        .where(charge.c.kind.in_(KINDS))
        .order_by(charge.c.id.desc())
    )  # fmt: skip
    return list(tx.execute(query if subscriber_id is None else query.where(charge.c.subscriber_id == subscriber_id)))


def waive(tx: Connection, vault: Vault, business: Business, actor: str, charge_id: int, now: datetime) -> int | None:
    """Give a fee back: one that waits is dropped, one that was billed is credited; returns the credit note's id."""
    row = tx.execute(
        select(charge.c.kind, charge.c.invoice_id, subscriber.c.currency)
        .join(subscriber, subscriber.c.id == charge.c.subscriber_id)
        .where(charge.c.id == charge_id, charge.c.kind.in_(KINDS))
    ).one_or_none()
    need(row is not None, "There is no such fee.", "charge_id")
    assert row is not None
    if row.invoice_id is None:
        drop_charge(tx, actor, charge_id)
        return None
    line = tx.execute(select(invoice_line).where(invoice_line.c.charge_id == charge_id)).one()
    amounts = {line.id: Money(line.amount_minor, row.currency)}
    return credit_invoice(tx, vault, business, actor, row.invoice_id, "Fee waived", now, amounts)
