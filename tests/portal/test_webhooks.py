"""Stripe's webhook: believed by its signature on the raw bytes, kept once."""

import hashlib
import hmac
import json
import time

import pytest
from sqlalchemy import select

from base import clock
from base.business import set_business
from base.database import transaction
from base.tables import inbox, job

SECRET = "whsec_for_tests_only"
EVENT = {"id": "evt_1", "object": "event", "type": "checkout.session.completed", "data": {"object": {"id": "cs_1"}}}


@pytest.fixture
def keyed(portal):
    with transaction() as tx:
        set_business(tx, portal.vault, "system", stripe_webhook_secret=SECRET)
    return portal


def signature(body, secret=SECRET, at=None):
    stamp = int(time.time() if at is None else at)
    signed = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={signed}"


def send(portal, body, header, **more):
    headers = {} if header is None else {"Stripe-Signature": header}
    return portal.browser().post(
        "/webhooks/stripe", data=body, headers=headers, content_type="application/json", **more
    )


def kept():
    with transaction() as tx:
        return tx.execute(select(inbox)).all(), tx.execute(select(job)).all()


def test_a_signed_event_is_kept_with_a_job(keyed):
    body = json.dumps(EVENT, indent=2).encode()
    before = clock.real()
    answer = send(keyed, body, signature(body))
    assert (answer.status_code, answer.text) == (200, "ok\n")
    (row,), (work,) = kept()
    assert (row.source, row.event_id, row.kind, row.body) == ("stripe", "evt_1", EVENT["type"], EVENT)
    assert before <= row.received_at <= clock.real()
    assert (work.kind, work.lane, work.payload["inbox_id"]) == ("stripe_event", "urgent", row.id)


def test_a_repeated_event_is_answered_and_does_nothing(keyed):
    body = json.dumps(EVENT).encode()
    for _ in range(3):
        assert send(keyed, body, signature(body)).status_code == 200
    rows, work = kept()
    assert len(rows) == len(work) == 1


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        "t=1,v1=abc",
        lambda body: signature(body, "whsec_wrong"),
        lambda body: signature(body + b" "),
        lambda body: signature(body, at=time.time() - 3600),
        lambda body: signature(body, at=time.time() + 3600),
        lambda body: signature(body).replace("v1=", "v0="),
    ],
)
def test_a_wrong_signature_is_refused(keyed, header):
    body = json.dumps(EVENT).encode()
    answer = send(keyed, body, header(body) if callable(header) else header)
    assert answer.status_code == 400
    assert len(answer.text) < 100
    assert kept() == ([], [])


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"id": 1, "type": 2}', b"\xff\xfe", b'{"id": "evt_1"}'])
def test_a_signed_body_that_is_no_event_is_refused(keyed, body):
    assert send(keyed, body, signature(body)).status_code == 400
    assert kept() == ([], [])


def test_without_a_secret_nothing_is_believed(portal):
    body = json.dumps(EVENT).encode()
    assert send(portal, body, signature(body, "")).status_code == 400


def test_a_body_that_never_ends_is_refused(keyed):
    body = b"x" * 1_000_001
    assert send(keyed, body, signature(body)).status_code == 413


def test_only_post_is_taken(keyed):
    assert keyed.browser().get("/webhooks/stripe").status_code == 405
