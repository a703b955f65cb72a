"""Importing: all of a file or nothing, once, billed by us from the day on that nobody has billed, and in silence."""

import subprocess
import sys
import textwrap
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select, update

from base import tables
from base.business import load_business
from base.calendar import Period
from base.database import transaction
from base.money import Money
from base.offers import service_plan
from billing.anomalies import never_billed
from billing.bill_facts import find_unbilled
from billing.close import close_month
from billing.credit_notes import credit_invoice, write_off_invoice
from billing.documents import fetch, invoice_html, receipt_html, render
from billing.dunning.policies import load_policies
from billing.dunning.tables import dunning_step, exemption
from billing.earnings import earned_between, unearned_before
from billing.export import export
from billing.importers.balances import steps_behind
from billing.importers.examples import EXAMPLES
from billing.importers.reader import Reading
from billing.importers.run import import_file
from billing.ledger import check_books
from billing.refused import Refused
from billing.reports.catalogue import REPORTS
from billing.reports.collection_load import load_bills, load_received
from billing.reports.debts_load import load_movements
from billing.reports.revenue_load import load_sold
from billing.reports.shape import Window, month_of
from billing.services import add_service, add_subscriber
from billing.tables import entry, invoice, invoice_line, message, open_credit, open_item, payment, posting, series
from tests.billing.provider import live_a_day, noon

TODAY = date(2026, 11, 24)
NOW = noon(TODAY)


@pytest.fixture
def moving(provider):
    """A provider on the day of the move, with one plan."""
    provider.travel(NOW)
    provider.set(invoice_prefix="INV-")
    provider.home = provider.plan(3000)
    return provider


def take(provider, kind, data, *, tell=lambda done, of: None, commit=True, now=NOW, quiet_days=14, **said):
    """Import in a transaction of its own."""
    with transaction() as tx:
        return import_file(
            tx, provider.vault, load_business(tx, provider.vault), "staff:1", kind,
            data if isinstance(data, bytes) else data.encode(), now,
            reading=Reading(**said), commit=commit, quiet_days=quiet_days, tell=tell,
        )  # fmt: skip


def right(report):
    assert report.faults == ()
    return report.new, report.known


def said(report):
    assert not report.committed
    return [(fault.line, fault.column, fault.sentence) for fault in report.faults]


def rows(query):
    with transaction() as tx:
        return tx.execute(query).all()


def one(query):
    [row] = rows(query)
    return row


def books():
    with transaction() as tx:
        return check_books(tx)


def count(table):
    return one(select(func.count()).select_from(table))[0]


PEOPLE = "number,name,email,billing_day\n1001,Anna,anna@example.net,\n1002,Bert,bert@example.net,1\n"


@pytest.fixture
def people(moving):
    right(take(moving, "subscribers", PEOPLE))
    return moving


def test_subscribers_keep_their_numbers_and_ours_go_on_after_them(moving):
    data = (
        "number;name;language;country;tax_treatment;tax_number;note\n"
        "1001;Anna;de;DE;;;\n;Zoe;;;;;\nK-7;Jörg;;de;reverse_charge;DE 136 695 976;x\n"
    )
    report = take(moving, "subscribers", data.encode("latin-1"), commit=False)
    assert (report.new, report.encoding, report.delimiter, report.decimal) == (3, "latin-1", ";", ",")
    assert report.first == ("1001 · Anna", "(to be numbered) · Zoe", "K-7 · Jörg")
    assert count(tables.subscriber) == 0
    assert right(take(moving, "subscribers", data.encode("latin-1"))) == (3, 0)
    found = {row.name: row for row in rows(select(tables.subscriber))}
    assert {name: row.number for name, row in found.items()} == {"Anna": "1001", "Zoe": "01002", "Jörg": "K-7"}
    checked = found["Jörg"]
    assert (checked.tax_number, checked.tax_number_check, checked.country) == ("DE136695976", "format", "DE")
    assert checked.tax_number_checked_on == TODAY
    with transaction() as tx:
        new = add_subscriber(tx, moving.vault, "system", name="Later")
    assert one(select(tables.subscriber.c.number).where(tables.subscriber.c.id == new)).number == "01003"
    # the same file again doubles nobody
    assert right(take(moving, "subscribers", data.encode("latin-1"))) == (0, 3)
    assert count(tables.subscriber) == 4
    assert count(message) == 0


