"""The captive page: known by exactly one open session, or by nobody's."""

import pytest

from base import clock
from base.business import set_business
from base.database import transaction
from billing.services import set_staff_order
from tests.billing.provider import wall_in
from tests.portal.conftest import Portal

ADDRESS = "100.64.0.7"


def walled_in(portal: Portal) -> int:
    """A subscriber whose line is walled in for an overdue invoice."""
    made = portal.subscriber("Anna", login="line1", email="anna@example.net", address="Storgata 1", phone="5550100")
    wall_in(clock.now())
    with transaction() as tx:
        set_business(tx, portal.vault, "system", stripe_secret_key="sk_test_1")
    return made


def test_a_walled_line_is_known_by_its_address(portal):
    walled_in(portal)
    portal.line(1, ADDRESS)
    answer = portal.browser(ADDRESS).get("/captive")
    assert answer.status_code == 200
    assert "Hello, Anna" in answer.text
    assert "Your line opens only this page" in answer.text
    assert "An invoice is overdue" in answer.text
    assert "Pay €89.97" in answer.text
    assert "INV-000001" in answer.text


def test_only_name_amount_and_reason_are_shown(portal):
    walled_in(portal)
    portal.line(1, ADDRESS)
    text = portal.browser(ADDRESS).get("/captive").text
    for private in ("Storgata", "anna@example.net", "5550100", ">00001<", ADDRESS, "AA:BB:CC", "line1", "Home 100"):
        assert private not in text, private
    assert "<script" not in text


@pytest.mark.parametrize("address", ["203.0.113.9", "100.64.0.8"])
def test_an_unknown_address_is_asked_to_log_in(portal, address):
    walled_in(portal)
    portal.line(1, ADDRESS)
    answer = portal.browser(address).get("/captive")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert "Anna" not in answer.text


def test_two_open_sessions_on_one_address_are_nobody(portal):
    walled_in(portal)
    portal.subscriber("Ben", login="line2")
    portal.line(1, ADDRESS)
    portal.line(2, ADDRESS)
    assert portal.browser(ADDRESS).get("/captive").status_code == 303


def test_an_ended_session_is_nobody_and_does_not_spoil_the_open_one(portal):
    walled_in(portal)
    portal.subscriber("Ben", login="line2")
    portal.line(2, ADDRESS, stopped_at=clock.now())
    assert portal.browser(ADDRESS).get("/captive").status_code == 303
    portal.line(1, ADDRESS)
    assert "Hello, Anna" in portal.browser(ADDRESS).get("/captive").text


def test_a_session_of_no_service_is_nobody(portal):
    portal.line(None, ADDRESS)
    assert portal.browser(ADDRESS).get("/captive").status_code == 303


def test_a_forwarded_address_counts_only_from_a_proxy_of_ours(make_portal):
    portal = make_portal(trusted_proxies="192.0.2.80/32")
    walled_in(portal)
    portal.line(1, ADDRESS)
    spoofed = portal.browser("203.0.113.9").get("/captive", headers={"X-Forwarded-For": ADDRESS})
    assert spoofed.status_code == 303
    behind = portal.browser("192.0.2.80")
    assert "Hello, Anna" in behind.get("/captive", headers={"X-Forwarded-For": ADDRESS}).text
    claimed = behind.get("/captive", headers={"X-Forwarded-For": f"{ADDRESS}, 198.51.100.1"})
    assert claimed.status_code == 303
    header_twice = behind.get("/captive", headers=[("X-Forwarded-For", ADDRESS), ("X-Forwarded-For", "198.51.100.1")])
    assert header_twice.status_code == 303


def test_a_line_that_nothing_limits_is_told_so(portal):
    portal.subscriber("Anna", login="line1")
    portal.line(1, ADDRESS)
    text = portal.browser(ADDRESS).get("/captive").text
    assert "You are online" in text
    assert "Pay" not in text


def test_a_line_that_still_obeys_the_old_version_is_being_switched(portal):
    walled_in(portal)
    portal.line(1, ADDRESS, accepted_version=2)
    walled = portal.browser(ADDRESS).get("/captive").text
    assert 'http-equiv="refresh"' not in walled
    with transaction() as tx:
        set_staff_order(tx, portal.vault, "staff:1", 1, "blocked", "x")
    text = portal.browser(ADDRESS).get("/captive").text
    assert 'http-equiv="refresh"' in text


def test_staff_orders_are_told_without_their_note(portal):
    portal.subscriber("Anna", login="line1")
    portal.line(1, ADDRESS)
    with transaction() as tx:
        set_staff_order(tx, portal.vault, "staff:1", 1, "suspended", "angry letters")
    text = portal.browser(ADDRESS).get("/captive").text
    assert "Your service is suspended. Please contact us." in text
    assert "angry" not in text


def test_paying_from_an_unknown_address_pays_nothing(portal):
    from tests.portal.conftest import csrf

    walled_in(portal)
    browser = portal.browser()
    answer = browser.post("/captive/pay", data={"csrf_token": csrf(browser)})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")


def test_the_sandbox_shows_the_portal_as_a_walled_browser_would(make_portal):
    portal = make_portal(sandbox="true", radius_hosts="127.0.0.1")
    walled_in(portal)
    session_id = portal.line(1, ADDRESS)
    browser = portal.browser()
    answer = browser.get(f"/sandbox/as/{session_id}")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/captive")
    assert "Hello, Anna" in browser.get("/captive").text
    assert portal.browser().get("/captive").status_code == 303
    browser.get("/sandbox/as/99")
    assert browser.get("/captive").status_code == 303


def test_the_sandbox_finds_somebody_who_is_walled_in(make_portal):
    portal = make_portal(sandbox="true", radius_hosts="127.0.0.1")
    browser = portal.browser()
    browser.get("/sandbox/walled")
    assert browser.get("/captive").status_code == 303  # nobody is
    walled_in(portal)
    portal.line(1, ADDRESS)
    assert browser.get("/sandbox/walled").headers["Location"] == "/captive"
    assert "Hello, Anna" in browser.get("/captive").text


def test_the_mark_of_the_sandbox_means_nothing_in_production(portal):
    walled_in(portal)
    portal.line(1, ADDRESS)
    browser = portal.browser()
    with browser.session_transaction() as cookie:
        cookie["sandbox_address"] = ADDRESS
    assert browser.get("/captive").status_code == 303


@pytest.mark.parametrize("path", ["/", "/generate_204", "/any/page"])
def test_a_walled_browser_that_asks_for_anything_is_led_to_its_page(portal, path):
    walled_in(portal)
    portal.line(1, ADDRESS)
    answer = portal.browser(ADDRESS).get(path, base_url="http://neverssl.example")
    assert (answer.status_code, answer.headers["Location"]) == (303, "http://127.0.0.1:8080/captive")


def test_a_line_at_full_speed_is_not_led_anywhere(portal):
    portal.subscriber("Anna", login="line1")
    portal.line(1, ADDRESS)
    assert portal.browser(ADDRESS).get("/any/page").status_code == 404
    assert portal.browser(ADDRESS).get("/").headers["Location"].startswith("/login")
