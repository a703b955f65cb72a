"""What staff do: each act asks first, does it once, and leaves its trace."""

import pytest
from sqlalchemy import func, select, update

from base.access import AccessLevel
from base.database import transaction
from base.tables import access_history, job, policy, trail, wire_request
from billing.tables import payment
from tests.portal.conftest import csrf, post


@pytest.fixture
def anna(portal):
    """A subscriber with a service and an open session."""
    made = portal.subscriber("Anna", login="line1", email="anna@example.net")
    portal.line(1, "100.64.0.7", login="line1")
    return made


def level():
    with transaction() as tx:
        return AccessLevel(tx.scalar(select(policy.c.level).where(policy.c.service_id == 1)))


def deeds():
    with transaction() as tx:
        return [(row.actor, row.act, row.detail) for row in tx.execute(select(trail).order_by(trail.c.id))]


@pytest.mark.parametrize(("act", "expected"), [("suspend", AccessLevel.WALLED), ("block", AccessLevel.BLOCKED)])
def test_staff_suspend_block_and_restore(portal, anna, act, expected):
    browser = portal.as_staff("adam")
    page = browser.get(f"/staff/services/1/{act}")
    assert "until somebody restores it" in page.text
    assert level() == AccessLevel.FULL
    answer = post(browser, f"/staff/services/1/{act}", note="Abuse mail of 3 March")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/staff/subscribers/{anna}")
    assert level() == expected
    with transaction() as tx:
        because = tx.scalar(select(access_history.c.because).order_by(access_history.c.id.desc()).limit(1))
    assert because == f"staff:{portal.agent_id}"
    shown = browser.get(f"/staff/subscribers/{anna}").text
    assert "Abuse mail of 3 March" in shown
    assert "Adam" in shown
    post(browser, "/staff/services/1/restore", note="Settled")
    assert level() == AccessLevel.FULL


def test_an_order_without_a_reason_is_asked_again(portal, anna):
    answer = post(portal.as_staff(), "/staff/services/1/block", note="  ")
    assert answer.status_code == 400
    assert "Say why; it is kept in the trail." in answer.text
    assert level() == AccessLevel.FULL


def test_a_disconnect_is_asked_and_its_answer_shown(portal, anna):
    browser = portal.as_staff("adam")
    answer = post(browser, "/staff/sessions/1/disconnect", note="Router hangs")
    with transaction() as tx:
        (asked,) = tx.execute(select(wire_request)).all()
    assert (asked.act, asked.session_id, asked.author) == ("disconnect", 1, f"staff:{portal.agent_id}")
    assert answer.headers["Location"] == f"/staff/requests/{asked.id}"
    waiting = browser.get(answer.headers["Location"]).text
    assert "waiting for the answer" in waiting
    assert 'http-equiv="refresh"' in waiting
    with transaction() as tx:
        tx.execute(
            update(wire_request).values(
                result="Disconnect acknowledged after 12 ms.", answered_at=func.clock_timestamp()
            )
        )
    answered = browser.get(answer.headers["Location"]).text
    assert "Disconnect acknowledged after 12 ms." in answered
    assert 'http-equiv="refresh"' not in answered
    assert "Adam" in answered
    assert any(detail.get("note") == "Router hangs" for _, _, detail in deeds())
    assert "acknowledged" in browser.get("/staff/requests").text


def test_an_ended_session_is_not_disconnected(portal, anna):
    from base.tables import session

    with transaction() as tx:
        tx.execute(update(session).values(stopped_at=func.now()))
    answer = portal.as_staff().get("/staff/sessions/1/disconnect")
    assert answer.headers["Location"] == f"/staff/subscribers/{anna}"


def test_a_payment_is_recorded_once_however_often_the_form_is_sent(portal, anna):
    browser = portal.as_staff("adam")
    path = f"/staff/subscribers/{anna}/payments/new"
    html = browser.get(path).text
    once = html.split('name="once"', 1)[1].split('value="', 1)[1].split('"', 1)[0]
    form = {"csrf_token": csrf(browser, path), "amount": "29,99", "method": "transfer", "note": "ref 7", "once": once}
    for _ in range(2):
        assert browser.post(path, data=form).status_code == 303
    with transaction() as tx:
        (row,) = tx.execute(select(payment)).all()
    assert (row.amount_minor, row.currency, row.method, row.note) == (2999, "EUR", "transfer", "ref 7")
    assert row.author == f"staff:{portal.agent_id}"
    text = browser.get("/staff/payments?state=today").text
    assert "€29.99" in text
    assert "Adam" in text


def test_a_wrong_amount_has_its_sentence_and_records_nothing(portal, anna, subtests):
    path = f"/staff/subscribers/{anna}/payments/new"
    browser = portal.as_staff()
    for amount in ("", "0", "-5", "x", "1.999", "1e400", "NaN", "Infinity", "9" * 30):
        with subtests.test(amount=amount):
            answer = post(browser, path, amount=amount, method="cash", once="a" * 32)
            assert answer.status_code == 400
            assert 'class="tk-error"' in answer.text
    with transaction() as tx:
        assert tx.scalar(select(func.count()).select_from(payment)) == 0


def test_a_method_that_does_not_exist_is_refused(portal, anna):
    path = f"/staff/subscribers/{anna}/payments/new"
    for method in ("card", "barter", ""):
        assert post(portal.as_staff(), path, amount="5", method=method, once="b").status_code == 400


def test_a_job_that_gave_up_is_started_anew(portal):
    with transaction() as tx:
        for state in ("dead", "done"):
            tx.execute(job.insert().values(kind="tick", lane="charges", payload={}, state=state, tries=12))
    browser = portal.as_staff("adam")
    for number in (1, 2, 3):
        assert post(browser, f"/staff/jobs/{number}/retry", "/staff/").status_code == 303
    with transaction() as tx:
        rows = tx.execute(select(job.c.state, job.c.tries).order_by(job.c.id)).all()
    assert [tuple(row) for row in rows] == [("ready", 0), ("done", 12)]
    assert [act for _, act, _ in deeds()].count("job.retried") == 1
