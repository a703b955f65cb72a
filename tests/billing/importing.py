"""A provider on the day of the move, and what most tests of importers do."""

from datetime import date

import pytest
from sqlalchemy import func, select

from base.business import load_business
from base.database import transaction
from billing.importers.reader import Reading
from billing.importers.run import import_file
from billing.ledger import check_books
from tests.billing.provider import noon

TODAY = date(2026, 11, 24)
NOW = noon(TODAY)


@pytest.fixture
def moving(provider):
    """A provider on the day of the move, with one plan."""
    provider.travel(NOW)
    provider.set(invoice_prefix="INV-")
    provider.home = provider.plan(3000)
    return provider


def take(provider, kind, data, *, tell=lambda done, of: None, commit=True, now=NOW, quiet_days=14, **said):
    """Import in a transaction of its own."""
    with transaction() as tx:
        return import_file(
            tx, provider.vault, load_business(tx, provider.vault), "staff:1", kind,
            data if isinstance(data, bytes) else data.encode(), now,
            reading=Reading(**said), commit=commit, quiet_days=quiet_days, tell=tell,
        )  # fmt: skip


def right(report):
    assert report.faults == ()
    return report.new, report.known


def said(report):
    assert not report.committed
    return [(fault.line, fault.column, fault.sentence) for fault in report.faults]


def rows(query):
    with transaction() as tx:
        return tx.execute(query).all()


def one(query):
    [row] = rows(query)
    return row


def books():
    with transaction() as tx:
        return check_books(tx)


def count(table):
    return one(select(func.count()).select_from(table))[0]


PEOPLE = "number,name,email,billing_day\n1001,Anna,anna@example.net,\n1002,Bert,bert@example.net,1\n"


@pytest.fixture
def people(moving):
    right(take(moving, "subscribers", PEOPLE))
    return moving


DEBTS = (
    "subscriber;number;issued_on;due_on;amount\n"
    "1001;A-17;01.09.2026;15.09.2026;29,99\n"
    "1001;A-18;01.11.2026;01.12.2026;1.029,99\n"
    "1002;;;;-12,50\n"
    "1002;;;;0\n"
)
