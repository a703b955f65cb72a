"""Subscribers, services and add-ons of an old system: billed by us from the day on that nobody has billed."""

from datetime import date, timedelta

from sqlalchemy import select

from base import tables
from base.calendar import Period
from base.database import transaction
from base.money import Money
from base.offers import plan, service_plan
from billing.anomalies import never_billed
from billing.bill_facts import find_unbilled
from billing.extras import add_product
from billing.plans import class_of_percent
from billing.services import add_service, add_subscriber
from billing.tables import invoice, invoice_line, message, open_credit
from tests.billing.importing import NOW, TODAY, books, count, one, right, rows, said, take
from tests.billing.provider import live_a_day


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


def test_a_company_pays_for_its_people_and_add_ons_come_along(people):
    """A service may name who pays; add-ons go on where the old system stopped, and never before their service."""
    with transaction() as tx:
        tax = class_of_percent(tx, "system", "20")
        for name, kind, price in (("Address", "addon", 500), ("Router", "rent", 300), ("Cable", "one_off", 900)):
            add_product(tx, "system", name=name, kind=kind, price=Money(price, "EUR"), tax_class_id=tax)
    report = take(
        people,
        "services",
        "subscriber,login,password,plan,starts_on,paid_until,payer\n"
        "1001,anna,s,Home 1,2023-01-01,2026-12-01,1002\n1001,own,s,Home 1,2023-01-01,2026-12-01,\n",
    )
    assert right(report) == (2, 0)
    assert "1 are paid for by somebody else." in report.notes
    ids = {row.number: row.id for row in rows(select(tables.subscriber))}
    lines = {row.login: row for row in rows(select(tables.service))}
    assert (lines["anna"].subscriber_id, lines["anna"].payer_id) == (ids["1001"], ids["1002"])
    assert lines["own"].payer_id == ids["1001"]
    extras = (
        "login,product,quantity,from_on,paid_until,until_on,price\n"
        "anna,Address,2,,,,4.00\nanna,Router,,2024-01-01,2026-12-16,2027-01-01,\n"
    )
    report = take(people, "products", extras)
    assert (right(report), report.notes) == ((2, 0), ("1 × Address.", "1 × Router."))
    assert right(take(people, "products", extras)) == (0, 2)
    people.live(date(2026, 11, 30), date(2026, 12, 1))
    people.live(date(2026, 12, 15), date(2026, 12, 15))
    found = rows(
        select(invoice_line, invoice.c.subscriber_id).join(invoice).where(invoice.c.subscriber_id == ids["1002"])
    )
    assert {(row.kind, row.text, str(row.period_start), row.amount_minor) for row in found} == {
        ("plan", "Home 1 (anna)", "2026-12-01", 3000),
        ("product", "Address (anna)", "2026-12-01", 800),
        ("product", "Router (anna)", "2026-12-16", 155),  # 16 of the 31 days of December
    }
    assert books() == []
    faults = take(
        people,
        "products",
        "login,product,quantity,from_on,paid_until,until_on,price\n"
        "nobody,Address,,,,,\nown,Attic,,,,,\nown,Cable,,,,,\nown,Address,0,,,,\nown,Router,,2022-01-01,,,\n"
        "own,Address,,,2026-12-01,2026-11-01,\n",
    )
    assert [(line, column) for line, column, _ in said(faults)] == [
        (2, "login"), (3, "product"), (4, "product"), (5, "quantity"), (6, "from_on"), (7, "until_on"),
    ]  # fmt: skip
    nobody = take(people, "services", "subscriber,login,password,plan,starts_on,payer\n1001,x,s,Home 1,2026-12-01,7\n")
    assert said(nobody) == [(2, "payer", "There is no subscriber with the account number '7'.")]


def test_prepaid_time_of_the_old_system_runs_out_here_and_credit_buys_more(people):
    """What was paid there runs to the midnight on which it ends; credit that comes later is a top-up."""
    plan_id = people.plan(1000, tax="0", prepaid=True, price_inclusive=True)
    name = one(select(plan.c.name).where(plan.c.id == plan_id)).name
    head = "subscriber,login,password,plan,starts_on,paid_until\n"
    assert right(
        take(
            people,
            "services",
            f"{head}1001,runs,s,{name},2026-01-05,2026-12-05\n1002,over,s,{name},2026-01-20,2026-11-20\n",
        )
    ) == (2, 0)
    lines = {row.login: row for row in rows(select(tables.service))}
    assert str(lines["runs"].paid_until) == "2026-12-05 00:00:00+00:00"
    assert [people.level(lines[each].id).name for each in ("runs", "over")] == ["FULL", "WALLED"]
    right(take(people, "balances", "subscriber,amount\n1002,-10.00\n1001,-10.00\n"))
    lines = {row.login: row for row in rows(select(tables.service))}
    assert str(lines["over"].paid_until) == "2026-12-24 12:00:00+00:00"
    assert people.level(lines["over"].id).name == "FULL"
    assert one(select(open_credit.c.left_minor)).left_minor == 1000  # of the one whose time still runs
    assert books() == []
    late = take(
        people,
        "services",
        f"subscriber,login,password,plan,starts_on,contract_until\n1001,x,s,{name},2027-01-01,2028-01-01\n",
    )
    assert said(late) == [(2, "contract_until", f"{name} is prepaid: it has no term.")]
