"""Paying by card: from the button to the pretend Stripe's hosted page and back, paid once, back online."""

import pytest
import requests
from sqlalchemy import func, select

from base import clock
from base.access import AccessLevel
from base.business import set_business
from base.database import transaction
from base.tables import policy
from billing import links
from billing.collect.tables import checkout
from billing.tables import payment
from sandbox.stripe.app import Config
from tests.billing.provider import wall_in
from tests.portal.conftest import csrf, post
from tests.sandbox.emulator import KEY, Emulator

ADDRESS = "100.64.0.7"
CARD = {"number": "4242 4242 4242 4242", "expiry": "12 / 40", "cvc": "123", "name": "Anna"}
DECLINED = {**CARD, "number": "4000 0000 0000 0002"}


@pytest.fixture
def emulator(tmp_path):
    """The pretend Stripe; its webhooks go nowhere, so that the return page alone must settle."""
    made = Emulator(Config(data=tmp_path / "stripe", api_key=KEY))
    yield made
    made.running.stop()


@pytest.fixture
def walled(make_portal, emulator):
    """A portal whose subscriber Anna is walled in at ADDRESS."""
    portal = make_portal(sandbox="true", radius_hosts="127.0.0.1")
    with transaction() as tx:
        set_business(tx, portal.vault, "system", stripe_secret_key=KEY, stripe_api_base=emulator.url)
    portal.subscriber("Anna", login="line1", email="anna@example.net")
    wall_in(clock.now())
    portal.line(1, ADDRESS, login="line1")
    assert level() == AccessLevel.WALLED
    return portal


def level():
    with transaction() as tx:
        return AccessLevel(tx.scalar(select(policy.c.level).where(policy.c.service_id == 1)))


def count(table):
    with transaction() as tx:
        return tx.scalar(select(func.count()).select_from(table))


def click(url, card):
    """Pay at the hosted page; returns where it leads back to, without the portal's own address."""
    answer = requests.post(url, data=card, timeout=5, allow_redirects=False)
    return answer.headers.get("Location", "").removeprefix("http://127.0.0.1:8080")


def test_a_walled_browser_pays_without_logging_in_and_is_back_online(walled):
    browser = walled.browser(ADDRESS)
    answer = browser.post("/captive/pay", data={"csrf_token": csrf(browser, "/captive")})
    assert answer.status_code == 303
    back = click(answer.headers["Location"], CARD)
    assert back.startswith("/pay/return?sid=cs_")
    page = browser.get(back).text
    assert "Paid: €89.97" in page
    assert "R-0" in page
    assert "You are back online" in page
    assert level() == AccessLevel.FULL
    assert "Open the receipt" not in page  # nobody is logged in here
    for _ in range(2):
        assert browser.get(back).status_code == 200
    assert count(payment) == 1
    assert "You are online" in browser.get("/captive").text


def test_a_subscriber_pays_one_invoice(walled):
    browser = walled.as_subscriber("line1")
    answer = post(browser, "/pay", "/invoices/1", invoice_id="1")
    back = click(answer.headers["Location"], CARD)
    page = browser.get(back).text
    assert "Paid: €29.99" in page
    assert "Open the receipt" in page
    assert "Paid" in browser.get("/invoices/1").text
    assert "Overdue" not in browser.get("/invoices/1").text
    with transaction() as tx:
        (row,) = tx.execute(select(payment)).all()
    assert (row.method, row.amount_minor) == ("card", 2999)


def test_somebody_elses_invoice_is_not_paid(walled):
    walled.subscriber("Ben", login="line2")
    answer = post(walled.as_subscriber("line2"), "/pay", "/", invoice_id="1")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert count(checkout) == 0


def test_nothing_to_pay_is_said(walled):
    walled.subscriber("Ben", login="line2")
    browser = walled.as_subscriber("line2")
    post(browser, "/pay", "/")
    assert "There is nothing to pay." in browser.get("/").text


def test_a_page_that_was_left_unpaid_is_being_processed_and_asks_again(walled):
    browser = walled.browser(ADDRESS)
    answer = browser.post("/captive/pay", data={"csrf_token": csrf(browser, "/captive")})
    click(answer.headers["Location"], DECLINED)
    with transaction() as tx:
        session_id = tx.scalar(select(checkout.c.session_id))
    page = browser.get(f"/pay/return?sid={session_id}").text
    assert "being processed" in page
    assert 'http-equiv="refresh"' in page
    assert count(payment) == 0


def test_without_stripe_nothing_is_charged_and_that_is_said(walled, emulator):
    emulator.running.stop()
    browser = walled.browser(ADDRESS)
    answer = browser.post("/captive/pay", data={"csrf_token": csrf(browser, "/captive")})
    emulator.running = type(emulator)(emulator.config).running
    assert answer.status_code == 503
    assert "Nothing was charged" in answer.text
    assert "call 0800" in answer.text


@pytest.mark.parametrize("sid", ["", "x", "cs_test_unknown", "../x", "cs_" + "a" * 300, "cs_test_%00"])
def test_a_payment_that_is_not_known_is_not_there(walled, sid):
    assert walled.browser().get(f"/pay/return?sid={sid}").status_code in (400, 404)


def test_asking_for_unknown_payments_is_limited(walled):
    browser = walled.browser()
    statuses = [browser.get(f"/pay/return?sid=cs_test_{n}").status_code for n in range(12)]
    assert statuses == [404] * 10 + [429] * 2


def test_a_bank_transfer_is_shown_beside_the_button_where_there_is_an_account(walled):
    browser, captive = walled.as_subscriber("line1"), walled.browser(ADDRESS)
    pages = ((browser, "/"), (browser, "/invoices/1"), (captive, "/captive"))
    for who, path in pages:
        assert "IBAN" not in who.get(path).text
    with transaction() as tx:
        set_business(tx, walled.vault, "system", bank_iban="DE89370400440532013000", bank_bic="COBADEFFXXX")
    for who, path in pages:
        page = who.get(path).text
        assert "DE89 3704 0044 0532 0130 00" in page, path
        assert "by card</button>" in page
        assert "Or pay by bank transfer" in page
        assert 'class="qr"' in page
    assert "INV-000001" in browser.get("/invoices/1").text.split("Reference", 1)[1]
    assert "INV-000001 INV-000002" in browser.get("/").text.split("Reference", 1)[1]  # all that is open
    with transaction() as tx:
        set_business(tx, walled.vault, "system", stripe_secret_key="")
    for who, path in pages:
        page = who.get(path).text
        assert "Pay by bank transfer" in page, path
        assert "</button>" not in page.split("Reference", 1)[1].split("</section>", 1)[0]
    assert post(browser, "/pay", "/").status_code == 503  # typed by hand: nothing leads anywhere


def test_a_payment_link_shows_the_transfer_and_nobodys_name(walled):
    with transaction() as tx:
        set_business(tx, walled.vault, "system", bank_iban="DE89370400440532013000")
        link = links.link_to(tx, 1)
    page = walled.browser().get("/p/" + link.rsplit("/", 1)[-1]).text
    assert "DE89 3704 0044 0532 0130 00" in page
    assert "INV-000001" in page
    assert "Anna" not in page
    assert "00001" not in page.replace("INV-000001", "")
