"""Logging in: who gets in, for how long, and how guessing is stopped."""

from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select, update

from base import clock
from base.database import transaction
from base.settings import settings
from portal.accounts import WrongStaff, add_staff
from portal.security import session_keys
from portal.tables import staff, web_session
from tests.portal.conftest import PASSWORD, post


def rows():
    with transaction() as tx:
        return tx.execute(select(web_session).order_by(web_session.c.created_at)).all()


def test_staff_log_in_and_out(portal):
    browser = portal.as_staff()
    assert browser.get("/staff/").status_code == 200
    assert "Olga" in browser.get("/staff/").text
    (row,) = rows()
    assert row.account == f"staff:{portal.owner_id}"
    assert timedelta(hours=11, minutes=59) < row.expires_at - clock.real() <= timedelta(hours=12)
    assert post(browser, "/staff/logout", "/staff/").headers["Location"] == "/staff/login"
    assert rows() == []
    assert browser.get("/staff/").status_code == 303


@pytest.mark.parametrize("name", ["00001", "line1", "Anna@Example.net"])
def test_a_subscriber_logs_in_by_number_login_or_mail(portal, name):
    portal.subscriber("Anna", login="line1", email="anna@example.net")
    browser = portal.browser()
    answer = post(browser, "/login", login=name, password=PASSWORD)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert "Hello, Anna" in browser.get("/").text
    (row,) = rows()
    assert timedelta(days=29) < row.expires_at - clock.real() <= timedelta(days=30)


def test_a_mail_address_of_two_accounts_names_nobody(portal):
    portal.subscriber("Anna", email="family@example.net")
    portal.subscriber("Ben", email="family@example.net")
    answer = post(portal.browser(), "/login", login="family@example.net", password=PASSWORD)
    assert answer.status_code == 400


def test_an_empty_login_is_not_the_mail_address_that_somebody_left_empty(portal):
    portal.subscriber("Anna")
    answer = post(portal.browser(), "/login", login=" ", password=PASSWORD)
    assert answer.status_code == 400
    assert rows() == []


def test_a_subscriber_without_a_password_cannot_log_in(portal):
    from billing.services import add_subscriber

    with transaction() as tx:
        add_subscriber(tx, portal.vault, "system", name="Nils")
    for password in ("", "None", "x"):
        assert post(portal.browser(), "/login", login="00001", password=password).status_code == 400


@pytest.mark.parametrize("path", ["/login", "/staff/login"])
@pytest.mark.parametrize("login", ["olga", "nobody"])
def test_the_wrong_password_and_the_wrong_login_are_told_alike(portal, path, login):
    answer = post(portal.browser(), path, login=login, password="wrong")
    assert answer.status_code == 400
    assert "do not fit together" in answer.text
    assert "wrong" not in answer.text.replace("wrongly", "")  # the password is not shown again


def test_each_empty_field_has_its_sentence(portal):
    answer = post(portal.browser(), "/staff/login", login="", password="")
    assert answer.status_code == 400
    assert "Type your login." in answer.text
    assert "Type your password." in answer.text


def test_guessing_is_stopped_for_one_login_and_address_only(portal):
    browser = portal.browser()
    statuses = [post(browser, "/staff/login", login="olga", password=f"guess {n}").status_code for n in range(4)]
    assert statuses == [400, 400, 400, 429]
    blocked = post(browser, "/staff/login", login="OLGA ", password=PASSWORD)
    assert blocked.status_code == 429
    assert "Wait one minute" in blocked.text
    assert post(browser, "/staff/login", login="adam", password=PASSWORD).status_code == 303
    elsewhere = portal.browser("203.0.113.10")
    assert post(elsewhere, "/staff/login", login="olga", password=PASSWORD).status_code == 303


def test_trying_many_logins_from_one_address_is_stopped(portal):
    browser = portal.browser()
    statuses = [post(browser, "/login", login=f"login{n}", password="").status_code for n in range(22)]
    assert statuses[:20] == [400] * 20
    assert statuses[20:] == [429, 429]


def test_logging_in_rightly_is_never_limited(portal):
    for _ in range(6):
        portal.as_staff()


def test_a_spoofed_header_is_no_way_around_the_limit(portal):
    browser = portal.browser()
    for n in range(3):
        post(browser, "/staff/login", login="olga", password="x")
        browser.environ_base["HTTP_X_FORWARDED_FOR"] = f"198.51.100.{n}"
    assert post(browser, "/staff/login", login="olga", password=PASSWORD).status_code == 429


