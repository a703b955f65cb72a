"""The dials, the clock, the keys, and what an account looks like: by control calls that answer clearly."""

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
import requests
import stripe

from sandbox.stripe.dials import Dials
from sandbox.stripe.store import SCHEMA
from tests.sandbox.emulator import KEY, Emulator, Receiver, connect, wait_until
from tests.sandbox.test_stripe_checkout import CARD, session, submit

DAY = 86400


def refused(emulator: Emulator, path: str, given: Any) -> str:
    answer = requests.post(f"{emulator.url}/sandbox/{path}", json=given, timeout=5)
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"]["message"])


def test_dials_are_turned_shown_and_kept(emulator: Emulator) -> None:
    assert set(requests.get(f"{emulator.url}/sandbox/dials", timeout=5).json()) == set(Dials().shown())
    assert emulator.control("dials", search_lag=7, retry_pauses=[1, 2])["search_lag"] == 7.0
    emulator.restart()
    kept = requests.get(f"{emulator.url}/sandbox/dials", timeout=5).json()
    assert (kept["search_lag"], kept["retry_pauses"], kept["delay"]) == (7.0, [1.0, 2.0], 0.0)


@pytest.mark.parametrize(
    "given",
    [
        {"colour": 1},
        {"delay": "long"},
        {"delay": -1},
        {"payouts": "weekly"},
        {"deliveries": 0},
        {"charges_enabled": 1},
        {"retry_pauses": 5},
        {"retry_pauses": [True]},
    ],
)
def test_a_dial_is_turned_with_sense_or_not_at_all(emulator: Emulator, given: Any) -> None:
    before = requests.get(f"{emulator.url}/sandbox/dials", timeout=5).json()
    assert len(refused(emulator, "dials", given)) > 10
    assert requests.get(f"{emulator.url}/sandbox/dials", timeout=5).json() == before


def test_the_clock_goes_forward_and_everything_follows(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    made = session(client)
    begun = emulator.state()["now"]
    assert emulator.control("clock", advance=DAY + 1)["now"] >= begun + DAY + 1
    assert client.v1.checkout.sessions.retrieve(made.id).status == "expired"
    webhooks.wait("checkout.session.expired")
    expired = next(one for one in webhooks.requests if one.type == "checkout.session.expired")
    assert expired.created == made.expires_at
    emulator.control("clock", now=begun + 40 * DAY)
    emulator.restart()
    assert emulator.state()["now"] >= begun + 40 * DAY, "a restart does not turn it back"
    for wrong in ({"advance": -1}, {"now": begun}, {}, {"advance": 1, "now": 1}, {"advance": "1"}):
        assert refused(emulator, "clock", wrong)


def test_events_live_for_thirty_days_and_are_found_by_group(client: stripe.StripeClient, emulator: Emulator) -> None:
    client.v1.customers.create()
    (old,) = client.v1.events.list(params={"type": "customer.*"}).data
    emulator.control("clock", advance=30 * DAY - 60)
    client.v1.customers.create()
    assert len(client.v1.events.list(params={"type": "customer.*"}).data) == 2
    assert client.v1.events.list(params={"type": "charge.*"}).data == []
    emulator.control("clock", advance=120)
    assert len(client.v1.events.list().data) == 1
    with pytest.raises(stripe.InvalidRequestError) as gone:
        client.v1.events.retrieve(old.id)
    assert gone.value.http_status == 404
    with pytest.raises(stripe.InvalidRequestError, match="not both"):
        client.v1.events.list(params={"type": "a.b", "types": ["a.b"]})
    pages = client.v1.events.list(params={"limit": 1, "created": {"gt": old.created}})
    assert len(list(pages.auto_paging_iter())) == 1


def test_search_lags_while_retrieval_does_not(client: stripe.StripeClient, emulator: Emulator) -> None:
    emulator.control("dials", search_lag=60)
    made = client.v1.payment_intents.create(params={"amount": 500, "currency": "usd", "metadata": {"case": "7"}})
    find: Any = {"query": "metadata['case']:'7'"}
    assert client.v1.payment_intents.search(params=find).data == []
    assert client.v1.payment_intents.retrieve(made.id).id == made.id
    assert client.v1.payment_intents.list().data[0].id == made.id
    emulator.control("clock", advance=61)
    assert [one.id for one in client.v1.payment_intents.search(params=find)] == [made.id]


def test_who_asks_too_often_is_refused_and_the_key_stays_free(emulator: Emulator) -> None:
    emulator.control("dials", rate=5)
    time.sleep(0.5)
    told = [
        emulator.call("POST", "/v1/customers", {"Idempotency-Key": f"k{number}"}).status_code for number in range(12)
    ]
    assert set(told) == {200, 429}
    assert told.count(200) < 9
    late = told.index(429)
    emulator.control("dials", rate=0)
    answer = emulator.call("POST", "/v1/customers", {"Idempotency-Key": f"k{late}"})
    assert answer.status_code == 200
    assert "Idempotent-Replayed" not in answer.headers


def test_delayed_calls_wait_side_by_side(emulator: Emulator) -> None:
    emulator.control("dials", delay=0.3)
    begun = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: emulator.call("POST", "/v1/customers").status_code, range(40)))
    took = time.monotonic() - begun
    assert answers == [200] * 40
    assert 0.6 <= took < 4, "forty waits of 0.3 s, twenty at a time"
    assert emulator.state()["objects"]["customer"] == 40, "the control calls do not wait"


