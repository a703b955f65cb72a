"""A name, address or note in any language or with any markup is shown as typed, and never runs."""

import re
from html.parser import HTMLParser

from base import clock
from base.business import set_business
from base.database import transaction
from billing import tick
from billing.services import set_staff_order
from tests.portal.conftest import PASSWORD, post

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


def test_what_is_typed_is_shown_and_does_not_run(portal, subtests):
    browser = portal.as_staff()
    for number, typed in enumerate(NASTY, 1):
        with subtests.test(typed=typed):
            address = f"100.64.0.{number}"
            made = store(portal, browser, typed, number, address)
            subscriber = portal.as_subscriber(f"line{number}")
            staff_pages = ("/staff/", made, "/staff/subscribers", "/staff/sessions", "/staff/trail", "/staff/services")
            for who, paths in (
                (browser, staff_pages),
                (subscriber, ("/", "/invoices", f"/invoices/{number}")),
                (portal.browser(address), ("/captive",)),
            ):
                for path in paths:
                    look_at(path, who.get(path).text, typed, named=path not in ("/staff/", "/invoices"))


def store(portal, browser, typed, number, address):
    """A subscriber, a provider, an order and a session that all carry it; returns the subscriber's page."""
    fields = dict.fromkeys(("name", "phone", "address", "note"), typed)
    made = post(browser, "/staff/subscribers/new", **fields, portal_password=PASSWORD).headers["Location"]
    post(browser, f"{made}/services/new", plan_id="1", login=f"line{number}", password="x")
    with transaction() as tx:
        set_business(tx, portal.vault, "system", company_name=typed, support_contact=typed)
        set_staff_order(tx, portal.vault, f"staff:{portal.owner_id}", number, "suspended", typed)
    tick.run(clock.now())
    portal.line(number, address, calling_station=typed, login=typed, nas_port_id=typed)
    return made


def look_at(path, html, typed, *, named):
    """It stands there as text, and the page has nothing that runs but our own script."""
    seen = Seen(html)
    if named:
        assert typed in seen.text, path
    assert "svg" not in seen.tags, path
    assert ("src", "x") not in seen.attributes, path
    assert not [name for name, _ in seen.attributes if name.startswith("on")], path
    assert re.findall(r"<script(?! src=\"/static/vendor/)", html) == [], path
    assert "style" not in [name for name, _ in seen.attributes], path
