"""Invoices and receipts as documents: the stored PDF, the page while there is none, and the print view."""

from datetime import timedelta

import pytest

from base import clock
from base.database import transaction
from billing import tick
from billing.documents import store
from tests.portal.conftest import post


@pytest.fixture
def anna(portal):
    """A subscriber with an invoice and a payment."""
    made = portal.subscriber("Anna <i>Berg</i>", login="line1", email="anna@example.net")
    tick.run(clock.now() - timedelta(days=60))
    browser = portal.as_staff()
    post(browser, f"/staff/subscribers/{made}/payments/new", amount="5", method="cash", once="a")
    return made


@pytest.mark.parametrize(
    ("kind", "own", "theirs", "number"),
    [
        ("invoice", "/invoices/1/pdf", "/staff/invoices/1/pdf", "INV-000001"),
        ("receipt", "/payments/1/receipt", "/staff/payments/1/receipt", "R-000001"),
    ],
)
def test_a_document_waits_until_it_is_made_and_is_then_what_was_stored(portal, anna, kind, own, theirs, number):
    for browser, path in ((portal.as_subscriber("line1"), own), (portal.as_staff("adam"), theirs)):
        waiting = browser.get(path)
        assert waiting.status_code == 200
        assert "The document is being made" in waiting.text
        assert 'http-equiv="refresh"' in waiting.text
        with transaction() as tx:
            store(tx, kind, 1, b"%PDF-1.7 the stored one")
        answer = browser.get(path)
        assert answer.mimetype == "application/pdf"
        assert answer.data == b"%PDF-1.7 the stored one"
        assert answer.headers["Content-Disposition"] == f'inline; filename="{number}.pdf"'
        with transaction() as tx:
            tx.exec_driver_sql("SET LOCAL session_replication_role = replica")  # past the trigger that keeps them
            tx.exec_driver_sql("DELETE FROM document")


@pytest.mark.parametrize("path", ["/invoices/1/print", "/payments/1/print"])
def test_the_print_view_carries_its_style_and_nothing_that_runs(portal, anna, path):
    for browser, prefix in ((portal.as_subscriber("line1"), ""), (portal.as_staff("adam"), "/staff")):
        answer = browser.get(prefix + path)
        assert answer.status_code == 200
        assert "Anna &lt;i&gt;Berg&lt;/i&gt;" in answer.text
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "script-src" not in policy


def test_documents_that_do_not_exist_are_not_there(portal, anna):
    browser = portal.as_staff("adam")
    for path in ("invoices/9/pdf", "invoices/9/print", "payments/9/receipt", "payments/9/print"):
        assert browser.get(f"/staff/{path}").status_code == 404, path
