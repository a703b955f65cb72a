"""The mail that brings an invoice, written when it is about to leave: what is open then is what it says."""

from sqlalchemy import Connection, select

from base.business import Business
from base.tables import subscriber
from billing.collect.cases import announced_charge
from billing.invoices import load_invoice
from billing.letters import invoice_letter
from billing.links import link_to
from billing.mail_sources import load_sources
from billing.mail_words import Letter


def write_invoice_mail(tx: Connection, business: Business, invoice_id: int) -> Letter:
    """The words for an invoice in its payer's language; LookupError when there is no such invoice."""
    found = load_invoice(tx, invoice_id)
    if found is None:
        raise LookupError(f"there is no invoice {invoice_id}")
    payer = tx.execute(
        select(subscriber.c.name, subscriber.c.language).where(subscriber.c.id == found.subscriber_id)
    ).one()
    return invoice_letter(
        business,
        name=payer.name,
        number=found.number,
        issued_on=found.issued_on,
        due_on=found.due_on,
        lines=[(line.text, line.period, line.net) for line in found.lines],
        taxes=found.taxes,
        total=found.total,
        open=found.open,
        link=link_to(tx, invoice_id),
        charge=announced_charge(tx, business, invoice_id),
        language=payer.language,
        sources=load_sources(tx),
    )
