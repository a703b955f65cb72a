"""A name, address or note in any language or with any markup is shown as typed, and never runs."""

import re
from html.parser import HTMLParser

import pytest

from base import clock
from base.business import set_business
from base.database import transaction
from billing import tick
from billing.services import set_staff_order
from tests.portal.conftest import post

NASTY = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "{{ 7 * 7 }}{% raw %}",
    "محمد علي",
    "李小龙 🎌",
    "Ŝ̤͖u\u202eevil",
    "' OR 1=1; DROP TABLE subscriber; --",
    "</title></textarea><svg onload=alert(1)>",
    "&lt;b&gt; &amp;amp;",
]


class Seen(HTMLParser):
    """The text, tags and attributes of a page as a browser understands them."""

    def __init__(self, html):
        super().__init__()
        self.text, self.tags, self.attributes = "", set(), []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("typed", NASTY)
def test_what_is_typed_is_shown_and_does_not_run(portal, typed):
    browser = portal.as_staff()
    made = post(
        browser,
        "/staff/subscribers/new",
        name=typed,
        phone=typed,
        address=typed,
        note=typed,
        portal_password="a long password",
    ).headers["Location"]
    login = "line1"
    post(browser, f"{made}/services/new", plan_id="1", login=login, password="x")
    with transaction() as tx:
        set_business(tx, portal.vault, "system", company_name=typed, support_contact=typed)
        set_staff_order(tx, portal.vault, f"staff:{portal.owner_id}", 1, "suspended", typed)
    tick.run(clock.now())
    portal.line(1, "100.64.0.7", calling_station=typed, login=typed, nas_port_id=typed)
    subscriber = portal.as_subscriber(login)
    pages = {
        path: who.get(path).text
        for who, paths in (
            (browser, ("/staff/", made, "/staff/subscribers", "/staff/sessions", "/staff/trail", "/staff/services")),
            (subscriber, ("/", "/invoices", "/invoices/1")),
            (portal.browser("100.64.0.7"), ("/captive",)),
        )
        for path in paths
    }
    for path, html in pages.items():
        seen = Seen(html)
        if path not in ("/staff/", "/invoices", "/invoices/1"):
            assert typed in seen.text, path
        assert "svg" not in seen.tags, path
        assert ("src", "x") not in seen.attributes, path
        assert not [name for name, _ in seen.attributes if name.startswith("on")], path
        assert re.findall(r"<script(?! src=\"/static/vendor/)", html) == [], path
        assert "style" not in [name for name, _ in seen.attributes], path
