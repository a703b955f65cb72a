"""Payment links: signed, alive while the invoice is open, revocable, and silent about everybody."""

from datetime import date

import pytest

from base.database import transaction
from billing.invoices import issue_due, list_invoices
from billing.links import link_to, read_link, revoke_link
from billing.refused import Refused
from tests.billing.provider import Provider, noon


@pytest.fixture
def invoice_id(provider: Provider) -> int:
    who = provider.subscriber()
    provider.service(who, provider.plan(), date(2026, 3, 1))
    issue_due(noon(date(2026, 3, 1)))
    with transaction() as tx:
        return list_invoices(tx, who)[0].id


def token_of(provider: Provider, invoice_id: int) -> str:
    with transaction() as tx:
        return link_to(tx, invoice_id).rpartition("/")[2]


def test_a_link_tells_number_sum_and_date(provider: Provider, invoice_id: int):
    with transaction() as tx:
        found = read_link(tx, provider.vault, token_of(provider, invoice_id))
    assert found is not None
    assert (found.number, found.open.minor, found.due_on) == ("INV-000001", 3599, date(2026, 3, 15))


def test_a_link_that_was_guessed_or_altered_is_nothing(provider: Provider, invoice_id: int):
    good = token_of(provider, invoice_id)
    number, _, signature = good.partition("-")
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    wrong = [
        f"{number}-{flipped}",
        f"2-{signature}",
        f"0{good}",
        good[:-1],
        good + "A",
        f"{number}-",
        "",
        "é" * 24,
        number,
    ]
    with transaction() as tx:
        assert [read_link(tx, provider.vault, each) for each in wrong] == [None] * len(wrong)


def test_a_revoked_link_is_dead_and_the_next_one_lives(provider: Provider, invoice_id: int):
    old = token_of(provider, invoice_id)
    with transaction() as tx:
        revoke_link(tx, "staff:1", invoice_id)
    fresh = token_of(provider, invoice_id)
    with transaction() as tx:
        assert read_link(tx, provider.vault, old) is None
        assert read_link(tx, provider.vault, fresh) is not None
        revoke_link(tx, "staff:1", invoice_id)
        assert read_link(tx, provider.vault, fresh) is None
        with pytest.raises(Refused, match="no such invoice"):
            revoke_link(tx, "staff:1", 99)


def test_a_settled_invoice_has_nothing_open_behind_its_link(provider: Provider, invoice_id: int):
    token = token_of(provider, invoice_id)
    provider.pay(1, 3599)
    with transaction() as tx:
        found = read_link(tx, provider.vault, token)
    assert found is not None
    assert not found.open
