"""The application as a whole: its health, its headers, its error pages."""

import pytest
from sqlalchemy import text

from base.business import set_business
from base.database import engine, transaction
from base.settings import settings


def test_healthz_says_ok(portal):
    answer = portal.browser().get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_healthz_names_a_column_that_the_database_lacks(portal):
    with transaction() as tx:
        tx.execute(text("ALTER TABLE subscriber DROP COLUMN phone"))
    answer = portal.browser().get("/healthz")
    assert answer.status_code == 503
    assert "subscriber.phone" in answer.text
    assert "tollkeeper db upgrade" in answer.text


def test_healthz_and_pages_stay_polite_without_a_database(make_portal, monkeypatch):
    portal = make_portal()
    monkeypatch.setenv("TOLLKEEPER_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    settings.cache_clear()
    engine.cache_clear()
    answer = portal.browser().get("/healthz")
    assert answer.status_code == 503
    assert "cannot be reached" in answer.text
    page = portal.browser().get("/")
    assert page.status_code == 503
    assert "Our database does not answer" in page.text
    assert "nobody" not in page.text
    assert portal.browser().get("/static/tollkeeper.css").status_code == 200


@pytest.mark.parametrize("path", ["/login", "/staff/login", "/no/such/page", "/healthz", "/static/tollkeeper.css"])
def test_every_answer_carries_the_headers(portal, path):
    headers = portal.browser().get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["img-src"] == "'self' data:"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["form-action"] == "'self' https://checkout.stripe.com"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "Strict-Transport-Security" not in headers


def test_https_is_kept_and_the_cookie_stays_on_it(make_portal):
    portal = make_portal(public_url="https://portal.example.net")
    answer = portal.browser().get("/login", base_url="https://portal.example.net")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    cookie = answer.headers["Set-Cookie"]
    assert "Secure" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_the_pretend_stripe_may_take_the_pay_form_in_the_sandbox_only(make_portal):
    portal = make_portal(sandbox="true", radius_hosts="127.0.0.1", sandbox_stripe_port="8123")
    policy = portal.browser().get("/login").headers["Content-Security-Policy"]
    assert "http://127.0.0.1:8123" in policy


def test_the_sandbox_link_does_not_exist_in_production(portal):
    assert portal.browser().get("/sandbox/as/1").status_code == 404
    assert "sandbox" not in portal.app.blueprints


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/no/such/page", 404, "There is no such page"),
        ("/invoices/99999999999999999999", 404, "There is no such page"),
        ("/invoices/0", 404, "There is no such page"),
        ("/login?next=%00", 400, "This request cannot be understood"),
    ],
)
def test_errors_are_said_in_plain_words(portal, path, status, sentence):
    answer = portal.browser().get(path)
    assert answer.status_code == status
    assert sentence in answer.text
    assert "Fjordnet" in answer.text


def test_an_exception_is_a_page_and_undoes_everything(portal):
    from base.tables import subscriber
    from portal.at_hand import tx

    @portal.app.get("/breaks")
    def breaks():
        tx().execute(subscriber.update().values(name="lost"))
        tx().execute(text("SELECT 1 / 0"))

    anna = portal.subscriber("Anna")
    answer = portal.browser().get("/breaks")
    assert answer.status_code == 500
    assert "Something went wrong on our side" in answer.text
    assert "division" not in answer.text
    with transaction() as check:
        assert (
            check.scalar(subscriber.select().with_only_columns(subscriber.c.name).where(subscriber.c.id == anna))
            == "Anna"
        )


def test_an_error_that_a_view_answers_undoes_what_it_wrote(portal):
    from flask import abort

    from base.tables import subscriber
    from portal.at_hand import tx

    @portal.app.get("/gone")
    def gone():
        tx().execute(subscriber.update().values(name="lost"))
        abort(404)

    portal.subscriber("Anna")
    assert portal.browser().get("/gone").status_code == 404
    with transaction() as check:
        assert check.scalar(subscriber.select().with_only_columns(subscriber.c.name)) == "Anna"


def test_a_post_without_its_token_is_refused_in_plain_words(portal):
    answer = portal.browser().post("/login", data={"login": "x", "password": "y"})
    assert answer.status_code == 400
    assert "open for too long" in answer.text


def test_what_is_typed_is_never_too_much(portal):
    answer = portal.browser().post("/login", data={"login": "x" * 2_000_000})
    assert answer.status_code == 413
    assert "too big" in answer.text


def test_pages_are_not_kept_by_caches_but_the_stylesheet_may_be(portal):
    browser = portal.browser()
    assert browser.get("/login").headers["Cache-Control"] == "no-store"
    assert "no-store" not in browser.get("/static/tollkeeper.css").headers["Cache-Control"]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"stripe_secret_key": "sk_test_1", "stripe_test_mode": "yes"}, True),
        ({"stripe_secret_key": "sk_test_1", "stripe_test_mode": "no"}, False),
        ({"stripe_secret_key": "sk_live_1", "stripe_test_mode": "yes"}, False),
        ({"stripe_test_mode": "yes"}, False),
    ],
)
def test_everybody_sees_that_a_key_for_tests_takes_no_money(portal, values, shown):
    with transaction() as tx:
        set_business(tx, portal.vault, "system", **values)
    for path in ("/login", "/staff/login"):
        assert ("No real money moves" in portal.browser().get(path).text) == shown
