"""Issuing invoices on a real database: what is on them, once, complete, and frozen."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from base.business import load_business
from base.calendar import Period
from base.database import transaction
from base.money import Money
from base.offers import plan
from base.tables import job, service
from billing.draft import due_lines
from billing.invoice_mail import write_invoice_mail
from billing.invoices import (
    InvoiceSummary,
    balance,
    issue_due,
    issue_for_subscriber,
    list_invoices,
    load_invoice,
    open_invoices,
)
from billing.issue import due_subscribers
from billing.ledger import check_books, statement
from billing.numbers import start_series
from billing.recurring import load_recurring, mark_billed
from billing.refused import Refused
from billing.sweep import Unfinished
from billing.tables import invoice, invoice_line, message
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def test_one_invoice_gathers_all_services_that_are_due(provider: Provider):
    provider.set(company_name="Nord", company_address="1 Rue\nLille", company_tax_number="FR1", due_days=10)
    provider.travel(noon(date(2026, 2, 27)))
    anna = provider.subscriber("Zoë <b>")
    first = provider.service(anna, provider.plan(price=1002), MARCH)
    second = provider.service(anna, provider.plan(price=1002), MARCH)
    third = provider.service(anna, provider.plan(price=1000, tax="5.5", cycle=3), MARCH)
    provider.service(anna, provider.plan(), date(2026, 4, 1))
    assert issue_due(noon(date(2026, 2, 27))) == []
    (invoice_id,) = issue_due(noon(date(2026, 2, 28)))
    with transaction() as tx:
        found = load_invoice(tx, invoice_id)
        assert found is not None
        assert (found.number, found.subscriber_id) == ("INV-000001", anna)
        assert (found.issued_on, found.due_on) == (date(2026, 2, 28), date(2026, 3, 10))
        assert [(line.service_id, line.period, line.net, line.tax_rate) for line in found.lines] == [
            (first, Period(MARCH, date(2026, 4, 1)), eur(1002), "20 %"),
            (second, Period(MARCH, date(2026, 4, 1)), eur(1002), "20 %"),
            (third, Period(MARCH, date(2026, 6, 1)), eur(1000), "5.5 %"),
        ]
        assert [(group.percent, group.net, group.tax) for group in found.taxes] == [
            (Decimal("5.5"), eur(1000), eur(55)),
            (Decimal("20"), eur(2004), eur(401)),
        ]
        assert (found.net, found.tax, found.total, found.open) == (eur(3004), eur(456), eur(3460), eur(3460))
        assert found.seller == {"name": "Nord", "address": "1 Rue\nLille", "tax_number": "FR1", "country": ""}
        assert found.buyer == {
            "name": "Zoë <b>",
            "address": "",
            "number": "00001",
            "tax_number": "",
            "country": "",
        }
        assert [each.open for each in open_invoices(tx, anna)] == [eur(3460)]
        assert balance(tx, anna) == eur(3460)
        assert list_invoices(tx, anna) == [
            InvoiceSummary(invoice_id, "INV-000001", date(2026, 2, 28), date(2026, 3, 10), eur(3460), eur(3460))
        ]
        assert load_invoice(tx, invoice_id + 1) is None
        assert check_books(tx) == []


def test_with_the_invoice_come_its_jobs_and_its_mail(provider: Provider):
    provider.travel(noon(MARCH))
    provider.service(provider.subscriber(), provider.plan(), MARCH)
    (invoice_id,) = issue_due(noon(MARCH))
    with transaction() as tx:
        jobs = tx.execute(select(job.c.kind, job.c.payload).order_by(job.c.id)).all()
        mail = tx.execute(select(message)).one()
    assert [(row.kind, row.payload) for row in jobs] == [
        ("tick", {"format": 1}),  # the new service's own: it is billed without waiting for the next minute
        ("render_document", {"format": 1, "kind": "invoice", "id": invoice_id}),
        ("send_message", {"format": 1, "message_id": mail.id}),
    ]
    assert (mail.kind, mail.key, mail.invoice_id) == ("invoice", f"invoice:{invoice_id}", invoice_id)
    assert (mail.subject, mail.body) == ("INV-000001", "")  # the words are written when it leaves
    with transaction() as tx:
        letter = write_invoice_mail(tx, load_business(tx, provider.vault), invoice_id)
    assert letter.subject == "Invoice INV-000001 from My Internet Provider: €35.99"
    assert f"/p/{invoice_id}-" in letter.body


def test_running_again_bills_nothing_and_missed_months_are_caught_up(provider: Provider):
    provider.travel(noon(MARCH))
    anna = provider.subscriber()
    service_id = provider.service(anna, provider.plan(), date(2026, 1, 31))
    assert len(issue_due(noon(date(2026, 1, 30)))) == 1
    assert issue_due(noon(date(2026, 1, 30))) == []
    assert len(issue_due(noon(date(2026, 5, 29)))) == 1
    assert issue_due(noon(date(2026, 3, 1))) == []
    with transaction() as tx:
        starts = tx.scalars(select(invoice_line.c.period_start).order_by(invoice_line.c.id)).all()
        billed = tx.scalar(select(service.c.billed_until).where(service.c.id == service_id))
        assert [str(day) for day in starts] == ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]
        assert billed == date(2026, 5, 31)
        assert [each.number for each in open_invoices(tx, anna)] == ["INV-000001", "INV-000002"]
        assert [(line.amount, line.balance) for line in statement(tx, anna)] == [
            (eur(3599), eur(3599)),
            (eur(10796), eur(14395)),  # 3 × 29.99 and 20 % of the sum, rounded once
        ]
        assert check_books(tx) == []


def test_the_day_is_the_providers(provider: Provider):
    provider.set(time_zone="Pacific/Auckland", issue_days_before=0)
    provider.travel(datetime(2026, 2, 1, tzinfo=UTC))
    provider.service(provider.subscriber(), provider.plan(), MARCH)
    assert issue_due(datetime(2026, 2, 28, 10, 59, tzinfo=UTC)) == []
    (invoice_id,) = issue_due(datetime(2026, 2, 28, 11, 0, tzinfo=UTC))
    with transaction() as tx:
        assert tx.scalar(select(invoice.c.issued_on).where(invoice.c.id == invoice_id)) == MARCH


def test_what_is_free_is_never_invoiced_by_itself(provider: Provider):
    provider.travel(noon(MARCH))
    anna, bert = provider.subscriber(), provider.subscriber("Bert")
    free = provider.plan(price=0)
    lonely = provider.service(anna, free, MARCH)
    provider.service(bert, free, MARCH)
    provider.service(bert, provider.plan(), MARCH)
    (invoice_id,) = issue_due(noon(MARCH))
    with transaction() as tx:
        found = load_invoice(tx, invoice_id)
        assert found is not None
        assert (found.subscriber_id, [line.net for line in found.lines]) == (bert, [eur(0), eur(2999)])
        assert tx.scalar(select(service.c.billed_until).where(service.c.id == lonely)) == date(2026, 4, 1)
        assert check_books(tx) == []


def test_a_subscriber_alone_can_be_billed(provider: Provider):
    now = provider.travel(noon(MARCH))
    anna, bert = provider.subscriber(), provider.subscriber("Bert")
    provider.service(anna, provider.plan(), MARCH)
    with transaction() as tx:
        business = load_business(tx, provider.vault)
        assert issue_for_subscriber(tx, provider.vault, business, bert, now) is None
        assert issue_for_subscriber(tx, provider.vault, business, 10**9, now) is None
        invoice_id = issue_for_subscriber(tx, provider.vault, business, anna, now)
        assert issue_for_subscriber(tx, provider.vault, business, anna, now) is None
    with transaction() as tx:
        assert tx.scalars(select(invoice.c.id)).all() == [invoice_id]


def test_one_that_cannot_be_billed_keeps_back_only_itself(provider: Provider):
    provider.travel(noon(MARCH))
    home = provider.plan()
    payers = [provider.subscriber(f"Payer {number}") for number in range(5)]
    for payer in payers:
        provider.service(payer, home, MARCH)
    odd = provider.service(payers[2], provider.plan(), MARCH)
    with transaction() as tx:
        odd_plan = select(service.c.plan_id).where(service.c.id == odd).scalar_subquery()
        tx.execute(update(plan).where(plan.c.id == odd_plan).values(currency="USD"))
    with pytest.raises(Unfinished, match="USD") as caught:
        issue_due(noon(MARCH))
    assert list(caught.value.failures) == [payers[2]]
    with transaction() as tx:
        billed = tx.scalars(select(invoice.c.subscriber_id).order_by(invoice.c.id)).all()
        assert billed == [payer for payer in payers if payer != payers[2]]
        assert check_books(tx) == []
        tx.execute(update(plan).values(currency="EUR"))
    assert len(issue_due(noon(MARCH))) == 1


def test_an_issued_invoice_cannot_be_changed(provider: Provider):
    provider.travel(noon(MARCH))
    provider.service(provider.subscriber(), provider.plan(), MARCH)
    (invoice_id,) = issue_due(noon(MARCH))
    for statement_ in (
        update(invoice).where(invoice.c.id == invoice_id).values(total_minor=1),
        invoice_line.delete(),
    ):
        with pytest.raises(DBAPIError, match="never changed or deleted"):
            with transaction() as tx:
                tx.execute(statement_)


def test_the_database_and_the_rule_agree_on_who_is_due(provider: Provider):
    random = Random(7)
    provider.travel(noon(date(2024, 1, 1)))
    plans = [provider.plan(cycle=cycle) for cycle in (1, 2, 3, 12)]
    plans += [provider.plan(cycle=cycle, in_arrears=True) for cycle in (1, 12)]
    payers = [provider.subscriber(f"{number}", email="") for number in range(40)]
    for _ in range(100):
        provider.service(random.choice(payers), random.choice(plans), date(2024, 1, 1 + random.randrange(28)))
    day, none = date(2024, 1, 1), 0
    for _ in range(30):
        day += timedelta(days=random.randrange(40))
        with transaction() as tx:
            recurring = load_recurring(tx, payers=payers)
            owner = dict(tx.execute(select(service.c.id, service.c.payer_id)).all())
            expected = {owner[each.service_id] for each in recurring if due_lines(each, day, 3)[0]}
            assert due_subscribers(tx, day, 3) == sorted(expected)
            none += not expected
            mark_billed(tx, [(each, due_lines(each, day, 3)[1]) for each in recurring])
    assert none < 20


def test_the_series_starts_where_the_old_system_stopped(provider: Provider):
    provider.travel(noon(MARCH))
    with transaction() as tx:
        assert start_series(tx, "staff:1", "invoice", "INV-", 1201, MARCH) == "INV-001201"
        start_series(tx, "staff:1", "invoice", "INV-", 1301, MARCH)  # a slip of the hand, put right
        with pytest.raises(Refused, match="1 to"):
            start_series(tx, "staff:1", "invoice", "INV-", 0, MARCH)
    provider.service(provider.subscriber(), provider.plan(), MARCH)
    (invoice_id,) = issue_due(noon(MARCH))
    with transaction() as tx:
        assert tx.scalar(select(invoice.c.number).where(invoice.c.id == invoice_id)) == "INV-001301"
        assert check_books(tx) == []
        with pytest.raises(Refused, match="INV-001301 was given already"):
            start_series(tx, "staff:1", "invoice", "INV-", 2000, MARCH)
        assert start_series(tx, "staff:1", "invoice", "R{year}-", 7, MARCH) == "R2026-000007"