def test_faults_of_subscribers(people):
    report = take(
        people,
        "subscribers",
        "number,name,country,tax_treatment,tax_number\n1001,Carla,,,\n5,Eve,,,\n5,Adam,,,\n6,Ida,DE,reverse_charge,DE1\n,Max,,,\n,Max,,,\n",
    )
    assert said(report) == [
        (2, "number", "The account number 1001 is taken by Anna, and the row is about Carla."),
        (4, "number", "The account number 5 stands in line 3 already."),
        (5, "tax_number", "'DE1' is not a tax number of DE."),
        (7, "number", "Max with the same mail, phone and address stands in line 6 already."),
    ]
    assert count(tables.subscriber) == 2


def test_services_are_billed_from_the_day_on_that_nobody_has_billed(people):
    data = (
        "subscriber,login,password,plan,starts_on,paid_until,address,price,price_reason,contract_until\n"
        "1001,anna,secret,Home 1,2023-03-17,2026-12-01,192.0.2.7,24.90,Agreed,2027-06-01\n"
        "1002,bert,secret,Home 1,2024-06-10,2026-11-24,,,,\n"
        "1002,bert2,secret,Home 1,24.12.2026,,,,,\n"
    )
    report = take(people, "services", data)
    assert right(report) == (3, 0)
    assert report.notes[0] == "3 on Home 1."
    assert "1 have a price of their own." in report.notes
    assert "1 are due to be billed at once, because the old system has not billed them so far." in report.notes
    found = {row.login: row for row in rows(select(tables.service))}
    anna = found["anna"]
    assert (anna.billed_until, anna.contract_until, str(anna.address)) == (
        date(2026, 12, 1),
        date(2027, 6, 1),
        "192.0.2.7",
    )
    assert people.vault.unlock_text(anna.password) == "secret"
    anchors = {row.service_id: row.anchor_on for row in rows(select(service_plan))}
    assert anchors == {
        anna.id: date(2026, 12, 1),
        found["bert"].id: date(2024, 7, 1),
        found["bert2"].id: date(2027, 1, 1),
    }
    assert {people.level(found[login].id).name for login in ("anna", "bert")} == {"FULL"}
    odd = {}
    for day in (
        date(2026, 12, 20),
        date(2027, 1, 20),
    ):  # not odd before a period of ours is over
        with transaction() as tx:
            unbilled = find_unbilled(tx, day, None, 1)
        odd[day] = {each.login for each in unbilled if never_billed(each, day, 1, now=False)}
    assert list(odd.values()) == [set(), {"anna", "bert"}]
    # nobody is greeted, nobody told of access, no set-up fee
    assert count(message) == 0
    for ahead in range(9):
        live_a_day(people.travel(NOW + timedelta(days=ahead)))
    lines = rows(select(invoice_line).order_by(invoice_line.c.id))
    periods = {(row.service_id, Period(row.period_start, row.period_end), row.amount_minor) for row in lines}
    assert periods == {
        (found["bert"].id, Period(date(2026, 11, 24), date(2026, 12, 1)), 700),  # 7 of 30 days
        (found["bert"].id, Period(date(2026, 12, 1), date(2027, 1, 1)), 3000),
        (anna.id, Period(date(2026, 12, 1), date(2027, 1, 1)), 2490),
    }
    assert books() == []
    assert right(take(people, "services", data)) == (0, 3)
    assert count(tables.service) == 3


def test_who_was_taken_over_is_not_greeted_for_a_second_service_either(people):
    right(
        take(
            people,
            "services",
            "subscriber,login,password,plan,starts_on,paid_until\n1001,a,b,Home 1,2023-01-01,2027-01-01\n",
        )
    )
    anna = one(select(tables.subscriber.c.id).where(tables.subscriber.c.number == "1001")).id
    bert = one(select(tables.subscriber.c.id).where(tables.subscriber.c.number == "1002")).id
    with transaction() as tx:
        for subscriber_id, login in ((anna, "more"), (bert, "first"), (bert, "second")):
            add_service(
                tx, people.vault, "system", subscriber_id=subscriber_id, plan_id=people.home, login=login, password="x"
            )
    assert [row.key for row in rows(select(message.c.key).where(message.c.kind == "welcome"))] == [f"welcome:{bert}"]