def test_a_restricted_key_may_what_it_was_given(emulator: Emulator) -> None:
    made = emulator.control("keys", permissions={"payment_intents": "read", "customers": "write"})["key"]
    assert made.startswith("rk_test_")
    emulator.restart()
    narrow = stripe.StripeClient(made, base_addresses={"api": emulator.url})
    assert narrow.v1.customers.create().id
    assert narrow.v1.payment_intents.list().data == []
    for deed in (
        lambda: narrow.v1.payment_intents.create(params={"amount": 500, "currency": "usd"}),
        lambda: narrow.v1.webhook_endpoints.list(),
        lambda: narrow.v1.accounts.retrieve_current(),
        lambda: narrow.v1.checkout.sessions.list(),
    ):
        with pytest.raises(stripe.PermissionError) as no:
            deed()
        assert no.value.http_status == 403
        assert "rak_" in str(no.value)
        assert made not in str(no.value)
    assert refused(emulator, "keys", {"permissions": {"customers": "admin"}})


def test_a_key_expires(emulator: Emulator) -> None:
    emulator.control("keys", key=KEY, expired=True)
    with pytest.raises(stripe.AuthenticationError) as no:
        connect(emulator).v1.customers.list()
    assert (no.value.http_status, no.value.json_body["error"]["code"]) == (401, "api_key_expired")
    emulator.control("keys", key=KEY, expired=False)
    assert connect(emulator).v1.customers.list().data == []
    assert refused(emulator, "keys", {"key": "sk_test_unknown"})


def test_the_account_says_what_the_dials_say(client: stripe.StripeClient, emulator: Emulator) -> None:
    emulator.control("dials", charges_enabled=False, country="DE", default_currency="eur")
    own = client.v1.accounts.retrieve_current()
    assert (own.charges_enabled, own.country, own.default_currency) == (False, "DE", "eur")


def test_an_event_of_ones_own_making_is_signed_like_every_other(
    emulator: Emulator, client: stripe.StripeClient, webhooks: Receiver
) -> None:
    emulator.control(
        "events",
        type="moon.landed",
        object={"id": "moon_1", "object": "moon"},
        livemode=True,
        account="acct_other",
        created=1,
        api_version="2011-01-01",
    )
    (event,) = webhooks.wait("moon.landed")
    assert (event.livemode, event.account, event.created, event.api_version) == (True, "acct_other", 1, "2011-01-01")
    assert refused(emulator, "events", {"type": 7})
    with closing(sqlite3.connect(emulator.config.data / "stripe.sqlite")) as db, db:
        db.execute("DELETE FROM objects WHERE kind = 'event'")  # its shape is none of Stripe's, on purpose


