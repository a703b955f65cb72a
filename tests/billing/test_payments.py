"""Money received on a real database: applied, booked, receipted once, and felt by access at once."""

from datetime import date, timedelta
from random import Random

import pytest
from sqlalchemy import func, select

from base.access import AccessLevel
from base.business import load_business
from base.database import transaction
from base.money import Money
from base.tables import access_history, job, policy, trail
from billing.invoice_mail import write_invoice_mail
from billing.invoices import balance, issue_due, list_invoices, load_invoice, open_invoices
from billing.ledger import check_books, statement
from billing.payments import Recorded, record_payment
from billing.refused import Refused
from billing.tables import allocation, entry, message, payment, posting
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


@pytest.fixture
def anna(provider: Provider) -> int:
    """Somebody who owes three invoices of 35.99: issued in March, April and May."""
    provider.travel(noon(MARCH))
    subscriber_id = provider.subscriber()
    provider.service(subscriber_id, provider.plan(), MARCH)
    for month in (3, 4, 5):
        assert len(issue_due(noon(date(2026, month, 1)))) == 1
    return subscriber_id


def pay(provider: Provider, subscriber_id: int, amount: Money, day: date = date(2026, 5, 2), **more) -> Recorded:
    values = {"method": "transfer", "author": "staff:1", "now": noon(day), **more}
    with transaction() as tx:
        return record_payment(
            tx, provider.vault, load_business(tx, provider.vault), subscriber_id=subscriber_id, amount=amount, **values
        )


def still_open(subscriber_id: int) -> list[int]:
    with transaction() as tx:
        assert check_books(tx) == []
        return [each.open.minor for each in reversed(list_invoices(tx, subscriber_id))]


def test_money_goes_to_the_oldest_and_in_parts(provider: Provider, anna: int):
    assert still_open(anna) == [3599, 3599, 3599]
    pay(provider, anna, eur(5000))
    assert still_open(anna) == [0, 2198, 3599]
    pay(provider, anna, eur(100))
    assert still_open(anna) == [0, 2098, 3599]
    with transaction() as tx:
        assert balance(tx, anna) == eur(5697)
        assert [each.number for each in open_invoices(tx, anna)] == ["INV-000002", "INV-000003"]


def test_money_goes_where_it_was_meant_first(provider: Provider, anna: int):
    with transaction() as tx:
        newest = list_invoices(tx, anna)[0].id
    pay(provider, anna, eur(4000), invoice_ids=[newest])
    assert still_open(anna) == [3198, 3599, 0]
    pay(provider, anna, eur(4000), invoice_ids=[newest, 10**9])  # already paid, and unknown
    assert still_open(anna) == [0, 2797, 0]


def test_what_is_left_over_is_credit_that_the_next_invoice_uses(provider: Provider, anna: int):
    pay(provider, anna, eur(3 * 3599 + 4000))
    assert still_open(anna) == [0, 0, 0]
    with transaction() as tx:
        assert balance(tx, anna) == eur(-4000)
    for month, opened, owed in ((6, 0, -401), (7, 3198, 3198)):
        (invoice_id,) = issue_due(noon(date(2026, month, 1)))
        with transaction() as tx:
            assert check_books(tx) == []
            found = load_invoice(tx, invoice_id)
            assert found is not None
            assert (found.open, balance(tx, anna)) == (eur(opened), eur(owed))
            body = write_invoice_mail(tx, load_business(tx, provider.vault), invoice_id).body
        assert ("there is nothing to pay" if month == 6 else "settled €4.01 of it. Please pay €31.98") in body


def test_a_payment_leaves_its_traces(provider: Provider, anna: int):
    recorded = pay(provider, anna, eur(3599), method="card", gateway_id="pi_1", note="thanks")
    assert recorded.new
    with transaction() as tx:
        row = tx.execute(select(payment)).one()
        assert (row.id, row.receipt_number, row.received_on) == (recorded.payment_id, "R-000001", date(2026, 5, 2))
        assert (row.gateway_id, row.note, row.author, row.method) == ("pi_1", "thanks", "staff:1", "card")
        booked = select(posting.c.account, posting.c.subscriber_id, posting.c.amount_minor).join(
            entry, entry.c.id == posting.c.entry_id
        )
        sides = tx.execute(booked.where(entry.c.source == f"payment:{row.id}").order_by(posting.c.id)).all()
        assert [tuple(side) for side in sides] == [("stripe", None, 3599), ("customer_credit", anna, -3599)]
        assert [line.balance.minor for line in statement(tx, anna)] == [3599, 7198, 10797, 7198]
        mail = tx.execute(select(message).where(message.c.kind == "receipt")).one()
        assert mail.key == f"receipt:{row.id}"
        assert "Invoice INV-000001: €35.99" in mail.body
        rendered = tx.scalars(select(job.c.payload).where(job.c.kind == "render_document")).all()
        assert {"format": 1, "kind": "receipt", "id": row.id} in rendered
        kept = tx.execute(select(trail.c.actor, trail.c.subject_id).where(trail.c.act == "payment.recorded")).one()
        assert tuple(kept) == ("staff:1", anna)


