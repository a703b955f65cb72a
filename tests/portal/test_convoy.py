"""Threads that come at one moment: one transaction for all of them, and each its own answer."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from base.business import set_business
from base.database import transaction
from base.tables import inbox, job
from portal.convoy import Convoy
from tests.portal.test_webhooks import SECRET, signature


def test_who_comes_alone_goes_at_once_and_who_comes_meanwhile_goes_together():
    travelled, gate, first = [], threading.Event(), threading.Event()

    def act(brought):
        travelled.append(sorted(brought))
        first.set()
        gate.wait(10)
        return [each * 10 for each in brought]

    convoy = Convoy(act)
    with ThreadPoolExecutor(5) as threads:
        alone = threads.submit(convoy, 1)
        assert first.wait(10)
        others = [threads.submit(convoy, number) for number in (2, 3, 4)]
        while len(convoy._waiting) < 3:
            pass
        gate.set()
        assert alone.result(10) == 10
        assert [each.result(10) for each in others] == [20, 30, 40]
    assert travelled == [[1], [2, 3, 4]]
    assert convoy(5) == 50, "nobody is left behind, and the next goes alone"
    assert travelled[-1] == [5]


def test_a_bad_one_keeps_nobody_back():
    def act(brought):
        if "bad" in brought:
            raise ValueError("bad")
        return [each.upper() for each in brought]

    convoy = Convoy(act)
    barrier = threading.Barrier(8)

    def travel(word):
        barrier.wait(10)
        return convoy(word)

    words = ["a", "b", "bad", "c", "d", "bad", "e", "f"]
    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(travel, word) for word in words]
        for word, future in zip(words, futures, strict=True):
            if word == "bad":
                with pytest.raises(ValueError, match="bad"):
                    future.result(10)
            else:
                assert future.result(10) == word.upper()


def test_webhooks_of_one_moment_are_all_committed_before_they_are_answered(portal):
    with transaction() as tx:
        set_business(tx, portal.vault, "system", stripe_webhook_secret=SECRET)
    bodies = [json.dumps({"id": f"evt_{number % 20}", "type": "charge.succeeded"}).encode() for number in range(24)]
    bodies.append(b'{"id": "evt_nul", "type": "charge.succeeded", "data": "\\u0000"}')  # PostgreSQL cannot keep it
    barrier = threading.Barrier(len(bodies))
    kept = []

    def post(body):
        barrier.wait(10)
        answer = portal.app.test_client().post(
            "/webhooks/stripe", data=body, headers={"Stripe-Signature": signature(body)}
        )
        with transaction() as tx:
            known = set(tx.scalars(select(inbox.c.event_id)))
        kept.append(answer.status_code != 200 or json.loads(body)["id"] in known)
        return answer.status_code

    with ThreadPoolExecutor(len(bodies)) as threads:
        assert list(threads.map(post, bodies)) == [200] * 24 + [500]
    assert all(kept)
    with transaction() as tx:
        assert sorted(tx.scalars(select(inbox.c.event_id))) == sorted({f"evt_{number}" for number in range(20)})
        assert len(tx.execute(select(job)).all()) == 20
