"""Paying at the hosted page: the attempt first, then Stripe; settled once, however often and in whatever order."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from hashlib import sha256
from hmac import new as hmac

import pytest
import requests
from sqlalchemy import func, insert, select

import base.database
from base import clock
from base.business import load_business
from base.database import transaction
from base.settings import settings
from base.tables import inbox
from billing import checkout, stripe_events
from billing.checkout import Wish
from billing.collect.tables import checkout as attempts
from billing.gateway import client, webhooks
from billing.gateway.words import BadSignature, NotConfigured, NotSent, Unknown
from billing.invoices import issue_due, list_invoices
from billing.ledger import check_books
from billing.refused import Refused
from billing.tables import payment
from sandbox.stripe.app import Config
from tests.billing.provider import Provider, noon
from tests.sandbox.emulator import KEY, Emulator, connect

CARD = {"number": "4242 4242 4242 4242", "expiry": "12 / 40", "cvc": "123", "name": "Anna"}
SITE = "http://127.0.0.1:9"


@pytest.fixture
def emulator(tmp_path):
    """The pretend Stripe; nobody hears its webhooks but the tests themselves."""
    made = Emulator(Config(data=tmp_path / "stripe", api_key=KEY))
    yield made
    made.running.stop()


@pytest.fixture
def debtor(provider: Provider, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> int:
    """A subscriber with two open invoices, 35.99 each."""
    monkeypatch.setenv("TOLLKEEPER_SANDBOX", "true")
    monkeypatch.setenv("TOLLKEEPER_RADIUS_HOSTS", "127.0.0.1")
    settings.cache_clear()
    base.database.engine.cache_clear()
    provider.set(stripe_secret_key=KEY, stripe_api_base=emulator.url)
    subscriber_id = provider.subscriber()
    provider.service(subscriber_id, provider.plan(), date(2026, 3, 1))
    for day in (date(2026, 3, 1), date(2026, 4, 1)):
        issue_due(noon(day))
    return subscriber_id


def states() -> list[str]:
    with transaction() as tx:
        return list(tx.scalars(select(attempts.c.state).order_by(attempts.c.id)))


def session_id() -> str:
    with transaction() as tx:
        return tx.scalar(select(attempts.c.session_id).order_by(attempts.c.id.desc()))


def payments() -> int:
    with transaction() as tx:
        assert check_books(tx) == []
        return tx.scalar(select(func.count()).select_from(payment))


def pay(url: str, **typed: str) -> None:
    assert requests.post(url, data={**CARD, **typed}, timeout=10, allow_redirects=False).status_code in (303, 402)


def test_one_invoice_is_paid_and_the_other_stays_open(provider, debtor):
    with transaction() as tx:
        newest, _oldest = list_invoices(tx, debtor)
    url = checkout.start(provider.vault, debtor, SITE, Wish([newest.id]))
    assert states() == ["open"]
    assert checkout.settle(provider.vault, session_id()) == "open"
    pay(url)
    assert checkout.settle(provider.vault, session_id()) == "paid"
    with transaction() as tx:
        assert [bool(each.open) for each in list_invoices(tx, debtor)] == [False, True]
    assert (states(), payments()) == (["paid"], 1)


def test_everything_told_twice_and_at_once_is_recorded_once(provider, debtor):
    pay(checkout.start(provider.vault, debtor, SITE, Wish()))
    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(lambda _: checkout.settle(provider.vault, session_id()), range(6)))
    assert told == ["paid"] * 6
    assert payments() == 1
    with transaction() as tx:
        assert not any(each.open for each in list_invoices(tx, debtor))


def test_a_second_click_leads_to_the_same_page(provider, debtor):
    first = checkout.start(provider.vault, debtor, SITE, Wish())
    assert checkout.start(provider.vault, debtor, SITE, Wish()) == first
    assert states() == ["open"]


def test_nothing_to_pay_is_refused_in_words(provider, debtor):
    with pytest.raises(Refused, match="nothing to pay"):
        checkout.start(provider.vault, debtor, SITE, Wish([4711]))


def test_a_declined_card_changes_nothing(provider, debtor):
    pay(checkout.start(provider.vault, debtor, SITE, Wish()), number="4000 0000 0000 0002")
    assert checkout.settle(provider.vault, session_id()) == "open"
    assert payments() == 0


def test_an_expired_page_is_marked_and_a_new_click_opens_another(provider, debtor, emulator):
    first = checkout.start(provider.vault, debtor, SITE, Wish())
    connect(emulator).v1.checkout.sessions.expire(session_id())
    assert checkout.settle(provider.vault, session_id()) == "expired"
    assert checkout.start(provider.vault, debtor, SITE, Wish()) != first


@pytest.mark.parametrize("fault", ["error_500_after", "error_500_before"])
def test_the_attempt_is_there_before_stripe_answers(provider, debtor, emulator, fault):
    emulator.order(kind=fault, path="/v1/checkout/sessions", times=5)
    with pytest.raises(Unknown):
        checkout.start(provider.vault, debtor, SITE, Wish())
    assert states() == ["unknown"]
    assert payments() == 0


def test_without_a_key_nothing_is_sent(provider, debtor):
    provider.set(stripe_secret_key="")
    with pytest.raises(NotConfigured, match="stripe_secret_key"):
        checkout.start(provider.vault, debtor, SITE, Wish())
    assert states() == ["failed"]


def test_a_wrong_key_is_refused_and_known_not_to_have_charged(provider, debtor):
    provider.set(stripe_secret_key="sk_test_of_somebody_else")
    with pytest.raises(NotSent):
        checkout.start(provider.vault, debtor, SITE, Wish())
    assert states() == ["failed"]


def test_outside_the_sandbox_the_pretend_stripe_is_never_asked(provider, debtor, monkeypatch):
    monkeypatch.setenv("TOLLKEEPER_SANDBOX", "false")
    settings.cache_clear()
    with transaction() as tx:
        business = load_business(tx, provider.vault)
    with pytest.raises(NotConfigured, match="stripe_test_mode"):
        client.client(business)
    provider.set(stripe_test_mode="yes")
    with transaction() as tx:
        business = load_business(tx, provider.vault)
    assert "api.stripe.com" in str(client.client(business)._requestor._options.base_addresses)


# -- events -----------------------------------------------------------------------------------------------------------


def event(kind: str, session: str) -> int:
    """An event in the inbox, as the webhook left it."""
    with transaction() as tx:
        return tx.scalar(
            insert(inbox)
            .values(
                source="stripe",
                event_id=f"evt_{time.monotonic_ns()}",
                kind=kind,
                body={"data": {"object": {"id": session}}},
                received_at=clock.real(),
            )
            .returning(inbox.c.id)
        )


def outcome(inbox_id: int) -> str:
    with transaction() as tx:
        return tx.scalar(select(inbox.c.outcome).where(inbox.c.id == inbox_id, inbox.c.processed_at.is_not(None)))


def test_events_in_any_order_and_number_have_one_effect(provider, debtor):
    pay(checkout.start(provider.vault, debtor, SITE, Wish()))
    session = session_id()
    told = [
        event(kind, session)
        for kind in ("checkout.session.expired", "checkout.session.completed", "checkout.session.completed")
    ]
    for inbox_id in [*told, told[1]]:
        stripe_events.handle(inbox_id)
    assert [outcome(inbox_id) for inbox_id in told] == ["paid"] * 3
    assert (states(), payments()) == (["paid"], 1)


def test_an_event_that_means_nothing_here_is_marked_so(provider, debtor):
    for kind in ("customer.created", "invoice.paid"):
        inbox_id = event(kind, "whatever")
        stripe_events.handle(inbox_id)
        assert outcome(inbox_id) == "ignored"


def test_somebody_elses_session_is_not_ours(provider, debtor, emulator):
    foreign = connect(emulator).v1.checkout.sessions.create(
        params={
            "mode": "payment",
            "success_url": SITE,
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {"currency": "eur", "unit_amount": 99, "product_data": {"name": "A shop"}},
                }
            ],
        }
    )
    inbox_id = event("checkout.session.completed", foreign.id)
    stripe_events.handle(inbox_id)
    assert outcome(inbox_id) == "not ours"


# -- signatures -------------------------------------------------------------------------------------------------------

SECRET = "whsec_for_this_test"
BODY = b'{"id": "evt_1", "type": "customer.created", "data": {"object": {"id": "cus_1"}}}'


def signed(body: bytes = BODY, *, secret: str = SECRET, at: float | None = None) -> str:
    stamp = int(time.time() if at is None else at)
    digest = hmac(secret.encode(), f"{stamp}.".encode() + body, sha256).hexdigest()
    return f"t={stamp},v1={digest}"


def test_a_signed_event_is_read():
    assert webhooks.construct_event(BODY, signed(), SECRET)["id"] == "evt_1"
    twice = f"{signed(secret='whsec_old')},{signed().partition(',')[2]}"
    assert webhooks.construct_event(BODY, twice, SECRET)["type"] == "customer.created"


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (BODY, ""),
        (BODY, "nonsense"),
        (BODY, signed(secret="whsec_forged")),
        (BODY + b" ", signed()),
        (BODY, signed(at=time.time() - 3600)),
        (BODY, signed(at=time.time() + 3600)),
        (b"no json", signed(b"no json")),
        (b"[]", signed(b"[]")),
        (b'{"id": 7, "type": "x"}', signed(b'{"id": 7, "type": "x"}')),
        (b"\xff\xfe", "t=1,v1=00"),
    ],
    ids=["none", "nonsense", "forged", "changed", "old", "future", "no-json", "no-object", "no-id", "no-text"],
)
def test_what_stripe_did_not_sign_just_now_is_refused(body, header):
    with pytest.raises(BadSignature):
        webhooks.construct_event(body, header, SECRET)
