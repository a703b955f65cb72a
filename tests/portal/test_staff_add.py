"""Adding things: what is typed rightly is stored as typed, what is typed wrongly has a sentence under its field."""

from sqlalchemy import func, select

from base.database import transaction
from base.offers import plan
from base.tables import nas, policy, service, subscriber
from tests.portal.conftest import post

PLAN = {"name": "Fibre", "price": "69", "cycle_months": "1", "tax_percent": "25", "rate_down": "1000", "rate_up": "0.5"}
NAS = {
    "name": "bras",
    "network": "198.51.100.0/24",
    "secret": "s3cret",
    "kind": "cisco",
    "message_authenticator": "yes",
    "coa_port": "1700",
}
SERVICE = {"plan_id": "1", "login": "new1", "password": "x"}


def errors(text):
    """field id → the sentence under it."""
    found = {}
    for part in text.split('class="tk-error" id="')[1:]:
        name, rest = part.split('-error">', 1)
        found[name] = rest.split("</p>", 1)[0]
    return found


def count(table):
    with transaction() as tx:
        return tx.scalar(select(func.count()).select_from(table))


def test_a_subscriber_is_stored_as_typed(portal):
    typed = {
        "name": "Þóra <b>&amp; Ólafur",
        "email": "thora@example.net",
        "phone": "+354 555 0100",
        "address": "Laugavegur 1\r\n101 Reykjavík",
        "note": "<script>alert(1)</script>\r\n" + "line " * 20,
        "portal_password": "a long password",
    }
    browser = portal.as_staff("adam")
    answer = post(browser, "/staff/subscribers/new", **typed)
    assert answer.headers["Location"] == "/staff/subscribers/1"
    with transaction() as tx:
        row = tx.execute(select(subscriber)).one()
    assert row.name == typed["name"]
    assert row.address.replace("\r\n", "\n") == typed["address"].replace("\r\n", "\n")
    assert row.note.strip() == typed["note"].strip()
    assert post(portal.browser(), "/login", login="thora@example.net", password="a long password").status_code == 303


WRONG_SUBSCRIBER = [
    ("name", "  ", "needs a name"),
    ("name", "x" * 201, "longer than 200"),
    ("email", "nonsense", "looks like name@example.net"),
    ("email", "a@b c.net", "looks like name@example.net"),
    ("portal_password", "short", "at least 10"),
    ("note", "x" * 4001, "longer than 4000"),
]


def test_a_wrong_subscriber(portal, subtests):
    browser = portal.as_staff()
    for field, value, sentence in WRONG_SUBSCRIBER:
        with subtests.test(field=field, value=value[:20]):
            answer = post(browser, "/staff/subscribers/new", **{"name": "Anna", field: value})
            assert answer.status_code == 400
            assert list(errors(answer.text)) == [field]
            assert sentence in errors(answer.text)[field]
    assert count(subscriber) == 0


def test_what_was_typed_stands_in_the_form_again_but_no_password(portal):
    typed = {"name": "Anna & Co", "email": "nonsense", "portal_password": "quite a secret"}
    text = post(portal.as_staff(), "/staff/subscribers/new", **typed).text
    assert 'value="Anna &amp; Co"' in text
    assert "quite a secret" not in text


def test_a_plan_is_added(portal):
    assert post(portal.as_staff(), "/staff/plans/new", **PLAN).headers["Location"] == "/staff/plans"
    with transaction() as tx:
        row = tx.execute(select(plan).where(plan.c.name == "Fibre")).one()
    assert (row.price_minor, row.currency, row.rate_down, row.rate_up) == (6900, "EUR", 1_000_000_000, 500_000)
    assert row.pool is None


WRONG_PLAN = [
    ("name", "", "needs a name"),
    ("name", "Home 100", "already"),
    ("price", "", "Type a price"),
    ("price", "-1", "not negative"),
    ("price", "1.234", "is not an amount"),
    ("price", "9" * 40, "is not an amount"),
    ("tax_percent", "101", "between 0 and 100"),
    ("tax_percent", "x", "is not a percentage"),
    ("tax_percent", "NaN", "between 0 and 100"),
    ("rate_down", "fast", "a number of Mbit/s"),
    ("rate_down", "-1", "a number of Mbit/s"),
    ("rate_up", "0.0000001", "a number of Mbit/s"),
    ("rate_up", "1e9", "a number of Mbit/s"),
    ("rate_up", "Infinity", "a number of Mbit/s"),
    ("cycle_months", "7", "from the list"),
    ("cycle_months", "x", "from the list"),
]