def test_faults_of_services(people):
    people.plan(1000, currency="USD")
    people.plan(3000, prorated=False)
    right(
        take(
            people,
            "services",
            "subscriber,login,password,plan,starts_on,address\n1001,old,b,Home 1,2026-11-24,192.0.2.1\n",
        )
    )
    head = "subscriber,login,password,plan,starts_on,paid_until,address,price,price_reason\n"
    report = take(
        people,
        "services",
        head
        + "1002,old,b,Home 1,2026-11-24,,,,\n"
        + "9,new1,b,Home 1,2026-11-24,,,,\n"
        + "1001,new2,b,Attic,2026-11-24,,,,\n"
        + "1001,new3,b,Home 2,2026-11-24,,,,\n"
        + "1001,new4,b,Home 1,2026-11-24,,192.0.2.1,,\n"
        + "1001,new5,b,Home 1,2026-11-24,,192.0.2.2,,\n"
        + "1001,new5,b,Home 1,2026-11-24,,192.0.2.2,,\n"
        + '1001,new6,b,Home 1,2026-11-24,,,"1,5",why\n'
        + "1001,new7,b,Home 1,2026-11-24,,,-1,why\n"
        + "1002,new8,b,Home 3,2026-01-01,2026-11-24,,,\n",
    )
    assert said(report) == [
        (2, "login", "The login 'old' is taken by the subscriber 1001."),
        (3, "subscriber", "There is no subscriber with the account number '9'."),
        (4, "plan", "There is no plan 'Attic'; there are: Home 1, Home 2, Home 3."),
        (5, "plan", "Home 2 is priced in USD, the subscriber pays in EUR."),
        (6, "address", "The address 192.0.2.1 belongs to 'old'."),
        (8, "address", "The address 192.0.2.2 stands in line 7 already."),
        (8, "login", "The login 'new5' stands in line 7 already."),
        (9, "price", "'1,5' has a comma, but the decimal sign of this file is the point; --decimal changes it."),
        (10, "price", "A price is not negative."),
        (
            11,
            "paid_until",
            "Home 3 does not bill parts of a period, and 2026-11-24 is not on the subscriber's billing day 1: the days "
            "until then would cost nothing.",
        ),
    ]
    assert count(tables.service) == 1


DEBTS = (
    "subscriber;number;issued_on;due_on;amount\n"
    "1001;A-17;01.09.2026;15.09.2026;29,99\n"
    "1001;A-18;01.11.2026;01.12.2026;1.029,99\n"
    "1002;;;;-12,50\n"
    "1002;;;;0\n"
)


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


def test_a_bank_statement_is_taken_once(people):
    right(take(people, "balances", DEBTS))
    data = (
        "subscriber,invoice,amount,date,note,reference\n"
        "1001,,10.00,2026-11-20,Berg,\n"
        "1001,,10.00,2026-11-20,Berg,\n"
        ",A-18,29.99,2026-11-21,,TX-1\n"
    )
    report = take(people, "payments", data)
    assert (right(report), report.sums) == ((3, 0), (("received", Money(4999, "EUR")),))
    assert report.notes == ("1 movements come more than once, letter for letter; each is taken as money of its own.",)
    found = rows(select(payment).where(payment.c.method == "transfer").order_by(payment.c.id))
    assert [(row.amount_minor, row.received_on) for row in found] == [
        (1000, date(2026, 11, 20)), (1000, date(2026, 11, 20)), (2999, date(2026, 11, 21)),
    ]  # fmt: skip
    left = {
        row.number: row.open_minor for row in rows(select(invoice.c.number, open_item.c.open_minor).join(open_item))
    }
    assert left == {"A-17": 999, "A-18": 100000}
    assert right(take(people, "payments", data)) == (0, 3)
    # the next statement overlaps
    later = "subscriber,invoice,amount,date,note,reference\n1001,,10.00,2026-11-20,Berg,\n1001,,9.99,2026-11-23,Berg,\n"
    assert right(take(people, "payments", later)) == (1, 1)
    assert books() == []


