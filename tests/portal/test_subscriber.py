"""The subscriber's pages: what is owed and why, in words, and nobody else's rows."""

from datetime import timedelta

import pytest
from sqlalchemy import insert

from base import clock
from base.business import load_business
from base.database import transaction
from base.money import Money
from base.tables import usage_daily
from billing import tick
from billing.credit_notes import credit_invoice, write_off_invoice
from billing.invoices import load_invoice, open_invoices
from billing.payments import record_payment
from billing.services import set_staff_order
from tests.billing.provider import wall_in


@pytest.fixture
def anna(portal):
    """A subscriber whose first invoice is long overdue."""
    made = portal.subscriber("Anna", login="line1", email="anna@example.net")
    wall_in(clock.now())
    return made


def pay(portal, subscriber_id, minor):
    with transaction() as tx:
        return record_payment(
            tx,
            portal.vault,
            load_business(tx, portal.vault),
            subscriber_id=subscriber_id,
            amount=Money(minor, "EUR"),
            method="cash",
            author="system",
            now=clock.now(),
        ).payment_id


def test_home_without_debt_says_so(portal):
    portal.subscriber("Anna", login="line1")
    text = portal.as_subscriber("line1").get("/").text
    assert "You owe nothing" in text
    assert "Full speed" in text
    assert "100 Mbit/s down, 20 Mbit/s up" in text
    assert "Not online" in text
    assert "You have the speed of your plan." in text


def test_home_says_what_is_owed_since_when_and_why(portal, anna):
    tick.run(clock.now())
    text = portal.as_subscriber("line1").get("/").text
    with transaction() as tx:
        owed = open_invoices(tx, anna)
    assert len(owed) > 1
    assert "You owe €" in text
    assert "was due on" in text
    assert "Payment pages only" in text
    assert "As soon as it is paid you are back online" in text
    assert "Pay €" not in text  # no card payments are set up


def test_home_says_when_an_unpaid_invoice_will_limit_the_line(portal, anna):
    clock.travel_to_offset(timedelta(days=-3))
    with transaction() as tx:
        set_staff_order(tx, portal.vault, "staff:1", 1, "none", "")  # decides as of that day
    text = portal.as_subscriber("line1").get("/").text
    assert "was due on" in text
    assert "If what you owe is not paid before" in text
    assert "Full speed" in text


def test_home_says_what_staff_ordered(portal):
    portal.subscriber("Anna", login="line1")
    with transaction() as tx:
        set_staff_order(tx, portal.vault, "staff:1", 1, "blocked", "secret note")
    text = portal.as_subscriber("line1").get("/").text
    assert "Your service is blocked. Please contact us." in text
    assert "secret note" not in text


def test_home_says_where_one_is_online(portal):
    portal.subscriber("Anna", login="line1")
    portal.line(1, "100.64.0.7")
    assert "100.64.0.7" in portal.as_subscriber("line1").get("/").text


def test_credit_is_said_without_a_minus(portal):
    made = portal.subscriber("Anna", login="line1")
    pay(portal, made, 500)
    text = portal.as_subscriber("line1").get("/").text
    assert "You have €5.00 of credit" in text


def test_invoices_tell_their_state(portal, anna):
    browser = portal.as_subscriber("line1")
    assert "Overdue" in browser.get("/invoices").text
    pay(portal, anna, 1000)
    one = browser.get("/invoices/1").text
    assert "€19.99" in one  # what is open
    assert "Cash" in one
    pay(portal, anna, 1999)
    assert "Paid" in browser.get("/invoices").text
    assert "Overdue" not in browser.get("/invoices").text


def test_part_paid_is_said_before_the_due_date(portal, anna):
    clock.travel_to_offset(timedelta(days=-60))
    browser = portal.as_subscriber("line1")
    assert ">Open<" in browser.get("/invoices").text
    pay(portal, anna, 1000)
    assert "Part paid" in browser.get("/invoices").text


def test_an_invoice_that_was_not_paid_is_not_called_paid(portal, anna):
    """A cancelled one is cancelled; one that was given up is closed to its subscriber, and written off to staff."""
    with transaction() as tx:
        business = load_business(tx, portal.vault)
        credit_invoice(tx, portal.vault, business, "staff:1", 1, "Wrong", clock.now())
        write_off_invoice(tx, portal.vault, business, "staff:1", 2, "Gone", clock.now())
    mine = portal.as_subscriber("line1")
    staff = portal.as_staff()
    assert ">Cancelled<" in mine.get("/invoices/1").text
    assert ">Closed<" in mine.get("/invoices/2").text
    assert ">Written off<" in staff.get("/staff/invoices/2").text
    for pages, given_up in ((mine.get("/invoices").text, "Closed"), (staff.get("/staff/invoices").text, "Written off")):
        assert ">Cancelled<" in pages
        assert f">{given_up}<" in pages
        assert ">Paid<" not in pages


def test_nobody_sees_what_is_not_theirs(portal, anna):
    pay(portal, anna, 100)
    portal.line(1, "100.64.0.7")
    portal.subscriber("Ben", login="line2")
    ben = portal.as_subscriber("line2")
    with transaction() as tx:
        assert load_invoice(tx, 1).subscriber_id == anna
    for path in (
        "/invoices/1",
        "/invoices/1/pdf",
        "/invoices/1/print",
        "/payments/1/receipt",
        "/payments/1/print",
        "/invoices/2",
    ):
        assert ben.get(path).status_code == 404, path
    for path in ("/", "/invoices", "/payments", "/usage"):
        text = ben.get(path).text
        assert "Anna" not in text, path
        assert "100.64.0.7" not in text, path
        assert "INV-" not in text, path
        assert "R-0" not in text, path


def test_usage_shows_this_month_only(portal):
    portal.subscriber("Anna", login="line1")
    today = clock.now().date()
    with transaction() as tx:
        for day, octets in ((today, 5_000_000_000), (today.replace(day=1) - timedelta(days=1), 777_000_000_000)):
            row = {"service_id": 1, "day": day, "octets_in": 1_000_000, "octets_out": octets, "seconds": 3720}
            tx.execute(insert(usage_daily).values(row))
    text = portal.as_subscriber("line1").get("/usage").text
    assert "5.0 GB" in text
    assert "1 h 2 min" in text
    assert "777" not in text


def test_lists_come_in_pages(portal):
    portal.subscriber("Anna", login="line1")
    for n in range(53):
        portal.line(1, f"100.64.1.{n}", acct_session_id=f"s{n}", started_at=clock.now() - timedelta(hours=n + 1))
    browser = portal.as_subscriber("line1")
    first, second = browser.get("/usage").text, browser.get("/usage?page=2").text
    assert "100.64.1.0<" in first
    assert "100.64.1.49<" in first
    assert "100.64.1.50<" not in first
    assert "100.64.1.50<" in second
    assert "100.64.1.0<" not in second
    assert "page=2" in first
    for nonsense in ("0", "-1", "x", "9" * 40, "²"):
        assert "100.64.1.0<" in browser.get(f"/usage?page={nonsense}").text


def test_the_root_leads_to_the_login(portal):
    assert portal.browser().get("/").headers["Location"].startswith("/login")
