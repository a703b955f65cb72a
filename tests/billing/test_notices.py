"""Welcome, suspended, restored: each once, in the subscriber's language, and not about history."""

from datetime import date, timedelta

import pytest
from sqlalchemy import text

from base import clock
from base.database import transaction
from base.i18n import format_money
from billing.apply import refresh_access
from billing.ledger import receivable
from billing.services import set_staff_order
from tests.billing.provider import Provider, wall_in
from tests.billing.test_mail import ask


def mails() -> list[tuple]:
    return ask("SELECT kind, key FROM message ORDER BY id")


def line(provider: Provider, subscriber_id: int, starts_on: date | None = None) -> int:
    return provider.service(subscriber_id, provider.plan(), starts_on or clock.real().date())


def order(provider: Provider, service_id: int, what: str) -> None:
    with transaction() as tx:
        set_staff_order(tx, provider.vault, "staff:1", service_id, what, "")


def test_a_first_service_is_greeted_once(provider: Provider) -> None:
    anna = provider.subscriber()
    with transaction() as tx:
        tx.execute(text("UPDATE subscriber SET language = 'de'"))
    line(provider, anna)
    line(provider, anna)
    assert mails() == [("welcome", f"welcome:{anna}")]
    ((subject, body),) = ask("SELECT subject, body FROM message")
    assert subject == "Willkommen bei My Internet Provider"
    assert "Kundennummer ist 00001" in body
    assert "secret" not in body


def test_walls_are_announced_on_both_sides(provider: Provider) -> None:
    service_id = line(provider, provider.subscriber())
    for what in ("suspended", "suspended", "none", "blocked", "none", "suspended", "blocked"):
        order(provider, service_id, what)
    versions = dict(ask("SELECT version, level FROM access_history"))
    told = [(kind, int(key.rpartition(":")[2])) for kind, key in mails()[1:]]
    assert [kind for kind, _ in told] == ["suspended", "restored", "suspended"]
    assert [versions[version] for _, version in told] == [2, 0, 2]
    body = ask("SELECT body FROM message WHERE kind = 'suspended' LIMIT 1")[0][0]
    assert "Your service is suspended. Please contact us." in body
    assert "You owe" not in body
    with transaction() as tx:
        refresh_access(tx, provider.vault, [service_id], clock.now(), because="time")
    assert len(mails()) == 4


def test_not_where_the_provider_does_not_want_it(provider: Provider) -> None:
    provider.set(mail_access_changes="no")
    order(provider, line(provider, provider.subscriber()), "suspended")
    assert [kind for kind, _ in mails()] == ["welcome"]


def test_history_is_no_news(provider: Provider) -> None:
    past = clock.real() - timedelta(days=3)
    provider.travel(past)
    service_id = line(provider, provider.subscriber(), past.date())
    order(provider, service_id, "suspended")
    assert mails() == []


def test_what_debt_did_says_how_much(provider: Provider) -> None:
    start = clock.real() - timedelta(days=60)
    provider.travel(start)
    line(provider, provider.subscriber(), start.date())
    wall_in(provider.travel(clock.real()))
    (body,) = (row[0] for row in ask("SELECT body FROM message WHERE kind = 'suspended'"))
    with transaction() as tx:
        owed = receivable(tx, 1)
    assert f"You owe {format_money(owed, 'en')}." in body
    assert "An invoice is overdue." in body


@pytest.mark.parametrize("value", ["maybe", ""])
def test_the_setting_is_yes_or_no(provider: Provider, value: str) -> None:
    with pytest.raises(ValueError, match="yes"):
        provider.set(mail_access_changes=value)