def test_a_wrong_plan(portal, subtests):
    browser = portal.as_staff()
    for field, value, sentence in WRONG_PLAN:
        with subtests.test(field=field, value=value[:20]):
            answer = post(browser, "/staff/plans/new", **{**PLAN, field: value})
            assert answer.status_code == 400
            assert list(errors(answer.text)) == [field]
            assert sentence in errors(answer.text)[field]
    assert count(plan) == 1


def test_a_service_is_added_and_has_access_at_once(portal):
    anna = portal.subscriber("Anna")
    browser = portal.as_staff("adam")
    answer = post(browser, f"/staff/subscribers/{anna}/services/new", **SERVICE, address="203.0.113.77")
    assert answer.headers["Location"] == f"/staff/subscribers/{anna}"
    assert count(policy) == 1
    assert "203.0.113.77" in browser.get(f"/staff/subscribers/{anna}").text


WRONG_SERVICE = [
    ("login", "", "needs a login"),
    ("login", "line1", "is taken"),
    ("login", "ü" * 130, "at most 253 bytes"),
    ("password", "", "needs a password"),
    ("password", "ü" * 70, "at most 128 bytes"),
    ("starts_on", "31.12.2026", "2026-11-25"),
    ("starts_on", "2026-02-30", "2026-11-25"),
    ("address", "300.1.1.1", "not an IPv4 address"),
    ("address", "2001:db8::1", "not an IPv4 address"),
    ("plan_id", "99", "from the list"),
    ("plan_id", "x", "from the list"),
]


def test_a_wrong_service(portal, subtests):
    anna = portal.subscriber("Anna", login="line1")
    browser = portal.as_staff()
    for field, value, sentence in WRONG_SERVICE:
        with subtests.test(field=field, value=value[:20]):
            answer = post(browser, f"/staff/subscribers/{anna}/services/new", **{**SERVICE, field: value})
            assert answer.status_code == 400
            assert list(errors(answer.text)) == [field]
            assert sentence in errors(answer.text)[field]
    assert count(service) == 1


def test_a_nas_is_added_without_showing_its_secret(portal):
    browser = portal.as_staff()
    assert post(browser, "/staff/nas/new", **NAS).headers["Location"] == "/staff/nas"
    with transaction() as tx:
        row = tx.execute(select(nas).where(nas.c.name == "bras")).one()
    assert (str(row.network), row.kind, row.coa_port) == ("198.51.100.0/24", "cisco", 1700)
    assert portal.vault.unlock_text(row.secret) == "s3cret"
    assert "s3cret" not in browser.get("/staff/nas").text
    assert "s3cret" not in browser.get("/staff/trail").text


WRONG_NAS = [
    ("name", "", "needs a name"),
    ("name", "tower-1", "exists already"),
    ("network", "", "Type an address"),
    ("network", "tower", "not an address or network"),
    ("network", "192.0.2.1/24", "not an address or network"),
    ("network", "192.0.2.1", "exists already"),
    ("secret", "", "needs a shared secret"),
    ("kind", "toaster", "from the list"),
    ("message_authenticator", "maybe", "from the list"),
    ("coa_port", "0", "between 1 and 65535"),
    ("coa_port", "x", "whole number"),
    ("coa_port", "9" * 30, "between 1 and 65535"),
]


def test_a_wrong_nas(portal, subtests):
    browser = portal.as_staff()
    for field, value, sentence in WRONG_NAS:
        with subtests.test(field=field, value=value[:20]):
            answer = post(browser, "/staff/nas/new", **{**NAS, field: value})
            assert answer.status_code == 400
            assert list(errors(answer.text)) == [field]
            assert sentence in errors(answer.text)[field]
    assert count(nas) == 1