@pytest.mark.parametrize(("method", "account"), [("cash", "cash"), ("transfer", "bank"), ("card", "stripe")])
def test_each_method_lies_in_its_own_account(provider: Provider, anna: int, method: str, account: str):
    pay(provider, anna, eur(700), method=method)
    with transaction() as tx:
        assert tx.scalar(select(func.sum(posting.c.amount_minor)).where(posting.c.account == account)) == 700


def test_a_gateway_id_is_recorded_once(provider: Provider, anna: int):
    first = pay(provider, anna, eur(3599), method="card", gateway_id="pi_1")
    again = pay(provider, anna, eur(3599), method="card", gateway_id="pi_1", day=date(2026, 6, 1))
    assert again == Recorded(first.payment_id, new=False)
    bert = provider.subscriber("Bert")
    for payer, amount in ((anna, 3600), (bert, 3599)):
        with pytest.raises(Refused, match="pi_1 is recorded already"):
            pay(provider, payer, eur(amount), method="card", gateway_id="pi_1")
    assert still_open(anna) == [0, 3599, 3599]
    with transaction() as tx:
        assert tx.scalar(select(func.count()).select_from(payment)) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": Money(100, "USD")}, "amount"),
        ({"amount": Money(0, "EUR")}, "amount"),
        ({"amount": Money(-100, "EUR")}, "amount"),
        ({"method": "barter"}, "method"),
        ({"subscriber_id": 10**9}, "subscriber_id"),
    ],
)
def test_what_cannot_be_is_refused_and_takes_no_number(provider: Provider, anna: int, change: dict, field: str):
    with pytest.raises(Refused) as caught:
        pay(provider, **{"subscriber_id": anna, "amount": eur(100), **change})
    assert caught.value.field == field
    pay(provider, anna, eur(100))
    with transaction() as tx:
        assert tx.scalars(select(payment.c.receipt_number)).all() == ["R-000001"]
        assert check_books(tx) == []


def test_access_comes_back_in_the_commit_of_the_payment(provider: Provider, anna: int):
    second = provider.service(anna, provider.plan(price=0), MARCH)
    provider.live(date(2026, 5, 2), date(2026, 5, 10))

    def levels() -> set[int]:
        with transaction() as tx:
            return set(tx.scalars(select(policy.c.level)))

    assert levels() == {AccessLevel.WALLED}
    pay(provider, anna, eur(3599), date(2026, 5, 10))
    assert levels() == {AccessLevel.WALLED}  # April is overdue as well
    payment_id = pay(provider, anna, eur(3599), date(2026, 5, 10)).payment_id
    assert levels() == {AccessLevel.FULL}
    with transaction() as tx:
        causes = tx.execute(
            select(access_history.c.service_id, access_history.c.because).order_by(access_history.c.id)
        ).all()
    assert causes[-2:] == [(second - 1, f"payment:{payment_id}"), (second, f"payment:{payment_id}")]


def test_rolled_back_money_leaves_nothing(provider: Provider, anna: int):
    with transaction() as tx:
        record_payment(
            tx,
            provider.vault,
            load_business(tx, provider.vault),
            subscriber_id=anna,
            amount=eur(3599),
            method="cash",
            author="staff:1",
            now=noon(date(2026, 5, 2)),
        )
        tx.rollback()
    assert still_open(anna) == [3599, 3599, 3599]
    pay(provider, anna, eur(1))
    with transaction() as tx:
        assert tx.scalars(select(payment.c.receipt_number)).all() == ["R-000001"]
        assert tx.scalar(select(func.count()).select_from(allocation)) == 1


def test_a_year_of_random_payments_keeps_the_books(provider: Provider, anna: int):
    random = Random(3)
    day = date(2026, 5, 2)
    for _ in range(40):
        day += timedelta(days=random.randrange(1, 15))
        issue_due(noon(day))
        with transaction() as tx:
            ids = [each.id for each in list_invoices(tx, anna)]
        pay(provider, anna, eur(random.randrange(1, 5000)), day, invoice_ids=random.sample(ids, 2))
        still_open(anna)
        with transaction() as tx:
            # credit never lies idle beside something open
            owed = sum(each.open.minor for each in open_invoices(tx, anna))
            assert balance(tx, anna).minor == owed or owed == 0
