"""Late fees, and how fees are waived; a fee is a charge like others."""

from datetime import date, datetime

from sqlalchemy import Connection, select

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
from billing.tables import charge, invoice_line

AUTHOR = "dunning"
KINDS = ("late_fee", "reconnection")


def charge_late_fee(
    tx: Connection, business: Business, payer: Payer, case: Case, fee: Fee, today: date
) -> tuple[Money | None, int | None]:
    """Charge a late fee for an invoice; returns it and the charge's id, or nothing when it comes to nothing."""
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
    return amount, charge_id


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