def test_the_cookie_is_renewed_at_each_login_and_the_old_one_is_dead(portal):
    browser = portal.browser()
    browser.get("/staff/login")
    before = browser.get_cookie("tollkeeper").value
    assert post(browser, "/staff/login", login="olga", password=PASSWORD).status_code == 303
    first = browser.get_cookie("tollkeeper").value
    assert first != before
    assert post(browser, "/staff/login", login="olga", password=PASSWORD).status_code == 303
    old = portal.browser()
    old.set_cookie("tollkeeper", first)
    assert old.get("/staff/").status_code == 303
    assert browser.get("/staff/").status_code == 200
    assert len(rows()) == 1


def test_only_a_hash_of_the_token_is_stored(portal):
    browser = portal.as_staff()
    with browser.session_transaction() as cookie:
        token = cookie["staff"]
    (row,) = rows()
    assert token.encode() not in bytes(row.token_hash)
    assert len(row.token_hash) == 32


def test_a_login_can_be_taken_back(portal):
    browser = portal.as_staff()
    with transaction() as tx:
        tx.execute(web_session.delete())
    assert browser.get("/staff/").headers["Location"].startswith("/staff/login")


def test_a_login_ends_by_itself_and_with_the_account(portal):
    browser = portal.as_staff()
    with transaction() as tx:
        tx.execute(update(web_session).values(expires_at=clock.real() - timedelta(seconds=1)))
    assert browser.get("/staff/").status_code == 303
    browser = portal.as_staff()
    with transaction() as tx:
        tx.execute(update(staff).values(active=False))
    assert browser.get("/staff/").status_code == 303
    assert post(browser, "/staff/login", login="olga", password=PASSWORD).status_code == 400


def test_the_clock_of_the_sandbox_does_not_touch_logins(portal):
    browser = portal.as_staff()
    clock.travel_to_offset(timedelta(days=400))
    assert browser.get("/staff/").status_code == 200
    portal.as_staff()
    assert all(row.expires_at < clock.real() + timedelta(days=1) for row in rows())


def test_what_a_browser_carried_before_its_login_is_thrown_away(portal):
    browser = portal.browser()
    browser.get("/staff/login")
    with browser.session_transaction() as cookie:
        planted = cookie["csrf_token"]
        cookie["planted"] = "by somebody else"
    post(browser, "/staff/login", login="olga", password=PASSWORD)
    browser.get("/staff/")
    with browser.session_transaction() as cookie:
        assert "planted" not in cookie
        assert cookie["csrf_token"] != planted


def test_staff_and_subscriber_may_share_a_browser_without_sharing_rights(portal):
    portal.subscriber("Anna", login="line1")
    browser = portal.as_subscriber("line1")
    assert browser.get("/staff/").status_code == 303
    assert post(browser, "/staff/login", login="adam", password=PASSWORD).status_code == 303
    assert "Hello, Anna" in browser.get("/").text
    post(browser, "/logout", "/")
    assert browser.get("/").status_code == 303
    assert browser.get("/staff/").status_code == 200


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", ""])
def test_a_login_leads_to_our_own_pages_only(portal, target):
    browser = portal.browser()
    answer = post(browser, f"/staff/login?next={target}", login="olga", password=PASSWORD)
    assert answer.headers["Location"] == "/staff/"


def test_a_login_leads_back_to_where_one_wanted_to_go(portal):
    browser = portal.browser()
    login = browser.get("/staff/invoices?state=open").headers["Location"]
    assert post(browser, login, login="olga", password=PASSWORD).headers["Location"] == "/staff/invoices?state=open"


@pytest.mark.parametrize(
    ("login", "name", "password", "role", "sentence"),
    [
        ("", "Eva", PASSWORD, "agent", "one word"),
        ("two words", "Eva", PASSWORD, "agent", "one word"),
        ("eva", " ", PASSWORD, "agent", "needs a name"),
        ("eva", "Eva", "short", "agent", "at least 10"),
        ("eva", "Eva", PASSWORD, "king", "owner or agent"),
        ("olga", "Eva", PASSWORD, "agent", "already"),
    ],
)
def test_staff_are_not_stored_wrongly(portal, login, name, password, role, sentence):
    with transaction() as tx, pytest.raises(WrongStaff, match=sentence):
        add_staff(tx, "system", login, name, password, role)


def test_session_keys_come_from_the_keys_file_and_rotate_with_it(make_portal):
    make_portal()
    config = settings()
    (old,) = session_keys(config)
    assert len(old) == 32
    config.secret_keys.write_text(f"{Fernet.generate_key().decode()}\n{config.secret_keys.read_text()}")
    newest, kept = session_keys(config)
    assert kept == old != newest
