"""What was written off and comes back: paid after all, or credited; the debtor never owes more than before."""

from datetime import date

import pytest
from sqlalchemy import select

from base.business import load_business
from base.database import transaction
from base.money import Money
from billing.credit_notes import credit_invoice, write_off_invoice
from billing.invoices import issue_due
from billing.ledger import check_books, receivable
from billing.payments import record_payment
from billing.refused import Refused
from billing.settle import credits_by_subscriber, open_invoices
from billing.tables import entry, invoice_line, posting
from billing.write_offs import recover_invoice, written_off
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)
NOW = noon(date(2026, 3, 20))


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


@pytest.fixture
def anna(provider: Provider) -> int:
    """A subscriber whose first invoice (36.00) was paid by 10.00 and then written off."""
    provider.travel(NOW)
    subscriber_id = provider.subscriber()
    provider.service(subscriber_id, provider.plan(price=3000), MARCH)
    issue_due(noon(MARCH))
    provider.pay(subscriber_id, 1000)
    with transaction() as tx:
        write_off_invoice(tx, provider.vault, load_business(tx, provider.vault), "staff:1", 1, "moved away", NOW)
    return subscriber_id


def accounts() -> dict[str, int]:
    with transaction() as tx:
        assert check_books(tx) == []
        found: dict[str, int] = {}
        for row in tx.execute(select(posting.c.account, posting.c.amount_minor)):
            found[row.account] = found.get(row.account, 0) + row.amount_minor
    return {account: minor for account, minor in found.items() if minor}


def credit(provider: Provider, amounts: dict[int, Money] | None = None) -> None:
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        credit_invoice(tx, provider.vault, business, "staff:1", 1, "Never worked", NOW, amounts)


def test_a_credit_note_takes_the_write_off_back_before_it_becomes_credit(provider: Provider, anna: int):
    assert accounts() == {"cash": 1000, "revenue": -3000, "tax": -600, "bad_debt": 2600}
    credit(provider)
    assert accounts() == {"cash": 1000, "customer_credit": -1000}  # only what was paid is the subscriber's
    with transaction() as tx:
        assert (written_off(tx, 1), open_invoices(tx, anna)) == (0, [])
        assert receivable(tx, anna) == eur(-1000)


def test_a_credit_note_over_a_part_takes_back_that_part(provider: Provider, anna: int):
    with transaction() as tx:
        (line,) = tx.scalars(select(invoice_line.c.id))
    credit(provider, {line: eur(1000)})
    assert accounts() == {"cash": 1000, "revenue": -2000, "tax": -400, "bad_debt": 1400}
    credit(provider)
    assert accounts() == {"cash": 1000, "customer_credit": -1000}


def test_older_credit_is_left_alone_by_a_credit_note_over_what_was_written_off(provider: Provider, anna: int):
    provider.pay(anna, 700)
    with transaction() as tx:
        (line,) = tx.scalars(select(invoice_line.c.id))
    for _ in range(2):
        credit(provider, {line: eur(500)})
    with transaction() as tx:
        assert [each.left for each in credits_by_subscriber(tx, [anna])[anna]] == [eur(700)]
    assert accounts()["bad_debt"] == 2600 - 1200


def test_what_is_paid_after_all_is_recovered_as_far_as_it_goes(provider: Provider, anna: int):
    with transaction() as tx, pytest.raises(Refused, match="record the payment first"):
        recover(provider, tx)
    provider.pay(anna, 600)
    with transaction() as tx:
        assert recover(provider, tx) == eur(600)
        assert written_off(tx, 1) == 2000
        assert open_invoices(tx, anna) == []
    assert accounts() == {"cash": 1600, "revenue": -3000, "tax": -600, "bad_debt": 2600, "recovered": -600}
    provider.pay(anna, 2500)
    with transaction() as tx:
        assert recover(provider, tx) == eur(2000)
        assert [each.left for each in credits_by_subscriber(tx, [anna])[anna]] == [eur(500)]
        with pytest.raises(Refused, match="Nothing of invoice INV-000001 is written off"):
            recover(provider, tx)
    with transaction() as tx:
        words = tx.scalars(select(entry.c.text).where(entry.c.source.like("reinstatement:%"))).all()
    assert words == ["Paid after it was written off: invoice INV-000001"] * 2


def test_a_payment_that_names_what_was_written_off_recovers_it(provider: Provider, anna: int):
    issue_due(noon(date(2026, 3, 31)))
    with transaction() as tx:
        record_payment(
            tx, provider.vault, load_business(tx, provider.vault),
            subscriber_id=anna, amount=eur(5000), method="card", author="system", invoice_ids=[1], now=NOW,
        )  # fmt: skip
        assert open_invoices(tx, anna) == []  # what is still claimed comes first, and 14.00 are left for the other
        assert written_off(tx, 1) == 2600 - 1400
    assert accounts()["recovered"] == -1400


def recover(provider: Provider, tx) -> Money:
    return recover_invoice(tx, provider.vault, load_business(tx, provider.vault), "staff:1", 1, "paid", NOW)