def test_endpoints_have_a_version_and_hear_of_their_own_accounts(emulator: Emulator, webhooks: Receiver) -> None:
    own = connect(emulator)
    (configured,) = own.v1.webhook_endpoints.list()
    own.v1.webhook_endpoints.update(configured.id, params={"disabled": True})
    listen: Any = {"url": webhooks.url, "enabled_events": ["customer.created"]}
    old = own.v1.webhook_endpoints.create(params={**listen, "api_version": "2025-03-31.basil"})
    connected = own.v1.webhook_endpoints.create(params={**listen, "connect": True})
    webhooks.secret = str(old.secret)
    own.v1.customers.create()
    (event,) = webhooks.wait("customer.created")
    assert (event.api_version, event.account if "account" in event else None) == ("2025-03-31.basil", None)
    webhooks.secret = str(connected.secret)
    connect(emulator, stripe_account="acct_connected").v1.customers.create()
    wait_until(lambda: len(webhooks.requests) == 2)
    assert webhooks.requests[1].account == "acct_connected"
    assert emulator.state()["deliveries"] == {"delivered": 2}
    for wrong in ({"api_version": "yesterday"}, {"enabled_events": ["Everything!"]}):
        with pytest.raises(stripe.InvalidRequestError):
            own.v1.webhook_endpoints.create(params={**listen, **wrong})


def test_an_unconfirmed_intent_is_changed_listed_and_cancelled(client: stripe.StripeClient) -> None:
    customer = client.v1.customers.create().id
    card = client.v1.payment_methods.attach("pm_card_visa", params={"customer": customer}).id
    made = client.v1.payment_intents.create(params={"amount": 4599, "currency": "eur", "customer": customer})
    changed = client.v1.payment_intents.update(
        made.id, params={"amount": 2599, "metadata": {"case": "7"}, "payment_method": card, "description": "Less"}
    )
    assert (changed.amount, changed.status, changed.description) == (2599, "requires_confirmation", "Less")
    with pytest.raises(stripe.InvalidRequestError) as small:
        client.v1.payment_intents.update(made.id, params={"amount": 1})
    assert small.value.code == "amount_too_small"
    paid = client.v1.payment_intents.confirm(made.id, params={"off_session": True})
    assert (paid.status, paid.amount_received) == ("succeeded", 2599)
    with pytest.raises(stripe.InvalidRequestError) as over:
        client.v1.payment_intents.update(made.id, params={"amount": 100})
    assert over.value.code == "payment_intent_unexpected_state"
    other = client.v1.payment_intents.create(params={"amount": 500, "currency": "eur", "customer": customer})
    assert client.v1.payment_intents.cancel(other.id).status == "canceled"
    listed = client.v1.payment_intents.list(params={"customer": customer, "created": {"gte": made.created}})
    assert [one.id for one in listed] == [other.id, made.id]
    setup = client.v1.setup_intents.create(params={"customer": customer})
    client.v1.setup_intents.update(setup.id, params={"payment_method": card, "metadata": {"for": "autopay"}})
    assert client.v1.setup_intents.confirm(setup.id).status == "succeeded"


