"""Every route, walked: who may open it, and that nothing is done without the page's own token."""

import re

import pytest

from tests.portal.conftest import PASSWORD, csrf, post

# What anybody may open. A route that is not here and does not ask for a login fails the tests below.
OPEN = {
    "static",
    "health.healthz",
    "subscriber.login",
    "staff.login",
    "captive.page",
    "captive.pay",
    "paying.link",
    "paying.pay_link",
    "paying.pay_return",
    "webhooks.notice",
}
OWNER = {"staff.new_plan", "staff.new_nas"}


def routes(portal):
    """(endpoint, path with every variable filled in, methods)."""
    for rule in portal.app.url_map.iter_rules():
        path = re.sub(r"<any\((\w+)[^>]*>", r"\1", rule.rule)
        yield rule.endpoint, re.sub(r"<[^>]+>", "1", path), rule.methods


def test_every_page_asks_who_is_there(portal):
    browser = portal.browser()
    walked = set()
    for endpoint, path, methods in routes(portal):
        if endpoint in OPEN:
            continue
        walked.add(endpoint)
        login = "/staff/login" if endpoint.startswith("staff.") else "/login"
        if "GET" in methods:
            answer = browser.get(path)
            assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (303, login), path
        if "POST" in methods:
            answer = browser.post(path, data={"csrf_token": csrf(browser)})
            assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (303, login), path
    assert len(walked) > 30


def test_a_subscriber_is_no_member_of_staff_and_the_other_way_round(portal):
    portal.subscriber("Anna", login="line1")
    anna, adam = portal.as_subscriber("line1"), portal.as_staff("adam")
    for endpoint, path, methods in routes(portal):
        if endpoint in OPEN or "GET" not in methods:
            continue
        stranger = anna if endpoint.startswith("staff.") else adam
        assert stranger.get(path).status_code == 303, path


def test_every_post_needs_the_token_of_its_page(portal):
    portal.subscriber("Anna", login="line1")
    browser = portal.as_staff()
    post(browser, "/login", login="line1", password=PASSWORD)
    walked = 0
    for endpoint, path, methods in routes(portal):
        if "POST" not in methods or endpoint == "webhooks.notice":
            continue
        walked += 1
        for token in ({}, {"csrf_token": "wrong"}, {"csrf_token": csrf(portal.browser())}):
            answer = browser.post(path, data=token)
            assert answer.status_code == 400, path
            assert "open for too long" in answer.text
    assert walked > 12


@pytest.mark.parametrize(("login", "status"), [("adam", 403), ("olga", 200)])
def test_plans_and_nases_are_for_owners(portal, login, status):
    browser = portal.as_staff(login)
    opened = {endpoint: browser.get(path).status_code for endpoint, path, _ in routes(portal) if endpoint in OWNER}
    assert opened == dict.fromkeys(OWNER, status)
    if status == 403:
        answer = post(browser, "/staff/plans/new", "/staff/", name="x")
        assert answer.status_code == 403
        assert "Ask an owner" in answer.text
        assert "Add a plan" not in browser.get("/staff/plans").text
