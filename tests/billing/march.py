"""What tests of a contract begin with, in March 2026, and how they read what became of it."""

from datetime import date

from sqlalchemy import select

from base.access import AccessLevel
from base.database import transaction
from base.money import Money
from base.tables import policy
from billing.invoices import balance
from billing.tables import credit_note, invoice
from billing.tick import run
from tests.billing.provider import noon

MARCH = date(2026, 3, 1)


def eur(minor):
    return Money(minor, "EUR")


def day(provider, number, month=3):
    """Let it be noon of that day, and everything done that time has made due."""
    now = provider.travel(noon(date(2026, month, number)))
    run(now)
    return now


def do(provider, deed, *args, **more):
    with transaction() as tx:
        return deed(tx, provider.vault, "staff:1", *args, **more)


def documents():
    """(number, total) of all invoices and credit notes, in order."""
    with transaction() as tx:
        issued = tx.execute(select(invoice.c.number, invoice.c.total_minor).order_by(invoice.c.id)).all()
        credited = tx.execute(select(credit_note.c.number, credit_note.c.total_minor).order_by(credit_note.c.id)).all()
    return [tuple(row) for row in [*issued, *credited]]


def owes(subscriber_id):
    with transaction() as tx:
        return balance(tx, subscriber_id).minor


def access(service_id):
    with transaction() as tx:
        row = tx.execute(select(policy).where(policy.c.service_id == service_id)).one()
    return AccessLevel(row.level), row.obeyed["rate_down"], row.reasons
