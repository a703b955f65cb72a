"""Reminders: one per invoice, on its day, while something is open."""

from datetime import date, timedelta

from sqlalchemy import select

from base.business import load_business
from base.database import transaction
from base.money import Money
from billing.dunning import due_reminders, send_reminders
from billing.invoices import issue_due
from billing.payments import record_payment
from billing.tables import message
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)
REMIND = date(2026, 3, 18)  # due on the 15th, 3 days later


def bill(provider: Provider, **who: str) -> tuple[int, int]:
    """A subscriber with one invoice of 35.99 from the 1st of March."""
    provider.travel(noon(MARCH))
    subscriber_id = provider.subscriber(**who)
    provider.service(subscriber_id, provider.plan(), MARCH)
    (invoice_id,) = issue_due(noon(MARCH))
    return subscriber_id, invoice_id


def pay(provider: Provider, subscriber_id: int, minor: int) -> None:
    with transaction() as tx:
        record_payment(
            tx,
            provider.vault,
            load_business(tx, provider.vault),
            subscriber_id=subscriber_id,
            amount=Money(minor, "EUR"),
            method="cash",
            author="staff:1",
            now=noon(MARCH),
        )


def reminders() -> list[str]:
    with transaction() as tx:
        return list(tx.scalars(select(message.c.body).where(message.c.kind == "reminder_1").order_by(message.c.id)))


def test_one_reminder_on_its_day_and_never_again(provider: Provider):
    subscriber_id, invoice_id = bill(provider)
    pay(provider, subscriber_id, 500)
    assert send_reminders(noon(REMIND - timedelta(days=1))) == []
    with transaction() as tx:
        (due,) = due_reminders(tx, load_business(tx, provider.vault), REMIND)
        assert (due.invoice_id, due.subscriber_id) == (invoice_id, subscriber_id)
    assert send_reminders(noon(REMIND)) == [invoice_id]
    assert send_reminders(noon(REMIND)) == []
    assert send_reminders(noon(REMIND + timedelta(days=60))) == []
    (body,) = reminders()
    assert "INV-000001 was due on Mar 15, 2026, and €30.99 of it has not reached us yet." in body
    assert "Please pay by Mar 21, 2026." in body
    assert "from Mar 22, 2026 on" in body
    assert f"/invoices/{invoice_id}" in body
    with transaction() as tx:
        assert tx.scalar(select(message.c.key).where(message.c.kind == "reminder_1")) == f"reminder:{invoice_id}"


def test_who_has_paid_or_has_no_address_is_not_reminded(provider: Provider):
    paid, _ = bill(provider)
    pay(provider, paid, 3599)
    bill(provider, name="Without mail", email="")
    assert send_reminders(noon(REMIND)) == []
    assert reminders() == []


def test_each_invoice_has_its_own_and_speaks_of_the_oldest_debt(provider: Provider):
    _, first = bill(provider)
    (second,) = issue_due(noon(date(2026, 4, 1)))
    assert send_reminders(noon(date(2026, 4, 18))) == [first, second]
    for body in reminders():
        assert "Together with your other open invoices you owe €71.98." in body
        assert "Since Mar 22, 2026 your connection reaches only the pages where you can pay." in body


def test_after_the_last_service_has_ended_no_connection_is_at_stake(provider: Provider):
    _, invoice_id = bill(provider)
    with transaction() as tx:
        tx.exec_driver_sql("UPDATE service SET ends_on = '2026-03-10'")
    assert send_reminders(noon(REMIND)) == [invoice_id]
    assert "connection" not in reminders()[0]
