"""The staff's pages: the dashboard's numbers, finding people, the page of one, and the lists."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from base import clock
from base.database import transaction
from base.i18n import format_money
from base.money import total
from base.tables import coa_attempt, drop_count, job, login_log, radius_node, session
from billing.invoices import open_invoices
from billing.tables import message
from tests.billing.provider import wall_in
from tests.portal.conftest import post

NODE = "5f0c2b2e-2f6c-4d0e-a3a0-0f8d5e4e9c11"


@pytest.fixture
def anna(portal):
    """A subscriber who is walled in for debt, with an open session at 100.64.0.7."""
    made = portal.subscriber("Anna Berg", login="line1", email="anna@example.net", phone="+47 22 33 44 55")
    wall_in(clock.now())
    portal.line(1, "100.64.0.7", login="line1", accepted_version=1)
    return made


def attempt(session_id, result, **more):
    row = {
        "session_id": session_id,
        "version": 2,
        "step": "coa",
        "target": "192.0.2.1:3799",
        "request": {"Mikrotik-Rate-Limit": "1M/1M"},
        "result": result,
        "sends": 1,
        "sent_at": clock.real(),
        **more,
    }
    with transaction() as tx:
        tx.execute(insert(coa_attempt).values(row))


def overdue():
    """What is overdue, by the books."""
    with transaction() as tx:
        late = [each.open for each in open_invoices(tx, 1) if each.due_on < clock.now().date()]
    return format_money(total(late, "EUR"), "en")


def stat(text, label):
    """The value of a dashboard tile and where it leads."""
    tile = text.split(f'<span class="tk-stat-label">{label}</span>')
    assert len(tile) == 2, label
    value = tile[1].split('<span class="tk-stat-value">')[1].split("</span>")[0]
    return value, tile[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")


def test_the_dashboard_of_an_empty_provider(portal):
    text = portal.as_staff().get("/staff/").text
    assert stat(text, "Online now")[0] == "0"
    assert stat(text, "Unpaid")[0] == "Nothing"
    assert stat(text, "Last enforcement")[0] == "None yet"
    assert "No radius node has reported yet." in text


def test_each_number_of_the_dashboard_leads_to_its_list(portal, anna):
    attempt(1, "ack", milliseconds=21, commit_to_answer_ms=34)
    with transaction() as tx:
        tx.execute(insert(radius_node).values(id=NODE, feed_position=1, seen_at=clock.real()))
        tx.execute(insert(drop_count).values(name="unknown_nas", source="198.51.100.5", count=17, last_at=clock.now()))
        tx.execute(insert(job).values(kind="tick", lane="charges", payload={}, state="dead", last_error="boom"))
    browser = portal.as_staff()
    text = browser.get("/staff/").text
    expected = {
        "Online now": "1",
        "Walled in": "1",
        "Blocked": "0",
        "Unpaid": "€89.97",
        "Overdue": overdue(),
        "Paid today": "Nothing",
        "Last enforcement": "34 ms",
    }
    for label, value in expected.items():
        shown, path = stat(text, label)
        assert shown == value, label
        assert browser.get(path).status_code == 200, label
    value, path = stat(text, "Jobs that gave up")
    assert value == "1"
    assert "boom" in browser.get(path).text
    assert "Answering" in text
    assert "unknown nas" in text
    assert "198.51.100.5" in browser.get("/staff/radius").text


def test_a_node_that_is_silent_is_said_to_be(portal):
    with transaction() as tx:
        seen = clock.real() - timedelta(minutes=3)
        tx.execute(insert(radius_node).values(id=NODE, feed_position=1, seen_at=seen))
    assert "Silent for 3 min" in portal.as_staff().get("/staff/").text


def test_a_subscriber_is_found_by_whatever_is_known(portal, anna, subtests):
    portal.subscriber("Ben", login="line2", email="ben@example.net", phone="+47 99 99 99 99")
    browser = portal.as_staff()
    for words in ["anna berg", "BERG", "00001", "line1", "anna@example", "22 33 44 55", "+4722334455", "100.64.0.7"]:
        with subtests.test(words=words):
            answer = browser.get("/staff/subscribers", query_string={"q": words})
            assert (answer.status_code, answer.headers.get("Location")) == (303, f"/staff/subscribers/{anna}")


def test_nobody_is_found_by_what_fits_nobody(portal, anna, subtests):
    browser = portal.as_staff()
    for words in ("%", "_", "nobody", "100.64.0.8", "' OR 1=1 --", "\\"):
        with subtests.test(words=words):
            answer = browser.get("/staff/subscribers", query_string={"q": words})
            assert answer.status_code == 200
            assert "Nobody fits" in answer.text


def test_the_list_follows_the_words_while_they_are_typed(portal, anna):
    answer = portal.as_staff().get("/staff/subscribers?q=berg", headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert 'id="found"' in answer.text
    assert "Anna Berg" in answer.text


def test_a_piece_of_a_page_sends_the_whole_browser_to_the_login(portal):
    answer = portal.browser().get("/staff/", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/staff/login")


def test_an_ended_session_finds_nobody(portal, anna):
    with transaction() as tx:
        tx.execute(update(session).values(stopped_at=clock.now()))
    assert portal.as_staff().get("/staff/subscribers?q=100.64.0.7").status_code == 200


def test_the_page_of_a_subscriber_shows_everything(portal, anna):
    attempt(1, "nak", error_cause=503, milliseconds=12, commit_to_answer_ms=40)
    with transaction() as tx:
        row = {"nas_id": portal.nas_id, "login": "line1", "service_id": 1, "result": "reject", "reason": "wrong"}
        tx.execute(insert(login_log).values(at=clock.now(), **row))
    text = portal.as_staff().get(f"/staff/subscribers/{anna}").text
    for shown in (
        "Anna Berg",
        "owes €89.97",
        "Payment pages only",
        "(dunning policy",
        "Mikrotik-Rate-Limit",
        "WISPr-Bandwidth-Max-Down",
        "Cisco-AVPair",
        "100.64.0.7",
        "AA:BB:CC:00:11:22",
        "tower-1",
        "v1 of v2",
        "Refused",
        "does not know this session",
        "12 ms",
        "40 ms",
        "INV-000001",
        "Reminder",
        "Dunning",  # because of which access changed
        "Service added",
    ):
        assert shown in text, shown


def test_the_page_of_nobody_is_not_there(portal):
    browser = portal.as_staff()
    for path in ("subscribers/9", "subscribers/9/ledger", "invoices/9", "requests/9", "services/9/suspend"):
        assert browser.get(f"/staff/{path}").status_code == 404, path
    assert browser.get("/staff/invoices?subscriber=9").status_code == 404
    assert browser.get("/staff/invoices?subscriber=x").status_code == 404


def test_the_ledger_runs(portal, anna):
    browser = portal.as_staff()
    post(browser, f"/staff/subscribers/{anna}/payments/new", amount="10", method="cash", once="a")
    text = browser.get(f"/staff/subscribers/{anna}/ledger").text
    balances = [row.rsplit('tk-money">', 1)[1].split("<")[0] for row in text.split("<tr")[2:]]
    assert balances[0] == "€79.97"
    assert balances[-1] == "€29.99"


def test_lists_are_narrowed_by_state_and_by_subscriber(portal, anna):
    ben = portal.subscriber("Ben", login="line2")
    portal.line(2, "100.64.0.8", login="line2")
    portal.line(1, "100.64.0.9", login="line1", stopped_at=clock.now(), terminate_cause="User-Request")
    attempt(1, "silence")
    browser = portal.as_staff()

    def lists(path):
        return browser.get(f"/staff/{path}").text

    assert "100.64.0.7" in lists("sessions")
    assert "100.64.0.9" not in lists("sessions")
    assert "User-Request" in lists("sessions?state=all")
    assert "100.64.0.8" not in lists("sessions?state=behind")
    assert "100.64.0.7" in lists("sessions?state=behind")
    assert "100.64.0.7" not in lists(f"sessions?subscriber={ben}")
    assert "Ben" not in lists("services?state=walled")
    assert "Anna" in lists("services?state=walled")
    assert "Anna" not in lists("services?state=full")
    assert "INV-000001" in lists("invoices?state=overdue")
    assert "INV-" not in lists(f"invoices?subscriber={ben}")
    assert "No answer" in lists("enforcement?state=failed")
    assert "line1" in lists("access")
    with transaction() as tx:
        tx.execute(update(message).where(message.c.kind == "final_notice").values(state="queued", sent_at=None))
    assert "anna@example.net" in lists("messages?state=unsent")
    assert "Home 100" in lists("plans")
    assert "192.0.2.1/32" in lists("nas")
    assert lists("invoices?state=nonsense") == lists("invoices?state=nonsense")  # an unknown filter filters nothing


def test_mails_can_be_read(portal, anna):
    with transaction() as tx:
        subject = tx.scalar(select(message.c.subject).limit(1))
    assert subject in portal.as_staff().get("/staff/messages").text


def test_a_secret_is_on_no_page(portal, anna):
    browser = portal.as_staff()
    for path in ("nas", "services", "trail", f"subscribers/{anna}"):
        text = browser.get(f"/staff/{path}").text
        assert "secret" not in text.replace("Shared secret", ""), path
        assert "argon2" not in text, path


def test_what_did_not_arrive_says_why_and_nothing_that_a_server_wrote_becomes_markup(portal, anna):
    with transaction() as tx:
        tx.execute(update(message).values(state="refused", state_reason="550 <script>alert(1)</script>"))
    page = portal.as_staff().get("/staff/messages?state=failed").text
    assert "Refused" in page
    assert "550 &lt;script&gt;" in page
    assert "<script>alert" not in page