def test_faults_of_payments(people):
    right(take(people, "balances", DEBTS))
    head = "subscriber,invoice,amount,date,reference\n"
    right(take(people, "payments", head + "1001,,5,2026-11-20,TX-1\n"))
    report = take(
        people,
        "payments",
        head
        + "9,,5,2026-11-20,\n"
        + "1001,A-99,5,2026-11-20,\n"
        + "1002,A-17,5,2026-11-20,\n"
        + "1001,,5,2026-11-20,TX-2\n"
        + "1001,,5,2026-11-20,TX-2\n"
        + "1001,,6,2026-11-20,TX-1\n"
        + "1001,,0,2026-11-25,\n",
    )
    assert [(line, column) for line, column, _ in said(report)] == [
        (2, "subscriber"), (3, "invoice"), (4, "invoice"), (6, "reference"), (7, "reference"), (8, "amount"),
        (8, "date"),
    ]  # fmt: skip


def many(broken=()):
    lines = [f"{number},Subscriber {number},mail{number}@example.net" for number in range(1, 10_001)]
    for number in broken:
        lines[number - 1] = f"{number},,nobody"
    return "number,name,email\n" + "\n".join(lines) + "\n"


def test_one_broken_row_among_ten_thousand_keeps_all_out(moving):
    assert said(take(moving, "subscribers", many([7000]))) == [
        (7001, "email", "'nobody' is not one mail address."),
        (7001, "name", "It is empty."),
    ]
    assert count(tables.subscriber) == 0
    assert rows(select(series).where(series.c.name == "subscriber")) == []


def test_all_broken_rows_are_listed_up_to_ten_thousand_and_then_counted(moving):
    report = take(moving, "subscribers", many(range(1, 10_001)))
    assert (len(report.faults), report.fault_count) == (10_000, 20_000)
    assert [fault.line for fault in report.faults[::2]] == list(range(2, 5_002))


def test_what_changes_between_check_and_writing_is_refused(moving):
    """Somebody else adds a service with a login of the file, after it was checked."""
    right(take(moving, "subscribers", PEOPLE))
    data = "subscriber,login,password,plan,starts_on\n1001,taken,b,Home 1,2026-11-24\n"
    bert = one(select(tables.subscriber.c.id).where(tables.subscriber.c.number == "1002")).id

    def meanwhile(done, of):
        if not count(tables.service):
            with transaction() as tx:
                add_service(
                    tx, moving.vault, "system", subscriber_id=bert, plan_id=moving.home, login="taken", password="x"
                )

    with pytest.raises(Refused, match="The login 'taken' is taken by the subscriber 1002"):
        take(moving, "services", data, tell=meanwhile)
    assert count(tables.service) == 1


def test_killed_in_the_middle_nothing_is_there(moving, tmp_path):
    file = tmp_path / "many.csv"
    file.write_text(many())
    program = """
        import sys, time
        from datetime import UTC, datetime
        from pathlib import Path
        from base.business import load_business
        from base.crypto import open_vault
        from base.database import transaction
        from base.settings import settings
        from billing.importers.run import import_file

        def tell(done, of):
            if done > of * 0.8:
                print("in the middle", flush=True)
                time.sleep(60)

        vault = open_vault(settings().secret_keys)
        with transaction() as tx:
            data = Path(sys.argv[1]).read_bytes()
            now = datetime(2026, 11, 24, 12, tzinfo=UTC)
            import_file(tx, vault, load_business(tx, vault), "x", "subscribers", data, now, commit=True, tell=tell)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(file)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "in the middle\n"
    finally:
        child.kill()
        child.wait()
    assert count(tables.subscriber) == 0
    report = take(moving, "subscribers", many())
    assert (right(report), report.committed) == ((10_000, 0), True)
    assert right(take(moving, "subscribers", many())) == (0, 10_000)


def test_the_examples_are_taken(moving):
    with transaction() as tx:
        from base.offers import plan

        tx.execute(update(plan).values(name="Home 100"))
    for kind, example in EXAMPLES.items():
        assert right(take(moving, kind, example)) == (3, 0)
    assert books() == []