def test_a_page_offers_the_saved_card_and_pays_with_it(client: stripe.StripeClient, emulator: Emulator) -> None:
    customer = client.v1.customers.create().id
    options: Any = {"payment_method_save": "enabled"}
    first = session(client, customer=customer, saved_payment_method_options=options)
    submit(first, save="yes")
    (card,) = client.v1.payment_methods.list(params={"customer": customer})
    second = session(client, customer=customer, saved_payment_method_options=options)
    page = requests.get(str(second.url), timeout=5).text
    assert f'value="{card.id}"' in page
    assert "Visa ending in 4242" in page
    assert card.id not in requests.get(str(session(client, customer=customer).url), timeout=5).text
    stranger = client.v1.payment_methods.attach("pm_card_visa", params={"customer": client.v1.customers.create().id}).id
    client.v1.payment_methods.update(stranger, params={"allow_redisplay": "always"})
    assert submit(second, saved=stranger).status_code == 402
    empty = dict.fromkeys(CARD, "")
    assert submit(second, **{**empty, "saved": card.id}).status_code == 303
    paid = client.v1.checkout.sessions.retrieve(second.id, params={"expand": ["payment_intent"]})
    assert paid.payment_intent.payment_method == card.id


def test_consent_is_asked_for_and_kept(client: stripe.StripeClient) -> None:
    made = session(
        client,
        consent_collection={
            "terms_of_service": "required",
            "promotions": "auto",
            "payment_method_reuse_agreement": {"position": "auto"},
        },
        payment_intent_data={"setup_future_usage": "off_session"},
    )
    page = requests.get(str(made.url), timeout=5).text
    assert "I agree to the terms of service" in page
    assert "charged again for later invoices" in page
    assert submit(made).status_code == 402
    assert submit(made, agrees="yes").status_code == 303
    consent = client.v1.checkout.sessions.retrieve(made.id).consent
    assert (consent.terms_of_service, consent.promotions) == ("accepted", "opt_out")


def test_a_page_whose_payment_takes_its_time(
    client: stripe.StripeClient, emulator: Emulator, webhooks: Receiver
) -> None:
    customer = client.v1.customers.create().id
    options: Any = {"payment_method_save": "enabled"}
    submit(session(client, customer=customer, saved_payment_method_options=options), save="yes")
    (card,) = client.v1.payment_methods.list(params={"customer": customer})
    emulator.control(f"cards/{card.id}", processing={"seconds": 60})
    pages = [session(client, customer=customer, saved_payment_method_options=options) for _ in range(2)]
    for one in pages:
        submit(one, saved=card.id)
    waiting = [client.v1.checkout.sessions.retrieve(one.id) for one in pages]
    assert [(one.status, one.payment_status) for one in waiting] == [("complete", "unpaid")] * 2
    emulator.control(f"payments/{waiting[0].payment_intent}", settle="insufficient_funds")
    emulator.control("clock", advance=61)
    ends = [client.v1.checkout.sessions.retrieve(one.id).payment_status for one in pages]
    assert ends == ["unpaid", "paid"]
    webhooks.wait("checkout.session.async_payment_failed", "checkout.session.async_payment_succeeded")


def test_the_bank_is_another_host_than_the_portal_may_lead_to(emulator: Emulator) -> None:
    assert emulator.running.bank.startswith("http://127.0.0.2:")
    assert requests.get(f"{emulator.running.bank}/authenticate/pi_no", timeout=5).status_code == 404


def test_a_file_of_the_format_before_is_brought_up(emulator: Emulator) -> None:
    emulator.running.stop()
    file = emulator.config.data / "stripe.sqlite"
    for each in emulator.config.data.iterdir():
        each.unlink()
    session = json.dumps({"id": "cs_1", "status": "open", "expires_at": 9_999_999_999})
    with closing(sqlite3.connect(file)) as db, db:
        db.executescript(f"{SCHEMA} PRAGMA user_version = 1;")
        db.execute(
            "INSERT INTO objects (id, kind, account, created, body, hidden) "
            "VALUES ('cs_1', 'checkout.session', '', 1, ?, '{}')",
            (session,),
        )
    emulator.restart()
    assert connect(emulator).v1.customers.create().id
    with closing(sqlite3.connect(file)) as db, db:
        planned = db.execute("SELECT due, deed, about FROM agenda WHERE about = 'cs_1'").fetchall()
        db.execute("DELETE FROM objects WHERE id = 'cs_1'")
    assert planned == [(9_999_999_999.0, "expire_session", "cs_1")], "an open page still expires"
