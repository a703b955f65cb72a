"""Debts and credit of an old system: owed here, no revenue here, and dunned where it stopped."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from base import tables
from base.business import load_business
from base.database import transaction
from base.money import Money
from billing.close import close_month
from billing.credit_notes import credit_invoice, write_off_invoice
from billing.documents import fetch, invoice_html, receipt_html, render
from billing.dunning.policies import load_policies
from billing.dunning.tables import dunning_step, exemption
from billing.earnings import earned_between, unearned_before
from billing.export import export
from billing.importers.balances import steps_behind
from billing.refused import Refused
from billing.reports.catalogue import REPORTS
from billing.reports.collection_load import load_bills, load_received
from billing.reports.debts_load import load_movements
from billing.reports.revenue_load import load_sold
from billing.reports.shape import Window, month_of
from billing.tables import entry, invoice, message, open_credit, open_item, payment, posting, series
from tests.billing.importing import DEBTS, NOW, TODAY, books, one, right, rows, said, take
from tests.billing.provider import noon


def test_debts_are_owed_here_and_are_no_revenue(people):
    report = take(people, "balances", DEBTS)
    assert (right(report), report.left_out) == ((3, 0), 1)
    assert report.sums == (("credit", Money(1250, "EUR")), ("open invoices", Money(105998, "EUR")))
    assert report.notes == ("1 are overdue already.",)
    found = {row.number: row for row in rows(select(invoice))}
    assert (found["A-17"].issued_on, found["A-17"].due_on, found["A-17"].series) == (
        date(2026, 9, 1),
        date(2026, 9, 15),
        "opening",
    )
    balances = {
        row.account: row.minor
        for row in rows(
            select(posting.c.account, func.sum(posting.c.amount_minor).label("minor")).group_by(posting.c.account)
        )
    }
    assert balances == {"receivable": 105998, "customer_credit": -1250, "opening": -104748}
    assert {row.day for row in rows(select(entry.c.day))} == {TODAY}
    assert books() == []
    assert right(take(people, "balances", DEBTS)) == (0, 3)
    # our own numbers are as if nothing had been
    assert {row.name for row in rows(select(series))} == {"subscriber", "opening", "opening_credit"}
    # payable under the old number, and then here already all the same
    anna = found["A-17"].subscriber_id
    people.pay(anna, 2999)
    assert [row.invoice_id for row in rows(select(open_item))] == [found["A-18"].id]
    assert right(take(people, "balances", DEBTS)) == (0, 3)
    with transaction() as tx:
        business = load_business(tx, people.vault)
        with pytest.raises(Refused, match="taken over from the old system"):
            credit_invoice(tx, people.vault, business, "staff:1", found["A-18"].id, "wrong", NOW)
        write_off_invoice(tx, people.vault, business, "staff:1", found["A-18"].id, "gone", NOW)
    assert books() == []


def test_reports_and_the_close_know_what_was_taken_over(people):
    """Owed from the day of the move on; neither sold nor earned nor collected here, nor late by our doing."""
    right(take(people, "balances", DEBTS))

    def report(name, on):
        window = Window(month_of(on.replace(day=1)), on, "EUR", months=3)
        with transaction() as tx:
            return REPORTS[name].make(tx, load_business(tx, people.vault), window)

    with transaction() as tx:
        window = Window(month_of(date(2026, 11, 1)), TODAY, "EUR", months=3)
        movements = load_movements(tx, window, ZoneInfo("UTC"))
        assert earned_between(tx, date(2026, 1, 1), date(2027, 1, 1)) == {}
        assert unearned_before(tx, date(2026, 12, 1)) == {}
        assert load_bills(tx, window, ZoneInfo("UTC")) == load_received(tx, window) == load_sold(tx, window) == []
        exported = {
            form: "".join(export(tx, date(2026, 1, 1), date(2026, 12, 31), form))
            for form in ("csv", "beancount", "hledger")
        }
    assert [(each.day, each.minor) for each in movements] == [(TODAY, 2999), (TODAY, 102999)]
    assert sum(row.values[-1] for row in report("revenue", TODAY).rows) == 0
    assert all("Equity:9000-Opening-Balances" in words for form, words in exported.items() if form != "csv")
    later = people.travel(noon(date(2026, 12, 2)))
    with transaction() as tx:
        close_month(tx, load_business(tx, people.vault), "staff:1", date(2026, 11, 1), later)
    assert books() == []
    refused = take(people, "payments", "subscriber,amount,date\n1001,1,2026-11-30\n1001,1,2026-12-01\n", now=later)
    assert said(refused) == [
        (2, "date", "The books are closed for 2026-11: the first day that can be used is 2026-12-01."),
    ]


def test_what_was_taken_over_is_shown_as_such(people, capsys):
    right(take(people, "balances", DEBTS))
    found = one(select(invoice.c.id).where(invoice.c.number == "A-17")).id
    credit = one(select(payment.c.id)).id
    people.set(e_invoice="factur-x", company_country="DE", company_tax_number="DE136695976")
    with transaction() as tx:
        business = load_business(tx, people.vault)
        page = invoice_html(tx, business, people.vault, found)
        receipt = receipt_html(tx, business, people.vault, credit)
    papers = {row.key for row in rows(select(tables.job.c.key).where(tables.job.c.kind == "render_document"))}
    assert papers >= {f"document:invoice:{found}", f"document:receipt:{credit}"}
    render("invoice", found)
    with transaction() as tx:
        pdf = fetch(tx, "invoice", found)
    assert pdf is not None
    assert "einvoice_refused" not in capsys.readouterr().out  # no e-invoice is tried: the old system's stands
    assert "Open item" in page
    assert "Open of invoice A-17" in page
    assert "Taken over" in receipt


def test_credit_settles_debts_and_then_our_first_bill(people):
    right(
        take(
            people,
            "services",
            "subscriber,login,password,plan,starts_on,paid_until\n1002,b,b,Home 1,2023-01-01,2026-12-01\n",
        )
    )
    right(
        take(
            people,
            "balances",
            "subscriber,number,issued_on,due_on,amount\n1002,B-1,2026-10-01,2026-10-15,10\n1002,,,,-15.00\n",
        )
    )
    assert rows(select(open_item)) == []
    assert one(select(open_credit.c.left_minor)).left_minor == 500
    people.live(date(2026, 11, 30), date(2026, 11, 30))
    assert one(select(open_item.c.open_minor)).open_minor == 3600 - 500
    assert {row.kind for row in rows(select(message.c.kind))} == {"invoice"}
    assert books() == []


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_credit_meets_debt_in_whichever_order_they_come(people, order):
    head = "subscriber,number,issued_on,due_on,amount\n"
    files = (head + "1001,,,,-15\n", head + "1001,B-1,2026-10-01,2026-10-15,10\n")
    for each in order:
        right(take(people, "balances", files[each]))
    assert rows(select(open_item)) == []
    assert one(select(open_credit.c.left_minor)).left_minor == 500
    assert books() == []


def test_faults_of_balances(people):
    right(take(people, "balances", DEBTS))
    people.pay(one(select(tables.subscriber.c.id).where(tables.subscriber.c.number == "1001")).id, 1)
    report = take(
        people,
        "balances",
        "subscriber,number,issued_on,due_on,amount\n"
        "1002,A-17,2026-09-01,2026-09-15,29.99\n"
        "1001,A-18,2026-11-01,2026-12-01,1029.98\n"
        "9,A-19,2026-11-01,2026-12-01,1\n"
        "1001,INV-000017,2026-11-01,2026-12-01,1\n"
        "1001,A-20,2026-11-01,2026-12-01,1\n"
        "1001,A-20,2026-11-01,2026-12-01,1\n"
        "1002,,,,-13\n"
        "1002,A-21,,,13\n",
    )
    assert [(line, column) for line, column, _ in said(report)] == [
        (2, "number"), (3, "number"), (4, "subscriber"), (5, "number"), (7, "number"), (8, "amount"), (9, "issued_on"),
    ]  # fmt: skip
    assert "a number that our own invoices will have" in report.faults[3].sentence


def test_dunning_goes_on_where_the_old_system_stopped_and_rests_first(people):
    right(
        take(
            people,
            "services",
            "subscriber,login,password,plan,starts_on,paid_until\n1001,a,b,Home 1,2023-01-01,2027-06-01\n",
        )
    )
    right(
        take(people, "balances", "subscriber,number,issued_on,due_on,amount\n1001,A-17,2026-09-01,2026-09-15,29.99\n")
    )
    service_id = one(select(tables.service.c.id)).id
    assert {row.act for row in rows(select(dunning_step.c.act))} == {"due_notice", "reminder_1", "reminder_2"}
    assert one(select(exemption.c.until_on)).until_on == TODAY + timedelta(days=14)
    people.live(TODAY, TODAY + timedelta(days=13))
    assert rows(select(message)) == []
    people.live(TODAY + timedelta(days=14), TODAY + timedelta(days=18))
    assert [row.kind for row in rows(select(message.c.kind))] == ["final_notice"]
    assert people.level(service_id).name == "FULL"
    people.live(TODAY + timedelta(days=19), TODAY + timedelta(days=20))
    assert people.level(service_id).name == "WALLED"
    people.pay(one(select(tables.service.c.payer_id)).payer_id, 2999)
    assert people.level(service_id).name == "FULL"
    assert books() == []


def test_what_a_policy_leaves_to_the_old_system(people):
    with transaction() as tx:
        policy = load_policies(tx, load_business(tx, people.vault)).of(None)
    assert steps_behind(policy, 0) == []
    assert steps_behind(policy, 3) == ["due_notice"]
    assert steps_behind(policy, 500) == ["due_notice", "reminder_1", "reminder_2"]
